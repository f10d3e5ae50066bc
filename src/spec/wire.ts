/**
 * The one description of what TypeScript says to the C programs and hears from them.
 *
 * Every record is `u32 length, u16 code, u16 0, body`; the length counts the body only; integers are
 * little-endian and unaligned. A body is its fields in the order written here:
 *   u32, u64    4 or 8 bytes                    i64   8 bytes, two's complement
 *   str         u32 length, bytes, NUL (the length does not count the NUL; no NUL inside)
 *   bytes       u32 length, bytes
 *   strs        u32 count, that many str        u32s, u64s   u32 count, that many integers
 * tools/wire.ts writes native/wire.h from this file. Nothing here decides anything: policy is in runtime/.
 */

import { kind, type NamedRecord } from "./wire-kinds.ts";

/**
 * A launch plan: a file of records that the shim executes in order. The first is `shim`; those marked (shim) are
 * executed by the shim before it makes the child, all others by the child, each once, in order; `exec` is last.
 * An exec into a running container is a plan too: its first record is `exec_into`.
 */
export const planOps = {
  shim: kind(
    1,
    "(shim) what the shim supervises. clone_flags: CLONE_NEW* of the child; options: SHIM_*; id: the container's id, for the process title",
    {
      clone_flags: "u64",
      options: "u32",
      id: "str",
    },
  ),
  log: kind(
    2,
    "(shim) write stdout and stderr to a json-file log; rotate at max_size bytes (0: never), keep max_files files; attrs: a JSON object that stands in each record (empty: none), of LOG_ATTRS_MAX bytes at most; ring: so many bytes wait for the disk, the oldest go when they are too many (0: the container waits for the disk); options: LOG_*",
    {
      path: "str",
      max_size: "u64",
      max_files: "u32",
      attrs: "str",
      ring: "u64",
      options: "u32",
    },
  ),
  exit_file: kind(
    3,
    "(shim) at the end write the exit record there, atomically: 'status signal oom_kills finished_ns log_dropped log_failed\\n'",
    {
      path: "str",
    },
  ),
  oom_file: kind(
    4,
    "(shim) at the end read the number behind the word oom_kill in this cgroup file",
    { path: "str" },
  ),
  join_pid_ns: kind(
    5,
    "(shim) the child is born in this pid namespace; fd if not NO_FD, else path",
    {
      fd: "u32",
      path: "str",
    },
  ),
  clone_into_cgroup: kind(6, "(shim) cgroup v2: the child is born in this cgroup directory", {
    path: "str",
  }),
  dns: kind(7, "(shim) resolvers (numeric addresses) to ask while no daemon is connected", {
    upstreams: "strs",
  }),
  exec_into: kind(
    8,
    "(shim) run in the namespaces of the container's PID 1. namespaces: CLONE_NEW* to join; options: SHIM_*",
    {
      namespaces: "u64",
      options: "u32",
    },
  ),
  user_ns: kind(
    9,
    "(shim) the child is born in the user namespace of this descriptor, which owns every namespace that is made with it. A go-between makes it, which first executes whatever stands before `enter`: with the host's rights, in a mount namespace of its own",
    { fd: "u32" },
  ),

  root_server: kind(
    10,
    "(shim) the program that serves root_fuse: run on the host once that has been mounted, with /dev/fuse as its descriptor 3; the container ends with it",
    { args: "strs", env: "strs" },
  ),

  join_ns: kind(20, "setns; fd if not NO_FD, else path; type is the CLONE_NEW* that it must be", {
    fd: "u32",
    path: "str",
    type: "u64",
  }),
  join_cgroup: kind(21, "write 0 to this tasks or cgroup.procs file", { path: "str" }),
  unshare: kind(22, "unshare(flags)", { flags: "u64" }),
  hostname: kind(23, "sethostname", { value: "str" }),
  domainname: kind(24, "setdomainname", { value: "str" }),
  link_up: kind(25, "set a network interface up", { device: "str" }),
  dns_socket: kind(
    26,
    "make UDP and TCP sockets bound to address:port in this network namespace and hand them to the shim",
    {
      address: "str",
      port: "u32",
    },
  ),
  enter: kind(
    28,
    "the border: what stands before it a go-between executes, on the host; here the child becomes root of the user namespace that it is in",
    {},
  ),
  host_directory: kind(29, "chdir on the host; a root that is held is attached there", {
    path: "str",
  }),
  propagation: kind(
    27,
    "mount(NULL, path, NULL, flags) in the present root: MS_PRIVATE, MS_SLAVE, …",
    {
      path: "str",
      flags: "u64",
    },
  ),

  root_mount: kind(
    40,
    "fsopen(type), fsconfig(params), fsmount; attach at host directory `target` in the child's own mount namespace; it is the container's root from now on. hold: if not NO_FD, it is only kept, as this descriptor. fs_uid: if not NO_OWNER, made by the engine as this user and group, whom what the file system makes for itself belongs to",
    {
      type: "str",
      source: "str",
      params: "strs",
      attrs: "u64",
      target: "str",
      hold: "u32",
      fs_uid: "u32",
      fs_gid: "u32",
    },
  ),
  root_bind: kind(
    41,
    "clone host directory `source`, attach at host directory `target`; it is the container's root from now on",
    {
      source: "str",
      attrs: "u64",
      target: "str",
    },
  ),
  mount: kind(
    42,
    "as root_mount, attached at `target` inside the container's root (made if missing); with a subpath only what that leads to inside the mount",
    {
      type: "str",
      source: "str",
      params: "strs",
      attrs: "u64",
      target: "str",
      subpath: "str",
      hold: "u32",
      fs_uid: "u32",
      fs_gid: "u32",
    },
  ),
  bind: kind(
    43,
    "clone the tree at host path `source` (opened before the root is left), set attributes and propagation, attach at `target` inside the root (made as file or directory, as the source is). With a subpath only what that leads to inside the source, by no link out of it; with a mount_ns (a path) the source is a path there. owners: if not NO_FD, a user namespace whose maps owners are seen through. hold: if not NO_FD, it is only kept, as this descriptor. options: BIND_*",
    {
      mount_ns: "str",
      source: "str",
      subpath: "str",
      target: "str",
      attr_set: "u64",
      attr_clr: "u64",
      propagation: "u64",
      options: "u32",
      owners: "u32",
      hold: "u32",
    },
  ),
  mkdir: kind(44, "make a directory (and its parents) inside the root; fine if it is there", {
    path: "str",
    mode: "u32",
  }),
  mknod: kind(
    45,
    "make a device node, fifo or empty file inside the root; fine if such a one is there",
    {
      path: "str",
      mode: "u32",
      major: "u32",
      minor: "u32",
      uid: "u32",
      gid: "u32",
    },
  ),
  symlink: kind(46, "make a symbolic link inside the root; fine if something is there", {
    target: "str",
    path: "str",
  }),
  mask: kind(
    47,
    "hide a path inside the root: a file by the real null device, a directory by an empty read-only tmpfs with these parameters (the same for all of a plan); nothing if it is not there",
    { path: "str", params: "strs" },
  ),
  file_label: kind(
    72,
    "give a directory inside the root its label of SELinux, where its file system takes one of nobody who mounts it",
    { path: "str", value: "str" },
  ),
  readonly: kind(
    48,
    "bind a path inside the root on itself, read-only with its children; nothing if it is not there",
    { path: "str" },
  ),
  root_attrs: kind(
    49,
    "mount_setattr on the root mount itself (not recursive), for a read-only root",
    { attr_set: "u64" },
  ),
  sysctl: kind(
    50,
    "write a sysctl through a private procfs handle; key with slashes, relative to /proc/sys",
    {
      key: "str",
      value: "str",
    },
  ),
  pty: kind(
    51,
    "open a pseudo-terminal of the root's own /dev/pts, hand its master to the shim, bind the slave at /dev/console",
    {
      rows: "u32",
      columns: "u32",
    },
  ),
  root_fuse: kind(53, "as root_mount of a FUSE file system, which the shim's root_server serves", {
    params: "strs",
    attrs: "u64",
    target: "str",
  }),
  attach: kind(
    54,
    "attach what is held as this descriptor at `target` inside the container's root (made as file or directory, as it is)",
    { held: "u32", target: "str" },
  ),
  attach_root: kind(
    55,
    "attach what is held as this descriptor at the working directory; it is the container's root from now on",
    { held: "u32" },
  ),
  pivot_root: kind(
    52,
    "make the container's root the root directory and drop the old one; ends everything that names host paths",
    {},
  ),

  oom_score_adj: kind(60, "write /proc/self/oom_score_adj", { value: "i64" }),
  rlimit: kind(61, "prlimit; resource by number", { resource: "u32", soft: "u64", hard: "u64" }),
  umask: kind(62, "umask", { mask: "u32" }),
  bounding: kind(63, "drop every capability from the bounding set that is not in the mask", {
    mask: "u64",
  }),
  user: kind(64, "setgroups, setresgid, setresuid, with keepcaps", {
    uid: "u32",
    gid: "u32",
    groups: "u32s",
  }),
  workdir: kind(
    65,
    "chdir; made (mode 0755, owner uid:gid) if missing, unless uid is NO_OWNER; it must lie inside the root",
    { path: "str", uid: "u32", gid: "u32" },
  ),
  capabilities: kind(66, "capset and ambient raise", {
    effective: "u64",
    permitted: "u64",
    inheritable: "u64",
    ambient: "u64",
  }),
  stdio_owner: kind(70, "fchown of the pipes that are its standard streams", { uid: "u32" }),
  no_new_privs: kind(67, "prctl(PR_SET_NO_NEW_PRIVS)", {}),
  seccomp: kind(
    68,
    "seccomp(SECCOMP_SET_MODE_FILTER, flags, filter); filter: struct sock_filter[]",
    { filter: "bytes", flags: "u32" },
  ),
  label: kind(
    71,
    "write `value` to this file of /proc/thread-self/attr through a private procfs: what a security module makes of the next exec, or of this process",
    { file: "str", value: "str" },
  ),
  init: kind(
    69,
    "stay as PID 1 without exec, run the rest in a child, forward signals, reap, exit as the child does",
    {},
  ),
  exec: kind(
    99,
    "wait for the start, then execve: the path as it is if it has a slash, else searched for in PATH of env",
    {
      args: "strs",
      env: "strs",
    },
  ),
} as const;

