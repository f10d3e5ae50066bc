/**
 * What security modules are told in a plan: AppArmor's profile and SELinux' label of the program, the label of its files.
 * Pure.
 */
import type { OciProcess } from "../spec/oci-runtime.ts";
import type { PlanOp } from "../spec/wire.ts";

/** File systems that SELinux lets a mount say the label of all files of. */
const labelled: ReadonlySet<string> = new Set(["devpts", "fuse", "overlay", "tmpfs"]);

/** A mount's parameters with the label of its files. */
export function withContext(
  type: string,
  params: readonly string[],
  label: string | undefined,
): readonly string[] {
  return label && labelled.has(type) ? [...params, `context=${label}`] : params;
}

/** File systems that take no label of whoever mounts them: their top is given one afterwards. */
const labelledLater: ReadonlySet<string> = new Set(["mqueue"]);

/** The label that a mount's top gets once it is there. */
export function labelAfter(type: string, path: string, label: string | undefined): PlanOp[] {
  return label && labelledLater.has(type) ? [{ name: "file_label", path, value: label }] : [];
}

/**
 * The profile and the label, as the kernel takes them. They are for the next exec; where an init of the engine's stays
 * behind as PID 1, that executes nothing, and has its profile from here on.
 */
export function labelOps(
  { apparmorProfile, selinuxLabel }: OciProcess,
  init: boolean,
): readonly PlanOp[] {
  const ops: PlanOp[] = [];
  if (selinuxLabel) ops.push({ name: "label", file: "exec", value: selinuxLabel });
  if (apparmorProfile)
    ops.push(
      init
        ? { name: "label", file: "apparmor/current", value: `changeprofile ${apparmorProfile}` }
        : { name: "label", file: "apparmor/exec", value: `exec ${apparmorProfile}` },
    );
  return ops;
}
