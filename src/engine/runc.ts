/**
 * Running a container under an external OCI runtime: the shim mounts the root in a mount namespace of its own and runs
 * `RUNTIME run --bundle` there, so that logs, attach and the exit record are the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { type PlanExtras, toLaunchPlan } from "../runtime/index.ts";
import type { OciSpec } from "../spec/oci-runtime.ts";
import type { PlanOp } from "../spec/wire.ts";

/** Operations that prepare the runtime's surroundings; the rest it does itself from config.json. */
const kept = new Set<PlanOp["name"]>([
  "shim",
  "log",
  "exit_file",
  "oom_file",
  "join_ns",
  "dns_socket",
  "propagation",
  "root_mount",
  "root_bind",
]);

/** Writes the bundle to `directory` and gives the plan that runs the runtime on it. */
export function runcPlan(
  runtime: string,
  spec: OciSpec,
  extras: PlanExtras,
  directory: string,
): PlanOp[] {
  const bundle = `${directory}/bundle`;
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  // The network namespace is joined before the runtime starts, which then keeps it.
  const namespaces = spec.linux.namespaces.filter(
    ({ type, path }) => type !== "network" || (path === undefined && extras.netnsFd === undefined),
  );
  const config = {
    ...spec,
    root: { ...spec.root, path: extras.mountPoint },
    linux: { ...spec.linux, namespaces },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config), { mode: 0o600 });
  const own = toLaunchPlan(
    { ...spec, process: { ...spec.process, terminal: false } },
    extras,
  ).filter((op) => kept.has(op.name));
  const mountNamespace = 0x00020000n;
  const args = [runtime, "--root", `${directory}/runtime`, "run", "--bundle", bundle, extras.id];
  return [
    ...own.map(
      (op): PlanOp =>
        op.name === "shim" ? { ...op, clone_flags: mountNamespace, options: op.options & ~1 } : op,
    ),
    { name: "umask", mask: 0o022 },
    {
      name: "exec",
      args,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    },
  ];
}
