/**
 * SELinux' labels of a container, as Docker makes them of --security-opt label=…: pure.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";
import { securityOptions } from "./security-options.ts";

/** The labels of a container's processes and files; empty: none. */
export interface SelinuxLabels {
  readonly process: string;
  readonly mount: string;
}

type Part = "user" | "role" | "type" | "level";
const parts: readonly Part[] = ["user", "role", "type", "level"];

/** A label, taken apart; a level has colons of its own. */
function read(label: string): Record<Part, string> {
  const [user = "", role = "", type = "", ...level] = label.split(":");
  return { user, role, type, level: level.join(":") };
}

function written(context: Readonly<Record<Part, string>>): string {
  return parts
    .map((part) => context[part])
    .filter(Boolean)
    .join(":");
}

/** A label with another level. */
export function withLevel(label: string, level: string): string {
  return written({ ...read(label), level });
}

/** The level of a label: its last part. */
export function levelOf(label: string): string {
  return read(label).level;
}

function refused(option: string, words: string): Error {
  return fault("invalid", "label-option", `bad label option "${option}", valid options ${words}`);
}

/** What `label=` has said, one by one, as ["type", "x_t"] or ["disable", ""]. Throws Faults in Docker's words. */
function wishes(options: readonly string[]): (readonly [string, string])[] {
  return options.map((option) => {
    if (option === "disable" || option === "nested") return [option, ""];
    const colon = option.indexOf(":");
    if (colon < 0)
      throw refused(
        option,
        "'disable' or \n'user, role, level, type, filetype' followed by ':' and a value",
      );
    const name = option.slice(0, colon);
    if (![...parts, "filetype"].includes(name))
      throw refused(name, "'disable, user, role, level, type, filetype'");
    return [name, option.slice(colon + 1)];
  });
}

/** Whether a container has no label though it has not asked for that: it shares processes with the host. */
export function isUnlabelled(hostConfig: HostConfig): boolean {
  if (securityOptions(hostConfig, "label").length > 0) return false;
  const { IpcMode, PidMode, Privileged } = hostConfig;
  return Privileged === true || IpcMode === "host" || PidMode === "host";
}

/** What a container's options say of labels: those that it was given, or what Docker makes of its namespaces. */
export function labelOptions(
  hostConfig: HostConfig,
  /** The process label of a container whose namespace it joins. */
  labelOfOther: (reference: string) => string,
): readonly string[] {
  const given = securityOptions(hostConfig, "label");
  if (given.length > 0) return given;
  if (isUnlabelled(hostConfig)) return ["disable"];
  const { IpcMode = "", PidMode = "" } = hostConfig;
  const joined = [IpcMode, PidMode]
    .flatMap((mode) => (mode.startsWith("container:") ? [mode.slice(10)] : []))
    .map(labelOfOther);
  const [one = "", other = one] = joined;
  if (one !== other)
    throw fault(
      "invalid",
      "label-option",
      "--ipc and --pid containers SELinux labels aren't the same",
    );
  if (one === "") return [];
  const context = read(one);
  return parts.flatMap((part) => (context[part] === "" ? [] : [`${part}:${context[part]}`]));
}

/** Whether a container may change labels itself, and sees SELinux for that. */
export function seesSelinux(hostConfig: HostConfig): boolean {
  return securityOptions(hostConfig, "label").includes("nested");
}

/** The labels that options make of the host's usual ones. `level`: that of a container that asks for none. Throws Faults in Docker's words. */
export function labelsFor(
  options: readonly string[],
  usual: SelinuxLabels,
  level: string,
): SelinuxLabels {
  const process = { ...read(usual.process), level };
  const mount = { ...read(usual.mount), level };
  const said = wishes(options);
  if (said.some(([name]) => name === "disable")) return { process: "", mount: written(mount) };
  for (const [name, value] of said) {
    if (name === "filetype") mount.type = value;
    for (const part of parts) if (part === name) process[part] = value;
    if (name === "level" || name === "user") mount[name] = value;
  }
  return { process: written(process), mount: written(mount) };
}

/** Directories whose relabelling would make the host itself unusable. */
const kept: ReadonlySet<string> = new Set([
  ...["/", "/bin", "/boot", "/dev", "/etc", "/etc/passwd", "/etc/pki", "/etc/shadow", "/home"],
  ...["/lib", "/lib64", "/media", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys"],
  ...["/tmp", "/usr", "/var", "/var/lib", "/var/log"],
]);

/** Throws a Fault "invalid" in Docker's words for a path that nobody may relabel. */
export function checkRelabelling(path: string): void {
  if (kept.has(path.replace(/(.)\/+$/, "$1")))
    throw fault("invalid", "relabel", `SELinux relabeling of ${path} is not allowed`);
}

/** How the source of a mount is to be labelled: for all containers (z), for this one (Z), or not at all. */
export function relabelWish(mode: string): "shared" | "own" | undefined {
  const words = mode.split(",");
  if (words.includes("Z")) return "own";
  return words.includes("z") ? "shared" : undefined;
}
