/**
 * The body of a request for an upgrade on a connection that Bun's HTTP server was given: there, as in Node, whatever comes
 * behind the head is the new protocol's, and Docker's clients send the request's body first.
 */
import { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fault } from "../base/errors.ts";

/** Requests that end in a stream have a few flags in their body. */
const BODY_MAX = 1 << 20;

/** Reads so many bytes, and leaves the rest to the next reader. Rejects when the connection ends before. */
function take(socket: Duplex, head: Uint8Array, length: number): Promise<Buffer> {
  if (head.length >= length) return Promise.resolve(Buffer.from(head));
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Uint8Array[] = [head];
  let size = head.length;
  const gone = () =>
    reject(Object.assign(new Error("the client has gone"), { code: "ECONNRESET" }));
  const data = (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < length) return;
    socket.pause();
    for (const [name, listener] of listeners) socket.off(name, listener);
    resolve(Buffer.concat(chunks));
  };
  const listeners = [
    ["data", data],
    ["end", gone],
    ["close", gone],
  ] as const;
  for (const [name, listener] of listeners) socket.on(name, listener);
  return promise;
}

/** The request with its body, and what came behind that. */
export async function separateBody(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
): Promise<{ readonly request: IncomingMessage; readonly head: Uint8Array }> {
  const length = Number(request.headers["content-length"] ?? 0);
  if (request.headers["transfer-encoding"] !== undefined || !(length <= BODY_MAX))
    throw fault(
      "invalid",
      "upgrade-body",
      `a request to upgrade the connection needs a Content-Length of at most ${BODY_MAX}`,
    );
  if (length === 0) return { request, head };
  const bytes = await take(socket, head, length);
  const whole = new IncomingMessage(socket as Socket);
  whole.method = request.method ?? "GET";
  whole.url = request.url ?? "/";
  whole.headers = request.headers;
  whole.rawHeaders = request.rawHeaders;
  whole.httpVersion = request.httpVersion;
  whole.push(bytes.subarray(0, length));
  whole.push(null);
  whole.complete = true;
  return { request: whole, head: bytes.subarray(length) };
}
