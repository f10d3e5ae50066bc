/** Clients that read slowly or not at all, vanish, or send nonsense: they harm themselves at most. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

async function create(name: string, Cmd: readonly string[], more: object = {}): Promise<string> {
  const body = { Image: "busybox", Cmd, HostConfig: { NetworkMode: "none" }, ...more };
  const { status, text } = await daemon.api("POST", `/containers/create?name=${name}`, body);
  expect(`${status} ${text}`).toStartWith("201");
  return (JSON.parse(text) as { Id: string }).Id;
}

/**
 * A connection that has sent a request and reads nothing until it is told to. Where more come at once than the kernel holds for a
 * busy daemon (512), the runtime calls that a refusal.
 */
async function request(head: string, body = ""): Promise<Socket> {
  for (let tries = 0; ; tries++)
    try {
      return await requestOnce(head, body);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED" || tries === 500) throw error;
      await Bun.sleep(20);
    }
}

function requestOnce(head: string, body: string): Promise<Socket> {
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

const memory = () =>
  Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]);
const descriptors = () => readdirSync(`/proc/${daemon.pid}/fd`).length;

/** Waits until the daemon holds no more descriptors than before. */
async function settled(before: number): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (descriptors() > before) {
    if (Date.now() > deadline) throw new Error(`${descriptors()} descriptors, ${before} before`);
    await Bun.sleep(20);
  }
}

describe("those who never read", () => {
  test("make no container but their own wait, and cost the daemon no memory to speak of", async () => {
    await create("spouts", ["sh", "-c", "head -c 40000000 /dev/zero | tr '\\0' x | fold -w 1000"]);
    await daemon.api("POST", "/containers/spouts/start");
    await daemon.api("POST", "/containers/spouts/wait");
    await create("watched", ["sh", "-c", "while :; do head -c 100000 /dev/zero; done"], {
      HostConfig: { NetworkMode: "none", LogConfig: { Type: "none" } },
    });
    const before = { memory: memory(), descriptors: descriptors() };
    const silent = [
      await request("POST /containers/watched/attach?stream=1&stdout=1", upgrade),
      await request("POST /containers/spouts/attach?logs=1&stdout=1", upgrade),
      await request("GET /containers/spouts/logs?stdout=1"),
      await request("GET /containers/spouts/export"),
      await request("GET /containers/spouts/archive?path=/"),
    ];
    for (let i = 0; i < 20; i++) silent.push(await request("GET /events"));
    await daemon.api("POST", "/containers/watched/start");
    for (let i = 0; i < 400; i++)
      await daemon.api(
        "POST",
        `/containers/${i % 2 ? "renamed" : "spouts"}/rename?name=${i % 2 ? "spouts" : "renamed"}`,
      );
    // Whoever is attached and does not read holds its own container up; another goes on beside it.
    expect(
      (await daemon.berth("run", "--rm", "--network", "none", "busybox", "echo", "beside")).out,
    ).toBe("beside\n");
    expect(memory() - before.memory).toBeLessThan(60_000);
    expect((await daemon.api("POST", "/containers/watched/kill")).status).toBe(204);
    for (const socket of silent) socket.destroy();
    await settled(before.descriptors);
    await daemon.api("DELETE", "/containers/watched");
    await daemon.api("DELETE", "/containers/spouts");
  }, 60_000);

  test("an attached client that vanishes lets its container go on", async () => {
    await create("freed", ["sh", "-c", "head -c 3000000 /dev/zero; exit 8"]);
    const silent = await request("POST /containers/freed/attach?stream=1&stdout=1", upgrade);
    await daemon.api("POST", "/containers/freed/start");
    await Bun.sleep(200);
    silent.destroy();
    expect(JSON.parse((await daemon.api("POST", "/containers/freed/wait")).text).StatusCode).toBe(
      8,
    );
    await daemon.api("DELETE", "/containers/freed");
  });
});

describe("requests", () => {
  test("thousands of connections that say nothing, or half of a request, keep nobody out", async () => {
    const before = descriptors();
    const sockets = await Promise.all(
      Array.from({ length: 1500 }, (_, i) =>
        request(i % 2 ? "GET /_ping" : "POST /containers/create", "Content-Length: 10\r\n"),
      ),
    );
    expect((await daemon.api("GET", "/_ping")).status).toBe(200);
    expect(
      (await daemon.berth("run", "--rm", "--network", "none", "busybox", "echo", "in")).out,
    ).toBe("in\n");
    for (const socket of sockets) socket.destroy();
    await settled(before);
  });

  test("pipelined requests are answered in order; heads that are too large are refused", async () => {
    const socket = await request(
      "GET /_ping",
      "\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    const answers = (await readAll(socket)).toString();
    const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(["200", "200", "404"]);
    const large = await request("GET /_ping", `X-Large: ${"x".repeat(4 << 20)}\r\n\r\n`).catch(
      () => undefined,
    );
    const refusal =
      large === undefined ? "" : (await readAll(large).catch(() => Buffer.alloc(0))).toString();
    expect(refusal).not.toContain("HTTP/1.1 200");
    expect((await daemon.api("GET", "/_ping")).status).toBe(200);
  });

  test("a request that is broken off anywhere leaves nothing behind", async () => {
    await create("target", ["sh", "-c", "while :; do sleep 0.1; done"]);
    await daemon.api("POST", "/containers/target/start");
    const before = descriptors();
    const archive = Bun.spawnSync(["tar", "-C", "/bin", "-ch", "busybox"]).stdout;
    const body = JSON.stringify({
      Image: "busybox",
      Cmd: ["true"],
      HostConfig: { NetworkMode: "none" },
    });
    const requests: [string, string | Uint8Array][] = [
      ["POST /containers/create?name=cut", body],
      ["POST /containers/cut/start", ""],
      ["PUT /containers/target/archive?path=/tmp", archive],
      ["PUT /containers/cut/archive?path=/tmp", archive],
      ["GET /containers/target/archive?path=/bin", ""],
      ["GET /containers/target/export", ""],
      ["POST /commit?container=target&repo=cut", "{}"],
      ["GET /containers/target/stats", ""],
      ["GET /containers/target/logs?follow=1&stdout=1", ""],
      ["POST /containers/target/wait", ""],
      ["POST /containers/target/exec", JSON.stringify({ Cmd: ["true"] })],
      ["POST /build?t=cut", archive],
    ];
    for (let cut = 0; cut < 6; cut++) {
      await Promise.all(
        requests.map(async ([head, content]) => {
          const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
          const socket = await request(
            head,
            `Content-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n`,
          );
          // Broken off before the body, in it, after it, and while the answer comes.
          socket.write(bytes.subarray(0, (bytes.length * Math.min(cut, 3)) / 3));
          if (cut === 5) socket.resume();
          await Bun.sleep(cut * 7);
          socket.destroy();
        }),
      );
      await daemon.api("DELETE", "/containers/cut?force=1");
    }
    expect((await daemon.berth("exec", "target", "true")).status).toBe(0);
    expect(await daemon.inspect("target", "{{.State.Status}}")).toBe("running");
    expect((await daemon.api("POST", "/containers/target/stop?t=0")).status).toBe(204);
    await daemon.api("DELETE", "/containers/target");
    await settled(before);
    expect(daemon.log).not.toContain("a bug in berth");
  }, 60_000);
});
