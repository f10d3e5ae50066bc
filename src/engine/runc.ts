/**
 * Running a container under an external OCI runtime: the shim mounts the root in a mount namespace of its own and runs
 * `RUNTIME run --bundle` there, so that logs, attach and the exit record are the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fault } from "../base/errors.ts";
import { type PlanExtras, toLaunchPlan } from "../runtime/index.ts";
import type { OciSpec } from "../spec/oci-runtime.ts";
import { type PlanOp, wireConstants } from "../spec/wire.ts";

/** Where the runtime finds the namespaces that are made for it. */
export interface RuntimeNamespaces {
  /** The container's network namespace; undefined when it has none of its own from the engine. */
  readonly network: string | undefined;
  /** The host's, to which the shim's child returns after it has made the resolver's sockets. */
  readonly host: string;
}

/** Operations that prepare the runtime's surroundings; the rest it does itself from config.json. */
const before = new Set<PlanOp["name"]>([
  "shim",
  "log",
  "exit_file",
  "oom_file",
  "dns",
  "root_server",
  "dns_socket",
]);
const after = new Set<PlanOp["name"]>(["propagation", "root_mount", "root_bind", "root_fuse"]);
const CLONE_NEWNS = 0x00020000n;
const CLONE_NEWNET = 0x40000000n;

/** Writes the bundle to `directory` and gives the plan that runs the runtime on it. Throws a Fault "unsupported" for a terminal. */
export function runcPlan(
  runtime: string,
  spec: OciSpec,
  extras: PlanExtras,
  directory: string,
  paths: RuntimeNamespaces,
): PlanOp[] {
  if (spec.process.terminal)
    throw fault(
      "unsupported",
      "runtime-terminal",
      "a container under an external runtime has no terminal: leave --tty or --runtime away",
    );
  if (extras.subpaths.size > 0 || spec.linux.rootfsPropagation === "shared")
    throw fault(
      "unsupported",
      "runtime-mount",
      "an external runtime mounts no part of a volume or image, and shares no mounts with the host: leave that or --runtime away",
    );
  const bundle = `${directory}/bundle`;
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  const namespaces = spec.linux.namespaces.map((namespace) =>
    namespace.type === "network" && namespace.path === undefined && paths.network !== undefined
      ? { ...namespace, path: paths.network }
      : namespace,
  );
  const config = {
    ...spec,
    root: { ...spec.root, path: extras.mountPoint },
    linux: { ...spec.linux, namespaces },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config), { mode: 0o600 });
  const own = toLaunchPlan(spec, extras);
  const join = (fd: number, path: string): PlanOp => ({
    name: "join_ns",
    fd,
    path,
    type: CLONE_NEWNET,
  });
  const resolver = own.filter((op) => op.name === "dns_socket");
  const there = extras.netnsFd !== undefined && resolver.length > 0;
  return [
    ...own
      .filter((op) => before.has(op.name) && op.name !== "dns_socket")
      .map((op): PlanOp => (op.name === "shim" ? { ...op, clone_flags: CLONE_NEWNS } : op)),
    ...(there
      ? [join(extras.netnsFd ?? 0, ""), ...resolver, join(wireConstants.NO_FD, paths.host)]
      : []),
    ...own.filter((op) => after.has(op.name)),
    { name: "umask", mask: 0o022 },
    {
      name: "exec",
      args: [runtime, "--root", `${directory}/runtime`, "run", "--bundle", bundle, extras.id],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    },
  ];
}
