/**
 * A program that types a chapter of the tutorial and writes what came, as JSON. It runs in namespaces of its own (`playChapter`
 * gives it them), where /root is empty, berth has its usual places and addresses, and a registry on loopback stands for Docker Hub and has busybox.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { settledLeftover, takeCensus } from "../census.ts";
import { TestDaemon } from "../daemon.ts";
import { OwnRegistry } from "../own-registry.ts";
import { stepsOf, typedIn } from "./document.ts";
import { ChapterShell } from "./shell.ts";

/** What came of a chapter. */
export interface Played {
  /** The lines of each command's answer. */
  readonly answers: readonly (readonly string[])[];
  /** What stayed behind when all was taken away. */
  readonly leftover: readonly string[];
}

const root = join(import.meta.dir, "../../..");
/** Makes the places of a chapter's world in its mount namespace, then runs the rest; $1 is the executable, $2 a directory. */
const world = `
  set -e
  mkdir -p "$2/bin" "$2/cgroup"
  touch "$2/bin/berth" && mount --bind "$1" "$2/bin/berth"
  mount --rbind /sys/fs/cgroup "$2/cgroup"
  mount -t sysfs sysfs /sys && mount --move "$2/cgroup" /sys/fs/cgroup
  for place in /run /var/lib/berth /etc/berth /etc/docker; do
    if [ -d "$place" ]; then mount -t tmpfs -o mode=755 tmpfs "$place"; fi
  done
  ip link set lo up
  shift 2
  # Not by exec: the first process has to take orphans that end, and a shell does that while it waits.
  set +e
  "$@"
  exit $?`;

/** Plays a chapter; `directory` is the caller's, and empty. */
export async function playChapter(path: string, directory: string): Promise<Played> {
  mkdirSync("/var/lib/berth", { recursive: true });
  mkdirSync("/etc/berth", { recursive: true });
  const child = Bun.spawn(
    [
      ...[
        "unshare",
        "--mount",
        "--net",
        "--uts",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
      ],
      ...["sh", "-c", world, "sh", join(root, "dist/berth"), directory],
      ...[process.execPath, import.meta.path, path, directory],
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: "/" },
  );
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${path}: ${err}`);
  return JSON.parse(out) as Played;
}

/** Puts into the registry what chapters pull from Docker Hub. */
async function fill(hub: OwnRegistry): Promise<void> {
  const daemon = await new TestDaemon(["--bridge", "none"]).start();
  // The image that is built in is there from its first use on.
  await daemon.berth("create", "busybox", "true");
  for (const tag of ["latest", "1.35"]) {
    const name = `${hub.address}/library/busybox:${tag}`;
    await daemon.berth("tag", "busybox", name);
    const pushed = await daemon.berth("push", name);
    if (pushed.status !== 0) throw new Error(pushed.err);
  }
  await daemon.destroy();
}

/** Starts the daemon with its defaults. */
async function startDaemon(executable: string, log: string): Promise<void> {
  const child = Bun.spawn([executable, "daemon"], {
    stdin: "ignore",
    stdout: Bun.file(log),
    stderr: Bun.file(log),
  });
  const deadline = Date.now() + 20_000;
  while (!existsSync("/run/berth/berth.sock")) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`the daemon did not start: ${await Bun.file(log).text()}`);
    await Bun.sleep(5);
  }
}

/** Ends the daemon that is there: the chapter may have replaced the one that was started. */
async function endDaemon(): Promise<void> {
  const pid = readFileSync("/run/berth/berth.pid", "utf8");
  process.kill(Number(pid), "SIGTERM");
  while (existsSync(`/proc/${pid}`)) await Bun.sleep(5);
}

async function play(path: string, directory: string): Promise<Played> {
  const steps = stepsOf(await Bun.file(path).text());
  // From here on, /root is the chapter's: this program's own files may be below it.
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", "/root"]);
  const before = takeCensus();
  const hub = await new OwnRegistry().start();
  await fill(hub);
  const executable = `${directory}/bin/berth`;
  const hosts = "/etc/berth/certs.d/docker.io/hosts.toml";
  await Bun.write(hosts, `server = "http://${hub.address}"\n`);
  await startDaemon(executable, `${directory}/log`);
  const shell = new ChapterShell(`${directory}/command`, "/root", {
    PATH: `${directory}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: "/root",
    LANG: "C.UTF-8",
    TERM: "dumb",
    PS1: "$ ",
  });
  const answers: string[][] = [];
  for (const step of steps) {
    // Told only if the chapter breaks off.
    console.error(`$ ${step.command}`);
    answers.push(await shell.run(step.command, typedIn(step)));
  }
  await shell.close();
  const sweep =
    "berth ps -aq | xargs -r berth rm -f -v; berth network prune -f; berth volume prune -af";
  Bun.spawnSync(["sh", "-c", sweep], { env: { PATH: `${directory}/bin:${process.env.PATH}` } });
  await endDaemon();
  await hub.destroy();
  return { answers, leftover: await settledLeftover(before) };
}

if (import.meta.main) {
  const [path = "", directory = ""] = process.argv.slice(2);
  console.log(JSON.stringify(await play(path, directory)));
  process.exit(0);
}
