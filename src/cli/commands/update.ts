/**
 * `berth update`.
 */
import type { ContainerChanges } from "../../spec/extensions.ts";
import { type Command, forEachName } from "../command.ts";
import { readLabels } from "../container-options/environment.ts";
import { parsePorts } from "../container-options/ports.ts";
import { parseRestart } from "../container-options/request.ts";
import { parseBytes } from "../flag-values.ts";
import { flag, type Parsed } from "../flags.ts";
import { err, out } from "../output.ts";

function bytes(parsed: Parsed, name: string): number | undefined {
  const text = parsed.text(name);
  return text === "" ? undefined : text === "-1" ? -1 : parseBytes(text);
}

function count(parsed: Parsed, name: string): number | undefined {
  return parsed.has(name) ? Number(parsed.text(name)) : undefined;
}

/** A list flag's values; undefined when it was not used. */
function list(parsed: Parsed, name: string): readonly string[] | undefined {
  return parsed.has(name) ? parsed.all(name) : undefined;
}

function bindings(specs: readonly string[] | undefined) {
  return specs && parsePorts(specs, []).bindings;
}

/** What Docker's update knows nothing of; undefined when nothing of it is asked for. */
function changesOf(parsed: Parsed): ContainerChanges | undefined {
  const labels = parsed.has("label") || parsed.has("label-file");
  const changes: ContainerChanges = {
    PortBindings: bindings(list(parsed, "publish")),
    PortBindingsRemove: bindings(list(parsed, "publish-rm")),
    PublishAllPorts: parsed.has("publish-all") ? parsed.on("publish-all") : undefined,
    Labels: labels ? readLabels(parsed.all("label"), parsed.all("label-file")) : undefined,
    LabelsRemove: list(parsed, "label-rm"),
  };
  return Object.values(changes).some((value) => value !== undefined) ? changes : undefined;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Update configuration of one or more containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("blkio-weight", "", "uint16", "Block IO (relative weight), between 10 and 1000, or 0"),
    flag("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    flag("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    flag("cpu-rt-period", "", "int", "Limit the CPU real-time period in microseconds"),
    flag("cpu-rt-runtime", "", "int", "Limit the CPU real-time runtime in microseconds"),
    flag("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    flag("cpus", "", "decimal", "Number of CPUs"),
    flag("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    flag("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    flag("label", "l", "list", "Set meta data on the container"),
    flag("label-file", "", "list", "Read in a line delimited file of labels"),
    flag("label-rm", "", "list", "Remove a label"),
    flag("memory", "m", "bytes", "Memory limit"),
    flag("memory-reservation", "", "bytes", "Memory soft limit"),
    flag(
      "memory-swap",
      "",
      "bytes",
      "Swap limit equal to memory plus swap: -1 to enable unlimited",
    ),
    flag("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
    flag("publish", "p", "list", "Publish a container's port(s) to the host"),
    flag("publish-all", "P", "bool", "Publish all exposed ports to random ports"),
    flag("publish-rm", "", "list", "Publish port(s) no more (80, 8080:80, 127.0.0.1:8080:80/udp)"),
    flag("restart", "", "string", "Restart policy to apply when a container exits"),
  ],
  async run({ client }, parsed) {
    if (parsed.args.length > 0 && !command.flags.some(({ name }) => parsed.has(name)))
      throw new Error("you must provide one or more flags when using this command");
    const restart = parsed.text("restart");
    const body = {
      BlkioWeight: count(parsed, "blkio-weight"),
      CpuPeriod: count(parsed, "cpu-period"),
      CpuQuota: count(parsed, "cpu-quota"),
      CpuRealtimePeriod: count(parsed, "cpu-rt-period"),
      CpuRealtimeRuntime: count(parsed, "cpu-rt-runtime"),
      CpuShares: count(parsed, "cpu-shares"),
      NanoCpus: parsed.has("cpus") ? Math.round(Number(parsed.text("cpus")) * 1e9) : undefined,
      CpusetCpus: parsed.text("cpuset-cpus") || undefined,
      CpusetMems: parsed.text("cpuset-mems") || undefined,
      Memory: bytes(parsed, "memory"),
      MemoryReservation: bytes(parsed, "memory-reservation"),
      MemorySwap: bytes(parsed, "memory-swap"),
      PidsLimit: count(parsed, "pids-limit"),
      RestartPolicy: restart === "" ? undefined : parseRestart(restart),
      Berth: changesOf(parsed),
    };
    return forEachName(parsed.args, async (name) => {
      const { Warnings } = await client.json<{ Warnings?: string[] | null }>(
        "POST",
        `/containers/${encodeURIComponent(name)}/update`,
        { body },
      );
      out(`${name}\n`);
      for (const warning of Warnings ?? []) err(`${warning}\n`);
    });
  },
};
