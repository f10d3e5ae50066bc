/**
 * Starts berth-helper and speaks its protocol: requests are pipelined over one Unix socket and answered by id.
 */
import { constants } from "node:os";
import type { Socket } from "bun";
import { fault } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { wireConstants } from "../spec/wire.ts";
import { encodeRecords, RecordDecoder } from "../spec/wire-codec.ts";
import { type HelperFrame, helperFrames } from "../spec/wire-helper.ts";
import {
  type Handle,
  type Kernel,
  KernelError,
  type PortRequest,
  type SeccompRule,
  type SocketRequest,
} from "./port.ts";

/** Where the helper's parts lie. */
export interface KernelOptions {
  /** The berth-helper program. */
  readonly helperPath: string;
  /** The berth-shim program; it is read once, at start. */
  readonly shimPath: string;
  /** A path for the helper's socket (at most 107 bytes); it exists only until the connection is made. */
  readonly socketPath: string;
  /** The socket of who keeps the namespaces of a daemon that has no rights outside; undefined: it has the host's. */
  readonly keeperPath?: string | undefined;
  /** The keeper is a guard, which has the host's rights. */
  readonly guarded?: boolean;
}

interface Answer {
  readonly value: bigint;
  readonly data: Uint8Array;
}

interface Waiter {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

type Unnumbered<T> = T extends { readonly id: number } ? Omit<T, "id"> : never;
type Request = Unnumbered<HelperFrame>;

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** One connection: numbers requests, matches answers, and keeps order when the socket is full. */
class Channel {
  private readonly waiting = new Map<number, Waiter>();
  private readonly decoder = new RecordDecoder(helperFrames);
  private backlog: Uint8Array[] = [];
  private nextId = 1;
  private socket: Socket | undefined;
  private gone = false;
  readonly closed: Promise<void>;
  private readonly markClosed: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.markClosed = resolve;
  }

  async connect(path: string): Promise<void> {
    this.socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_socket, chunk) => this.receive(chunk),
        drain: () => this.flush(),
        close: () => this.end(),
        error: (_socket, error) => log.error("connection to berth-helper", { error }),
      },
    });
  }

  request(request: Request): Promise<Answer> {
    if (this.gone) return Promise.reject(helperGone());
    const id = this.nextId;
    this.nextId = id === 0xffffffff ? 1 : id + 1;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const bytes = encodeRecords(helperFrames, { ...request, id } as HelperFrame);
    this.waiting.set(id, { resolve, reject });
    this.backlog.push(bytes);
    this.flush();
    return promise;
  }

  close(): void {
    this.socket?.end();
  }

  private flush(): void {
    for (let chunk = this.backlog[0]; chunk !== undefined; chunk = this.backlog[0]) {
      const sent = this.socket?.write(chunk) ?? 0;
      if (sent < chunk.length) {
        this.backlog[0] = chunk.subarray(Math.max(sent, 0));
        return;
      }
      this.backlog.shift();
    }
  }

  private receive(chunk: Uint8Array): void {
    for (const frame of this.decoder.push(chunk)) {
      if (frame.name !== "ok" && frame.name !== "error") continue;
      const waiter = this.waiting.get(frame.id);
      this.waiting.delete(frame.id);
      if (frame.name === "ok") waiter?.resolve(frame);
      else waiter?.reject(kernelError(frame.error, frame.detail));
    }
  }

  private end(): void {
    this.gone = true;
    for (const waiter of this.waiting.values()) waiter.reject(helperGone());
    this.waiting.clear();
    this.markClosed();
  }
}

function helperGone(): Error {
  return fault("unavailable", "helper-gone", "berth-helper has ended; restart the daemon");
}

const families = { tcp: [1, 6], udp: [2, 17], sctp: [1, 132] } as const;

/** A port as the numbers of socket(2) and the wire's options, for whoever binds it. */
export function socketNumbers(request: PortRequest) {
  const [type, protocol] = families[request.protocol];
  const v6 = request.address.includes(":");
  // A listening socket keeps others out in spite of SO_REUSEADDR; without it, remains of old connections would.
  const options =
    (request.listen ? wireConstants.SOCKET_LISTEN | wireConstants.SOCKET_REUSEADDR : 0) |
    (v6 ? wireConstants.SOCKET_V6ONLY : 0);
  return { family: v6 ? 10 : 2, type, protocol, options };
}

/** An errno by its name. */
export function kernelError(errno: number, detail: string): KernelError {
  return new KernelError(errno, errnoNames.get(errno) ?? `errno ${errno}`, detail);
}

class HelperKernel implements Kernel {
  constructor(
    private readonly channel: Channel,
    readonly guarded: boolean,
    private readonly child: { readonly pid: number; readonly exited: Promise<number>; ref(): void },
  ) {}

  get pid(): number {
    return this.child.pid;
  }

  get closed(): Promise<void> {
    return this.channel.closed;
  }

  async newNetns(owner: Handle = 0): Promise<Handle> {
    return Number((await this.channel.request({ name: "netns_new", owner })).value);
  }

  async newUserNamespace(uid_map: string, gid_map: string): Promise<Handle> {
    return Number((await this.channel.request({ name: "userns_new", uid_map, gid_map })).value);
  }

  async probeOwners(path: string, userns: Handle, recursive: boolean): Promise<void> {
    const request = { path, userns, recursive: recursive ? 1 : 0 };
    await this.channel.request({ name: "probe_owners", ...request });
  }

  async newOwners(uid: number, gid: number): Promise<Handle> {
    return Number((await this.channel.request({ name: "owners_new", uid, gid })).value);
  }

  async openNetns(path: string): Promise<Handle> {
    return Number((await this.channel.request({ name: "netns_open", path })).value);
  }

