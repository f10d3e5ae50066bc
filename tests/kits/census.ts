/**
 * What the host has of what an engine can leak: taken before and after a test, the difference must be nothing.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Everything counted, by kind. */
export type Census = Readonly<Record<string, readonly string[]>>;

function lines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").trim().split("\n");
  } catch {
    return [];
  }
}

function processes(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = lines(`/proc/${pid}/cmdline`).join("").replaceAll("\0", " ").trim();
      const own = /(^|\/)(berth(-shim|-helper)?( |$|-)|(pasta|slirp4netns) )/.test(command);
      return own && Number(pid) !== process.pid ? [`${pid} ${command}`] : [];
    });
}

function namespaces(kind: string): string[] {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      found.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
    } catch {
      // The process has gone.
    }
  }
  return [...found];
}

function cgroups(): string[] {
  const root = "/sys/fs/cgroup";
  return readdirSync(root).flatMap((controller) => {
    try {
      return readdirSync(`${root}/${controller}`, { recursive: true, withFileTypes: true })
        .filter(
          (entry) => entry.isDirectory() && `${entry.parentPath}/${entry.name}`.includes("/berth"),
        )
        .map((entry) => `${entry.parentPath}/${entry.name}`);
    } catch {
      return [];
    }
  });
}

function listeners(): string[] {
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((protocol) =>
    lines(`/proc/net/${protocol}`)
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === "0A" || protocol.startsWith("udp"))
      .map(([, local]) => `${protocol} ${local}`),
  );
}

function firewall(): string[] {
  const listed = Bun.spawnSync(["nft", "list", "ruleset"]).stdout.toString();
  return listed
    .split("\n")
    .filter((line) => /^table .*berth|chain DOCKER|"(berth|br-)/.test(line))
    .map((line) => line.trim().replace(/counter packets \d+ bytes \d+/, "counter"));
}

/** Counts. */
export function takeCensus(): Census {
  return {
    processes: processes(),
    "network namespaces": namespaces("net"),
    "mount namespaces": namespaces("mnt"),
    mounts: lines("/proc/self/mountinfo").map((line) => line.split(" ")[4] ?? ""),
    cgroups: cgroups(),
    interfaces: readdirSync("/sys/class/net").filter((name) =>
      /^(veth|berth|br-|fw-|d[mix]-)/.test(name),
    ),
    listeners: listeners(),
    firewall: firewall(),
  };
}

/** What is in `after` and was not in `before`, as lines. */
export function leftover(before: Census, after: Census): string[] {
  return Object.entries(after).flatMap(([kind, list]) => {
    const known = new Set(before[kind]);
    return list.filter((item) => !known.has(item)).map((item) => `${kind}: ${item}`);
  });
}

/** Waits until nothing is left over, since the kernel takes some things away a moment later; gives what stays. */
export async function settledLeftover(before: Census, patienceMs = 5000): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = leftover(before, takeCensus());
    if (left.length === 0 || Date.now() > deadline) return left;
    await Bun.sleep(20);
  }
}