/** Bits and constants that both sides share. */
export const wireConstants = {
  SHIM_VERSION: 5, // 2: claim_port and retain_ports; 3: enter; 4: dns_keep and dns_forget; 5: relay_ports
  NO_FD: 0xffffffff,
  NO_OWNER: 0xffffffff,
  SHIM_TTY: 1, // output is one raw stream from the pty
  SHIM_STDIN: 2, // keep stdin open for attach; else it is /dev/null
  SHIM_STDIN_ONCE: 4, // the end of the first attached stdin is the end of stdin
  LOG_ATTRS_MAX: 262144,
  LOG_COMPRESSED: 1, // rotated files may be replaced by compressed ones (log_swap): log_files tells when to look at them
  BIND_RECURSIVE: 1,
  BIND_RECURSIVE_ATTRS: 2, // attributes apply to submounts too
  BIND_NO_FOLLOW_TARGET: 4, // refuse if the target's last component is a symlink
  BIND_LAYER: 8, // held for an overlay: attached at the working directory, too, for before Linux 6.15 that takes no other
  BIND_GUARDED: 16, // the guard gives the mount, with its owners as `owners` has them (wire-guard.ts)
  ATTACH_STDIN: 1,
  ATTACH_STDOUT: 2,
  ATTACH_STDERR: 4,
  SIGNAL_GROUP: 0x10000, // added to a signal for an exec: its whole process group
  SOCKET_LISTEN: 1,
  SOCKET_REUSEADDR: 2,
  SOCKET_V6ONLY: 4,
} as const;

