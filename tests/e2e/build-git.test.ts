/**
 * Repositories that a build fetches: from the daemon's disk only where its administrator allows it, and behind ssh only with the
 * agent that a client lends. A program in the place of ssh, before it in the daemon's PATH, shows what it was given.
 */
import { afterAll, beforeAll, test as every, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const directory = scratchDirectory("git-");
const allowed = join(directory, "allowed");
const bin = join(directory, "bin");
const socket = join(directory, "agent");
/** What the program in the place of ssh was given: it reaches a port, and writes no file. */
const ssh = { args: "", keys: "" };
const shown = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(_, bytes) {
      const text = bytes.toString();
      if (text.startsWith("keys ")) ssh.keys += text;
      else ssh.args += text;
    },
  },
});
const daemon = daemonOfFile(
  ["--allow-git-directory", allowed],
  ["env", `PATH=${bin}:${process.env.PATH}`],
);
const test = every.skipIf(Bun.which("git") === null);
const testWithAgent = every.skipIf(Bun.which("git") === null || Bun.which("ssh-agent") === null);
let agent: Bun.Subprocess | undefined;

/** A repository with a Dockerfile that copies `f`; gives its commit. */
function repository(path: string, text: string): string {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "Dockerfile"), "FROM busybox\nCOPY f /f\n");
  writeFileSync(join(path, "f"), text);
  const git = (...args: string[]) => {
    const who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"];
    const done = Bun.spawnSync(["git", ...who, ...args], { cwd: path });
    expect([done.exitCode, done.stderr.toString()]).toEqual([0, expect.any(String)]);
    return done.stdout.toString().trim();
  };
  git("init", "-q", "-b", "main");
  git("add", ".");
  git("commit", "-qm", "first");
  return git("rev-parse", "HEAD");
}

beforeAll(async () => {
  mkdirSync(bin);
  writeFileSync(
    join(bin, "ssh"),
    `#!/bin/bash
printf '%s\\n' "$@" > /dev/tcp/127.0.0.1/${shown.port}
echo "keys $(ssh-add -l 2>&1)" > /dev/tcp/127.0.0.1/${shown.port}
for last in "$@"; do :; done
exec sh -c "$last"
`,
    { mode: 0o755 },
  );
  if (Bun.which("git") !== null) {
    repository(join(allowed, "app"), "allowed\n");
    // Beside a program of PATH, where it is read by what is that server here.
    repository(join(bin, "app"), "allowed\n");
    repository(join(directory, "other"), "another's\n");
    symlinkSync(join(directory, "other"), join(allowed, "link"));
  }
  if (Bun.which("ssh-agent") === null) return;
  const key = join(directory, "key");
  Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lent", "-f", key]);
  agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore" });
  while (!existsSync(socket)) await Bun.sleep(10);
  Bun.spawnSync(["ssh-add", "-q", key], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
});
afterAll(async () => {
  shown.stop(true);
  agent?.kill();
  await agent?.exited;
  rmSync(directory, { recursive: true });
});

const content = async () => (await daemon.berth("run", "--rm", "fetched", "cat", "/f")).out;

test("a repository on the daemon's disk is a context and a source of ADD, where that is allowed", async () => {
  const url = `file://${allowed}/app`;
  const done = await daemon.berth("build", "-t", "fetched", `${url}#main`);
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  expect(await content()).toBe("allowed\n");
  const context = mkdtempSync(join(directory, "context-"));
  writeFileSync(join(context, "Dockerfile"), `FROM busybox\nADD ${url} /repo\nRUN cp /repo/f /f\n`);
  expect((await daemon.docker("build", "-t", "fetched", context)).status).toBe(0);
  expect(await content()).toBe("allowed\n");
  const from = "FROM busybox\nCOPY --from=repo f /f\n";
  const flags = ["-t", "fetched", "--build-context", `repo=${url}`, "-f", "-", context];
  const named = await daemon.berthWith({ stdin: from }, "build", ...flags);
  expect([named.status, named.err]).toEqual([0, expect.any(String)]);
  expect(await content()).toBe("allowed\n");
});

test("one elsewhere is refused, also by a link, with dots, and as a submodule", async () => {
  for (const path of [
    "other",
    "allowed/link",
    "allowed/../other",
    "allowed/%2e%2e/other",
    "none",
  ]) {
    const done = await daemon.berth("build", `file://${directory}/${path}`);
    expect([path, done.status]).toEqual([path, 1]);
    expect(done.err).toMatch(/is on the daemon's host: (allowed are|it is in none)/);
  }
  const module = join(allowed, "with-module");
  repository(module, "x\n");
  const add = ["submodule", "add", `file://${directory}/other`, "stolen"];
  for (const args of [add, ["commit", "-qm", "module"]])
    Bun.spawnSync(
      [
        "git",
        "-c",
        "protocol.file.allow=always",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t",
        ...args,
      ],
      { cwd: module },
    );
  const done = await daemon.berth("build", `file://${module}`);
  expect([done.status, done.err]).toEqual([1, expect.stringContaining("not allowed")]);
});

testWithAgent(
  "behind ssh a build has the agent that it was lent, and no key of the host's",
  async () => {
    const url = `git@example.test:${bin}/app`;
    const without = await daemon.berth("build", url);
    expect([without.status, without.err]).toEqual([
      1,
      expect.stringContaining("lend the build your agent with --ssh default"),
    ]);
    const lent = { env: { SSH_AUTH_SOCK: socket, TMPDIR: directory } };
    const context = mkdtempSync(join(directory, "context-"));
    const dockerfile = `FROM busybox\nADD ssh://git@example.test${bin}/app#main /repo\nRUN cp /repo/f /f\n`;
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    for (const where of [url, context]) {
      ssh.keys = "";
      const done = await daemon.berthWith(
        lent,
        "build",
        "-t",
        "fetched",
        "--ssh",
        "default",
        where,
      );
      expect([done.status, done.err]).toEqual([0, expect.any(String)]);
      expect(await content()).toBe("allowed\n");
      expect(ssh.keys).toContain("lent (ED25519)");
      const args = ssh.args.split("\n");
      expect(args).toContain("-oIdentityFile=none");
      expect(args).toContain("none");
    }
    // Another agent than the one called default is not git's.
    const other = await daemon.berthWith(lent, "build", "--ssh", `other=${socket}`, url);
    expect(other.err).toContain("--ssh default");
  },
);
