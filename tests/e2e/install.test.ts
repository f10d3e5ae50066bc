/** `berth system install` and what it puts in place; a daemon on the socket that systemd would hold. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const executable = join(import.meta.dir, "../../dist/berth");
const before = takeCensus();
const scratch = scratchDirectory("berth-install-");

afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

async function run(...argv: string[]) {
  const child = Bun.spawn(argv, { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

const berth = (...args: string[]) => run(executable, ...args);

/** All files below a directory, without its own path. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(directory.length))
    .sort();
}

function digest(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

const sharedManifest = "/usr/local/share/berth/installed.json";

test("installs what runs, twice the same, and takes away all of it and nothing else", async () => {
  const destdir = `${scratch}/whole`;
  mkdirSync(`${destdir}/usr/local/share/man/man1`, { recursive: true });
  writeFileSync(`${destdir}/usr/local/share/man/man1/other.1`, "somebody's");
  const first = await berth("system", "install", "--destdir", destdir);
  expect([first.status, first.err]).toEqual([0, ""]);
  const files = filesIn(destdir);
  for (const path of [
    "/usr/local/bin/berth",
    "/usr/local/share/bash-completion/completions/berth",
    "/usr/local/share/zsh/site-functions/_berth",
    "/usr/local/share/fish/vendor_completions.d/berth.fish",
    "/usr/local/share/man/man1/berth.1",
    "/usr/local/share/man/man1/berth-volume-create.1",
    "/usr/local/lib/systemd/system/berth.socket",
    "/usr/local/lib/systemd/system/berth.service",
    "/usr/local/lib/systemd/user/berth.service",
    "/etc/sysusers.d/berth.conf",
    sharedManifest,
  ])
    expect(files).toContain(path);
  const version = await run(`${destdir}/usr/local/bin/berth`, "--version");
  expect(version.out).toMatch(/^berth version \d/);
  const inode = statSync(`${destdir}/usr/local/bin/berth`).ino;
  expect((await berth("system", "install", "--destdir", destdir)).status).toBe(0);
  expect(statSync(`${destdir}/usr/local/bin/berth`).ino).toBe(inode);
  expect(filesIn(destdir)).toEqual(files);
  const gone = await berth("system", "uninstall", "--destdir", destdir);
  expect([gone.status, gone.err]).toEqual([0, ""]);
  expect(filesIn(destdir)).toEqual(["/usr/local/share/man/man1/other.1"]);
  expect(readdirSync(destdir)).toEqual(["usr"]);
  expect((await berth("system", "uninstall", "--destdir", destdir)).err).toContain(
    `nothing is installed below ${destdir}/usr/local`,
  );
});

test("a dry run says what would be done, and does nothing", async () => {
  const destdir = `${scratch}/dry`;
  const { status, out } = await berth("system", "install", "--destdir", destdir, "--dry-run");
  expect([status, existsSync(destdir)]).toEqual([0, false]);
  expect(out).toContain(`would install ${destdir}/usr/local/bin/berth\n`);
});

test("what others have put there, or changed since, stays as it is", async () => {
  const destdir = `${scratch}/foreign`;
  const unit = `${destdir}/usr/local/lib/systemd/system/berth.service`;
  mkdirSync(`${destdir}/usr/local/bin`, { recursive: true });
  symlinkSync("/bin/true", `${destdir}/usr/local/bin/berth`);
  const refused = await berth("system", "install", "--destdir", destdir);
  expect(refused.status).toBe(1);
  expect(refused.err).toContain(`${destdir}/usr/local/bin/berth\n`);
  expect(filesIn(destdir)).toEqual(["/usr/local/bin/berth"]);
  expect(lstatSync(`${destdir}/usr/local/bin/berth`).isSymbolicLink()).toBe(true);
  rmSync(`${destdir}/usr/local/bin/berth`);
  expect((await berth("system", "install", "--destdir", destdir)).status).toBe(0);
  writeFileSync(unit, "[Service]\nExecStart=/bin/true\n");
  expect((await berth("system", "install", "--destdir", destdir)).err).toContain(unit);
  const gone = await berth("system", "uninstall", "--destdir", destdir);
  expect([gone.status, gone.err]).toEqual([0, `${unit} was changed since, and stays\n`]);
  expect(filesIn(destdir)).toEqual(["/usr/local/lib/systemd/system/berth.service"]);
});

test("a list of installed files that is none is told of, and nothing is deleted by it", async () => {
  const destdir = `${scratch}/damaged`;
  await berth("system", "install", "--destdir", destdir);
  const files = filesIn(destdir);
  for (const text of ["{", "null", '{"version":"1","files":{"/etc/passwd":7},"directories":[]}']) {
    writeFileSync(destdir + sharedManifest, text);
    for (const verb of ["install", "uninstall"]) {
      const { status, err } = await berth("system", verb, "--destdir", destdir);
      expect([status, err]).toEqual([1, expect.stringContaining("no list of installed files")]);
    }
  }
  expect(filesIn(destdir)).toEqual(files);
});

test("paths that are none of a system are refused", async () => {
  for (const prefix of ["usr", "/", "/a/../b", "/with space", "/a\nExecStart=/bin/true"]) {
    const { status, err } = await berth("system", "install", "--dry-run", "--prefix", prefix);
    expect([status, err]).toEqual([1, expect.stringContaining("prefix")]);
  }
});

test("an upgrade leaves what runs running, takes stale files away, and finishes what was cut short", async () => {
  const destdir = `${scratch}/upgrade`;
  await berth("system", "install", "--destdir", destdir);
  const installed = `${destdir}/usr/local/bin/berth`;
  // An older version: the same program, but for a byte that the kernel does not look at; and a page that is no more.
  const older = readFileSync(installed);
  older[15] = 1;
  rmSync(installed);
  writeFileSync(installed, older, { mode: 0o755 });
  const page = "/usr/local/share/man/man1/berth-forgotten.1";
  writeFileSync(destdir + page, "old");
  const manifest = JSON.parse(readFileSync(destdir + sharedManifest, "utf8"));
  manifest.files["/usr/local/bin/berth"] = [digest(older)];
  manifest.files[page] = [digest(Buffer.from("old"))];
  writeFileSync(destdir + sharedManifest, JSON.stringify(manifest));
  // The daemon's command line begins with the executable that is tested.
  const daemon = new TestDaemon([], ["sh", "-c", `shift; exec ${installed} "$@"`, "sh"]);
  await daemon.start();
  try {
    await daemon.berth("run", "-d", "--name", "lives", "busybox", "sleep", "1000");
    const pid = await daemon.inspect("lives", "{{.State.Pid}}");
    rmSync(`${destdir}/usr/local/share/man/man1/berth-run.1`);
    expect((await berth("system", "install", "--destdir", destdir)).status).toBe(0);
    expect(readFileSync(installed)[15]).toBe(0);
    expect(existsSync(destdir + page)).toBe(false);
    expect(existsSync(`${destdir}/usr/local/share/man/man1/berth-run.1`)).toBe(true);
    expect((await daemon.berth("exec", "lives", "echo", "still")).out).toBe("still\n");
    await daemon.stop();
    await daemon.start();
    expect(await daemon.inspect("lives", "{{.State.Running}} {{.State.Pid}}")).toBe(`true ${pid}`);
  } finally {
    await daemon.destroy();
  }
});

test.skipIf(Bun.which("unshare") === null)(
  "on a host: a group of its own, and how to start the daemon where systemd is none",
  async () => {
    const [upper, work] = [`${scratch}/etc/upper`, `${scratch}/etc/work`];
    for (const path of [upper, work]) mkdirSync(path, { recursive: true });
    const script = `set -e
    mount -t tmpfs none ${scratch}/etc; mkdir ${upper} ${work}
    mount -t overlay -o lowerdir=/etc,upperdir=${upper},workdir=${work} none /etc
    mkdir -p /run/systemd; mount -t tmpfs none /run/systemd
    ${executable} system install --prefix ${scratch}/host --group berth-testers
    grep -c ^berth-testers: /etc/group
    ls /etc/systemd/system/berth.service
    ${executable} system uninstall --prefix ${scratch}/host
    ! grep ^berth-testers: /etc/group
    ! ls /etc/systemd/system/berth.* 2>/dev/null`;
    const { status, out, err } = await run("unshare", "--mount", "sh", "-c", script);
    expect([err, status]).toEqual(["", 0]);
    expect(out).toContain(`${scratch}/host/bin/berth daemon --group berth-testers\n`);
    expect(out).toContain("\n1\n/etc/systemd/system/berth.service\n");
    expect(existsSync(`${scratch}/host`)).toBe(false);
  },
);

test.skipIf(Bun.which("systemd-analyze") === null)("systemd takes the units", async () => {
  const destdir = `${scratch}/units`;
  await berth("system", "install", "--destdir", destdir, "--prefix", "/usr");
  for (const [kind, ...names] of [
    ["system", "berth.socket", "berth.service"],
    ["user", "berth.service"],
  ] as const) {
    mkdirSync(`${scratch}/${kind}`);
    const units = names.map((name) => `${scratch}/${kind}/${name}`);
    for (const unit of units) {
      const text = readFileSync(destdir + unit.replace(scratch, "/usr/lib/systemd"), "utf8");
      writeFileSync(unit, text.replace("/usr/bin/berth", executable));
    }
    const verify = ["env", `XDG_RUNTIME_DIR=${scratch}`, "systemd-analyze", "verify", "--man=no"];
    const { status, err } = await run(...verify, ...(kind === "user" ? ["--user"] : []), ...units);
    expect([err, status]).toEqual(["", 0]);
  }
});

/** What systemd does with a socket unit: it listens, and starts the service when somebody connects, again and again. */
const activator = `
import os, select, signal, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
while True:
    select.select([listener], [], [])
    child = os.fork()
    if child == 0:
        if listener.fileno() != 3: os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(sys.argv[2], sys.argv[2:])
    print(child, flush=True)
    os.waitpid(child, 0)
`;

