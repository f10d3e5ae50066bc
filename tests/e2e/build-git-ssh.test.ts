/** Repositories behind a real sshd, fetched by a build with the agent that its client has lent. */
import { test as every, expect } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { hasSshd, SshHost } from "../kits/ssh-host.ts";

const isHere = hasSshd && Bun.which("git") !== null && Bun.which("ssh-agent") !== null;
const test = every.skipIf(!isHere);
const host = new SshHost();
const programs = `${host.directory}/programs`;
const repository = `${host.directory}/app`;
mkdirSync(programs);
const daemon = daemonOfFile([], ["env", `PATH=${programs}:${process.env.PATH}`]);
const agents: Bun.Subprocess[] = [];

function run(argv: readonly string[], more: { cwd?: string; env?: Record<string, string> } = {}) {
  const env = { ...process.env, ...more.env };
  const done = Bun.spawnSync([...argv], { ...more, env, stderr: "pipe" });
  expect([argv, done.exitCode, done.stderr.toString()]).toEqual([argv, 0, expect.any(String)]);
}

/** An agent with a key; gives its socket. */
async function agentWith(key: string): Promise<string> {
  const socket = `${host.directory}/agent-${agents.length}`;
  agents.push(Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore" }));
  while (!existsSync(socket)) await Bun.sleep(10);
  run(["ssh-add", "-q", key], { env: { SSH_AUTH_SOCK: socket } });
  return socket;
}

/** A host with a repository, which nobody knows yet. */
async function begin(): Promise<void> {
  await host.start();
  // Which hosts it knows ssh reads where the system has root's home, whatever HOME says; and git reads nothing but programs here.
  const known = `${programs}/known_hosts`;
  const text = `#!/bin/sh\nexec ${Bun.which("ssh")} -oUserKnownHostsFile=${known} "$@"\n`;
  writeFileSync(`${programs}/ssh`, text, { mode: 0o755 });
  writeFileSync(known, "");
  mkdirSync(repository);
  writeFileSync(`${repository}/Dockerfile`, "FROM busybox\nCOPY f /f\n");
  writeFileSync(`${repository}/f`, "from behind ssh\n");
  const git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"];
  for (const args of [
    ["init", "-q", "-b", "main"],
    ["add", "."],
    ["commit", "-qm", "first"],
  ])
    run([...git, ...args], { cwd: repository });
}

async function end(): Promise<void> {
  for (const agent of agents) {
    agent.kill();
    await agent.exited;
  }
  await host.stop();
}

const built = (socket: string, address: string, stdin?: Uint8Array) =>
  daemon.berthWith(
    { ...(stdin && { stdin }), env: { SSH_AUTH_SOCK: socket, TMPDIR: host.directory } },
    ...["build", "--ssh", "default", "-t", "fetched", address],
  );
const content = async () => (await daemon.berth("run", "--rm", "fetched", "cat", "/f")).out;

test("a context and a source of ADD come by the agent's key, from a server that is known", async () => {
  try {
    await begin();
    await fetchedByAgent();
  } finally {
    await end();
  }
});

async function fetchedByAgent(): Promise<void> {
  const url = `${host.url}${repository}`;
  const own = await agentWith(host.key);
  const unknown = await built(own, url);
  expect([unknown.status, unknown.err]).toEqual([
    1,
    expect.stringContaining("repository: Host key verification failed"),
  ]);
  copyFileSync(host.knownHosts, `${programs}/known_hosts`);
  const context = await built(own, `${url}#main`);
  expect([context.status, context.err]).toEqual([0, expect.any(String)]);
  expect(await content()).toBe("from behind ssh\n");
  const add = tarOf({ Dockerfile: `FROM busybox\nADD ${url}#main /repo\nRUN cp /repo/f /f\n` });
  const added = await built(own, "-", add);
  expect([added.status, added.err]).toEqual([0, expect.any(String)]);
  expect(await content()).toBe("from behind ssh\n");
  // A key that the server does not know opens nothing, though the host's own would.
  const stranger = await built(await agentWith(host.strangersKey), `${url}#main`);
  expect([stranger.status, stranger.err]).toEqual([
    1,
    expect.stringContaining("Permission denied"),
  ]);
  expect((await daemon.berth("build", url)).err).toContain("--ssh default");
}
