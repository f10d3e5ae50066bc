/**
 * What the rest of berth may ask of the privileged helper: the one narrow path to the kernel's privileged calls.
 *
 * Every method rejects with a KernelError when the kernel says no, and with a Fault "unavailable" when the helper is
 * gone. Handles are descriptors inside the helper: they die with it, and the things that only they hold (a network
 * namespace without processes, a claimed port) die with them.
 */

/** A descriptor that the helper holds; 0 stands for the host where a namespace is wanted. */
export type Handle = number;

/** The kernel's refusal of one call. `code` is the errno's name (ENOENT, EPERM, …), `errno` its number. */
export class KernelError extends Error {
  constructor(
    readonly errno: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(`${detail}: ${code}`);
    this.name = "KernelError";
  }
}

/** A TCP, UDP or SCTP port to claim, by binding (and listening on) it. */
export interface PortRequest {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** A numeric IPv4 or IPv6 address. */
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  readonly listen: boolean;
}

/** A port to claim in a network namespace. */
export interface SocketRequest extends PortRequest {
  readonly netns: Handle;
}

/** One seccomp rule as libseccomp takes it; `op` is SCMP_CMP_NE … SCMP_CMP_MASKED_EQ by name. */
export interface SeccompRule {
  readonly action: number;
  readonly names: readonly string[];
  readonly args: readonly {
    readonly index: number;
    readonly op: number;
    readonly value: bigint;
    readonly valueTwo: bigint;
  }[];
}

/** The privileged calls. */
export interface Kernel {
  /** Makes an empty network namespace, with `lo` down; `owner`: the user namespace whose root may do everything in it. */
  newNetns(owner?: Handle): Promise<Handle>;
  /** Makes a user namespace that nobody is in; its maps as /proc/PID/uid_map and gid_map take them. */
  newUserNamespace(uidMap: string, gidMap: string): Promise<Handle>;
  /** This process has a guard, which alone may show owners through user namespaces, and makes those. */
  readonly guarded: boolean;
  /** The guard's user namespace through which owners are seen of the container whose first ids these are. */
  newOwners(uid: number, gid: number): Promise<Handle>;
  /** Rejects with EINVAL when a path's file system (and with `recursive` one mounted below it) cannot show owners through a user namespace. */
  probeOwners(path: string, userns: Handle, recursive: boolean): Promise<void>;
  /** Opens a namespace by path, such as /proc/PID/ns/net. */
  openNetns(path: string): Promise<Handle>;
  /** Closes a handle; closing one that is gone is no error. */
  close(handle: Handle): Promise<void>;
  /**
   * Waits for messages of netlink's multicast groups (a bit each) in the host's namespace; resolves with what has come that no
   * request made here has caused. `lost`: some could not be kept. A call takes the place of
   * one that still waits, which is then never settled.
   */
  watchNetlink(protocol: number, groups: number): Promise<{ messages: Uint8Array; lost: boolean }>;
  /**
   * Takes over the netfilter socket that an earlier helper has left with a shim, by its run directory, with whatever that socket owns.
   * `pid`: that shim's number, since it answers nobody. Rejects when nobody answers there, or with ENOTSUP when it has none.
   */
  adoptNetlink(rundir: string, pid?: number): Promise<void>;
  /**
   * Sends netlink messages (one buffer, each aligned) in a namespace; resolves with every answering message up to the one
   * for `lastSeq`. Errors inside the answers are left to the caller, who knows the messages.
   */
  netlink(
    netns: Handle,
    protocol: number,
    messages: Uint8Array,
    lastSeq: number,
  ): Promise<Uint8Array>;
  /** Claims a port; gives the handle and the port that it got. EADDRINUSE when another socket has it. */
  socket(request: SocketRequest): Promise<{ handle: Handle; port: number }>;
  /** Starts a shim for the plan at `rundir`/plan; its socket `rundir`/shim.sock accepts as soon as this resolves. Gives its pid. */
  spawnShim(rundir: string, handles: readonly Handle[]): Promise<number>;
  /** Writes /proc/sys/`name` (slashes) as seen in a network namespace. */
  sysctl(netns: Handle, name: string, value: string): Promise<void>;
  /** mknod without following symlinks. `mode` includes S_IF*. */
  mknod(path: string, mode: number, major: number, minor: number): Promise<void>;
  /** lsetxattr. */
  setXattr(path: string, name: string, value: Uint8Array): Promise<void>;
  /** Every extended attribute of a path, without following a symlink. */
  xattrs(path: string): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Reads a regular file of at most `max` bytes, resolving every link inside `root`; EFBIG when larger, ENOENT, ELOOP, EINVAL for what is no regular file. */
  readInRoot(root: string, path: string, max: number): Promise<Uint8Array>;
  /** Compiles a filter: struct sock_filter[] as bytes. Unknown syscall names are skipped. */
  compileSeccomp(
    defaultAction: number,
    architectures: readonly string[],
    rules: readonly SeccompRule[],
  ): Promise<Uint8Array>;
  /** Tries a mount in a throw-away namespace; rejects with the kernel's refusal. */
  probeMount(type: string, params: readonly string[], target: string): Promise<void>;
  /**
   * Makes a mount that no namespace has, by the parameters of fsconfig(2) ("key=value" or "flag"). It is reached at
   * /proc/`pid`/fd/HANDLE, and goes when the handle and whatever was opened in it is closed.
   */
  mountDetached(type: string, params: readonly string[]): Promise<Handle>;
  /** Makes a btrfs subvolume: empty, or a snapshot of another. ENOTTY or EINVAL on other file systems. */
  makeSubvolume(path: string, source?: string): Promise<void>;
  /** Deletes a btrfs subvolume at once, whatever is in it; ENOTEMPTY when another subvolume is. */
  deleteSubvolume(path: string): Promise<void>;
  /**
   * Limits the bytes that a btrfs subvolume has for itself: beyond them writes fail with EDQUOT. Switches the file system's
   * quotas on.
   */
  limitSubvolume(path: string, bytes: number): Promise<void>;
  /** Sends one datagram to a Unix socket; EAGAIN when the receiver has no room at the moment. */
  sendUnixDatagram(path: string, data: Uint8Array): Promise<void>;
  /** Attaches a program (struct bpf_insn[] of type CGROUP_DEVICE) to a version-2 cgroup, for as long as that lives. */
  filterDevices(cgroup: string, program: Uint8Array): Promise<void>;
  /** The helper's process id. */
  readonly pid: number;
  /** Resolves when the helper has gone, for whatever reason. */
  readonly closed: Promise<void>;
  /** Ends the helper and everything that only its handles held. */
  stop(): Promise<void>;
}
