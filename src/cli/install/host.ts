/**
 * What of an installation is not files: the group, and systemd where it runs.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { groupNumber } from "../../spec/users.ts";

const PIDFILE = "/run/berth/berth.pid";
const DATA = "/var/lib/berth";

/** True when systemd is this host's init. */
export function hasSystemd(): boolean {
  return existsSync("/run/systemd/system");
}

/** Runs a program; throws with what it said when it fails. */
export function runProgram(argv: readonly string[]): void {
  const done = Bun.spawnSync([...argv], { stdout: "pipe", stderr: "pipe" });
  if (done.exitCode === 0) return;
  const said = `${done.stderr}${done.stdout}`.trim();
  throw new Error(`${argv.join(" ")} failed (status ${done.exitCode})${said && `: ${said}`}`);
}

/** Which of some files dpkg has installed, with the package of each; none where there is no dpkg. */
export function ownedByPackages(paths: readonly string[]): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  if (paths.length === 0 || Bun.which("dpkg-query") === null) return owners;
  // It fails when one of them is nobody's, and tells of the others all the same: "PACKAGE[, PACKAGE]: PATH".
  const { stdout } = Bun.spawnSync(["dpkg-query", "--search", "--", ...paths], {
    stdout: "pipe",
    stderr: "ignore",
    env: { ...process.env, LC_ALL: "C" },
  });
  const wanted = new Set(paths);
  for (const line of stdout.toString().split("\n")) {
    const [packages = "", path = ""] = line.split(/: (.*)/s);
    if (wanted.has(path) && !packages.startsWith("diversion ")) owners.set(path, packages);
  }
  return owners;
}

/** True when there is such a group in this host's file. */
export function groupExists(name: string): boolean {
  return groupNumber(readFileSync("/etc/group", "utf8"), name) !== undefined;
}

/** Makes a system group; false when it was there. */
export function makeGroup(name: string): boolean {
  if (groupExists(name)) return false;
  if (Bun.which("groupadd") !== null) runProgram(["groupadd", "--system", name]);
  else if (Bun.which("addgroup") !== null) runProgram(["addgroup", "-S", name]);
  else
    throw new Error(
      `there is neither groupadd nor addgroup to make the group ${name}: make it, or name one that is there with --group`,
    );
  return true;
}

/** Removes a group that makeGroup made. */
export function removeGroup(name: string): void {
  if (!groupExists(name)) return;
  runProgram([Bun.which("groupdel") === null ? "delgroup" : "groupdel", name]);
}

/** The number of a user of this host's file; undefined: there is none. */
export function userNumber(name: string): number | undefined {
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  const line = lines.map((one) => one.split(":")).find(([first]) => first === name);
  return line === undefined ? undefined : Number(line[2]);
}

/** Makes a system user who cannot log in, whose only group is one that is there; false when it was there. */
export function makeUser(name: string, group: string): boolean {
  if (userNumber(name) !== undefined) return false;
  const [home, shell] = [DATA, "/usr/sbin/nologin"];
  if (Bun.which("useradd") !== null)
    runProgram(["useradd", "--system", "-g", group, "-M", "-d", home, "-s", shell, name]);
  else if (Bun.which("adduser") !== null)
    runProgram(["adduser", "-S", "-D", "-H", "-h", home, "-s", shell, "-G", group, name]);
  else
    throw new Error(
      `there is neither useradd nor adduser to make the user ${name}: make it, and install again`,
    );
  return true;
}

/** Removes a user that makeUser made, unless it has data: nobody is to get its number, and them. False: it stays. */
export function removeUser(name: string): boolean {
  if (userNumber(name) === undefined) return true;
  if (existsSync(DATA) && readdirSync(DATA).length > 0) return false;
  runProgram([Bun.which("userdel") === null ? "deluser" : "userdel", name]);
  return true;
}

/** Whether the data are of another user than the daemon is to be. */
export function hasOthersData(name: string): boolean {
  if (!existsSync(DATA) || readdirSync(DATA).length === 0) return false;
  return statSync(DATA).uid !== userNumber(name);
}

/** The daemon that uses the default directories, if one runs. */
export function runningDaemon(): number | undefined {
  try {
    const pid = Number(readFileSync(PIDFILE, "utf8").trim());
    if (!Number.isInteger(pid) || pid <= 1) return undefined;
    return /\/berth( \(deleted\))?$/.test(readlinkSync(`/proc/${pid}/exe`)) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** True when the process is one that systemd started for berth.service. */
export function isOfService(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes("/berth.service");
  } catch {
    return false;
  }
}

/** Ends a daemon that somebody started by hand, which would be in the way of the service; its containers go on. */
export async function endDaemon(pid: number, patienceMs = 30_000): Promise<void> {
  process.kill(pid, "SIGTERM");
  const deadline = Date.now() + patienceMs;
  while (existsSync(`/proc/${pid}`)) {
    if (Date.now() > deadline)
      throw new Error(`the daemon (process ${pid}) does not end: end it, and install again`);
    await Bun.sleep(50);
  }
}
