/**
 * Seccomp profiles in Docker's JSON format, and what they come to for one container on one host.
 *
 * A profile's rules may depend on the container's capabilities, the architecture and the kernel's version; resolving is
 * pure and gives the OCI form, which libseccomp then compiles.
 */

import { fault, messageOf } from "../base/errors.ts";
import { own } from "../base/own.ts";
import type { SeccompRule } from "../kernel/index.ts";
import type { OciSeccomp } from "../spec/oci-runtime.ts";
import defaultProfile from "./seccomp-default.json" with { type: "json" };
import { wrongForm } from "./seccomp-form.ts";

interface Condition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

/** A profile as Docker's --security-opt seccomp=FILE takes it. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly flags?: readonly string[] | null;
  readonly listenerPath?: string;
  readonly architectures?: readonly string[] | null;
  readonly archMap?:
    | readonly {
        readonly architecture: string;
        readonly subArchitectures: readonly string[] | null;
      }[]
    | null;
  readonly syscalls?: readonly {
    readonly name?: string;
    readonly names?: readonly string[] | null;
    readonly action: string;
    readonly errnoRet?: number;
    readonly args?: OciSeccomp["syscalls"][number]["args"] | null;
    readonly includes?: Condition | null;
    readonly excludes?: Condition | null;
  }[];
}

/** Docker's default profile. */
export const defaultSeccompProfile: SeccompProfile = defaultProfile;

const actions: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

const operators: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

/** seccomp(2)'s flags that a profile may ask for. */
const filterFlags: Readonly<Record<string, number>> = {
  // There is one thread at that time, so that they are synchronous anyway.
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** Refuses what berth cannot do of what the format has. */
function checkAbilities(profile: SeccompProfile): void {
  const actionsUsed = [
    profile.defaultAction,
    ...(profile.syscalls ?? []).map((call) => call?.action),
  ];
  if (actionsUsed.includes("SCMP_ACT_NOTIFY") || profile.listenerPath)
    throw invalid(
      "seccomp profile: SCMP_ACT_NOTIFY and listenerPath hand system calls to an agent, and berth has none: use SCMP_ACT_ERRNO, or run under --runtime runc",
    );
  for (const flag of profile.flags ?? [])
    if (!Object.hasOwn(filterFlags, String(flag)))
      throw invalid(
        `seccomp profile: flag ${String(flag)} is not known to berth: ${Object.keys(filterFlags).join(", ")} are`,
      );
}

/** Parses a user's profile. Throws a Fault "invalid" that says what is wrong in it. */
export function parseSeccompProfile(json: string): SeccompProfile {
  let profile: SeccompProfile;
  try {
    profile = JSON.parse(json) as SeccompProfile;
  } catch (error) {
    throw invalid(`Decoding seccomp profile failed: ${messageOf(error)}`);
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile))
    throw invalid("Decoding seccomp profile failed: it is not an object");
  const wrong = wrongForm(profile as unknown as Record<string, unknown>);
  if (wrong !== undefined) throw invalid(`seccomp profile: ${wrong}`);
  checkAbilities(profile);
  if (!Object.hasOwn(actions, profile.defaultAction ?? ""))
    throw invalid(`seccomp profile: unknown default action ${String(profile.defaultAction)}`);
  for (const call of profile.syscalls ?? []) {
    if (!Object.hasOwn(actions, String(call.action)))
      throw invalid(`seccomp profile: unknown action ${String(call?.action)}`);
    for (const arg of call.args ?? []) {
      if (!Object.hasOwn(operators, String(arg.op)) || !(arg.index >= 0 && arg.index < 6))
        throw invalid(
          `seccomp profile: bad condition on ${(call.names ?? [call.name]).join(", ")}`,
        );
    }
  }
  return profile;
}

function invalid(message: string): Error {
  return fault("invalid", "seccomp-profile", message);
}

