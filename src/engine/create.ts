/**
 * Creating a container: everything that can be checked is checked now, then the record is written. Nothing is asked of the
 * kernel yet.
 */
import { mkdirSync, rmSync } from "node:fs";
import { hostname as hostHostname } from "node:os";
import { normalize } from "node:path/posix";
import { fault } from "../base/errors.ts";
import { checkPlatform, checkRunnable, type ImageRecord } from "../images/index.ts";
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../spec/engine-api.ts";
import type { Platform } from "../spec/platform.ts";
import { attachmentsFor } from "./attachments.ts";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";
import {
  checkConfig,
  checkHostConfig,
  checkMacs,
  logConfigOf,
  named,
  sizeLimitOf,
  warningsOf,
} from "./create-checks.ts";
import type { EngineDeps } from "./deps.ts";
import { namespaceChoice } from "./host.ts";
import { labelWishes } from "./label-wishes.ts";
import { linksFor } from "./links.ts";
import { checkAttributes } from "./log-copy.ts";
import { inheritedMounts, wantedMounts } from "./mount-wishes.ts";
import { makeMounts } from "./mounts.ts";
import { checkName, makeUpName, newId } from "./names.ts";
import { maskedPaths, pathsUnconfined, readonlyPaths } from "./oci-security.ts";
import { eachExposed } from "./ports.ts";
import { chooseLabels, releaseLevel, withLabels } from "./security-labels.ts";
import {
  chooseUserNamespace,
  userNamespaceFields,
  userNamespaceWarnings,
  withUserNamespace,
} from "./user-namespaces.ts";

/** What a user asks for. */
export interface CreateInput {
  readonly name?: string | undefined;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly networking: NetworkingConfig;
  /** The platform that the image must be for. */
  readonly platform?: Platform | undefined;
  /** Read-only binds are so at their top alone, whatever is mounted below. */
  readonly readOnlyOnTop?: boolean;
}

/** What came of it. */
export interface Created {
  readonly id: string;
  readonly warnings: readonly string[];
}

function plainDirectory(path: string): string {
  return path === "" ? "" : normalize(path).replace(/(.)\/$/, "$1");
}

/** The image's configuration with what the user gave over it, as Docker merges. */
export function mergeConfig(user: ContainerConfig, image: ImageRecord): ContainerConfig {
  const base = image.document.config ?? {};
  const names = new Set((user.Env ?? []).map((item) => item.split("=", 1)[0]));
  const env = [
    ...(user.Env ?? []),
    ...(base.Env ?? []).filter((item) => !names.has(item.split("=", 1)[0])),
  ];
  const ownEntrypoint = (user.Entrypoint ?? undefined) !== undefined;
  // An entrypoint of the user's resets the image's command; [""] and [] reset the entrypoint itself, [] nothing but that.
  const entrypoint = ownEntrypoint ? user.Entrypoint : base.Entrypoint;
  const command = user.Cmd?.length ? user.Cmd : user.Entrypoint?.length ? undefined : base.Cmd;
  return {
    ...user,
    Env: env,
    Entrypoint:
      entrypoint?.length === 1 && entrypoint[0] === "" ? undefined : (entrypoint ?? undefined),
    Cmd: command ?? undefined,
    User: user.User || base.User || "",
    WorkingDir: plainDirectory(user.WorkingDir || base.WorkingDir || ""),
    Labels: { ...base.Labels, ...user.Labels },
    Volumes: { ...base.Volumes, ...user.Volumes },
    ExposedPorts: eachExposed({ ...base.ExposedPorts, ...user.ExposedPorts }),
    StopSignal: user.StopSignal || base.StopSignal || undefined,
    Healthcheck: user.Healthcheck ?? base.Healthcheck,
  };
}

function networkMode({ NetworkMode }: HostConfig): string {
  return !NetworkMode || NetworkMode === "default" ? "bridge" : NetworkMode;
}

/** A mode with another container's id instead of its name, which may become another's. */
function byId<T extends string | undefined>({ registry }: EngineDeps, mode: T): T | string {
  const [, name = ""] = /^container:(.*)$/s.exec(mode ?? "") ?? [];
  const other = name === "" ? undefined : registry.lookUp(name);
  return other === undefined ? mode : `container:${other.id}`;
}

/** Fills in what Docker fills in, so that inspect shows it. */
function completeHostConfig(deps: EngineDeps, hostConfig: HostConfig): HostConfig {
  return {
    ...hostConfig,
    Links: undefined,
    SecurityOpt: withLabels(hostConfig),
    NetworkMode: byId(deps, networkMode(hostConfig)),
    PidMode: byId(deps, hostConfig.PidMode),
    IpcMode: byId(deps, hostConfig.IpcMode) || "private",
    // Without a word about swap, Docker grants as much of it as of memory.
    MemorySwap: hostConfig.MemorySwap || 2 * (hostConfig.Memory ?? 0),
    CgroupnsMode: hostConfig.CgroupnsMode || "private",
    ShmSize: hostConfig.ShmSize || 64 << 20,
    Runtime: hostConfig.Runtime || "berth",
    ...(pathsUnconfined(hostConfig)
      ? {}
      : {
          MaskedPaths: hostConfig.MaskedPaths ?? [...maskedPaths],
          ReadonlyPaths: hostConfig.ReadonlyPaths ?? [...readonlyPaths],
        }),
    RestartPolicy: {
      Name: hostConfig.RestartPolicy?.Name || "no",
      MaximumRetryCount: hostConfig.RestartPolicy?.MaximumRetryCount ?? 0,
    },
    LogConfig: logConfigOf(deps, hostConfig.LogConfig),
  };
}