describe("on a socket that systemd holds", () => {
  const socket = `${scratch}/api.sock`;
  const audit = `${scratch}/audit`;
  const daemonArgs = ["daemon", "--host", "fd://", "--data-root", `${scratch}/data`];
  daemonArgs.push("--audit-log", audit);
  let systemd: Bun.Subprocess<"ignore", "pipe", "inherit">;
  let lines: AsyncIterator<string>;

  async function* linesOf(stream: AsyncIterable<Uint8Array>) {
    let text = "";
    for await (const bytes of stream) {
      text += new TextDecoder().decode(bytes);
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        yield text.slice(0, end);
        text = text.slice(end + 1);
      }
    }
  }
  const client = (...args: string[]) => berth("-H", `unix://${socket}`, ...args);
  const nextDaemon = async () => Number((await lines.next()).value);

  beforeAll(async () => {
    systemd = Bun.spawn(
      [
        "python3",
        "-c",
        activator,
        socket,
        executable,
        ...daemonArgs,
        "--exec-root",
        `${scratch}/x`,
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    lines = linesOf(systemd.stdout);
    while (!existsSync(socket)) await Bun.sleep(5);
  });
  afterAll(async () => {
    systemd.kill("SIGKILL");
    await systemd.exited;
  });

  test("the first request starts the daemon; streams, uploads and exit codes are as ever", async () => {
    const ran = client("run", "-i", "--name", "lives", "-d", "busybox", "sleep", "1000");
    const pid = await nextDaemon();
    const started = await ran;
    expect([started.err, started.status]).toEqual(["", 0]);
    const piped = await run(
      ...["sh", "-c", `head -c 3000000 /dev/zero | "$0" -H unix://${socket} exec -i lives wc -c`],
      executable,
    );
    expect([piped.out, piped.status]).toEqual(["3000000\n", 0]);
    expect((await client("exec", "lives", "sh", "-c", "exit 7")).status).toBe(7);
    // Nobody else holds what systemd listens on.
    const holders = `for one in /proc/[0-9]*; do [ "$(readlink $one/fd/3)" = "$(readlink /proc/${pid}/fd/3)" ] && echo $one; done`;
    const held = (await run("sh", "-c", holders)).out.trim().split("\n").sort();
    expect(held).toEqual([`/proc/${pid}`, `/proc/${systemd.pid}`].sort());
  });

  test("who is at the other end is known, as on any other socket", () => {
    const entries = readFileSync(audit, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const created = entries.find(({ path }) => path === "/containers/create");
    expect(created).toMatchObject({ status: 201, who: { uid: 0, gid: 0 } });
    expect(created.who.pid).toBeGreaterThan(1);
  });

  test("a killed daemon's socket stays, and the next request starts another", async () => {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const [pid] = [Number(readFileSync(`${scratch}/x/berth.pid`, "utf8"))];
      process.kill(pid, signal);
      while (existsSync(`/proc/${pid}/exe`) && alive(pid)) await Bun.sleep(10);
      const asked = client("ps", "--format", "{{.Names}}");
      await nextDaemon();
      const { out, err } = await asked;
      expect([out, err]).toEqual(["lives\n", ""]);
    }
  });

  test("ends with nothing left", async () => {
    expect((await client("rm", "-f", "lives")).status).toBe(0);
    const pid = Number(readFileSync(`${scratch}/x/berth.pid`, "utf8"));
    systemd.kill("SIGSTOP");
    process.kill(pid, "SIGTERM");
    while (alive(pid)) await Bun.sleep(10);
    expect(existsSync(socket)).toBe(true);
  });

  test("without a socket that was passed, fd:// says so", async () => {
    const { status, err } = await berth(...daemonArgs, "--exec-root", `${scratch}/y`);
    expect([status, err]).toEqual([1, expect.stringContaining("no sockets were passed")]);
  });
});

/** True while a process runs; one that has ended and was not waited for does not. */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
