/**
 * What commands leave behind that end at any moment: a terminal as it was, silence towards a reader that has gone; and the
 * bytes that they were given.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { daemonOfFile, TerminalSession } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");
const scratch = scratchDirectory("bt-terminal-");
afterAll(() => rmSync(scratch, { recursive: true }));
const here = `unix://${daemon.socket}`;

/** berth under a shell that notes what the terminal is like before it and after it. */
class Watched {
  readonly session: TerminalSession;
  readonly #files = ["before", "after"].map((name) => `${scratch}/${name}-${crypto.randomUUID()}`);

  constructor(...args: string[]) {
    const [before, after] = this.#files;
    const words = args.map((word) => `'${word}'`).join(" ");
    const script = `trap : INT TERM HUP QUIT
stty -g > ${before}
sh -c 'echo "pid=$$"; exec "$0" "$@"' ${executable} ${words}
echo "status=$?"
stty -g > ${after}
echo is-over`;
    this.session = new TerminalSession(["sh", "-c", script], { BERTH_HOST: here });
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    await this.session.see(/pid=\d+/);
    process.kill(Number(/pid=(\d+)/.exec(this.session.shown)?.[1]), name);
  }

  /** Its exit status, once the terminal is what it was. */
  async end(): Promise<number> {
    await this.session.see("is-over");
    await this.session.ended();
    const [before = "", after = ""] = this.#files.map((file) => readFileSync(file, "utf8"));
    expect(before).toContain(":");
    expect(after).toBe(before);
    return Number(/status=(\d+)/.exec(this.session.shown)?.[1]);
  }
}

for (const [signal, number] of [
  ["SIGTERM", 15],
  ["SIGHUP", 1],
  ["SIGQUIT", 3],
] as const)
  test(`${signal} ends run -it, exec -it and attach, and gives the terminal back`, async () => {
    const name = `ended-by-${signal.toLowerCase()}`;
    const run = new Watched("run", "-it", "--name", name, "busybox", "sh");
    await run.session.see("# ");
    run.session.type("echo raw-$((40+2))\n");
    await run.session.see("raw-42");
    await run.signal(signal);
    expect(await run.end()).toBe(128 + number);
    for (const words of [
      ["exec", "-it", name, "sh"],
      ["attach", name],
    ]) {
      const again = new Watched(...words);
      await again.session.see("# ");
      again.session.type("echo raw-$((40+3))\n");
      await again.session.see("raw-43");
      await again.signal(signal);
      expect(await again.end()).toBe(128 + number);
    }
    expect((await daemon.berth("rm", "-f", name)).status).toBe(0);
  });

test("a signal at any moment of run's beginning gives the terminal back", async () => {
  for (const delay of [0, 5, 10, 20, 40, 80, 160]) {
    const name = `early-${delay}`;
    const run = new Watched("run", "-it", "--name", name, "busybox", "sh");
    await run.session.see(/pid=\d+/);
    await Bun.sleep(delay);
    await run.signal("SIGTERM");
    expect(await run.end()).toBe(143);
    await daemon.berth("rm", "-f", name);
  }
});

test("Ctrl-C ends a pull from a registry that does not answer, a build, and a question for a password", async () => {
  const silent = createServer(() => {});
  const { promise, resolve } = Promise.withResolvers<void>();
  silent.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : 0;
  const pull = new Watched("pull", `127.0.0.1:${port}/some/image`);
  await pull.session.see("Using default tag");
  pull.session.type("\x03");
  expect(await pull.end()).toBe(130);

  const context = mkdtempSync(`${scratch}/context-`);
  writeFileSync(`${context}/Dockerfile`, "FROM busybox\nRUN echo in-the-step; sleep 1000\n");
  for (const progress of ["tty", "plain"]) {
    const build = new Watched("build", `--progress=${progress}`, context);
    // Not the step's title, in which more follows.
    await build.session.see(/in-the-step[\r\x1b]/);
    build.session.type("\x03");
    expect(await build.end()).toBe(130);
  }

  const login = new Watched("login", "-u", "somebody", `127.0.0.1:${port}`);
  await login.session.see("Password: ");
  login.session.type("secret\x03");
  expect(await login.end()).toBeGreaterThan(0);
  expect(login.session.shown).not.toContain("secret");
  const ended = new Watched("login", "-u", "somebody", `127.0.0.1:${port}`);
  await ended.session.see("Password: ");
  await ended.signal("SIGTERM");
  expect(await ended.end()).toBe(143);
  silent.close();
});