function recordOf(
  deps: EngineDeps,
  id: string,
  name: string,
  image: ImageRecord,
  config: ContainerConfig,
  input: CreateInput,
  mounts: ContainerRecord["mounts"],
): ContainerRecord {
  const shared = input.hostConfig.NetworkMode === "host" || input.hostConfig.UTSMode === "host";
  const hostname = config.Hostname || (shared ? hostHostname() : id.slice(0, 12));
  return {
    id,
    name,
    created: new Date().toISOString(),
    image: image.id,
    chain: image.chain,
    config: { ...config, Hostname: hostname },
    hostConfig: completeHostConfig(deps, input.hostConfig),
    mounts,
    state: {
      status: "created",
      pid: 0,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: "",
      finishedAt: "",
    },
    restartCount: 0,
    hasBeenStarted: false,
  };
}

/** The image of a container to be. Throws Faults in Docker's words. */
async function imageFor(deps: EngineDeps, { config, platform }: CreateInput): Promise<ImageRecord> {
  const { Image = "", Cmd, Entrypoint } = config;
  if (Image === "" && !Cmd?.length && !Entrypoint?.length)
    throw fault("invalid", "no-command", "no command specified");
  const image = await deps.images.resolveOrBuiltin(Image);
  checkRunnable(Image, image);
  checkPlatform(Image, image, platform);
  return image;
}

/** Creates a container. Throws Faults in Docker's words, and has changed nothing then. */
export async function createContainer(deps: EngineDeps, input: CreateInput): Promise<Created> {
  return createFrom(deps, input, await imageFor(deps, input), (id) => deps.images.resolve(id));
}

/** Its mounts, with those of containers that it takes them from. Throws Faults in Docker's words. */
function mountsFor(deps: EngineDeps, config: ContainerConfig, input: CreateInput) {
  const inherited = inheritedMounts(
    input.hostConfig.VolumesFrom ?? [],
    (reference) => named(deps, reference).record.mounts,
  );
  return wantedMounts(config, input.hostConfig, inherited).map((mount) =>
    input.readOnlyOnTop && mount.type === "bind" && !inherited.includes(mount)
      ? { ...mount, readOnlyOnTop: true }
      : mount,
  );
}

/** Writes the record and knows the container from now on. */
function insist(deps: EngineDeps, record: ContainerRecord): void {
  try {
    deps.database.insist(record);
  } catch (error) {
    releaseLevel(deps, record);
    throw error;
  }
  deps.registry.add(new Container(record));
}

/** Creates a container of an image that is there; `check` throws when it is no longer. */
export async function createFrom(
  deps: EngineDeps,
  input: CreateInput,
  image: ImageRecord,
  check: (id: string) => void,
): Promise<Created> {
  if (input.name !== undefined) deps.registry.checkFree(checkName(input.name));
  const config = mergeConfig(input.config, image);
  checkConfig(config);
  checkHostConfig(deps, input.config, config, input.hostConfig);
  checkMacs(input.config, input.hostConfig, input.networking);
  const attachments = attachmentsFor(deps, input.config, input.hostConfig, input.networking);
  const wishes = labelWishes(input.config.Labels ?? {});
  const links = linksFor(deps.registry, input.hostConfig);
  const wanted = mountsFor(deps, config, input);
  const chosen = chooseUserNamespace(deps, input.hostConfig, wanted);
  const id = newId();
  const name =
    input.name === undefined
      ? makeUpName((taken) => deps.registry.named(taken) !== undefined)
      : checkName(input.name);
  const directory = `${deps.settings.containersDirectory}/${id}`;
  try {
    const mounts = await makeMounts(wanted, deps, id);
    const record: ContainerRecord = {
      ...recordOf(deps, id, name, image, config, input, mounts),
      links,
      attachments,
      ...wishes,
      ...userNamespaceFields(chosen),
      hostConfig: completeHostConfig(deps, withUserNamespace(input.hostConfig, chosen)),
    };
    checkAttributes(record);
    mkdirSync(directory, { mode: 0o700 });
    await deps.driver.prepare({
      id,
      chain: record.chain,
      volatile: record.hostConfig.AutoRemove === true,
      size: sizeLimitOf(record.hostConfig),
    });
    // Preparing takes time: somebody else may have taken the name, or the image away.
    deps.registry.checkFree(name);
    check(image.id);
    chooseLabels(deps, record);
    insist(deps, record);
    deps.events.emit("container", "create", id, {
      ...config.Labels,
      image: config.Image ?? "",
      name,
    });
  } catch (error) {
    for (const volume of deps.volumes.releaseAll(id))
      if (deps.volumes.isAnonymous(volume)) deps.volumes.forget(volume);
    deps.driver.remove(id);
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    id,
    warnings: [
      ...warningsOf(deps, image, input.hostConfig, input.platform),
      ...userNamespaceWarnings(input.hostConfig.UsernsMode, chosen),
    ],
  };
}

/** Checks what other containers a container depends on, at its start. */
export function namespacesOf(deps: EngineDeps, record: ContainerRecord) {
  const { hostConfig } = record;
  return {
    network: namespaceChoice(deps, hostConfig.NetworkMode, "network"),
    pid: namespaceChoice(deps, hostConfig.PidMode, "pid"),
    ipc: namespaceChoice(deps, hostConfig.IpcMode, "ipc"),
    uts: namespaceChoice(
      deps,
      hostConfig.UTSMode || (hostConfig.NetworkMode === "host" ? "own" : ""),
      "uts",
    ),
  };
}