/** What a profile's conditions are compared with. */
export interface SeccompHost {
  /** libseccomp's name of the native architecture: SCMP_ARCH_X86_64, … */
  readonly architecture: string;
  /** Docker's name of it: amd64, … */
  readonly arch: string;
  /** Such as "6.18.5". */
  readonly kernel: string;
}

function kernelAtLeast(kernel: string, least: string): boolean {
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  const [wantMajor = 0, wantMinor = 0] = least.split(".").map((part) => Number.parseInt(part, 10));
  return major > wantMajor || (major === wantMajor && minor >= wantMinor);
}

/** What profiles have come to: a start and an exec each ask for the same as the one before. */
const resolved = new WeakMap<SeccompProfile, Map<string, OciSeccomp>>();

/** Resolves a profile for a container's capabilities (with CAP_) on a host. The same question has the same answer, by identity. */
export function resolveSeccomp(
  profile: SeccompProfile,
  capabilities: ReadonlySet<string>,
  host: SeccompHost,
): OciSeccomp {
  const key = [host.architecture, host.arch, host.kernel, ...[...capabilities].sort()].join();
  const known = resolved.get(profile) ?? new Map<string, OciSeccomp>();
  const found = known.get(key) ?? resolve(profile, capabilities, host);
  resolved.set(profile, known.set(key, found));
  return found;
}

function resolve(
  profile: SeccompProfile,
  capabilities: ReadonlySet<string>,
  host: SeccompHost,
): OciSeccomp {
  const mapped = profile.archMap?.find((entry) => entry.architecture === host.architecture);
  const architectures = mapped
    ? [host.architecture, ...(mapped.subArchitectures ?? [])]
    : (profile.architectures ?? [host.architecture]);
  const holds = (call: NonNullable<SeccompProfile["syscalls"]>[number]): boolean => {
    const { includes, excludes } = call;
    if (includes?.arches?.length && !includes.arches.includes(host.arch)) return false;
    if (includes?.caps?.some((name) => !capabilities.has(name))) return false;
    if (includes?.minKernel && !kernelAtLeast(host.kernel, includes.minKernel)) return false;
    if (excludes?.arches?.includes(host.arch)) return false;
    if (excludes?.caps?.some((name) => capabilities.has(name))) return false;
    return !(excludes?.minKernel && kernelAtLeast(host.kernel, excludes.minKernel));
  };
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures,
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    syscalls: (profile.syscalls ?? []).filter(holds).map((call) => ({
      names: call.names?.length ? call.names : call.name ? [call.name] : [],
      action: call.action,
      ...(call.errnoRet === undefined ? {} : { errnoRet: call.errnoRet }),
      ...(call.args?.length ? { args: call.args } : {}),
    })),
  };
}

function actionNumber(action: string, errno: number | undefined): number {
  const number = actions[action] ?? 0;
  const carries = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return carries ? number | ((errno ?? 1) & 0xffff) : number;
}

/** seccomp(2)'s flags for a resolved filter. */
export function seccompFlags(filter: OciSeccomp | undefined): number {
  return (filter?.flags ?? []).reduce((all, flag) => all | (own(filterFlags, flag) ?? 0), 0);
}

/** The arguments of Kernel.compileSeccomp for a resolved filter. */
export function seccompRules(filter: OciSeccomp): {
  defaultAction: number;
  architectures: string[];
  rules: SeccompRule[];
} {
  return {
    defaultAction: actionNumber(filter.defaultAction, filter.defaultErrnoRet),
    architectures: filter.architectures.map((name) => name.replace("SCMP_ARCH_", "").toLowerCase()),
    rules: filter.syscalls.map((call) => ({
      action: actionNumber(call.action, call.errnoRet),
      names: call.names,
      args: (call.args ?? []).map((arg) => ({
        index: arg.index,
        op: own(operators, arg.op) ?? 0,
        value: BigInt(arg.value),
        valueTwo: BigInt(arg.valueTwo ?? 0),
      })),
    })),
  };
}
