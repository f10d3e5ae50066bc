/** Attaching over a WebSocket, and attached clients that misbehave. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";
import { freePort } from "../kits/own-registry.ts";

const daemon = daemonOfFile();

/** A WebSocket on the daemon's socket, with what has come so far. */
async function webSocket(path: string) {
  const socket = new WebSocket(`ws+unix://${daemon.socket}:${path}`);
  socket.binaryType = "arraybuffer";
  const seen = { text: "", closed: false };
  socket.onmessage = ({ data }) => {
    seen.text += Buffer.from(data).toString();
  };
  socket.onclose = () => {
    seen.closed = true;
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  return { socket, seen };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 15_000; !(await holds()); await Bun.sleep(10))
    if (Date.now() > end) throw new Error("it does not come");
}

/** Asks by hand, and reads nothing after the head. */
function askDeaf(request: string): Promise<Socket> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const socket = connect(daemon.socket, () => {
    socket.write(`${request} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
    socket.once("data", () => resolve(socket.pause()));
  });
  socket.on("error", () => {});
  return promise;
}

const attachment = "attach?stream=1&stdout=1&stderr=1&stdin=1";

test("a WebSocket carries input and both outputs, and closes with the container", async () => {
  const script = "while read line; do echo got $line; echo err $line >&2; done; echo bye";
  await daemon.berth("run", "-di", "--name", "ws", "busybox", "sh", "-c", script);
  const query = "stream=1&stdin=1&stdout=1&stderr=1&logs=1";
  const { socket, seen } = await webSocket(`/v1.51/containers/ws/attach/ws?${query}`);
  socket.send("one\n");
  await until(() => seen.text.includes("got one\n") && seen.text.includes("err one\n"));
  socket.send(Buffer.from("two\n"));
  await until(() => seen.text.includes("err two\n"));
  // What has been said before is told again to whoever asks for logs.
  const late = await webSocket(`/containers/ws/attach/ws?${query}`);
  await until(() => late.seen.text.includes("got one\n"));
  await daemon.berth("kill", "ws");
  await until(() => seen.closed && late.seen.closed);
  await daemon.berth("rm", "ws");
});

test("a WebSocket on a terminal: raw bytes, and detach keys let go", async () => {
  await daemon.berth("run", "-dit", "--name", "tty", "busybox", "sh");
  const query = "stream=1&stdin=1&stdout=1&detachKeys=ctrl-x";
  const { socket, seen } = await webSocket(`/containers/tty/attach/ws?${query}`);
  socket.send("echo $((6*7))\n");
  await until(() => seen.text.includes("42\r\n"));
  socket.send("\x18");
  await until(() => seen.closed);
  expect(await daemon.inspect("tty", "{{.State.Running}}")).toBe("true");
  await daemon.berth("rm", "-f", "tty");
});

test("a request that is no handshake, and a container that is not there, are refused", async () => {
  await daemon.berth("run", "-d", "--name", "plain", "busybox", "sleep", "100");
  const refused = await daemon.api("GET", "/containers/plain/attach/ws?stream=1");
  expect(refused.status).toBe(400);
  expect(refused.text).toContain("Upgrade: websocket");
  expect((await daemon.api("GET", "/containers/none/attach/ws?stream=1")).status).toBe(404);
  await daemon.berth("rm", "-f", "plain");
});

/** Bytes of memory that the daemon itself has. */
function memory(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

const flood =
  "dd if=/dev/zero bs=64k count=1600 2>/dev/null | tr '\\0' x; echo; echo end >&2; read x";

test("an attached client that does not read is waited for, and forgotten when it vanishes", async () => {
  await daemon.berth("run", "-di", "--name", "flood", "busybox", "sh", "-c", `read x; ${flood}`);
  const deaf = await askDeaf(`POST /containers/flood/${attachment}`);
  const before = memory();
  deaf.write("go\n");
  await Bun.sleep(1000);
  // 100 MB want to pass: they wait in the container, and the others go on.
  expect((await daemon.berth("logs", "flood")).err).not.toContain("end");
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "hi")).out).toBe("hi\n");
  expect(memory() - before).toBeLessThan(48 << 20);
  deaf.destroy();
  await until(async () => (await daemon.berth("logs", "--tail", "5", "flood")).err.includes("end"));
  await daemon.berth("rm", "-f", "flood");
}, 30_000);

test("a port published meanwhile is free at the container's end, although a client still does not read", async () => {
  const begin = ["run", "-dit", "--name", "holding"];
  await daemon.berth(...begin, "busybox", "sh", "-c", "read x; head -c 9000000 /dev/zero");
  const port = `127.0.0.1:${freePort()}:80`;
  expect((await daemon.berth("update", "-p", port, "holding")).err).toBe("");
  const deaf = await askDeaf(`POST /containers/holding/${attachment}`);
  deaf.write("go\n");
  await Bun.sleep(1000);
  await daemon.berth("kill", "holding");
  expect((await daemon.berth("start", "holding")).err).toBe("");
  deaf.destroy();
  await daemon.berth("rm", "-f", "holding");
});

test("a reader of logs that does not read holds nobody up and costs no memory", async () => {
  await daemon.berth("run", "-di", "--name", "told", "busybox", "sh", "-c", `read x; ${flood}`);
  const deaf = await askDeaf("GET /containers/told/logs?follow=1&stdout=1&stderr=1");
  const before = memory();
  const { socket } = await webSocket("/containers/told/attach/ws?stream=1&stdin=1");
  socket.send("go\n");
  const done = daemon.berth("wait", "told");
  await until(async () => (await daemon.berth("logs", "--tail", "5", "told")).err.includes("end"));
  socket.send("x\n");
  expect((await done).out).toBe("0\n");
  expect(memory() - before).toBeLessThan(48 << 20);
  deaf.destroy();
  await daemon.berth("rm", "told");
}, 30_000);

test("what an exec says at once, while others begin, reaches its client whole", async () => {
  await daemon.berth("run", "-d", "--name", "talker", "busybox", "sleep", "1000");
  const said = async () => {
    const done = await daemon.berth("exec", "talker", "sh", "-c", "echo out; echo err >&2; exit 3");
    return JSON.stringify(done);
  };
  // Eight at a time: so many that the processes that make them are held up behind what they have made.
  const all = new Set<string>();
  for (let round = 0; round < 40; round++)
    for (const one of await Promise.all(Array.from({ length: 8 }, said))) all.add(one);
  expect([...all]).toEqual([JSON.stringify({ status: 3, out: "out\n", err: "err\n" })]);
  await daemon.berth("rm", "-f", "talker");
});

test("who attaches to a terminal once more sees what it shows, without a key", async () => {
  await daemon.berth("run", "-dit", "--name", "shown", "busybox", "sh");
  for (let times = 0; times < 3; times++) {
    const session = daemon.onTerminal("attach", "shown");
    await session.see("/ # ");
    session.type("\x10\x11");
    expect(await session.ended()).toBe(1);
  }
  await daemon.berth("rm", "-f", "shown");
});
