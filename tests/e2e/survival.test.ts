/** The daemon, shims, PID 1 and clients killed: containers go on, nothing is lost or left over. */
import { expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const field = async (template: string, name: string) =>
  (await daemon.berth("inspect", "-f", template, name)).out.trim();

/** The shim of a container: the parent of its PID 1. */
async function shimOf(name: string): Promise<number> {
  const pid = await field("{{.State.Pid}}", name);
  return Number(/PPid:\s*(\d+)/.exec(await Bun.file(`/proc/${pid}/status`).text())?.[1]);
}

/** Run directories that stay: a removal is answered before the last of what nobody asks for is gone. */
async function runDirectories(): Promise<string[]> {
  const deadline = Date.now() + 5000;
  const list = () => readdirSync(`${daemon.directory}/exec/c`);
  while (list().length > 0 && Date.now() < deadline) await Bun.sleep(5);
  return list();
}

test("containers outlive kill -9 of the daemon: no line lost or doubled, statuses known, exec and stop work", async () => {
  const count =
    "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); usleep 500; done; sleep 1000";
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "writer",
    "-p",
    "127.0.0.1::80",
    "busybox",
    "sh",
    "-c",
    count,
  );
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "ender",
    "busybox",
    "sh",
    "-c",
    "usleep 300000; exit 42",
  );
  const address = await field("{{.NetworkSettings.IPAddress}}", "writer");
  await daemon.kill();
  await Bun.sleep(600);
  await daemon.start();
  expect((await daemon.berth("ps", "--format", "{{.Names}}")).out).toBe("writer\n");
  expect(await field("{{.State.ExitCode}} {{.State.Status}}", "ender")).toBe("42 exited");
  expect(await field("{{.NetworkSettings.IPAddress}}", "writer")).toBe(address);
  expect((await daemon.berth("exec", "writer", "echo", "alive")).out).toBe("alive\n");
  let lines: string[] = [];
  while (lines.length < 2000)
    lines = (await daemon.berth("logs", "writer")).out.trimEnd().split("\n");
  expect(lines).toEqual(Array.from({ length: 2000 }, (_, i) => `line ${i}`));
  // A new container gets another address than the one that goes on.
  await daemon.berth("run", "-d", "--name", "next", "busybox", "sleep", "1000");
  expect(await field("{{.NetworkSettings.IPAddress}}", "next")).not.toBe(address);
  expect((await daemon.berth("stop", "-t", "0", "writer")).status).toBe(0);
  await daemon.berth("rm", "-f", "writer", "ender", "next");
});

test("when the socket of a container's shim is deleted, execs say so; the container goes on and can be stopped and restarted", async () => {
  await daemon.berth("run", "-d", "--init", "--name", "cut", "busybox", "sleep", "1000");
  const id = await field("{{.Id}}", "cut");
  const pid = await field("{{.State.Pid}}", "cut");
  const socket = `${daemon.directory}/exec/c/${id.slice(0, 32)}/shim.sock`;
  rmSync(socket);
  for (const done of [
    await daemon.berth("exec", "cut", "true"),
    await daemon.docker("exec", "cut", "true"),
    await daemon.berth("attach", "--no-stdin", "cut"),
  ]) {
    expect(done.status).not.toBe(0);
    expect(done.out + done.err).toContain(
      `container ${id} runs, but cannot be entered any more: somebody has deleted ${socket}`,
    );
  }
  expect(await field("{{.State.Pid}}", "cut")).toBe(pid);
  expect((await daemon.berth("restart", "cut")).status).toBe(0);
  expect((await daemon.berth("exec", "cut", "echo", "again")).out).toBe("again\n");
  await daemon.berth("rm", "-f", "cut");
});

test("a stop of the daemon leaves containers alone too, and the next one takes them over", async () => {
  await daemon.berth("run", "-d", "--name", "stays", "busybox", "sleep", "1000");
  expect(await daemon.stop()).toBe(0);
  await daemon.start();
  expect(await field("{{.State.Running}}", "stays")).toBe("true");
  await daemon.berth("rm", "-f", "stays");
});

test("a container whose shim or PID 1 is killed is over, with status 137", async () => {
  for (const victim of ["shim", "init"] as const) {
    await daemon.berth(
      "run",
      "-d",
      "--name",
      victim,
      "busybox",
      "sh",
      "-c",
      "sleep 1000 & sleep 1000",
    );
    const pid =
      victim === "shim" ? await shimOf(victim) : Number(await field("{{.State.Pid}}", victim));
    process.kill(pid, "SIGKILL");
    expect((await daemon.berth("wait", victim)).out).toBe("137\n");
    expect(await field("{{.State.Status}}", victim)).toBe("exited");
    expect((await daemon.berth("start", victim)).status).toBe(0);
    await daemon.berth("rm", "-f", victim);
  }
});

test("daemon killed at random moments of starts and ends: the next one leaves nothing unexplained", async () => {
  for (let round = 0; round < 12; round++) {
    const runs = Array.from({ length: 4 }, (_, i) =>
      daemon.berth("run", "--rm", "busybox", "sh", "-c", `usleep ${i * 20000}; echo x`),
    );
    await Bun.sleep(Math.random() * 150);
    await daemon.kill();
    await Promise.all(runs);
    await daemon.start();
    await daemon.berth("run", "--rm", "busybox", "true");
  }
  // What was acknowledged as running may go on for its moment; then all are gone by --rm.
  let left = (await daemon.berth("ps", "-aq")).out;
  for (let tries = 0; tries < 200 && left !== ""; tries++) {
    await Bun.sleep(20);
    left = (await daemon.berth("ps", "-a", "--format", "{{.ID}} {{.Status}}")).out;
    const created = left.split("\n").filter((line) => line.includes("Created"));
    // Created and never started: nobody was told of a start, so it is the user's to remove.
    for (const line of created) await daemon.berth("rm", line.split(" ")[0] ?? "");
  }
  expect(left).toBe("");
  expect(await runDirectories()).toEqual([]);
  expect(readdirSync(`${daemon.directory}/data/overlay2/containers`)).toEqual([]);
  expect(readdirSync(`${daemon.directory}/data/containers`)).toEqual([]);
});

test("a client killed in the middle of run -i leaves a container that can be removed", async () => {
  const child = Bun.spawn(["dist/berth", "run", "-i", "--name", "orphan", "busybox", "cat"], {
    env: { BERTH_HOST: `unix://${daemon.socket}` },
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  while ((await field("{{.State.Running}}", "orphan")) !== "true") await Bun.sleep(5);
  child.kill("SIGKILL");
  await child.exited;
  await daemon.berth("rm", "-f", "orphan");
  expect((await daemon.berth("ps", "-aq")).out).toBe("");
});

test("many at once: each says its own word, and all are gone", async () => {
  const words = Array.from({ length: 32 }, (_, i) => `word-${i}`);
  const done = await Promise.all(
    words.map((word) => daemon.berth("run", "--rm", "busybox", "echo", word)),
  );
  expect(done.map(({ out }) => out.trim())).toEqual(words);
  expect(await runDirectories()).toEqual([]);
});
