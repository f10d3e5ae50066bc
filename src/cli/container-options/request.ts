/**
 * The flags of `run` and `create` as the body of POST /containers/create.
 */

import { messageOf } from "../../base/errors.ts";
import type { ContainerConfig, HealthConfig, RestartPolicy } from "../../spec/engine-api.ts";
import { parseDuration, sizeIn } from "../flag-values.ts";
import { type Parsed, UsageError } from "../flags.ts";
import { fs } from "../late-modules.ts";
import { checkModes, checkValues, extraHost, searchDomain } from "./checks.ts";
import { pairs, readEnvironment, readLabels } from "./environment.ts";
import { parseMount, parseTmpfs, parseVolumes } from "./mounts.ts";
import { checkMac, containerNetworks } from "./networks.ts";
import { parsePorts } from "./ports.ts";
import { parseResources } from "./resources.ts";

/** `on-failure:3` as a policy. Throws an Error in Docker's words. */
export function parseRestart(text: string): RestartPolicy {
  const [name = "", count = ""] = text.split(/:(.*)/s, 2);
  if (text === "") return { Name: "no", MaximumRetryCount: 0 };
  if (name === "")
    throw new Error("invalid restart policy format: no policy provided before colon");
  if (!/^(?:[+-]?\d+)?$/.test(count))
    throw new Error("invalid restart policy format: maximum retry count must be an integer");
  // The daemon refuses a name that it does not know.
  return { Name: name as "no", MaximumRetryCount: Number(count) };
}

function parseHealth(parsed: Parsed): HealthConfig | undefined {
  const names = [
    "health-cmd",
    "health-interval",
    "health-timeout",
    "health-start-period",
    "health-start-interval",
    "health-retries",
  ];
  const used = names.some((name) => parsed.has(name));
  if (parsed.on("no-healthcheck")) {
    if (used) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!used) return undefined;
  const time = (name: string) => {
    const value = parseDuration(parsed.text(name, "0")) ?? 0;
    if (value < 0) throw new Error(`--${name} cannot be negative`);
    return value;
  };
  if (parsed.number("health-retries") < 0) throw new Error("--health-retries cannot be negative");
  const command = parsed.text("health-cmd");
  return {
    ...(command === "" ? {} : { Test: ["CMD-SHELL", command] }),
    Interval: time("health-interval"),
    Timeout: time("health-timeout"),
    StartPeriod: time("health-start-period"),
    StartInterval: time("health-start-interval"),
    Retries: parsed.number("health-retries"),
  };
}

function securityOptions(values: readonly string[]) {
  const options: string[] = [];
  let unconfined = false;
  for (const value of values) {
    if (value === "systempaths=unconfined") {
      unconfined = true;
      continue;
    }
    const [key = "", file] = value.split(value.includes("=") ? /=(.*)/s : /:(.*)/s, 2);
    if (!file && key !== "no-new-privileges")
      throw new Error(`Invalid --security-opt: ${JSON.stringify(value)}`);
    if (key === "seccomp" && file !== undefined && file !== "unconfined" && file !== "builtin") {
      let profile: string;
      try {
        profile = fs().readFileSync(file, "utf8");
      } catch {
        throw new Error(
          `opening seccomp profile (${file}) failed: open ${file}: no such file or directory`,
        );
      }
      options.push(`seccomp=${compacted(file, profile)}`);
    } else options.push(value);
  }
  return { options, unconfined };
}

/** A profile in one line. Throws, naming its file, when it is no JSON. */
function compacted(path: string, profile: string): string {
  try {
    return JSON.stringify(JSON.parse(profile));
  } catch (error) {
    const why = profile.trim() === "" ? "unexpected end of JSON input" : messageOf(error);
    throw new Error(`compacting json for seccomp profile (${path}) failed: ${why}`);
  }
}

function streams(parsed: Parsed): ContainerConfig {
  const interactive = parsed.on("interactive");
  const attach = parsed.all("attach").map((one) => one.toLowerCase());
  for (const one of attach)
    if (!["stdin", "stdout", "stderr"].includes(one))
      throw new UsageError(
        `invalid argument ${JSON.stringify(one)} for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`,
      );
  const detached = parsed.on("detach");
  const all = attach.length === 0 && !detached;
  const stdin = attach.includes("stdin") || (all && interactive);
  return {
    AttachStdin: stdin,
    AttachStdout: all || attach.includes("stdout"),
    AttachStderr: all || attach.includes("stderr"),
    Tty: parsed.on("tty"),
    OpenStdin: interactive,
    StdinOnce: stdin && interactive,
  };
}

/** What Docker's API has no field for travels as labels. */
function ownLabels(parsed: Parsed): Record<string, string> {
  const names = ["depends-on", "depends-on-timeout", "health-on-failure"];
  const given = names.filter((name) => parsed.has(name));
  return Object.fromEntries(given.map((name) => [`berth.${name}`, parsed.all(name).join(",")]));
}