/**
 * Frames on a shim's socket. The first frame that a client sends says what the connection is:
 * `control` (then any of the requests, with the events flowing back), `attach` or `exec` (after the answer the
 * connection carries raw bytes: client to shim is stdin, its half-close is stdin's end; shim to client is the output,
 * in Docker's stream framing {1|2,0,0,0,u32 big-endian length} or, with a tty, raw; the shim closes it at the end).
 */
export const shimFrames = {
  control: kind(
    1,
    "→ this connection controls; the shim answers `state` and sends events from now on",
    {},
  ),
  start: kind(
    2,
    "→ let the child exec; answered by `started` or `failed`. If every control connection closes before start, the shim gives up",
    {},
  ),
  signal: kind(
    3,
    "→ send a signal to the container's PID 1 (exec 0) or to an exec, with SIGNAL_GROUP to its group; answered by `done`",
    { exec: "u32", signal: "u32" },
  ),
  resize: kind(4, "→ set the terminal's size (exec 0: the container's); answered by `done`", {
    exec: "u32",
    rows: "u32",
    columns: "u32",
  }),
  attach: kind(5, "→ this connection is a stream; streams: ATTACH_*; answered by `attached`", {
    streams: "u32",
  }),
  exec: kind(
    6,
    "→ run an exec plan; id is the caller's number for it (>0); streams: ATTACH_*; answered by `started` or `failed`, then raw bytes",
    {
      id: "u32",
      streams: "u32",
      plan: "bytes",
    },
  ),
  dns_answer: kind(7, "→ the answer to a dns_query, as it goes to the asker (empty: drop it)", {
    id: "u32",
    message: "bytes",
  }),
  close_stdin: kind(8, "→ end the container's stdin; answered by `done`", {}),
  claim_port: kind(
    9,
    "→ bind (and listen) on the host and hold the socket until the container ends; options: SOCKET_*; answered by `claimed`",
    {
      family: "u32",
      type: "u32",
      protocol: "u32",
      address: "str",
      port: "u32",
      options: "u32",
    },
  ),
  retain_ports: kind(
    10,
    "→ let go of every claimed port, from the plan's handles or by claim_port, that is not listed; answered by `done`",
    { protocols: "u32s", addresses: "strs", ports: "u32s" },
  ),
  log_swap: kind(
    11,
    "→ a compressed file takes the place of the rotated one with this inode, as NAME.gz, or is removed when that has gone; answered by `done` at once, and by `log_files` when it is done",
    { inode: "u64", path: "str" },
  ),
  dns_keep: kind(
    12,
    "→ like dns_answer; while no daemon is connected, the same question is answered so, too; section: the length of the question section",
    { id: "u32", section: "u32", message: "bytes" },
  ),
  dns_forget: kind(13, "→ no kept answer holds any longer", {}),
  relay_ports: kind(
    14,
    "→ hand clients of these claimed ports, and of no others, on to addresses of the container; answered by `done`",
    {
      protocols: "u32s",
      addresses: "strs",
      ports: "u32s",
      targets: "strs",
      target_ports: "u32s",
    },
  ),
  give_netlink: kind(
    15,
    "→ a connection's only frame: the shim answers with one byte, and with the netlink socket that it has kept, and hangs up",
    {},
  ),

  state: kind(
    32,
    "← phase 0: preparing, 1: prepared (waits for start), 2: running; pid of PID 1 as the host sees it",
    { phase: "u32", pid: "u32" },
  ),
  prepared: kind(33, "← the child has done every op before exec", { pid: "u32" }),
  started: kind(34, "← exec has happened; exec 0 is the container itself", {
    exec: "u32",
    pid: "u32",
  }),
  failed: kind(
    35,
    "← an op failed: its code (planOps), its index in the plan, the errno, and what it was about",
    {
      exec: "u32",
      op: "u32",
      index: "u32",
      error: "u32",
      detail: "str",
    },
  ),
  attached: kind(36, "← the stream begins", {}),
  done: kind(37, "← a request was carried out (error 0) or not", { error: "u32" }),
  exited: kind(
    38,
    "← PID 1 is gone, output is drained, the exit record is written; status 0-255, or signal",
    {
      status: "u32",
      signal: "u32",
      oom_kills: "u64",
      finished_ns: "u64",
    },
  ),
  exec_exited: kind(39, "← an exec is gone", { exec: "u32", status: "u32", signal: "u32" }),
  claimed: kind(
    41,
    "← the answer to claim_port: error 0 and the port that was bound, or the errno",
    {
      error: "u32",
      port: "u32",
    },
  ),
  log_files: kind(
    42,
    "← with LOG_COMPRESSED: look at the log's files, for rotation or a log_swap may have changed them; also sent after `state`",
    {},
  ),
  log_lost: kind(
    43,
    "← so many records of this run are lost, all in all: dropped from the ring, and not taken by a full disk; news 0: this has been told before, to another",
    { dropped: "u64", failed: "u64", news: "u32" },
  ),
  dns_query: kind(40, "← a question that arrived at the container's resolver socket; tcp 0 or 1", {
    id: "u32",
    tcp: "u32",
    message: "bytes",
  }),
} as const;

/** One operation of a launch plan. */
export type PlanOp = NamedRecord<typeof planOps>;
/** One frame on a shim's socket. */
export type ShimFrame = NamedRecord<typeof shimFrames>;
