/** Clients that read slowly or not at all, vanish, or send nonsense: they harm themselves at most. */
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

async function create(name: string, Cmd: readonly string[], more: object = {}): Promise<string> {
  const body = { Image: "busybox", Cmd, HostConfig: { NetworkMode: "none" }, ...more };
  const { status, text } = await daemon.api("POST", `/containers/create?name=${name}`, body);
  expect(`${status} ${text}`).toStartWith("201");
  return (JSON.parse(text) as { Id: string }).Id;
}

/** A connection that has sent a request and reads nothing until it is told to. */
function request(head: string, body = ""): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(daemon.socket, () => {
    socket.pause();
    socket.write(`${head} HTTP/1.1\r\nHost: x\r\n${body === "" ? "\r\n" : body}`, () =>
      resolve(socket),
    );
  });
  socket.on("error", reject);
  return promise;
}

const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/** Everything that comes until the end. */
async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  socket.on("close", () => resolve());
  socket.on("end", () => {
    socket.end();
    resolve();
  });
  socket.resume();
  await promise;
  return Buffer.concat(chunks);
}

/** The bytes that Docker's frames carry. */
function payload(stream: Buffer): number {
  let at = stream.indexOf("\r\n\r\n") + 4;
  let bytes = 0;
  while (at + 8 <= stream.length) {
    const length = stream.readUInt32BE(at + 4);
    bytes += Math.min(length, stream.length - at - 8);
    at += 8 + length;
  }
  return bytes;
}

describe("readers", () => {
  test("whoever reads only after the end gets all of the output", async () => {
    const SIZE = 6_000_000;
    await create("pours", ["sh", "-c", `head -c ${SIZE} /dev/zero; echo done >&2; sleep 0.01`]);
    const reader = await request("POST /containers/pours/attach?stream=1&stdout=1", upgrade);
    await daemon.api("POST", "/containers/pours/start");
    const all = readAll(reader);
    await daemon.api("POST", "/containers/pours/wait");
    expect(payload(await all)).toBe(SIZE);
    await daemon.api("DELETE", "/containers/pours");
    // As much as pipes and sockets hold, with nobody reading: the container ends, and its output waits.
    await create("holds", ["sh", "-c", "head -c 260000 /dev/zero"]);
    const late = await request("POST /containers/holds/attach?stream=1&stdout=1", upgrade);
    await daemon.api("POST", "/containers/holds/start");
    await daemon.api("POST", "/containers/holds/wait");
    await Bun.sleep(2500);
    expect(payload(await readAll(late))).toBe(260_000);
    await daemon.api("DELETE", "/containers/holds");
  });
});
