/** build --watch: builds again when a file that counts has changed, and only then. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

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

  /** How often it has come to wait. */
  get waits(): number {
    return this.said.split("Watching for changes; Ctrl-C ends.").length - 1;
  }

  /** What it has said when it waits for the next time; throws after half a minute. */
  async next(count: number): Promise<string> {
    const deadline = Date.now() + 30_000;
    while (this.waits < count) {
      if (Date.now() > deadline || this.child.exitCode !== null)
        throw new Error(`it does not come to wait for the ${count}th time: ${this.said}`);
      await Bun.sleep(10);
    }
    const said = this.said;
    this.said = "Watching for changes; Ctrl-C ends.".repeat(count);
    return said.replace(/^(Watching for changes; Ctrl-C ends\.)+/, "");
  }
}

test("each change that counts is built, a mistake is told and waited over, and Ctrl-C ends it", async () => {
  const root = mkdtempSync("/tmp/watch-");
  const [main, other] = [join(root, "main"), join(root, "other")];
  const file = (path: string, text: string) => writeFileSync(join(root, path), text);
  for (const path of [`${main}/left-out`, `${main}/src`, other])
    mkdirSync(path, { recursive: true });
  const dockerfile =
    "FROM busybox\nCOPY . /all\nCOPY --from=other . /other\nRUN cat /all/src/* /other/f\n";
  file("main/Dockerfile", dockerfile);
  file("main/.dockerignore", "left-out\n");
  file("main/src/a", "one\n");
  file("other/f", "other\n");
  const build = new Watching("--build-context", `other=${other}`, main);
  try {
    expect(await build.next(1)).toMatch(/\d one\n[\s\S]*\d other\n/);
    file("main/src/a", "two\n");
    expect(await build.next(2)).toMatch(/Changed: \S+\/src\/a\n[\s\S]*\d two\n/);
    // As editors write, and in a directory that was not there.
    file("main/src/.a.new", "three\n");
    renameSync(join(main, "src/.a.new"), join(main, "src/a"));
    expect(await build.next(3)).toMatch(/\d three\n/);
    file("other/f", "changed\n");
    expect(await build.next(4)).toMatch(/Changed: \S+\/other\/f\n[\s\S]*\d changed\n/);
    file("main/Dockerfile", `${dockerfile}RUN exit 3\n`);
    expect(await build.next(5)).toContain("returned a non-zero code: 3");
    // What is left out wakes nobody: the next thing that is built is what changed after it.
    file("main/left-out/x", "x");
    await Bun.sleep(500);
    expect(build.waits).toBe(5);
    file("main/Dockerfile", dockerfile);
    expect(await build.next(6)).toMatch(/Changed: \S+\/Dockerfile\n[\s\S]*CACHED/);
    // A change while it builds is built next.
    file("main/Dockerfile", `${dockerfile}RUN sleep 1\n`);
    await Bun.sleep(400);
    file("main/src/a", "while it built\n");
    const deadline = Date.now() + 30_000;
    let seen = "";
    for (let count = 7; !/\d while it built\n/.test(seen) && Date.now() < deadline; count++)
      seen += await build.next(count);
    expect(seen).toMatch(/\d while it built\n/);
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