  async close(handle: Handle): Promise<void> {
    await this.channel.request({ name: "close", handle });
  }

  async netlink(
    netns: Handle,
    protocol: number,
    messages: Uint8Array,
    lastSeq: number,
  ): Promise<Uint8Array> {
    const last_seq = lastSeq;
    const request = { name: "netlink", netns, protocol, last_seq, messages } as const;
    return (await this.channel.request(request)).data;
  }

  async watchNetlink(protocol: number, groups: number) {
    const request = { name: "netlink_watch", protocol, groups } as const;
    const { value, data } = await this.channel.request(request);
    return { messages: data, lost: value !== 0n };
  }

  async adoptNetlink(rundir: string, pid = 0): Promise<void> {
    await this.channel.request({ name: "netlink_adopt", rundir, pid });
  }

  async socket(request: SocketRequest): Promise<{ handle: Handle; port: number }> {
    const { netns, address, port } = request;
    const answer = await this.channel.request({
      name: "socket",
      netns,
      ...socketNumbers(request),
      address,
      port,
    });
    return { handle: Number(answer.value), port: Number(new TextDecoder().decode(answer.data)) };
  }

  async spawnShim(rundir: string, handles: readonly Handle[]): Promise<number> {
    return Number((await this.channel.request({ name: "spawn", rundir, handles })).value);
  }

  async sysctl(netns: Handle, name: string, value: string): Promise<void> {
    // The frame's own kind and the sysctl's name share the word: the frame is built by hand.
    await this.channel.request({ name: "sysctl", netns, key: name, value });
  }

  async mknod(path: string, mode: number, major: number, minor: number): Promise<void> {
    await this.channel.request({ name: "mknod", path, mode, major, minor });
  }

  async setXattr(path: string, name: string, value: Uint8Array): Promise<void> {
    await this.channel.request({ name: "set_xattr", path, attribute: name, value });
  }

  async xattrs(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
    const { data } = await this.channel.request({ name: "get_xattrs", path });
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const found = new Map<string, Uint8Array>();
    for (let at = 0; at < data.length; ) {
      const nameEnd = at + 4 + view.getUint32(at, true);
      const name = new TextDecoder().decode(data.subarray(at + 4, nameEnd));
      const valueAt = nameEnd + 1 + 4;
      const valueEnd = valueAt + view.getUint32(nameEnd + 1, true);
      found.set(name, data.slice(valueAt, valueEnd));
      at = valueEnd;
    }
    return found;
  }

  async readInRoot(root: string, path: string, max: number): Promise<Uint8Array> {
    return (await this.channel.request({ name: "read_in_root", root, path, max })).data;
  }

  async compileSeccomp(
    defaultAction: number,
    architectures: readonly string[],
    rules: readonly SeccompRule[],
  ): Promise<Uint8Array> {
    const records = rules.map((rule) => ({
      name: "seccomp_rule" as const,
      action: rule.action,
      names: rule.names,
      arg_index: rule.args.map((arg) => arg.index),
      arg_op: rule.args.map((arg) => arg.op),
      arg_value: rule.args.map((arg) => arg.value),
      arg_value_two: rule.args.map((arg) => arg.valueTwo),
    }));
    const request = {
      name: "seccomp",
      default_action: defaultAction,
      architectures,
      rules: encodeRecords(helperFrames, ...records),
    } as const;
    return (await this.channel.request(request)).data;
  }

  async probeMount(type: string, params: readonly string[], target: string): Promise<void> {
    await this.channel.request({ name: "probe_mount", type, params, target });
  }

  async mountDetached(type: string, params: readonly string[]): Promise<Handle> {
    const { value } = await this.channel.request({ name: "detached_mount", type, params });
    return Number(value);
  }

  async makeSubvolume(path: string, source = ""): Promise<void> {
    await this.channel.request({ name: "subvolume", path, source });
  }

  async deleteSubvolume(path: string): Promise<void> {
    await this.channel.request({ name: "subvolume_delete", path });
  }

  async limitSubvolume(path: string, bytes: number): Promise<void> {
    await this.channel.request({ name: "subvolume_limit", path, bytes: BigInt(bytes) });
  }

  async sendUnixDatagram(path: string, data: Uint8Array): Promise<void> {
    await this.channel.request({ name: "unix_datagram", path, data });
  }

  async filterDevices(cgroup: string, program: Uint8Array): Promise<void> {
    await this.channel.request({ name: "device_filter", cgroup, program });
  }

  async stop(): Promise<void> {
    // Unreferenced so far, so that it keeps nobody alive; now its end is what is waited for.
    this.child.ref();
    this.channel.close();
    await this.child.exited;
  }
}

async function waitForReady(stdout: ReadableStream<Uint8Array>): Promise<boolean> {
  for await (const chunk of stdout) {
    if (new TextDecoder().decode(chunk).includes("ready")) return true;
  }
  return false;
}

/**
 * Starts the helper and connects to it. The helper dies with this process, and this process is told by `closed` when
 * the helper dies. Throws a Fault "unavailable" when it cannot be started.
 */
export async function startKernel(options: KernelOptions): Promise<Kernel> {
  const keeper = options.keeperPath === undefined ? [] : [options.keeperPath];
  const command = [options.helperPath, "serve", options.socketPath, options.shimPath, ...keeper];
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: {},
    cwd: "/",
  });
  if (!(await waitForReady(child.stdout))) {
    const status = await child.exited;
    throw fault(
      "unavailable",
      "helper-start",
      `berth-helper did not start (exit status ${status})`,
    );
  }
  const channel = new Channel();
  await channel.connect(options.socketPath);
  child.unref();
  return new HelperKernel(channel, options.guarded === true, child);
}
