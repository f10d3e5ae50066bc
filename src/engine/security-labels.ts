/**
 * A container's profile of AppArmor and its labels of SELinux: chosen at its creation, in force from its start.
 */
import { errnoText } from "../base/errno-text.ts";
import { fault, messageOf } from "../base/errors.ts";
import type { PlanRoot } from "../runtime/index.ts";
import { DEFAULT_PROFILE, UNCONFINED } from "../runtime/index.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import { relabel } from "../tree/index.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { securityOption } from "./security-options.ts";
import {
  checkRelabelling,
  isUnlabelled,
  labelOptions,
  labelsFor,
  levelOf,
  relabelWish,
  withLevel,
} from "./selinux-labels.ts";

type Modules = Pick<EngineDeps, "modules" | "registry">;

const ENOENT = 2;
/** What everybody may share has no categories. */
const SHARED = "s0";

/** Chooses the labels of a container to be, and takes its level. Throws Faults in Docker's words. */
export function chooseLabels(
  { modules: { selinux }, registry }: Modules,
  record: ContainerRecord,
): void {
  record.appArmorProfile = securityOption(record.hostConfig, "apparmor") ?? "";
  if (!selinux.enabled) return;
  const ofOther = (reference: string) => registry.lookUp(reference)?.record.processLabel ?? "";
  const options = labelOptions(record.hostConfig, ofOther);
  const level = selinux.levels.choose();
  try {
    const labels = labelsFor(options, selinux.usual(), level);
    record.processLabel = labels.process;
    record.mountLabel = labels.mount;
    keepLevel({ modules: { selinux } }, record);
  } finally {
    selinux.levels.release(level);
  }
}

/** Security options with what Docker adds for whoever shares processes with the host. */
export function withLabels(hostConfig: HostConfig): HostConfig["SecurityOpt"] {
  const given = hostConfig.SecurityOpt;
  const added = isUnlabelled(hostConfig) ? ["label=disable"] : [];
  return added.length === 0 ? given : [...(given ?? []), ...added];
}

/** Notes the level of a container that there is. */
export function keepLevel(
  { modules }: { readonly modules: Pick<EngineDeps["modules"], "selinux"> },
  { mountLabel }: ContainerRecord,
): void {
  if (mountLabel) modules.selinux.levels.take(levelOf(mountLabel));
}

/** Another container may have its level from now on. */
export function releaseLevel(
  { modules }: Pick<EngineDeps, "modules">,
  { mountLabel }: ContainerRecord,
): void {
  if (mountLabel) modules.selinux.levels.release(levelOf(mountLabel));
}

/** The profile that a start gives a container on a host with AppArmor. */
export function profileFor(hostConfig: HostConfig): string {
  return (
    securityOption(hostConfig, "apparmor") || (hostConfig.Privileged ? UNCONFINED : DEFAULT_PROFILE)
  );
}

/** Notes the profile in the record, and has the kernel know berth's own if it is that. */
export async function prepareProfile(
  { modules: { apparmor } }: Pick<EngineDeps, "modules">,
  record: ContainerRecord,
): Promise<void> {
  record.appArmorProfile = apparmor.active ? profileFor(record.hostConfig) : "";
  if (record.appArmorProfile === DEFAULT_PROFILE) await apparmor.ensureDefault();
}

/** What the kernel's refusal of a profile or label means, in the words of Docker's runtime. `detail`: the file, and what was written. */
export function labelRefusal(detail: string, errno: number): string {
  const file = detail.split(" ", 1)[0] ?? "";
  const value = detail.slice(file.length + 1);
  const write = `write /proc/thread-self/attr/${file}: ${errnoText(errno)}`;
  if (!file.startsWith("apparmor/")) return `unable to set the SELinux label ${value}: ${write}`;
  const profile = value.slice(value.indexOf(" ") + 1);
  const why = errno === ENOENT ? ` (no profile "${profile}" is loaded)` : "";
  return `unable to apply apparmor profile: apparmor failed to apply profile: ${write}${why}`;
}

/** The sources of mounts whose label is to be changed, and what to. */
function relabelled(
  mounts: readonly MountRecord[],
  label: string,
): { readonly source: string; readonly label: string }[] {
  return mounts.flatMap(({ type, source, mode }) => {
    const wish = type === "bind" || type === "volume" ? relabelWish(mode) : undefined;
    if (wish === undefined) return [];
    return [{ source, label: wish === "own" ? label : withLevel(label, SHARED) }];
  });
}

/**
 * Labels what is the container's own (`files`: the engine's for it, a root that is a directory) and what z and Z ask for.
 * Throws Faults in Docker's words.
 */
export async function labelFiles(
  { kernel }: Pick<EngineDeps, "kernel">,
  { mountLabel, mounts }: ContainerRecord,
  root: PlanRoot,
  files: readonly string[],
): Promise<void> {
  if (!mountLabel) return;
  for (const file of files) if (file !== "") await relabel(kernel, file, mountLabel);
  if (root.kind === "bind") await relabel(kernel, root.path, mountLabel);
  for (const { source, label } of relabelled(mounts, mountLabel))
    try {
      checkRelabelling(source);
      await relabel(kernel, source, label);
    } catch (error) {
      throw fault(
        "invalid",
        "relabel",
        `error setting label on mount source '${source}': ${messageOf(error)}`,
        error,
      );
    }
}
