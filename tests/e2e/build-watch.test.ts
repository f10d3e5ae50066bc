/** build --watch: builds again when a file that counts has changed, and only then. */
import { expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");

/** A watching build, and what it has said so far. */
class Watching {
  private said = "";
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;

  constructor(...args: string[]) {
    this.child = Bun.spawn([executable, "build", "--watch", "--progress", "plain", ...args], {
      env: { PATH: "/usr/bin:/bin", BERTH_HOST: `unix://${daemon.socket}` },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.gather(this.child.stderr);
    void this.gather(this.child.stdout);
  }

  private async gather(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const piece of stream) this.said += new TextDecoder().decode(piece);
  }

  hasSaid(pattern: RegExp): boolean {
    return pattern.test(this.said);
  }

  /** What it has said since it was asked last. */
  take(): string {
    const { said } = this;
    this.said = "";
    return said;
  }

  /** Waits until it has said something and then waits itself; how often it builds until then is its own affair. */
  async says(pattern: RegExp): Promise<void> {
    const whole = new RegExp(`${pattern.source}[\\s\\S]*Watching for changes; Ctrl-C ends\\.\\n$`);
    const deadline = Date.now() + 30_000;
    while (!whole.test(this.said)) {
      if (Date.now() > deadline || this.child.exitCode !== null)
        throw new Error(`it does not say ${pattern}, but: ${this.said}`);
      await Bun.sleep(10);
    }
    this.said = "";
  }
}

test("each change that counts is built, a mistake is told and waited over, and Ctrl-C ends it", async () => {
  const root = scratchDirectory("watch-");
  const [main, other] = [join(root, "main"), join(root, "other")];
  const file = (path: string, text: string) => writeFileSync(join(root, path), text);
  for (const path of [`${main}/left-out`, `${main}/src`, other])
    mkdirSync(path, { recursive: true });
  const dockerfile =
    "FROM busybox\nCOPY . /all\nCOPY --from=other . /other\nRUN cat $(find /all/src -type f) /other/f\n";
  file("main/Dockerfile", dockerfile);
  file("main/.dockerignore", "left-out\n");
  file("main/src/a", "one\n");
  file("other/f", "other\n");
  const build = new Watching("--build-context", `other=${other}`, main);
  try {
    await build.says(/\d one\n[\s\S]*\d other\n/);
    file("main/src/a", "two\n");
    await build.says(/Changed: \S+\/src\/a\n[\s\S]*\d two\n/);
    // As editors write, and in a directory that was not there.
    mkdirSync(join(main, "src/new"));
    file("main/src/new/a.new", "three\n");
    renameSync(join(main, "src/new/a.new"), join(main, "src/new/a"));
    await build.says(/\d three\n/);
    file("other/f", "changed\n");
    await build.says(/Changed: \S+\/other\/f\n[\s\S]*\d changed\n/);
    file("main/Dockerfile", `${dockerfile}RUN exit 3\n`);
    await build.says(/returned a non-zero code: 3/);
    // What is left out wakes nobody: nothing is said until something else changes.
    await Bun.sleep(500);
    build.take();
    file("main/left-out/x", "x");
    await Bun.sleep(500);
    expect(build.take()).toBe("");
    file("main/Dockerfile", dockerfile);
    await build.says(/Changed: \S+\/Dockerfile\n[\s\S]*CACHED/);
    // A change while it builds is built next.
    file("main/Dockerfile", `${dockerfile}RUN echo begun && sleep 1\n`);
    while (!build.hasSaid(/\d begun\n/)) await Bun.sleep(10);
    file("main/src/a", "while it built\n");
    await build.says(/\d while it built\n/);
    build.child.kill("SIGINT");
    expect(await build.child.exited).not.toBe(0);
  } finally {
    build.child.kill();
    await build.child.exited;
    rmSync(root, { recursive: true });
  }
}, 120_000);

test("what cannot be watched is told of", async () => {
  for (const where of ["-", "https://127.0.0.1:9/x.git"]) {
    const done = await daemon.berth("build", "--watch", where);
    expect([done.status, done.err]).toEqual([
      1,
      expect.stringContaining("--watch needs a context"),
    ]);
  }
  const missing = await daemon.berth("build", "--watch", "/none");
  expect([missing.status, missing.err]).toEqual([1, expect.stringContaining('"/none" not found')]);
});
