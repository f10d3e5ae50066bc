/**
 * What this host can do, found out once at start by trying.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { arch, release } from "node:os";
import { groupCount, inUserNamespace } from "../base/user-namespace.ts";
import type { Kernel } from "../kernel/index.ts";
import type { SeccompHost } from "./seccomp.ts";

/** The host's abilities, as plain data. */
export interface HostFeatures {
  /** overlay can be mounted on the data root's file system. */
  readonly overlay: boolean;
  /** fsconfig takes lowerdir+, so that neither length nor depth of layers is bounded. */
  readonly lowerdirPlus: boolean;
  /** The engine is in a user namespace: its capabilities count there, and not for what is the host's. */
  readonly inUserNamespace: boolean;
  /** How many groups the engine's user namespace has; undefined: all. */
  readonly groups?: number | undefined;
  /** The engine may raise limits and lower OOM scores. */
  readonly raisesLimits: boolean;
  /** The engine's own bounding set: nothing grants more. */
  readonly capabilities: bigint;
  /** The hard limit of open files, which no container can exceed without CAP_SYS_RESOURCE. */
  readonly maxFiles: number;
  /** How far a container's OOM score may be lowered: no further than the engine's own without CAP_SYS_RESOURCE. */
  readonly lowestOomScore: number;
  readonly cpus: number;
  readonly seccomp: SeccompHost;
}

const CAP_SYS_RESOURCE = 1n << 24n;

async function works(attempt: Promise<void>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}

const architectures: Readonly<Record<string, Omit<SeccompHost, "kernel">>> = {
  x64: { arch: "amd64", architecture: "SCMP_ARCH_X86_64" },
  arm64: { arch: "arm64", architecture: "SCMP_ARCH_AARCH64" },
};

/** What an overlay needs besides: in a user namespace it keeps its marks where anybody may write them. */
export function overlayRights(inside: boolean): string[] {
  return inside ? ["userxattr"] : [];
}

/** Tries overlay in `scratch` (a directory on the data root's file system; made and removed), and reads the rest. */
export async function probeFeatures(kernel: Kernel, scratch: string): Promise<HostFeatures> {
  for (const name of ["a", "b", "upper", "work"])
    mkdirSync(`${scratch}/${name}`, { recursive: true });
  const inside = inUserNamespace();
  const writable = [
    `upperdir=${scratch}/upper`,
    `workdir=${scratch}/work`,
    ...overlayRights(inside),
  ];
  const plus = [`lowerdir+=${scratch}/a`, `lowerdir+=${scratch}/b`, ...writable];
  const lowerdirPlus = await works(kernel.probeMount("overlay", plus, ""));
  const classic = [`lowerdir=${scratch}/a:${scratch}/b`, ...writable];
  const overlay = lowerdirPlus || (await works(kernel.probeMount("overlay", classic, "")));
  rmSync(scratch, { recursive: true, force: true });
  const status = readFileSync("/proc/self/status", "utf8");
  const limits = readFileSync("/proc/self/limits", "utf8");
  const capabilities = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(status)?.[1] ?? "0"}`);
  const raisesLimits = !inside && (capabilities & CAP_SYS_RESOURCE) !== 0n;
  const native = architectures[arch()] ?? { arch: arch(), architecture: "SCMP_ARCH_NATIVE" };
  return {
    overlay,
    lowerdirPlus,
    inUserNamespace: inside,
    groups: groupCount(),
    raisesLimits,
    capabilities,
    maxFiles:
      Number(/Max open files\s+\d+\s+(\d+)/.exec(limits)?.[1] ?? 0) || Number.POSITIVE_INFINITY,
    lowestOomScore: raisesLimits ? -1000 : Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
    cpus: navigator.hardwareConcurrency,
    seccomp: { ...native, kernel: release() },
  };
}