test("top that is ended by a signal leaves its screen and gives the terminal back", async () => {
  const top = new Watched("top");
  await top.session.see("running");
  await top.signal("SIGTERM");
  expect(await top.end()).toBe(143);
  expect(top.session.shown).toContain("\x1b[?25h\x1b[?1049l");
});

test("a reader that has gone ends every command that prints, in silence", async () => {
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "talks",
    "busybox",
    "sh",
    "-c",
    "echo said; sleep 1000",
  );
  await daemon.berth("network", "create", "some");
  const lines = [
    "--help",
    "--version",
    "version",
    "info",
    "ps",
    "ps -q",
    "ps --format {{.Names}}",
    "ps --help",
    "container",
    "images",
    "images -q",
    "images --tree",
    "history busybox",
    "inspect talks",
    "inspect -f {{.Name}} talks",
    "logs talks",
    "top talks",
    "port talks",
    "stats --no-stream",
    "events --since 1 --until 2000000000",
    "network ls",
    "volume create",
    "system df",
    "system df -v",
    "context ls",
    "completion bash",
    "__complete ps",
    "export talks",
    "save busybox",
    "cp talks:/etc -",
    "exec talks cat /etc/passwd",
    "run --rm busybox cat /etc/passwd",
    "restart -t 0 talks",
    "doctor",
  ];
  const script = `exec 3> >(:); wait $!; "$0" "$@" >&3`;
  for (const line of lines) {
    const child = Bun.spawn(["bash", "-c", script, executable, ...line.split(" ")], {
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", BERTH_HOST: here },
      stderr: "pipe",
    });
    const said = await child.stderr.text();
    const status = await child.exited;
    // What prints nothing, or has written to its standard error, has no reader to miss.
    const silent = ["port talks"].includes(line) ? 0 : line === "container" ? undefined : 141;
    if (silent !== undefined)
      expect({ line, said, status }).toEqual({ line, said: "", status: silent });
    expect(said).not.toContain("EPIPE");
  }
  for (const line of ["ps", "version", "inspect talks"]) {
    const full = Bun.spawnSync(
      ["bash", "-c", `"$0" "$@" > /dev/full`, executable, ...line.split(" ")],
      {
        env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", BERTH_HOST: here },
      },
    );
    expect({ line, status: full.exitCode }).toEqual({ line, status: 1 });
    expect(full.stderr.toString()).toContain("no space left on device");
    const closed = Bun.spawnSync(["bash", "-c", `"$0" "$@" >&-`, executable, ...line.split(" ")], {
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", BERTH_HOST: here },
    });
    expect(closed.exitCode).toBeLessThan(128);
  }
  await daemon.berth("rm", "-f", "talks");
  await daemon.berth("network", "rm", "some");
  await daemon.berth("volume", "prune", "-af");
});

test("bytes of every value go through run, exec and cp as they are", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  for (let at = 0; at < 256; at++) bytes[at] = at;
  writeFileSync(`${scratch}/bytes`, bytes);
  await daemon.berth("run", "-d", "--name", "cat", "busybox", "sleep", "1000");
  await daemon.berth("cp", `${scratch}/bytes`, "cat:/bytes");
  for (const words of [
    ["run", "-i", "--rm", "busybox", "cat"],
    ["exec", "-i", "cat", "cat"],
    ["exec", "cat", "cat", "/bytes"],
  ]) {
    const child = Bun.spawn([executable, ...words], {
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", BERTH_HOST: here },
      stdin: bytes,
      stdout: "pipe",
    });
    const through = await child.stdout.bytes();
    expect(Buffer.compare(through, bytes)).toBe(0);
    expect(await child.exited).toBe(0);
  }
  await daemon.berth("rm", "-f", "cat");
});