function configOf(parsed: Parsed, image: string, command: string[]): ContainerConfig {
  const health = parseHealth(parsed);
  const entrypoint = parsed.has("entrypoint") ? [parsed.text("entrypoint")] : undefined;
  return {
    Hostname: parsed.text("hostname"),
    Domainname: parsed.text("domainname"),
    User: parsed.text("user"),
    ...streams(parsed),
    Env: readEnvironment(parsed.all("env"), parsed.all("env-file")),
    ...(command.length > 0 ? { Cmd: command } : {}),
    ...(health ? { Healthcheck: health } : {}),
    Image: image,
    WorkingDir: parsed.text("workdir"),
    ...(entrypoint ? { Entrypoint: entrypoint } : {}),
    Labels: {
      ...readLabels(parsed.all("label"), parsed.all("label-file")),
      ...ownLabels(parsed),
    },
    ...(parsed.has("stop-signal") ? { StopSignal: parsed.text("stop-signal") } : {}),
    ...(parsed.has("stop-timeout") ? { StopTimeout: parsed.number("stop-timeout") } : {}),
  };
}

function logOptions(parsed: Parsed): Record<string, string> {
  const options = pairs(parsed.all("log-opt"));
  if (parsed.text("log-driver") === "none" && Object.keys(options).length > 0)
    throw new Error("invalid logging opts for driver none");
  return options;
}

function storageOptions(values: readonly string[]): Record<string, string> {
  if (values.some((value) => !value.includes("="))) throw new Error("invalid storage option");
  return pairs(values);
}

function hostConfigOf(parsed: Parsed, networkMode: string) {
  const volumes = parseVolumes(parsed.all("volume"));
  const { exposed, bindings } = parsePorts(parsed.all("publish"), parsed.all("expose"));
  const security = securityOptions(parsed.all("security-opt"));
  checkModes(parsed);
  const restart = parseRestart(parsed.text("restart"));
  if (parsed.on("rm") && restart.Name !== "no")
    throw new Error("conflicting options: cannot specify both --restart and --rm");
  return {
    exposed,
    volumes: volumes.anonymous,
    host: {
      ...parseResources(parsed),
      Binds: volumes.binds,
      ContainerIDFile: parsed.text("cidfile"),
      LogConfig: { Type: parsed.text("log-driver"), Config: logOptions(parsed) },
      NetworkMode: networkMode,
      PortBindings: bindings,
      RestartPolicy: restart,
      AutoRemove: parsed.on("rm"),
      VolumeDriver: parsed.text("volume-driver"),
      VolumesFrom: [...parsed.all("volumes-from")],
      Annotations: pairs(parsed.all("annotation")),
      CapAdd: [...parsed.all("cap-add")],
      CapDrop: [...parsed.all("cap-drop")],
      CgroupnsMode: parsed.text("cgroupns"),
      Dns: parsed.all("dns").map((one) => one.trim()),
      DnsOptions: [...parsed.all("dns-opt"), ...parsed.all("dns-option")],
      DnsSearch: parsed.all("dns-search").map(searchDomain),
      ExtraHosts: parsed.all("add-host").map(extraHost),
      GroupAdd: [...parsed.all("group-add")],
      IpcMode: parsed.text("ipc"),
      Links: [...parsed.all("link")],
      OomScoreAdj: parsed.number("oom-score-adj"),
      PidMode: parsed.text("pid"),
      Privileged: parsed.on("privileged"),
      PublishAllPorts: parsed.on("publish-all"),
      ReadonlyRootfs: parsed.on("read-only"),
      SecurityOpt: security.options,
      StorageOpt: storageOptions(parsed.all("storage-opt")),
      Tmpfs: parseTmpfs(parsed.all("tmpfs")),
      UTSMode: parsed.text("uts"),
      UsernsMode: parsed.text("userns"),
      ShmSize: sizeIn(parsed.text("shm-size", "0")) ?? 0,
      Sysctls: pairs(parsed.all("sysctl")),
      Runtime: parsed.text("runtime"),
      Isolation: parsed.text("isolation"),
      Mounts: parsed.all("mount").map(parseMount),
      ...(parsed.has("init") ? { Init: parsed.on("init") } : {}),
      ...(security.unconfined ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
    },
  };
}

/** The request's body. Throws an Error in Docker's words for what makes no sense. */
export function createRequest(parsed: Parsed) {
  const [image = "", ...command] = parsed.args;
  checkValues(parsed);
  if (parsed.text("mac-address") !== "") checkMac(parsed.text("mac-address"));
  const endpoints = containerNetworks(parsed);
  const { exposed, volumes, host } = hostConfigOf(parsed, endpoints[0]?.[0] ?? "default");
  return {
    ...configOf(parsed, image, command),
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    ...(Object.keys(volumes).length > 0 ? { Volumes: volumes } : {}),
    HostConfig: host,
    NetworkingConfig: { EndpointsConfig: Object.fromEntries(endpoints) },
  };
}
