/**
 * Limits: from the API's HostConfig to OCI resources, with Docker's checks and words. Pure.
 */
import { fault } from "../base/errors.ts";
import type { CgroupLimit } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import type { OciResources, OciThrottle } from "../spec/oci-runtime.ts";

const MIB = 1 << 20;

/** What limits are checked against. */
export interface ResourceHost {
  readonly cpus: number;
  /** The host's memory nodes: "0-1". */
  readonly memoryNodes: string;
  readonly swapAccounting: boolean;
  /** Whether there are control groups that count this; limits on what nobody counts are discarded. */
  has(controller: keyof typeof countedBy): boolean;
  /** True when the host's control groups can do it. */
  can(limit: CgroupLimit): boolean;
  /** Numbers of a block device; throws when there is none at the path. */
  deviceNumbers(path: string): { major: number; minor: number };
}

function bad(message: string): Error {
  return fault("invalid", "resources", message);
}

/** Throws a Fault "invalid" in Docker's words when the limits contradict each other or the host. */
export function checkResources(config: HostConfig, host: ResourceHost): void {
  const {
    Memory = 0,
    MemorySwap = 0,
    MemoryReservation = 0,
    NanoCpus = 0,
    CpuPeriod = 0,
    CpuQuota = 0,
  } = config;
  if (Memory !== 0 && Memory < 6 * MIB) throw bad("Minimum memory limit allowed is 6MB");
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw bad("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (Memory === 0 && MemorySwap > 0)
    throw bad("You should always set the Memory limit when using Memoryswap limit, see usage");
  const swappiness = config.MemorySwappiness;
  if (swappiness !== undefined && swappiness !== null && (swappiness < -1 || swappiness > 100))
    throw bad(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  if (MemoryReservation > 0 && MemoryReservation < 6 * MIB)
    throw bad("Minimum memory reservation allowed is 6MB");
  if (Memory > 0 && MemoryReservation > Memory)
    throw bad("Minimum memory limit can not be less than memory reservation limit, see usage");
  if (NanoCpus > 0 && CpuPeriod > 0)
    throw bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (NanoCpus > 0 && CpuQuota > 0)
    throw bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (NanoCpus < 0 || NanoCpus > host.cpus * 1e9)
    throw bad(
      `range of CPUs is from 0.01 to ${host.cpus.toFixed(2)}, as there are only ${host.cpus} CPUs available`,
    );
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000))
    throw bad(
      "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    );
  if (CpuQuota > 0 && CpuQuota < 1000)
    throw bad("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if ((config.CpuShares ?? 0) < 0)
    throw bad(`invalid CPU shares (${config.CpuShares}): value must be a positive integer`);
  checkRealtime(config, host);
  const cpus = `0-${host.cpus - 1}`;
  checkSet(config.CpusetCpus ?? "", host.cpus === 1 ? "0" : cpus, "cpuset cpus", "CPUs");
  checkSet(config.CpusetMems ?? "", host.memoryNodes, "cpuset mems", "memory nodes");
  if (config.IOMaximumBandwidth || config.IOMaximumIOps)
    throw bad(
      "Invalid QoS settings: Linux does not support Maximum IO Bandwidth or Maximum IO IOps",
    );
  const weight = config.BlkioWeight ?? 0;
  if (weight !== 0 && (weight < 10 || weight > 1000))
    throw bad("Range of blkio weight is from 10 to 1000");
}

function checkRealtime({ CpuRealtimePeriod, CpuRealtimeRuntime }: HostConfig, host: ResourceHost) {
  const [period, runtime] = [CpuRealtimePeriod ?? 0, CpuRealtimeRuntime ?? 0];
  if (period === 0 && runtime === 0) return;
  if (!host.can("realtime"))
    throw bad(
      `Your kernel does not support cgroup cpu real-time ${period === 0 ? "runtime" : "period"}`,
    );
  if (period !== 0 && runtime > period)
    throw bad("cpu real-time runtime cannot be higher than cpu real-time period");
}

/** The kernel takes no longer list, and knows no larger number (8192 processors, 1024 nodes). */
const LIST_MAX = 4096;

/** The numbers of "0-2,4"; undefined when it is no such list. */
function numbersOf(text: string): ReadonlySet<number> | undefined {
  if (text.length > LIST_MAX) return undefined;
  if (!/^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/.test(text)) return undefined;
  const numbers = new Set<number>();
  for (const range of text.split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (last < first) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}

function checkSet(text: string, available: string, field: string, what: string): void {
  if (text === "") return;
  const wanted = numbersOf(text);
  if (wanted === undefined) throw bad(`Invalid value ${text} for ${field}`);
  const there = numbersOf(available) ?? new Set();
  if ([...wanted].some((number) => !there.has(number)))
    throw bad(`Requested ${what} are not available - requested ${text}, available: ${available}`);
}

function unsupported(what: string, discarded: string): string {
  return `Your kernel does not support ${what} or the cgroup is not mounted. ${discarded} discarded.`;
}

/** Docker says "I/O" of bytes only. */
const throttled = (unit: "BPS" | "IOPS", way: "read" | "write") =>
  unsupported(
    `${unit} Block ${unit === "BPS" ? "I/O " : ""}${way} limit`,
    `Block I/O ${unit} ${way} limit`,
  );

/** Limits that are discarded where nobody counts what they limit, in Docker's words. */
function discardedLimits(config: HostConfig, host: ResourceHost): string[] {
  const { CpuPeriod, CpuQuota, NanoCpus, CpusetCpus, CpusetMems, PidsLimit } = config;
  const [memory, cpu, io] = [host.has("memory"), host.has("cpu"), host.has("blkio")];
  const limits: readonly [isCounted: boolean, wanted: unknown, text: string][] = [
    [memory, config.Memory, unsupported("memory limit capabilities", "Limitation")],
    [memory, config.MemoryReservation, unsupported("memory soft limit capabilities", "Limitation")],
    [cpu, config.CpuShares, unsupported("CPU shares", "Shares")],
    [cpu, CpuPeriod || CpuQuota || NanoCpus, unsupported("CPU CFS quota", "Quota")],
    [host.has("cpuset"), CpusetCpus || CpusetMems, unsupported("cpuset", "Cpuset")],
    [host.has("pids"), (PidsLimit ?? 0) > 0, unsupported("PIDs limit capabilities", "PIDs limit")],
    [io, config.BlkioDeviceReadBps?.length, throttled("BPS", "read")],
    [io, config.BlkioDeviceWriteBps?.length, throttled("BPS", "write")],
    [io, config.BlkioDeviceReadIOps?.length, throttled("IOPS", "read")],
    [io, config.BlkioDeviceWriteIOps?.length, throttled("IOPS", "write")],
  ];
  return limits.flatMap(([isCounted, wanted, text]) => (!isCounted && wanted ? [text] : []));
}

/** What a user is warned of: limits that this host cannot set, and one that is dangerous alone. */
export function resourceWarnings(config: HostConfig, host: ResourceHost): string[] {
  const warnings = discardedLimits(config, host);
  const warn = (is: unknown, text: string) => {
    if (is) warnings.push(text);
  };
  const lacks = (limit: CgroupLimit, wanted: unknown) => wanted && !host.can(limit);
  warn(
    host.has("memory") &&
      (config.Memory ?? 0) > 0 &&
      config.MemorySwap !== -1 &&
      !host.swapAccounting,
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
  );
  warn(
    lacks("swappiness", (config.MemorySwappiness ?? -1) >= 0),
    unsupported("memory swappiness capabilities", "Memory swappiness"),
  );
  warn(
    lacks("oom-kill-disable", config.OomKillDisable),
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
  );
  warn(
    config.OomKillDisable && host.can("oom-kill-disable") && !config.Memory,
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
  );
  warn(
    lacks("kernel-memory-tcp", config.KernelMemoryTCP),
    unsupported("kernel memory TCP limit capabilities", "Kernel memory TCP limit"),
  );
  warn(lacks("blkio-weight", config.BlkioWeight), unsupported("Block I/O weight", "Weight"));
  warn(
    lacks("blkio-weight-device", config.BlkioWeightDevice?.length),
    unsupported("Block I/O weight_device", "Weight-device"),
  );
  return warnings;
}

function throttles(
  list: HostConfig["BlkioDeviceReadBps"],
  host: ResourceHost,
): OciThrottle[] | undefined {
  if (!list?.length) return undefined;
  return list.map(({ Path = "", Rate = 0 }) => ({ ...host.deviceNumbers(Path), rate: Rate }));
}

/** Leaves out what is undefined. */
function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** Which fields each controller counts. */
const countedBy = {
  memory: ["Memory", "MemorySwap", "MemoryReservation"],
  cpu: ["CpuShares", "CpuPeriod", "CpuQuota", "NanoCpus"],
  cpuset: ["CpusetCpus", "CpusetMems"],
  pids: ["PidsLimit"],
  blkio: [
    ...["BlkioDeviceReadBps", "BlkioDeviceWriteBps"],
    ...["BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"],
  ],
} as const satisfies Readonly<Record<string, readonly (keyof HostConfig)[]>>;

const CONTROLLERS = Object.keys(countedBy) as (keyof typeof countedBy)[];

/** Without the limits that are discarded. */
function counted(config: HostConfig, host: ResourceHost): HostConfig {
  const discarded = CONTROLLERS.flatMap((name) => (host.has(name) ? [] : countedBy[name]));
  return { ...config, ...Object.fromEntries(discarded.map((field) => [field, undefined])) };
}

/** The resources of a checked configuration; device rules are added by the caller. */
export function resourcesOf(asked: HostConfig, host: ResourceHost): OciResources {
  const config = counted(asked, host);
  const { Memory = 0, MemorySwap = 0, NanoCpus = 0 } = config;
  const or = (value: number | undefined | null) => (value ? value : undefined);
  // Without a word about swap, Docker grants as much of it as of memory.
  const swap = MemorySwap !== 0 ? MemorySwap : Memory > 0 ? Memory * 2 : undefined;
  const swappiness = config.MemorySwappiness ?? -1;
  const pids = config.PidsLimit ?? 0;
  const weight = or(config.BlkioWeight);
  return {
    memory: present({
      limit: or(Memory),
      swap: host.swapAccounting ? swap : undefined,
      reservation: or(config.MemoryReservation),
      swappiness: swappiness >= 0 && host.can("swappiness") ? swappiness : undefined,
      disableOOMKiller: config.OomKillDisable && host.can("oom-kill-disable") ? true : undefined,
      kernelTCP:
        config.KernelMemoryTCP && host.can("kernel-memory-tcp")
          ? config.KernelMemoryTCP
          : undefined,
    }) as NonNullable<OciResources["memory"]>,
    cpu: present({
      shares: or(config.CpuShares),
      period: NanoCpus > 0 ? 100_000 : or(config.CpuPeriod),
      quota: NanoCpus > 0 ? Math.floor(NanoCpus / 10_000) : or(config.CpuQuota),
      realtimePeriod: or(config.CpuRealtimePeriod),
      realtimeRuntime: or(config.CpuRealtimeRuntime),
      cpus: config.CpusetCpus || undefined,
      mems: config.CpusetMems || undefined,
    }) as NonNullable<OciResources["cpu"]>,
    ...(pids !== 0 && pids !== null ? { pids: { limit: pids } } : {}),
    blockIO: present({
      weight: weight !== undefined && host.can("blkio-weight") ? weight : undefined,
      weightDevice:
        config.BlkioWeightDevice?.length && host.can("blkio-weight-device")
          ? config.BlkioWeightDevice.map(({ Path = "", Weight = 0 }) => ({
              ...host.deviceNumbers(Path),
              weight: Weight,
            }))
          : undefined,
      throttleReadBpsDevice: throttles(config.BlkioDeviceReadBps, host),
      throttleWriteBpsDevice: throttles(config.BlkioDeviceWriteBps, host),
      throttleReadIOPSDevice: throttles(config.BlkioDeviceReadIOps, host),
      throttleWriteIOPSDevice: throttles(config.BlkioDeviceWriteIOps, host),
    }) as NonNullable<OciResources["blockIO"]>,
  };
}
