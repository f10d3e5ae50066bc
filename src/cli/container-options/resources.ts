/**
 * Limits and devices: memory, processors, block I/O, ulimits, `--device`, `--gpus`.
 */

import type {
  DeviceMapping,
  DeviceRequest,
  Resources,
  ThrottleDevice,
} from "../../spec/engine-api.ts";
import { sizeIn } from "../flag-values.ts";
import { type Parsed, readValue } from "../flags.ts";
import { splitCsv } from "./mounts.ts";

function bytes(parsed: Parsed, name: string): number {
  const text = parsed.text(name);
  return text === "-1" ? -1 : (sizeIn(text) ?? 0);
}

/** A device by the name that its vendor gave it: example.com/class=name. */
const CDI_NAME = /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=[A-Za-z0-9][\w.:-]*$/;

const isMode = (text: string) => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;

/** `/dev/x[:/dev/y[:rwm]]` as a mapping. Throws an Error in Docker's words. */
export function parseDevice(spec: string): DeviceMapping {
  const parts = spec.split(":");
  const [source = "", second, third] = parts;
  if (parts.length > 3 || source === "") throw new Error(`bad format for path: ${spec}`);
  if (third !== undefined && !isMode(third)) throw new Error(`bad mode specified: ${third}`);
  // In three parts the second is a path, whatever it looks like.
  const isPath = second !== undefined && (third !== undefined || !isMode(second));
  const path = isPath ? second : source;
  if (!path.startsWith("/")) throw new Error(`${path} is not an absolute path`);
  return {
    PathOnHost: source,
    PathInContainer: path,
    CgroupPermissions: third ?? (isPath ? "rwm" : (second ?? "rwm")),
  };
}

const ulimits = new Set([
  ...["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"],
  ...["rss", "rtprio", "rttime", "sigpending", "stack"],
]);

/** `nofile=1024:2048` as a limit. Throws an Error in Docker's words. */
export function parseUlimit(spec: string): { Name: string; Soft: number; Hard: number } {
  const [name = "", value, more] = spec.split("=");
  const limits = (value ?? "").split(":");
  if (value === undefined || more !== undefined || limits.length > 2)
    throw new Error(`invalid ulimit argument: ${spec}`);
  if (!ulimits.has(name)) throw new Error(`invalid ulimit type: ${name}`);
  const [soft = 0, hard = soft] = limits.map((text) => {
    if (/^-?\d+$/.test(text)) return Number(text);
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  });
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw new Error(
      `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
    );
  return { Name: name, Soft: soft, Hard: hard };
}

function throttles(parsed: Parsed, flag: string, unit: "bytes" | "count"): ThrottleDevice[] {
  const read = (value: string) => {
    const [path = "", rate = "", more] = value.split(":");
    const number = unit === "bytes" ? sizeIn(rate) : /^\d+$/.test(rate) ? Number(rate) : undefined;
    if (more !== undefined || rate === "") throw new Error(`bad format: ${value}`);
    if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${value}`);
    if (number === undefined) {
      const form =
        unit === "bytes"
          ? "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
          : "<device-path>:<number>. Number must be a positive integer";
      throw new Error(`invalid rate for device: ${value}. The correct format is ${form}`);
    }
    return { Path: path, Rate: number };
  };
  return parsed.all(flag).map((value) => readValue(`--${flag}`, value, read));
}

/** Weights of devices, 10 to 1000, or 0 for none of its own. */
function weights(parsed: Parsed): ThrottleDevice[] {
  const read = (value: string) => {
    const [path = "", weight = "", more] = value.split(":");
    if (more !== undefined || weight === "") throw new Error(`bad format: ${value}`);
    if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${value}`);
    const number = /^\d+$/.test(weight) ? Number(weight) : -1;
    if (number < 0 || number > 1000 || (number > 0 && number < 10))
      throw new Error(`invalid weight for device: ${value}`);
    return { Path: path, Rate: number };
  };
  const flag = "blkio-weight-device";
  return parsed.all(flag).map((value) => readValue(`--${flag}`, value, read));
}

function parseGpus(spec: string): DeviceRequest {
  // What Go's reader of comma-separated values says of nothing.
  if (spec === "") throw new Error("EOF");
  const request: DeviceRequest = { Driver: "", Count: 0, Capabilities: [], Options: {} };
  const capabilities = ["gpu"];
  for (const field of splitCsv(spec)) {
    const [key = "", value] = field.split("=", 2);
    if (value === undefined || key === "count") {
      const count = value ?? key;
      if (count !== "all" && !/^[+-]?\d+$/.test(count))
        throw new Error(
          `invalid count (${count}): value must be either "all" or an integer: invalid syntax`,
        );
      request.Count = count === "all" ? -1 : Number(count);
    } else if (key === "driver") request.Driver = value;
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") capabilities.push(...value.split(","));
    else throw new Error(`unexpected key '${key}' in '${field}'`);
  }
  request.Capabilities = [capabilities];
  return request;
}

/** The limits of a container. Throws an Error in Docker's words. */
export function parseResources(parsed: Parsed): Resources {
  const swappiness = parsed.number("memory-swappiness", -1);
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  const devices = parsed.all("device");
  const named = devices.filter((one) => CDI_NAME.test(one));
  return {
    CpuShares: parsed.number("cpu-shares"),
    Memory: bytes(parsed, "memory"),
    MemoryReservation: bytes(parsed, "memory-reservation"),
    MemorySwap: bytes(parsed, "memory-swap"),
    MemorySwappiness: swappiness,
    NanoCpus: parsed.nanos("cpus"),
    CgroupParent: parsed.text("cgroup-parent"),
    BlkioWeight: parsed.number("blkio-weight"),
    BlkioWeightDevice: weights(parsed).map((one) => ({
      Path: one.Path,
      Weight: one.Rate,
    })),
    BlkioDeviceReadBps: throttles(parsed, "device-read-bps", "bytes"),
    BlkioDeviceWriteBps: throttles(parsed, "device-write-bps", "bytes"),
    BlkioDeviceReadIOps: throttles(parsed, "device-read-iops", "count"),
    BlkioDeviceWriteIOps: throttles(parsed, "device-write-iops", "count"),
    CpuPeriod: parsed.number("cpu-period"),
    CpuQuota: parsed.number("cpu-quota"),
    CpuRealtimePeriod: parsed.number("cpu-rt-period"),
    CpuRealtimeRuntime: parsed.number("cpu-rt-runtime"),
    CpusetCpus: parsed.text("cpuset-cpus"),
    CpusetMems: parsed.text("cpuset-mems"),
    CpuCount: parsed.number("cpu-count"),
    CpuPercent: parsed.number("cpu-percent"),
    Devices: devices.filter((one) => !CDI_NAME.test(one)).map(parseDevice),
    DeviceCgroupRules: [...parsed.all("device-cgroup-rule")],
    DeviceRequests: [
      ...parsed.all("gpus").map((one) => readValue("--gpus", one, parseGpus)),
      ...(named.length > 0 ? [{ Driver: "cdi", DeviceIDs: named }] : []),
    ],
    OomKillDisable: parsed.on("oom-kill-disable"),
    PidsLimit: parsed.number("pids-limit"),
    Ulimits: parsed.all("ulimit").map((one) => readValue("--ulimit", one, parseUlimit)),
  };
}
