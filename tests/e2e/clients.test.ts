/** Client libraries run real scenarios. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
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
      // On a host that is itself a container (it has /.dockerenv) Testcontainers would ask the bridge's gateway for published
      // ports: that one is in the daemon's own network where the daemon is not root's.
      TESTCONTAINERS_HOST_OVERRIDE: "localhost",
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

test.concurrent("docker-compose 1.29 builds, and starts what it has built", async () => {
  const project = `${daemon.directory}/project`;
  mkdirSync(`${project}/app`, { recursive: true });
  writeFileSync(
    `${project}/docker-compose.yml`,
    `version: "3.4"
services:
  app:
    build: {context: app, args: {WORD: composed}, target: first, labels: {by: compose}}
    image: composed:1
    network_mode: bridge
`,
  );
  writeFileSync(
    `${project}/app/Dockerfile`,
    "FROM busybox AS first\nARG WORD\nCOPY f /f\nRUN echo $WORD >> /f\nCMD cat /f\nFROM first\nRUN exit 1\n",
  );
  writeFileSync(`${project}/app/f`, "file\n");
  const compose = async (...args: string[]) => {
    const child = Bun.spawn(["docker-compose", ...args], {
      cwd: project,
      env: {
        ...{ PATH: process.env.PATH ?? "", HOME: daemon.directory, COMPOSE_DOCKER_CLI_BUILD: "0" },
        DOCKER_HOST: `unix://${daemon.socket}`,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { said: out + err, status: await child.exited };
  };
  const built = await compose("build", "--no-cache");
  expect(built.said).toContain("Successfully tagged composed:1");
  expect(built.status).toBe(0);
  const up = await compose("run", "--rm", "app");
  expect(up.said).toContain("file\ncomposed\n");
  expect(up.status).toBe(0);
  expect((await daemon.berth("inspect", "-f", "{{.Config.Labels.by}}", "composed:1")).out).toBe(
    "compose\n",
  );
  expect((await compose("down")).status).toBe(0);
  await daemon.berth("rmi", "composed:1");
});

test.concurrent("Testcontainers and its reaper, under node and bun", async () => {
  for (const runtime of [node, process.execPath]) {
    await expectSuccess(runtime, "testcontainers.ts");
    const left = () => daemon.berth("ps", "-aq", "--filter", "label=left=behind");
    while ((await left()).out !== "") await Bun.sleep(20);
  }
});
