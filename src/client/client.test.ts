/**
 * The client against servers that cut, chunk, refuse and upgrade.
 */
import { afterEach, expect, test } from "bun:test";
import {
  ApiClient,
  ApiError,
  ChunkedDecoder,
  Demultiplexer,
  parseHost,
  resolveHost,
} from "./index.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (pieces: Uint8Array[]) => Buffer.concat(pieces).toString();
const open: { stop(force: boolean): void }[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.stop(true);
});

/** A server that answers each request with what `answer` makes of it. */
function serve(answer: (request: string) => string | undefined) {
  const seen: string[] = [];
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        seen.push(data.toString());
        const reply = answer(data.toString());
        if (reply === undefined) socket.end();
        else socket.write(reply);
      },
    },
  });
  open.push(server);
  const host = parseHost(`tcp://127.0.0.1:${server.port}`, true);
  return { seen, client: new ApiClient(host, async () => false) };
}

const plain = (status: number, body: string) =>
  `HTTP/1.1 ${status} X\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

test("a chunked body is the same however it is cut", () => {
  const whole = bytes("5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n");
  for (let cut = 1; cut < whole.length; cut++) {
    const decoder = new ChunkedDecoder();
    const pieces = [...decoder.push(whole.slice(0, cut)), ...decoder.push(whole.slice(cut))];
    expect(text(pieces)).toBe("hello world");
    expect(decoder.done).toBe(true);
  }
});

test("a malformed chunk is refused", () => {
  expect(() => new ChunkedDecoder().push(bytes("zz\r\n"))).toThrow("malformed chunk size");
  expect(() => new ChunkedDecoder().push(bytes("1\r\nabc\r\n"))).toThrow("no line end");
});

test("frames are told apart however they are cut", () => {
  const whole = Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 2, 97, 98, 2, 0, 0, 0, 0, 0, 0, 1, 99]);
  for (let cut = 1; cut < whole.length; cut++) {
    let seen = "";
    const demux = new Demultiplexer((stream, piece) => {
      for (const byte of piece) seen += `${stream}${String.fromCharCode(byte)}`;
    });
    demux.push(whole.slice(0, cut));
    demux.push(whole.slice(cut));
    expect(seen).toBe("1a1b2c");
  }
});

test("a flag beats BERTH_HOST beats DOCKER_HOST beats the default", () => {
  const env = { BERTH_HOST: "unix:///b", DOCKER_HOST: "unix:///d" };
  expect(resolveHost("unix:///f", env).url).toBe("unix:///f");
  expect(resolveHost(undefined, env).url).toBe("unix:///b");
  expect(resolveHost(undefined, { DOCKER_HOST: "unix:///d" }).explicit).toBe(true);
  expect(resolveHost(undefined, {}).explicit).toBe(false);
  expect(() => resolveHost("ftp://x", {})).toThrow("unable to parse docker host `ftp://x`");
});

test("addresses are read as docker's client reads them, and shown with their port", () => {
  for (const [given, shown, target] of [
    ["tcp://", "tcp://localhost:2375", { hostname: "127.0.0.1", port: 2375 }],
    ["tcp://h", "tcp://h:2375", { hostname: "h", port: 2375 }],
    ["h", "tcp://h:2375", { hostname: "h", port: 2375 }],
    [":1", "tcp://localhost:1", { hostname: "127.0.0.1", port: 1 }],
    ["127.0.0.1:9", "tcp://127.0.0.1:9", { hostname: "127.0.0.1", port: 9 }],
    ["[::1]:9", "tcp://[::1]:9", { hostname: "::1", port: 9 }],
    ["unix://", "unix://", { unix: "/run/berth/berth.sock" }],
  ] as const) {
    const { url, target: found } = resolveHost(given, {});
    expect([given, url, found]).toEqual([given, shown, { ...target, tls: undefined } as never]);
  }
  for (const odd of ["fd://", "/nope", "odd://x", "tcp://h:99999", "tcp://h:x", "tcp://[::1"])
    expect(() => resolveHost(odd, {})).toThrow(`unable to parse docker host \`${odd}\``);
});

test("a refusal carries the daemon's status and words", async () => {
  const { client } = serve(() => plain(404, '{"message":"No such container: x"}'));
  const failure = await client.json("GET", "/containers/x/json").catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApiError);
  expect(failure).toMatchObject({ status: 404, message: "No such container: x" });
  client.close();
});

test("an older daemon is asked again in its own version", async () => {
  const refusal =
    '{"message":"client version 1.51 is too new. Maximum supported API version is 1.41"}';
  const { client, seen } = serve((request) =>
    request.includes("/v1.51/") ? plain(400, refusal) : plain(200, "[]"),
  );
  expect(await client.json<unknown[]>("GET", "/images/json")).toEqual([]);
  expect(seen.map((one) => one.split(" ")[1])).toEqual([
    "/v1.51/images/json",
    "/v1.41/images/json",
  ]);
  client.close();
});

test("values of a stream come one by one", async () => {
  const body = '{"a":1}\n{"a":2}\n';
  const { client } = serve(
    () =>
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n${body.slice(0, 9)}\r\n7\r\n${body.slice(9)}\r\n0\r\n\r\n`,
  );
  const seen: unknown[] = [];
  for await (const value of (await client.request("GET", "/events")).values<unknown>())
    seen.push(value);
  expect(seen).toEqual([{ a: 1 }, { a: 2 }]);
  client.close();
});

test("what follows an upgrade's head is the stream", async () => {
  const { client } = serve((request) =>
    request.startsWith("POST")
      ? "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst"
      : `echo ${request}`,
  );
  const connection = await client.hijack("/containers/x/attach");
  expect(text([(await connection.read()) ?? bytes("")])).toBe("first");
  await connection.write("more");
  expect(text([(await connection.read()) ?? bytes("")])).toBe("echo more");
  connection.close();
});

test("a connection that ends without an answer is a failure", async () => {
  const { client } = serve(() => undefined);
  await expect(client.json("GET", "/x")).rejects.toThrow("without an answer");
});

test("a body whose source fails ends the request with that failure, on a new connection and on a kept one", async () => {
  const { client } = serve((request) => (request.startsWith("GET") ? plain(200, "{}") : ""));
  async function* broken() {
    yield bytes("first");
    throw new Error("the file is gone");
  }
  for (const warm of [false, true]) {
    if (warm) await client.json("GET", "/x");
    const sending = client.request("POST", "/x", { stream: broken() });
    const why = await sending.then(
      () => "an answer",
      (error) => error.message,
    );
    expect(why).toBe("the file is gone");
  }
});

test("what changes nothing is asked again when a daemon that is being killed took the connection; nothing else is", async () => {
  let answers = 0;
  const dying = serve(() => (++answers % 2 === 1 ? undefined : plain(200, "{}")));
  await dying.client.json("GET", "/first");
  await (await dying.client.request("GET", "/later")).text();
  expect(dying.seen.map((request) => request.split(" ")[1])).toEqual([
    "/v1.51/first",
    "/v1.51/first",
    "/v1.51/later",
    "/v1.51/later",
  ]);

  const gone = serve(() => undefined);
  await expect(gone.client.json("GET", "/never")).rejects.toThrow("without an answer");
  expect(gone.seen.length).toBe(3);
  const changing = serve(() => undefined);
  await expect(changing.client.json("POST", "/change")).rejects.toThrow("without an answer");
  expect(changing.seen.length).toBe(1);
});
