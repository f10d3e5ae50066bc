/**
 * What is asked of berth-helper, in the records that wire.ts describes.
 */
import { kind, type NamedRecord } from "./wire-kinds.ts";

/**
 * Requests to berth-helper. Each carries the caller's id first; the answer is `ok` or `error` with the same id, in any
 * order. Handles are descriptors that the helper holds; they die with it.
 */
export const helperFrames = {
  netns_new: kind(
    1,
    "→ make a network namespace that this user namespace owns (0: the host's); ok.value is its handle",
    { id: "u32", owner: "u32" },
  ),
  userns_new: kind(
    20,
    "→ make a user namespace with these contents of /proc/PID/uid_map and gid_map; ok.value is its handle",
    { id: "u32", uid_map: "str", gid_map: "str" },
  ),
  owners_new: kind(
    26,
    "→ of a guard: the user namespace through which owners are seen of a container whose first ids these are; ok.value is its handle",
    { id: "u32", uid: "u32", gid: "u32" },
  ),
  probe_owners: kind(
    21,
    "→ ok if what is mounted at a path, and with recursive 1 whatever is mounted below it, can show owners through this user namespace",
    { id: "u32", path: "str", userns: "u32", recursive: "u32" },
  ),
  netns_open: kind(2, "→ open a namespace by path; ok.value is its handle", {
    id: "u32",
    path: "str",
  }),
  close: kind(3, "→ close a handle", { id: "u32", handle: "u32" }),
  netlink: kind(
    4,
    "→ send netlink messages in a namespace (0: the host's); ok.data is every answer up to the one (ack, error or done) for sequence number last_seq",
    {
      id: "u32",
      netns: "u32",
      protocol: "u32",
      last_seq: "u32",
      messages: "bytes",
    },
  ),
  socket: kind(
    5,
    "→ socket, bind, listen in a namespace; options: SOCKET_*; ok.value is the handle, ok.data the bound port as text",
    {
      id: "u32",
      netns: "u32",
      family: "u32",
      type: "u32",
      protocol: "u32",
      address: "str",
      port: "u32",
      options: "u32",
    },
  ),
  spawn: kind(
    6,
    "→ start a shim from its sealed copy, detached, in its own session, with rundir/plan as its plan and rundir/shim.sock (made and listening before the answer) as its socket; handles become its descriptors 10, 11, …; ok.value is its pid",
    {
      id: "u32",
      rundir: "str",
      handles: "u32s",
    },
  ),
  sysctl: kind(7, "→ write /proc/sys/<key> in a network namespace (0: the host's)", {
    id: "u32",
    netns: "u32",
    key: "str",
    value: "str",
  }),
  mknod: kind(8, "→ mknod on the host, without following a symlink", {
    id: "u32",
    path: "str",
    mode: "u32",
    major: "u32",
    minor: "u32",
  }),
  set_xattr: kind(9, "→ lsetxattr", { id: "u32", path: "str", attribute: "str", value: "bytes" }),
  get_xattrs: kind(
    10,
    "→ every extended attribute of a path, not following a symlink; ok.data: (str name, bytes value)*",
    { id: "u32", path: "str" },
  ),
  read_in_root: kind(
    11,
    "→ read a regular file of at most max bytes, resolved inside `root` (openat2 RESOLVE_IN_ROOT), never blocking on fifos",
    {
      id: "u32",
      root: "str",
      path: "str",
      max: "u32",
    },
  ),
  seccomp: kind(
    12,
    "→ compile a filter with libseccomp (binary tree); rules: seccomp_rule records one after the other; ok.data: struct sock_filter[]",
    {
      id: "u32",
      default_action: "u32",
      architectures: "strs",
      rules: "bytes",
    },
  ),
  probe_mount: kind(
    13,
    "→ in a throw-away mount namespace, fsopen/fsconfig/fsmount and attach at target (empty: do not attach); ok if it worked",
    { id: "u32", type: "str", params: "strs", target: "str" },
  ),
  device_filter: kind(
    14,
    "→ load an eBPF program (struct bpf_insn[]) of type CGROUP_DEVICE and attach it to a version-2 cgroup",
    { id: "u32", cgroup: "str", program: "bytes" },
  ),
  detached_mount: kind(
    15,
    "→ fsopen/fsconfig/fsmount of a mount that no namespace has; value: its handle",
    { id: "u32", type: "str", params: "strs" },
  ),
  unix_datagram: kind(16, "→ send one datagram to a Unix socket, without waiting", {
    id: "u32",
    path: "str",
    data: "bytes",
  }),
  subvolume: kind(
    17,
    "→ make a btrfs subvolume at path: empty, or a snapshot of the subvolume at source",
    { id: "u32", path: "str", source: "str" },
  ),
  subvolume_delete: kind(18, "→ delete the btrfs subvolume at path, and everything in it", {
    id: "u32",
    path: "str",
  }),
  subvolume_limit: kind(
    19,
    "→ limit what a btrfs subvolume has for itself; the file system's quotas are switched on if they are not",
    { id: "u32", path: "str", bytes: "u64" },
  ),
  netlink_watch: kind(
    24,
    "→ wait for messages of multicast groups (a bit each) in the host's namespace; ok once some have come that no request of this helper has caused; ok.data: what has come, ok.value: 1 when some were lost. It takes the place of one that still waits, which is never answered",
    { id: "u32", protocol: "u32", groups: "u32" },
  ),
  netlink_adopt: kind(
    25,
    "→ take from the shim with this run directory the netfilter socket that an earlier helper has given to shims, as the one for the host's namespace: what it owns is this helper's then. Only before the first request to netfilter. pid: out of that shim, which answers nobody; 0: by its socket",
    { id: "u32", rundir: "str", pid: "u32" },
  ),
  seccomp_rule: kind(
    64,
    "a rule inside seccomp.rules: names to which the action applies when all the conditions hold; op: SCMP_CMP_*; unknown names are skipped",
    {
      action: "u32",
      names: "strs",
      arg_index: "u32s",
      arg_op: "u32s",
      arg_value: "u64s",
      arg_value_two: "u64s",
    },
  ),

  ok: kind(128, "← done", { id: "u32", value: "u64", data: "bytes" }),
  error: kind(129, "← not done", { id: "u32", error: "u32", detail: "str" }),
} as const;

/** One frame on the helper's socket. */
export type HelperFrame = NamedRecord<typeof helperFrames>;
