/**
 * `berth update`.
 */

import { parseBytes } from "../../base/sizes.ts";
import type { BerthState, ContainerChanges } from "../../spec/extensions.ts";
import { type Command, forEachName } from "../command.ts";
import { readEnvironment, readLabels } from "../container-options/environment.ts";
import { parseMount, parseTmpfs, parseVolumes } from "../container-options/mounts.ts";
import { parsePorts } from "../container-options/ports.ts";
import { parseRestart } from "../container-options/request.ts";
import { flag, type Parsed } from "../flags.ts";
import { err, out } from "../output.ts";

function bytes(parsed: Parsed, name: string): number | undefined {
  const text = parsed.text(name);
  return text === "" ? undefined : text === "-1" ? -1 : parseBytes(text);
}

function count(parsed: Parsed, name: string): number | undefined {
  return parsed.has(name) ? Number(parsed.text(name)) : undefined;
}

/** What the daemon answers. */
interface Answer {
  readonly Warnings?: string[] | null;
  readonly Berth?: BerthState;
}

/** A list flag's values; undefined when it was not used. */
function list(parsed: Parsed, name: string): readonly string[] | undefined {
  return parsed.has(name) ? parsed.all(name) : undefined;
}

function bindings(specs: readonly string[] | undefined) {
  return specs && parsePorts(specs, []).bindings;
}

function texts(parsed: Parsed, name: string): string | undefined {
  return parsed.has(name) ? parsed.text(name) : undefined;
}

/** As in a Dockerfile: a JSON array is the command itself, anything else is for the shell. */
function commandOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  if (text === "") return [];
  if (!text.trimStart().startsWith("[")) return ["/bin/sh", "-c", text];
  let words: unknown;
  try {
    words = JSON.parse(text);
  } catch {
    words = undefined;
  }
  if (!Array.isArray(words) || !words.every((word) => typeof word === "string"))
    throw new Error(
      `invalid argument ${JSON.stringify(text)} for "--cmd" flag: no array of strings`,
    );
  return words;
}

/** Mounts, of which an empty kind is left out. */
function mountChanges(parsed: Parsed): ContainerChanges {
  const { binds, anonymous } = parseVolumes(parsed.all("volume"));
  return {
    Binds: binds.length > 0 ? binds : undefined,
    Volumes: Object.keys(anonymous).length > 0 ? anonymous : undefined,
    Mounts: list(parsed, "mount")?.map(parseMount),
    Tmpfs: parsed.has("tmpfs") ? parseTmpfs(parsed.all("tmpfs")) : undefined,
    MountsRemove: list(parsed, "mount-rm"),
  };
}

/** What Docker's update knows nothing of; undefined when nothing of it is asked for. */
function changesOf(parsed: Parsed): ContainerChanges | undefined {
  const labels = parsed.has("label") || parsed.has("label-file");
  const environment = parsed.has("env") || parsed.has("env-file");
  const entrypoint = texts(parsed, "entrypoint");
  const changes: ContainerChanges = {
    PortBindings: bindings(list(parsed, "publish")),
    PortBindingsRemove: bindings(list(parsed, "publish-rm")),
    PublishAllPorts: parsed.has("publish-all") ? parsed.on("publish-all") : undefined,
    Labels: labels ? readLabels(parsed.all("label"), parsed.all("label-file")) : undefined,
    LabelsRemove: list(parsed, "label-rm"),
    Env: environment ? readEnvironment(parsed.all("env"), parsed.all("env-file")) : undefined,
    EnvRemove: list(parsed, "env-rm"),
    Cmd: commandOf(texts(parsed, "cmd")),
    Entrypoint: entrypoint === undefined ? undefined : [entrypoint],
    User: texts(parsed, "user"),
    WorkingDir: texts(parsed, "workdir"),
    Hostname: texts(parsed, "hostname"),
    ...mountChanges(parsed),
  };
  return Object.values(changes).some((value) => value !== undefined) ? changes : undefined;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Update configuration of one or more containers",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag(
      "blkio-weight",
      "",
      "uint16",
      "Block IO (relative weight), between 10 and 1000, or 0",
      "0",
    ),
    // Taken and without effect, as by docker since kernels have no such limit.
    flag("kernel-memory", "", "bytes", ""),
    flag("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    flag("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    flag("cpu-rt-period", "", "int", "Limit the CPU real-time period in microseconds"),
    flag("cpu-rt-runtime", "", "int", "Limit the CPU real-time runtime in microseconds"),
    flag("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    flag("cpus", "", "decimal", "Number of CPUs"),
    flag("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    flag("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    flag("cmd", "", "string", `Command at the next start: '["a", "b"]', or words for the shell`),
    flag("entrypoint", "", "string", "Entrypoint at the next start"),
    flag("env", "e", "list", "Set environment variables at the next start"),
    flag("env-file", "", "list", "Read in a file of environment variables"),
    flag("env-rm", "", "list", "Remove an environment variable at the next start"),
    flag("hostname", "", "string", "Container host name at the next start"),
    flag("label", "l", "list", "Set meta data on the container"),
    flag("label-file", "", "list", "Read in a line delimited file of labels"),
    flag("label-rm", "", "list", "Remove a label"),
    flag("memory", "m", "bytes", "Memory limit"),
    flag("memory-reservation", "", "bytes", "Memory soft limit"),
    flag(
      "memory-swap",
      "",
      "swap-bytes",
      "Swap limit equal to memory plus swap: -1 to enable unlimited",
    ),
    flag("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
    flag("mount", "", "mount", "Attach a filesystem mount to the container at the next start"),
    flag("mount-rm", "", "list", "Mount nothing more at a path in the container"),
    flag("publish", "p", "list", "Publish a container's port(s) to the host"),
    flag("publish-all", "P", "bool", "Publish all exposed ports to random ports"),
    flag("publish-rm", "", "list", "Publish port(s) no more (80, 8080:80, 127.0.0.1:8080:80/udp)"),
    flag("restart", "", "string", "Restart policy to apply when a container exits"),
    flag("tmpfs", "", "list", "Mount a tmpfs directory at the next start"),
    flag(
      "user",
      "u",
      "string",
      "Username or UID at the next start (format: <name|uid>[:<group|gid>])",
    ),
    flag("volume", "v", "list", "Bind mount a volume at the next start"),
    flag("workdir", "w", "string", "Working directory inside the container at the next start"),
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
      NanoCpus: parsed.has("cpus") ? parsed.nanos("cpus") : undefined,
      CpusetCpus: parsed.text("cpuset-cpus") || undefined,
      CpusetMems: parsed.text("cpuset-mems") || undefined,
      Memory: bytes(parsed, "memory"),
      MemoryReservation: bytes(parsed, "memory-reservation"),
      MemorySwap: bytes(parsed, "memory-swap"),
      PidsLimit: count(parsed, "pids-limit"),
      RestartPolicy: restart === "" ? undefined : parseRestart(restart),
      Berth: changesOf(parsed),
    };
    return forEachName(
      parsed.args,
      async (name) => {
        const { Warnings, Berth } = await client.json<Answer>(
          "POST",
          `/containers/${encodeURIComponent(name)}/update`,
          { body },
        );
        out(`${name}\n`);
        for (const warning of Warnings ?? []) err(`${warning}\n`);
        if (body.Berth !== undefined && Berth?.RestartPending !== undefined)
          err(`${name}: at the next start: ${Berth.RestartPending.join(", ")}\n`);
      },
      client,
    );
  },
};
