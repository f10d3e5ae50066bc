/**
 * OCI resources as the files of the two cgroup versions (config-linux.md, Control groups): pure.
 */
import type { OciDeviceRule, OciResources, OciThrottle } from "../spec/oci-runtime.ts";

/** A limit that not every host can set. */
export type CgroupLimit =
  | "realtime"
  | "swappiness"
  | "oom-kill-disable"
  | "kernel-memory-tcp"
  | "blkio-weight"
  | "blkio-weight-device";

/** The files that such a limit is written to, of which one is enough; none: the version cannot do it. */
export const limitFiles: Readonly<
  Record<CgroupLimit, { readonly v1: readonly string[]; readonly v2: readonly string[] }>
> = {
  realtime: { v1: ["cpu.rt_runtime_us"], v2: [] },
  swappiness: { v1: ["memory.swappiness"], v2: [] },
  "oom-kill-disable": { v1: ["memory.oom_control"], v2: [] },
  "kernel-memory-tcp": { v1: ["memory.kmem.tcp.limit_in_bytes"], v2: [] },
  "blkio-weight": { v1: ["blkio.bfq.weight", "blkio.weight"], v2: ["io.bfq.weight"] },
  "blkio-weight-device": {
    v1: ["blkio.bfq.weight_device", "blkio.weight_device"],
    v2: ["io.bfq.weight"],
  },
};

/** One write. `optional`: the file may be missing on this kernel and the container is no less limited for it. */
export interface ResourceWrite {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  readonly optional?: boolean;
}

function deviceLine(rule: OciDeviceRule): string {
  if (rule.type === "a") return "a";
  return `${rule.type} ${rule.major ?? "*"}:${rule.minor ?? "*"} ${rule.access}`;
}

function throttles(file: string, list: readonly OciThrottle[] | undefined): ResourceWrite[] {
  return (list ?? []).map(({ major, minor, rate }) => ({
    controller: "blkio",
    file: `blkio.throttle.${file}`,
    value: `${major}:${minor} ${rate}`,
  }));
}

/** The writes of version 1, in the order that the kernel wants (memory before memory+swap, quota after period). */
export function v1Writes(resources: OciResources): ResourceWrite[] {
  const { memory = {}, cpu = {}, pids, blockIO = {} } = resources;
  const writes: ResourceWrite[] = [];
  const put = (controller: string, file: string, value: number | string | undefined) => {
    if (value !== undefined)
      writes.push({ controller, file: `${controller}.${file}`, value: String(value) });
  };
  for (const rule of resources.devices ?? [])
    put("devices", rule.allow ? "allow" : "deny", deviceLine(rule));
  put("memory", "limit_in_bytes", memory.limit);
  put("memory", "memsw.limit_in_bytes", memory.swap);
  put("memory", "soft_limit_in_bytes", memory.reservation);
  put("memory", "swappiness", memory.swappiness);
  if (memory.disableOOMKiller !== undefined)
    put("memory", "oom_control", memory.disableOOMKiller ? 1 : 0);
  put("memory", "kmem.tcp.limit_in_bytes", memory.kernelTCP);
  put("cpu", "shares", cpu.shares);
  put("cpu", "cfs_period_us", cpu.period);
  put("cpu", "cfs_quota_us", cpu.quota);
  put("cpu", "rt_period_us", cpu.realtimePeriod);
  put("cpu", "rt_runtime_us", cpu.realtimeRuntime);
  put("cpuset", "cpus", cpu.cpus);
  put("cpuset", "mems", cpu.mems);
  if (pids !== undefined) put("pids", "max", pids.limit > 0 ? pids.limit : "max");
  // BFQ's files where that scheduler is built in, CFQ's on old kernels.
  const putOptional = (file: string, value: string) => {
    for (const name of [`blkio.bfq.${file}`, `blkio.${file}`])
      writes.push({ controller: "blkio", file: name, value, optional: true });
  };
  if (blockIO.weight !== undefined) putOptional("weight", String(blockIO.weight));
  for (const { major, minor, weight } of blockIO.weightDevice ?? [])
    putOptional("weight_device", `${major}:${minor} ${weight}`);
  writes.push(
    ...throttles("read_bps_device", blockIO.throttleReadBpsDevice),
    ...throttles("write_bps_device", blockIO.throttleWriteBpsDevice),
    ...throttles("read_iops_device", blockIO.throttleReadIOPSDevice),
    ...throttles("write_iops_device", blockIO.throttleWriteIOPSDevice),
  );
  return writes;
}

