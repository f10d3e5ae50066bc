/**
 * What a container has that was asked for nothing, as it sees it itself: of berth, and of whatever engine else has a command line
 * like docker's. docs/security.md has the table; tests/e2e/security/defaults.test.ts holds berth's column to it.
 *
 *     .tools/bun tools/defaults.ts dist/berth -H unix:///run/berth.sock
 *     .tools/bun tools/defaults.ts podman
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";

/** Tells facts as lines "name=value". Each system call is tried in a process of its own, with arguments that nobody means. */
const PROBE = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void field(const char *path, const char *name, const char *as) {
  char line[4096];
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) printf("%s=%s", as, line + strlen(name) + strspn(line + strlen(name), ": \\t"));
  if (file) fclose(file);
}

static void first(const char *path, const char *as) {
  char line[4096] = "";
  FILE *file = fopen(path, "r");
  if (file && fgets(line, sizeof line, file)) printf("%s=%s", as, line);
  if (file) fclose(file);
}

static int outcome(long number) {
  pid_t child = fork();
  if (child == 0) {
    alarm(1);
    errno = 0;
    long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
    _exit(result == -1 && (errno == EPERM || errno == ENOSYS) ? 77 : 0);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 77;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  first("/proc/self/uid_map", "uid_map");
  field("/proc/self/status", "CapEff", "capabilities");
  field("/proc/self/status", "CapInh", "inheritable");
  field("/proc/self/status", "CapAmb", "ambient");
  field("/proc/self/status", "NoNewPrivs", "no_new_privs");
  field("/proc/self/status", "Seccomp:", "seccomp");
  first("/proc/self/oom_score_adj", "oom_score_adj");
  first("/proc/sys/net/ipv4/ip_unprivileged_port_start", "unprivileged_port_start");
  first("/proc/sys/net/ipv4/ping_group_range", "ping_group_range");
  first("/sys/fs/cgroup/pids/pids.max", "pids_max");
  first("/sys/fs/cgroup/pids.max", "pids_max");
  first("/proc/self/cgroup", "cgroup");
  char line[4096];
  FILE *mounts = fopen("/proc/self/mountinfo", "r");
  while (fgets(line, sizeof line, mounts)) {
    char at[1024], options[1024], *type = strstr(line, " - ");
    if (sscanf(line, "%*s %*s %*s %*s %1023s %1023s", at, options) != 2 || !type) continue;
    if (strncmp(at, "/proc/", 6) && strncmp(at, "/sys", 4)) continue;
    type[strcspn(type + 3, " ") + 3] = 0;
    printf("mount=%s %.2s %s\\n", at, options, type + 3);
  }
  fclose(mounts);
  const struct { int limit; const char *name; } limits[] = {
      {RLIMIT_NOFILE, "nofile"}, {RLIMIT_NPROC, "nproc"}, {RLIMIT_CORE, "core"}, {RLIMIT_MEMLOCK, "memlock"}};
  for (unsigned at = 0; at < 4; at++) {
    struct rlimit limit;
    getrlimit(limits[at].limit, &limit);
    printf("%s=%lld:%lld\\n", limits[at].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
  }
  printf("raw_socket=%s\\n", socket(AF_INET, SOCK_RAW, 1) < 0 ? "refused" : "allowed");
  printf("alg_socket=%s\\n", socket(38, SOCK_SEQPACKET, 0) < 0 && errno == EPERM ? "refused" : "allowed");
  struct statfs shm;
  if (statfs("/dev/shm", &shm) == 0) printf("shm=%lld\\n", (long long)shm.f_blocks * shm.f_bsize);
  if (fork() == 0) {
    printf("user_namespace=%s\\n", unshare(CLONE_NEWUSER) < 0 ? "refused" : "allowed");
    _exit(0);
  }
  wait(NULL);
  int refused = 0;
  for (long number = 0; number < 470; number++) refused += outcome(number);
  printf("refused=%d\\n", refused);
  return 0;
}
`;

/** Facts by their names. */
export type Defaults = Readonly<Record<string, string>>;

const WORDS: readonly string[] = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE",
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN",
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP",
].flatMap((line) => line.split(" "));

function capabilities(mask: string): string {
  const bits = BigInt(`0x${mask || "0"}`);
  const names = WORDS.filter((_, bit) => (bits >> BigInt(bit)) & 1n);
  return names.length === 0 ? "none" : `${names.length}: ${names.toSorted().join(" ")}`;
}

/** Facts in words, from the lines of the probe. */
export function defaultsOf(lines: string): Defaults {
  const pairs = lines
    .replaceAll("\r", "")
    .split("\n")
    .filter((line) => line.includes("="))
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const);
  const of = (name: string) => pairs.find(([key]) => key === name)?.[1]?.trim() ?? "";
  const all = pairs.filter(([key]) => key === "mount").map(([, value]) => value.split(" "));
  // Of several at one place the last is seen.
  const mounts = [...new Map(all.map((words) => [words[0], words])).values()];
  const names = (wanted: (words: string[]) => boolean) =>
    mounts
      .filter(wanted)
      .map(([at = ""]) => at)
      .toSorted()
      .join(" ") || "none";
  const isKernels = (type = "") => ["proc", "sysfs"].includes(type);
  const [inside, outside] = of("uid_map").split(/\s+/).filter(Boolean);
  const isHosts = inside === "0" && outside === "0";
  return {
    "user namespace": isHosts ? "the host's" : "its own",
    capabilities: capabilities(of("capabilities")),
    "inheritable, ambient": [of("inheritable"), of("ambient")].map(capabilities).join(", "),
    no_new_privs: of("no_new_privs") === "1" ? "on" : "off",
    seccomp: of("seccomp") === "2" ? "a filter" : "none",
    "system calls that answer EPERM or ENOSYS, of 470": of("refused"),
    "AF_ALG sockets": of("alg_socket"),
    "raw sockets": of("raw_socket"),
    "user namespaces inside": of("user_namespace"),
    masked: names(
      ([at = "", , type]) =>
        /^\/(proc|sys)\//.test(at) && !isKernels(type) && !at.startsWith("/sys/fs/cgroup"),
    ),
    "read-only": names(([at = "", how, type]) => how === "ro" && isKernels(type) && at !== ""),
    "control groups":
      names(([at = ""]) => at.startsWith("/sys/fs/cgroup")) === "none"
        ? "not mounted"
        : mounts
              .filter(([at = ""]) => at.startsWith("/sys/fs/cgroup"))
              .every(([, how]) => how === "ro")
          ? "read-only"
          : "writable in part",
    "own control group namespace": /:\/$/.test(of("cgroup")) ? "yes" : "no",
    pids: of("pids_max") || "max",
    nofile: of("nofile"),
    core: of("core"),
    memlock: of("memlock"),
    "ports below 1024 without a capability": of("unprivileged_port_start") === "0" ? "yes" : "no",
    "/dev/shm": of("shm"),
  };
}

/** Builds the probe in a directory of its own. */
export function buildProbe(): string {
  const directory = mkdtempSync("/tmp/defaults-");
  chmodSync(directory, 0o755);
  writeFileSync(`${directory}/probe.c`, PROBE);
  const built = Bun.spawnSync([
    "musl-gcc",
    "-static",
    "-O1",
    "-o",
    `${directory}/probe`,
    `${directory}/probe.c`,
  ]);
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return directory;
}

async function main(engine: readonly string[]): Promise<void> {
  const directory = buildProbe();
  try {
    const image = process.env.IMAGE ?? "busybox";
    const words = [...engine, "run", "--rm", "-v", `${directory}:/probe:ro`, image, "/probe/probe"];
    const { stdout, stderr, exitCode } = Bun.spawnSync(words);
    if (exitCode !== 0) throw new Error(stderr.toString());
    for (const [name, value] of Object.entries(defaultsOf(stdout.toString())))
      process.stdout.write(`${name}: ${value}\n`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (import.meta.main) await main(process.argv.slice(2));
