/**
 * Options of the local driver: `type`, `device` and `o`, as mount(8) has them. What they mean is said here, nothing is mounted.
 */

import { isIP } from "node:net";
import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";
import { type MountOptions, parseMountOptions } from "../spec/mount-options.ts";

/** A volume's options as a user has given them. */
export type VolumeOptions = Readonly<Record<string, string>>;

/** What is to be mounted for a volume while it is in use. */
export interface DeviceMount {
  /** A tree of the host's, or undefined for a file system of its own. */
  readonly bind?: "bind" | "rbind" | undefined;
  readonly type: string;
  readonly device: string;
  /** What stands in `o`, as it is. */
  readonly words: string;
  readonly options: MountOptions;
}

const known = new Set(["type", "o", "device", "size"]);
/** What an option needs beside it, in the order in which Docker asks. */
const needs: Readonly<Record<string, readonly string[]>> = {
  device: ["type"],
  type: ["device"],
  o: ["device", "type"],
};

function refuse(name: string, why: string): Error {
  return fault("invalid", "volume-option", `create ${name}: ${why}`);
}

/** Throws a Fault "invalid" for options that the local driver does not take. */
export function checkLocalOptions(name: string, options: VolumeOptions): void {
  for (const [key, value] of Object.entries(options)) {
    if (!known.has(key)) throw refuse(name, `invalid option: "${key}"`);
    if (value.includes("\0")) throw refuse(name, `the option "${key}" has a NUL byte`);
    if (value.length > 16384) throw refuse(name, `the option "${key}" is too long`);
  }
  if (options.size !== undefined) throw refuse(name, "quota size requested but no quota support");
  for (const key of Object.keys(options))
    for (const other of needs[key] ?? [])
      if (!options[other]) throw refuse(name, `missing required option: "${other}"`);
}

/** What is mounted for a volume of the local driver; undefined for one that is a directory of berth's own. */
export function deviceMountOf(options: VolumeOptions): DeviceMount | undefined {
  const { type = "", device = "", o: words = "" } = options;
  if (device === "") return undefined;
  const parsed = parseMountOptions(words.split(","));
  // To bind is no parameter of a file system, and neither is a mount's being read-only; of a disk's it is both.
  const isBind = /(^|,)r?bind(,|$)/.test(words) || type === "bind";
  if (isBind)
    return { bind: parsed.recursive ? "rbind" : "bind", type, device, words, options: parsed };
  const params = (parsed.set & 1n) === 1n ? [...parsed.params, "ro"] : parsed.params;
  return { type, device, words, options: { ...parsed, params } };
}

/** The name in a mount's options, or in a share's address, that the kernel wants as a number; undefined: there is none. */
export function hostOf({ type, device, options }: DeviceMount): string | undefined {
  if (type !== "nfs" && type !== "nfs4" && type !== "cifs" && type !== "smb3") return undefined;
  const given = options.params.find((param) => param.startsWith("addr="))?.slice(5);
  const host =
    given ?? (type === "cifs" || type === "smb3" ? /^\/\/([^/]+)/.exec(device)?.[1] : undefined);
  return host === undefined || host === "" || isIP(host) !== 0 ? undefined : host;
}

/** The same with a host's number for its name. */
export function withAddress(mount: DeviceMount, address: string): DeviceMount {
  const others = mount.options.params.filter((param) => !param.startsWith("addr="));
  return { ...mount, options: { ...mount.options, params: [`addr=${address}`, ...others] } };
}

const flags: Readonly<Record<string, number>> = {
  ro: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  sync: 16,
  dirsync: 128,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  rbind: 4096 | 16384,
  relatime: 1 << 21,
  strictatime: 1 << 24,
};

/** Why a volume could not be mounted, as Docker says it: no password is told. */
export function mountFailure(mount: DeviceMount, target: string, why: string): string {
  const words = mount.words.split(",").filter(Boolean);
  const number = words.reduce((sum, word) => sum | (own(flags, word) ?? 0), 0);
  const data = words.filter(
    (word) => own(flags, word) === undefined && word !== "defaults" && word !== "rw",
  );
  const shown = data.map((word) => word.replace(/^(pass(word)?2?)=.*$/, "$1=********"));
  return [
    `error while mounting volume '${target}': failed to mount local volume: mount ${mount.device}:${target}`,
    ...(number === 0 ? [] : [`flags: 0x${number.toString(16)}`]),
    ...(shown.length === 0 ? [] : [`data: ${shown.join(",")}`]),
  ]
    .join(", ")
    .concat(`: ${why}`);
}