/** cpu.weight (1-10000) for version-1 shares (2-262144): the kernel's own linear conversion. */
export function cpuWeight(shares: number): number {
  const clamped = Math.min(Math.max(shares, 2), 262144);
  return 1 + Math.floor(((clamped - 2) * 9999) / 262142);
}

/** The writes of version 2. Device rules are no file there. */
export function v2Writes(resources: OciResources): ResourceWrite[] {
  const { memory = {}, cpu = {}, pids, blockIO = {} } = resources;
  const writes: ResourceWrite[] = [];
  const put = (controller: string, file: string, value: number | string | undefined) => {
    if (value !== undefined) writes.push({ controller, file, value: String(value) });
  };
  const most = (value: number | undefined) =>
    value === undefined ? undefined : value < 0 ? "max" : value;
  put("memory", "memory.max", most(memory.limit));
  if (memory.swap !== undefined) {
    const swap = memory.swap < 0 ? "max" : memory.swap - Math.max(memory.limit ?? 0, 0);
    put("memory", "memory.swap.max", swap);
  }
  put("memory", "memory.low", most(memory.reservation));
  put(
    "cpu",
    "cpu.weight",
    cpu.shares === undefined || cpu.shares === 0 ? undefined : cpuWeight(cpu.shares),
  );
  if (cpu.quota !== undefined || cpu.period !== undefined) {
    const quota = cpu.quota === undefined || cpu.quota <= 0 ? "max" : cpu.quota;
    put("cpu", "cpu.max", `${quota} ${cpu.period ?? 100000}`);
  }
  put("cpuset", "cpuset.cpus", cpu.cpus);
  put("cpuset", "cpuset.mems", cpu.mems);
  if (pids !== undefined) put("pids", "pids.max", pids.limit > 0 ? pids.limit : "max");
  if (blockIO.weight !== undefined)
    writes.push({
      controller: "blkio",
      file: "io.bfq.weight",
      value: String(blockIO.weight),
      optional: true,
    });
  for (const { major, minor, weight } of blockIO.weightDevice ?? [])
    writes.push({
      controller: "blkio",
      file: "io.bfq.weight",
      value: `${major}:${minor} ${weight}`,
      optional: true,
    });
  const limits: [string, readonly OciThrottle[] | undefined][] = [
    ["rbps", blockIO.throttleReadBpsDevice],
    ["wbps", blockIO.throttleWriteBpsDevice],
    ["riops", blockIO.throttleReadIOPSDevice],
    ["wiops", blockIO.throttleWriteIOPSDevice],
  ];
  for (const [key, list] of limits) {
    for (const { major, minor, rate } of list ?? [])
      put("blkio", "io.max", `${major}:${minor} ${key}=${rate}`);
  }
  return writes;
}

/** What undoes a write, by what the file said before it. */
export function undoingValue({ file, value }: ResourceWrite, before: string): string {
  const device = /^\d+:\d+(?= )/.exec(value)?.[0];
  if (device !== undefined) {
    const line = before.split("\n").find((text) => text.startsWith(`${device} `));
    const none = file === "io.max" ? "rbps=max wbps=max riops=max wiops=max" : "0";
    return line ?? `${device} ${none}`;
  }
  const [first = ""] = before.split("\n");
  if (file.endsWith("oom_control") || file.endsWith(".weight"))
    return first.split(" ").at(-1) ?? "";
  // An empty set is written as an empty line: writing nothing changes nothing.
  return first === "" ? "\n" : first;
}
