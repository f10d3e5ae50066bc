/** build --ssh: commands speak with an agent of the command line's side, by way of the build's connection. */
import { afterAll, beforeAll, test as every, expect } from "bun:test";
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const directory = scratchDirectory("ssh-");
const socket = join(directory, "agent");
// OpenSSH's programs are what is asked and what asks.
const hasSsh = Bun.which("ssh-agent") !== null;
const test = every.skipIf(!hasSsh);
let agent: Bun.Subprocess | undefined;

const key = (name: string) => join(directory, name);

beforeAll(async () => {
  if (!hasSsh) return;
  for (const name of ["first", "second"])
    Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key(name)]);
  agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore" });
  while (!existsSync(socket)) await Bun.sleep(10);
  Bun.spawnSync(["ssh-add", "-q", key("first")], {
    env: { ...process.env, SSH_AUTH_SOCK: socket },
  });
});

afterAll(async () => {
  agent?.kill();
  await agent?.exited;
  rmSync(directory, { recursive: true });
});

/** ssh-add with what it is linked with, for a container. */
function putClient(context: string): void {
  const program = Bun.which("ssh-add") ?? "";
  const linked = Bun.spawnSync(["ldd", program]).stdout.toString();
  const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
  for (const path of [program, ...libraries])
    cpSync(path, join(context, "client", path), { dereference: true, recursive: true });
}

async function build(dockerfile: string, ...flags: string[]) {
  const context = scratchDirectory("ssh-context-");
  try {
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    cpSync(key("first.pub"), join(context, "first.pub"));
    putClient(context);
    return await daemon.berthWith(
      { env: { SSH_AUTH_SOCK: socket, TMPDIR: directory } },
      ...["build", "--no-cache", "--progress", "plain", ...flags, context],
    );
  } finally {
    rmSync(context, { recursive: true });
  }
}

function said(err: string): string {
  return [...err.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map(([, text]) => text).join("\n");
}

test("places, owners and modes are as the mount says", async () => {
  const done = await build(
    `FROM busybox
RUN --mount=type=ssh echo "$SSH_AUTH_SOCK"; stat -c '%F %u:%g %a' "$SSH_AUTH_SOCK"
RUN --mount=type=ssh,target=/agent,uid=5,gid=6,mode=0666 --mount=type=ssh,id=other stat -c '%n %u:%g %a' "$SSH_AUTH_SOCK" /run/buildkit/ssh_agent.1
RUN --mount=type=ssh,id=none echo "none:$SSH_AUTH_SOCK"; test ! -e /run/buildkit; test ! -e /agent
`,
    ...["--ssh", "default", "--ssh", `other=${key("second")}`],
  );
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  const lines = said(done.err).split("\n");
  expect(lines.slice(0, 5)).toEqual([
    ...["/run/buildkit/ssh_agent.0", "socket 0:0 600"],
    ...["/agent 5:6 666", "/run/buildkit/ssh_agent.1 0:0 600", "none:"],
  ]);
  // Nothing of it is left on either side.
  expect(readdirSync(directory).filter((name) => name.startsWith("berth-agent"))).toEqual([]);
});

const CLIENT = "FROM busybox\nCOPY client first.pub /\n";

test("keys are listed and sign; nothing else is passed on", async () => {
  const done = await build(
    `${CLIENT}RUN --mount=type=ssh ssh-add -l; ssh-add -T /first.pub && echo signed; ssh-add -D; ssh-add -x </dev/null; ssh-add -l
RUN --mount=type=ssh,id=file ssh-add -l
RUN --mount=type=ssh for i in 1 2 3 4 5 6 7 8; do ssh-add -l > /dev/null & done; wait; echo all
`,
    ...["--ssh", "default", "--ssh", `file=${key("second")}`],
  );
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  const lines = said(done.err);
  expect(lines).toMatch(
    /first \(ED25519\)[\s\S]*signed[\s\S]*first \(ED25519\)\n[^\n]*second \(ED25519\)\nall$/,
  );
  // The agent has lost nothing.
  const listed = Bun.spawnSync(["ssh-add", "-l"], {
    env: { ...process.env, SSH_AUTH_SOCK: socket },
  });
  expect(listed.stdout.toString()).toContain("first (ED25519)");
});

test("a key that is needed and not given, and what is no agent, are told of", async () => {
  const required = "FROM busybox\nRUN --mount=type=ssh,required true\n";
  const wrong: readonly (readonly [flags: readonly string[], message: string])[] = [
    [[], "unset ssh forward key default"],
    [["--ssh", "default=/none"], "failed to open /none: no such file or directory"],
    [["--ssh", `a=${socket},${socket}`], "only single socket allowed"],
    [["--ssh", "default", "--ssh", "default"], "invalid duplicate ssh id default"],
    [["--ssh", `x=${key("first.pub")}`], "failed to add"],
  ];
  for (const [flags, message] of wrong) {
    const done = await build(required, ...flags);
    expect([done.status, done.err]).toEqual([1, expect.stringContaining(message)]);
  }
  expect((await build(required, "--ssh", "default")).status).toBe(0);
  const dead = await daemon.berthWith({ env: {} }, "build", "--ssh", "default", directory);
  expect(dead.err).toContain("make sure SSH_AUTH_SOCK is set");
  // A name that nobody was told leads nowhere.
  const url = `http://x/berth/build-agent?connection=${crypto.randomUUID()}`;
  expect((await fetch(url, { unix: daemon.socket, method: "POST" })).status).toBe(404);
});

test("an agent that goes away, and a command that leaves its connection, end without anybody waiting", async () => {
  const gone = join(directory, "gone");
  const server = Bun.listen({ unix: gone, socket: { data: (one) => void one.end() } });
  const done = await build(
    `${CLIENT}RUN --mount=type=ssh ssh-add -l || echo refused\n`,
    "--ssh",
    `default=${gone}`,
  );
  server.stop(true);
  expect([done.status, said(done.err)]).toEqual([0, expect.stringContaining("refused")]);
  const silent = Bun.listen({ unix: join(directory, "silent"), socket: { data: () => {} } });
  const left = await build(
    `${CLIENT}RUN --mount=type=ssh timeout 1 ssh-add -l; echo left\n`,
    ...["--ssh", `default=${join(directory, "silent")}`],
  );
  silent.stop(true);
  expect([left.status, said(left.err)]).toEqual([0, expect.stringContaining("left")]);
});
