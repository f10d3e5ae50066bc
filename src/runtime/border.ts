/**
 * A plan for a user namespace of the container's own: what needs the host's rights comes before the border and is done by a
 * go-between, which keeps what it has made as descriptors; what the container's root may do itself comes behind it. Pure.
 */
import { dirname } from "node:path/posix";
import { type PlanOp, wireConstants } from "../spec/wire.ts";
import type { PlanUserNamespace } from "./plan.ts";

/** Ops that a go-between does as they are, first of all. */
const first = new Set<PlanOp["name"]>(["propagation", "join_cgroup"]);
/** RLIMIT_NOFILE by its number: behind the border descriptors are still opened. */
const OPEN_FILES = 7;
/** As many as that are never wanting. */
const ENOUGH_FILES = 4096n;
/** Codes below are for the shim itself. */
const forShim = new Set<PlanOp["name"]>([
  "shim",
  "log",
  "exit_file",
  "oom_file",
  "join_pid_ns",
  "clone_into_cgroup",
  "dns",
  "exec_into",
  "user_ns",
  "root_server",
]);

const enter: PlanOp = { name: "enter" };

type Root = Extract<PlanOp, { name: "root_mount" | "root_bind" }>;
type Mount = Extract<PlanOp, { name: "mount" }>;

/** Numbers of descriptors for what is prepared, and the ops that prepare it. */
class Preparation {
  /** Layers are attached where the host has a directory: before that, lest a bind of what it is in takes them along. */
  private readonly early: PlanOp[] = [];
  private readonly layers: PlanOp[] = [];
  private next: number;

  constructor(
    private readonly user: PlanUserNamespace,
    private readonly directory: string,
  ) {
    this.next = user.firstHeld;
  }

  get ops(): readonly PlanOp[] {
    return [...this.early, ...this.layers];
  }

  private number(): number {
    return this.next++;
  }

  /** A tree of the host's, with its owners as the container sees them; gives its descriptor. */
  tree(source: string, options = 0): number {
    const hold = this.number();
    const attributes = { attr_set: 0n, attr_clr: 0n, propagation: 0n, options };
    const where = { mount_ns: "", source, subpath: "", target: "" };
    this.layers.push({ name: "bind", ...where, ...attributes, owners: this.user.owners, hold });
    return hold;
  }

  /** What is to be kept instead of attached; gives its descriptor. */
  keep(op: Extract<PlanOp, { name: "bind" }>): number {
    const hold = this.number();
    this.early.push({ ...op, target: "", hold });
    return hold;
  }

  /** An overlay whose layers' owners are seen as the container's; gives its descriptor. */
  overlay(op: Root | Mount): number {
    if (op.name === "root_bind") return this.tree(op.source);
    this.layers.push({ name: "host_directory", path: this.directory });
    const held = new Map<string, number>();
    const heldAt = (path: string) => {
      const fd = held.get(path) ?? this.tree(path, wireConstants.BIND_LAYER);
      held.set(path, fd);
      return `/proc/self/fd/${fd}`;
    };
    // The kernel wants the upper and the work directory on one mount.
    const inParent = (path: string) =>
      `${heldAt(dirname(path))}/${path.slice(dirname(path).length + 1)}`;
    const params = op.params.map((param) => {
      const [, key, value] = /^(lowerdir\+?|upperdir|workdir)=(.*)$/s.exec(param) ?? [];
      if (key === undefined || value === undefined) return param;
      if (key === "lowerdir+") return `${key}=${heldAt(value)}`;
      if (key !== "lowerdir") return `${key}=${inParent(unescaped(value))}`;
      const paths = value.match(/(\\.|[^:\\])+/g) ?? [];
      return `${key}=${paths.map((path) => heldAt(unescaped(path))).join(":")}`;
    });
    const hold = this.number();
    const owner = { fs_uid: this.user.uid, fs_gid: this.user.gid };
    this.layers.push({ ...op, params, target: "", hold, ...owner });
    return hold;
  }
}

const unescaped = (path: string): string => path.replace(/\\(.)/g, "$1");

/** The plan of a container that is born in a user namespace. */
export function acrossBorder(plan: readonly PlanOp[], user: PlanUserNamespace): PlanOp[] {
  const root = plan.find((op) => op.name === "root_mount" || op.name === "root_bind");
  if (root === undefined) throw new Error("this root cannot be seen through a user namespace");
  const preparation = new Preparation(user, root.target);
  const behind = plan.flatMap((op): PlanOp[] => {
    if (isOutside(op)) return [];
    switch (op.name) {
      case "root_mount":
      case "root_bind":
        return [{ name: "attach_root", held: preparation.overlay(op) }];
      case "bind":
        return [{ name: "attach", held: preparation.keep(op), target: op.target }];
      case "mount":
        if (op.type !== "overlay") return [op];
        return [{ name: "attach", held: preparation.overlay(op), target: op.target }];
      default:
        return [op];
    }
  });
  return [
    ...plan.filter((op) => forShim.has(op.name)),
    ...plan.filter((op) => first.has(op.name)),
    ...preparation.ops,
    // Where the child attaches its root.
    { name: "host_directory", path: root.target },
    ...inherited(plan, user.stdioUid),
    enter,
    ...behind,
  ];
}

/** Limits are raised, and the OOM score lowered, by the host's rights alone. */
function isOutside(op: PlanOp): boolean {
  if (op.name === "rlimit") return op.resource !== OPEN_FILES;
  return forShim.has(op.name) || first.has(op.name) || op.name === "oom_score_adj";
}

/**
 * What the child inherits. Pipes are the host's: only the host can give them to the program's user, who may want to open
 * them again.
 */
function inherited(plan: readonly PlanOp[], stdioUid: number): PlanOp[] {
  const limits = plan.flatMap((op): PlanOp[] => {
    if (op.name === "oom_score_adj") return [op];
    if (op.name !== "rlimit") return [];
    if (op.resource !== OPEN_FILES) return [op];
    return op.hard < ENOUGH_FILES ? [] : [{ ...op, soft: op.hard }];
  });
  return [...limits, { name: "stdio_owner", uid: stdioUid }];
}

/** The plan of a further process in such a container. `stdioUid`: whom its standard streams are to belong to, on the host. */
export function execAcrossBorder(plan: readonly PlanOp[], stdioUid: number): PlanOp[] {
  return [
    ...plan.filter((op) => forShim.has(op.name) || first.has(op.name)),
    ...inherited(plan, stdioUid),
    enter,
    ...plan.filter((op) => !isOutside(op)),
  ];
}
