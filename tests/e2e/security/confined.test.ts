/** Programs of the host's that work on what anybody may send: what they can reach when they are taken over. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { daemonOfFile } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const helper = join(import.meta.dir, "../../../dist/parts/berth-helper");
const scratch = scratchDirectory("bt-confined-");
/** What stands for a decompressor that an archive has taken over: it says what it can do, and fails. */
const taken = `#!/bin/sh
exec 1>&2
cat > /dev/null
echo "uid=$(id -u) groups=$(id -G)"
cat /etc/passwd > /dev/null 2>&1 && echo "reads /etc/passwd"
ls ${scratch} > /dev/null 2>&1 && echo "reads a directory"
echo x > ${scratch}/open/written 2> /dev/null && echo "writes"
echo x > /dev/shm/bt-written 2> /dev/null && echo "writes memory"
kill -0 ${process.pid} 2> /dev/null && echo "reaches the engine's processes"
[ "$(ls /usr/bin/env)" = /usr/bin/env ] && echo "executes"
exit 1
`;
writeFileSync(`${scratch}/xz`, taken, { mode: 0o755 });
mkdirSync(`${scratch}/open`, { mode: 0o777 });
/** The version of Landlock that the kernel has; below 1: none. */
const landlock = Number(
  Bun.spawnSync([
    ...["python3", "-c", "import ctypes; print(ctypes.CDLL(None).syscall(444, 0, 0, 1))"],
  ]).stdout.toString(),
);
/** The same for git, which fetches: the first line that begins so is what a build says. */
const takenGit = `#!/bin/sh
said=""
can() { said="$said $1;"; }
[ "$(id -u)" = 0 ] && can "is root"
(: < /etc/shadow) 2> /dev/null && can "reads passwords"
(: < ${scratch}/xz) 2> /dev/null && can "reads a file"
(echo x > ${scratch}/open/written) 2> /dev/null && can "writes"
(echo x > /usr/bt-written) 2> /dev/null && can "writes programs"
kill -0 ${process.pid} 2> /dev/null && can "reaches the engine's processes"
mknod node c 1 3 2> /dev/null && can "makes devices"
(: < /etc/resolv.conf) 2> /dev/null && can "looks names up"
(echo x > own && read x < own) 2> /dev/null && can "writes its own"
exec 1>&2
while read name value; do case "$name" in CapEff:|NoNewPrivs:) can "$name $value";; esac; done < /proc/self/status
echo "fatal:$said"
exit 1
`;
writeFileSync(`${scratch}/git`, takenGit, { mode: 0o755 });
const git = Bun.which("git", { PATH: "/usr/bin:/bin" });
const places = ["/usr/bin/xz", "/bin/xz"].filter(existsSync);
const bind = ["xz", "git"]
  .map(
    (name) =>
      `[ ! -e /usr/bin/${name} ] || mount --bind ${scratch}/${name} "$(readlink -f /usr/bin/${name})"`,
  )
  .join("\n");
const daemon = daemonOfFile([], ["unshare", "--mount", "sh", "-ec", `${bind}\nexec "$@"`, "sh"]);
afterAll(() => rmSync(scratch, { recursive: true }));

test.skipIf(places.length === 0)(
  "a decompressor that an archive has taken over is nobody, reads nothing and writes nothing, in every thread (skipped without xz)",
  async () => {
    const magic = Buffer.concat([
      Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
      Buffer.alloc(512),
    ]);
    const loaded = await daemon.dockerWith({ stdin: magic }, "load");
    const imported = await daemon.dockerWith({ stdin: magic }, "import", "-", "taken:over");
    for (const { err, status } of [loaded, imported]) {
      expect([status, err]).toEqual([1, expect.stringContaining("uid=65534 groups=65534")]);
      expect(err).toContain("executes");
      expect(err).not.toMatch(landlock > 0 ? /reads|writes|reaches/ : /writes|reaches/);
    }
    expect(existsSync(`${scratch}/open/written`)).toBe(false);
  },
);

test.skipIf(git === null || landlock < 1)(
  "a git that a repository has taken over changes nothing but its own, and reads no file of the host's (skipped without git or Landlock)",
  async () => {
    const { status, err } = await daemon.berth("build", "git://127.0.0.1:9/x.git");
    expect(status).toBe(1);
    expect(err).toContain("fatal: is root;");
    expect(err).toContain("looks names up; writes its own;");
    expect(err).not.toMatch(/reads|writes;|writes programs|makes devices/);
    // From version 6 on nothing is signalled either.
    if (landlock >= 6) expect(err).not.toContain("reaches the engine");
    expect(existsSync(`${scratch}/open/written`)).toBe(false);
  },
);

test.skipIf(landlock < 1)(
  "what is confined reaches no network and no other file (skipped without Landlock)",
  async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const server = createServer((socket) => socket.end("reached"));
    server.listen(0, "127.0.0.1", resolve);
    await promise;
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const program = `import socket
for family, where in ((socket.AF_INET, ("127.0.0.1", ${port})), (socket.AF_INET, ("127.0.0.1", 9))):
  try: socket.create_connection(where, 2); print("reached")
  except OSError as error: print(error.errno)
print(open("/usr/bin/env", "rb").read(4)[1:4].decode())
try: open("/etc/hostname")
except OSError as error: print(error.errno)`;
    const run = (...before: string[]) =>
      Bun.spawnSync([...before, "/usr/bin/python3", "-I", "-S", "-c", program]);
    const needed = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"];
    expect(run().stdout.toString()).toStartWith("reached\n");
    const confined = run(helper, "confine", ...needed, "--")
      .stdout.toString()
      .trim()
      .split("\n");
    expect(confined).toEqual([
      expect.stringMatching(/^\d+$/),
      expect.stringMatching(/^\d+$/),
      "ELF",
      "13",
    ]);
    server.close();
  },
);
