import { expect, test } from "bun:test";
import { type PlanOp, wireConstants } from "../spec/wire.ts";
import { acrossBorder, execAcrossBorder } from "./border.ts";

const none = wireConstants.NO_FD;
const asEngine = { hold: none, fs_uid: wireConstants.NO_OWNER, fs_gid: wireConstants.NO_OWNER };
const user = { fd: 10, owners: 11, uid: 5000, gid: 6000, stdioUid: 5007, firstHeld: 80 };
const bind: PlanOp = {
  name: "bind",
  mount_ns: "",
  source: "/srv",
  subpath: "",
  target: "/data",
  attr_set: 1n,
  attr_clr: 0n,
  propagation: 0n,
  options: 0,
  owners: 12,
  hold: none,
};
const mount = (type: string, params: readonly string[], target: string): PlanOp => {
  return { name: "mount", type, source: type, params, attrs: 0n, target, subpath: "", ...asEngine };
};
const plan: readonly PlanOp[] = [
  { name: "shim", clone_flags: 0n, options: 0, id: "x" },
  { name: "user_ns", fd: 10 },
  { name: "join_cgroup", path: "/c/tasks" },
  { name: "hostname", value: "h" },
  { name: "propagation", path: "/", flags: 1n },
  {
    name: "root_mount",
    type: "overlay",
    source: "overlay",
    params: [
      "lowerdir+=/l/2",
      "lowerdir+=/l/1",
      "upperdir=/c/upper",
      "workdir=/c/work",
      "index=off",
    ],
    attrs: 0n,
    target: "/root",
    ...asEngine,
  },
  mount("proc", [], "/proc"),
  bind,
  mount("overlay", ["lowerdir=/i\\:x:/l/1"], "/image"),
  { name: "pivot_root" },
  { name: "oom_score_adj", value: 5n },
  { name: "rlimit", resource: 7, soft: 10n, hard: 100000n },
  { name: "rlimit", resource: 4, soft: 0n, hard: 0n },
  { name: "user", uid: 7, gid: 0, groups: [] },
  { name: "exec", args: ["true"], env: [] },
];

test("what needs the host's rights comes before the border, and each op once", () => {
  const out = acrossBorder(plan, user);
  const names = out.map(({ name }) => name);
  const border = names.indexOf("enter");
  expect(names.slice(border + 1)).toEqual([
    "hostname",
    "attach_root",
    "mount",
    "attach",
    "attach",
    "pivot_root",
    "rlimit",
    "user",
    "exec",
  ]);
  const before = out.slice(0, border);
  expect(names.slice(0, 4)).toEqual(["shim", "user_ns", "join_cgroup", "propagation"]);
  expect(before.at(-1)).toEqual({ name: "stdio_owner", uid: 5007 });
  // Limits that only the host's rights raise; of open files there are enough until the program runs.
  expect(before.filter(({ name }) => name === "rlimit" || name === "oom_score_adj")).toEqual([
    { name: "oom_score_adj", value: 5n },
    { name: "rlimit", resource: 7, soft: 100000n, hard: 100000n },
    { name: "rlimit", resource: 4, soft: 0n, hard: 0n },
  ]);
});

test("layers are held with their owners mapped, upper and work directory on one mount", () => {
  const out = acrossBorder(plan, user);
  const trees = out.filter((op) => op.name === "bind" && op.owners === user.owners);
  expect(trees.map((op) => op.name === "bind" && [op.source, op.hold, op.options])).toEqual([
    ["/l/2", 80, wireConstants.BIND_LAYER],
    ["/l/1", 81, wireConstants.BIND_LAYER],
    ["/c", 82, wireConstants.BIND_LAYER],
    ["/i:x", 85, wireConstants.BIND_LAYER],
    ["/l/1", 86, wireConstants.BIND_LAYER],
  ]);
  const root = out.find(({ name }) => name === "root_mount");
  expect(root).toMatchObject({
    params: [
      "lowerdir+=/proc/self/fd/80",
      "lowerdir+=/proc/self/fd/81",
      "upperdir=/proc/self/fd/82/upper",
      "workdir=/proc/self/fd/82/work",
      "index=off",
    ],
    hold: 83,
    fs_uid: 5000,
    fs_gid: 6000,
  });
  expect(out).toContainEqual({ name: "attach_root", held: 83 });
  // Its own owners, and its own attributes.
  expect(out).toContainEqual({ ...bind, target: "", hold: 84 });
  expect(out).toContainEqual({ name: "attach", held: 84, target: "/data" });
  const image = out.find((op) => op.name === "mount" && op.type === "overlay");
  expect(image).toMatchObject({ params: ["lowerdir=/proc/self/fd/85:/proc/self/fd/86"], hold: 87 });
});

test("no descriptor is held twice, and the root's directory is entered last", () => {
  const out = acrossBorder(plan, user);
  const held = out.flatMap((op) => ("hold" in op && op.hold !== none ? [op.hold] : []));
  expect(new Set(held).size).toBe(held.length);
  const last = out.findLastIndex(({ name }) => name === "host_directory");
  expect(
    out
      .slice(
        last,
        out.findIndex(({ name }) => name === "enter"),
      )
      .some((op) => "hold" in op),
  ).toBe(false);
});

test("an exec joins cgroups outside and gets its limits there", () => {
  const exec: PlanOp[] = [
    { name: "exec_into", namespaces: 0n, options: 0 },
    { name: "join_cgroup", path: "/c/tasks" },
    { name: "rlimit", resource: 4, soft: 0n, hard: 0n },
    { name: "user", uid: 7, gid: 0, groups: [] },
    { name: "exec", args: ["true"], env: [] },
  ];
  expect(execAcrossBorder(exec, 5007).map(({ name }) => name)).toEqual([
    "exec_into",
    "join_cgroup",
    "rlimit",
    "stdio_owner",
    "enter",
    "user",
    "exec",
  ]);
});
