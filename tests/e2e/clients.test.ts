/** Client libraries run real scenarios. */
import { beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const root = join(import.meta.dir, "../..");
const clients = join(root, "tests/clients");
/** The runtime that users of the libraries have; tools/setup brings it. */
const node = join(root, ".tools/node");

/** Runs a program of tests/clients against the daemon. Gives what it said, and how it ended. */
async function play(runtime: string, script: string): Promise<{ said: string; status: number }> {
  const child = Bun.spawn([runtime, join(clients, script)], {
    env: {
      PATH: process.env.PATH ?? "",
      // Bun makes a directory of its own in it.
      HOME: daemon.directory,
      DOCKER_HOST: `unix://${daemon.socket}`,
      RYUK_CONTAINER_IMAGE: "reaper:1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { said: out + err, status: await child.exited };
}

/** Every scenario of a program holds. */
async function expectSuccess(runtime: string, script: string): Promise<void> {
  const { said, status } = await play(runtime, script);
  expect(said).toMatch(/^(ok .*\n)+$/);
  expect(status).toBe(0);
}

/** An image that does what Ryuk does; Ryuk's own comes from a registry. */
async function makeReaper(): Promise<void> {
  const program = `${daemon.directory}/unix-stream`;
  const source = join(clients, "reaper/unix-stream.c");
  const compiled = Bun.spawnSync(["musl-gcc", "-static", "-O1", "-o", program, source]);
  expect(compiled.stderr.toString()).toBe("");
  await daemon.berth("create", "--name", "reaper", "busybox");
  for (const file of [program, join(clients, "reaper/ryuk"), join(clients, "reaper/session")])
    expect((await daemon.berth("cp", file, "reaper:/")).err).toBe("");
  const changes = ['ENTRYPOINT ["/ryuk"]', "EXPOSE 8080"].flatMap((change) => ["-c", change]);
  expect((await daemon.berth("commit", ...changes, "reaper", "reaper:1")).status).toBe(0);
  await daemon.berth("rm", "reaper");
  rmSync(program);
}

beforeAll(makeReaper);

test.concurrent("docker-py", async () => {
  await expectSuccess("/usr/bin/python3", "docker_py.py");
});

test.concurrent("dockerode, under node and bun", async () => {
  await expectSuccess(node, "dockerode.ts");
  await expectSuccess(process.execPath, "dockerode.ts");
});

test.concurrent("Testcontainers and its reaper, under node and bun", async () => {
  for (const runtime of [node, process.execPath]) {
    await expectSuccess(runtime, "testcontainers.ts");
    const left = () => daemon.berth("ps", "-aq", "--filter", "label=left=behind");
    while ((await left()).out !== "") await Bun.sleep(20);
  }
});
