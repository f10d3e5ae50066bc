/**
 * User namespaces that are held ready for containers to come, each with a network namespace of its own: what takes longest
 * of a start. They are nothing but descriptors of the helper's, with which they go.
 */
import { Stock } from "../base/stock.ts";
import type { Handle, Kernel } from "../kernel/index.ts";
import type { NamespaceKind, Networks, PreparedNamespace } from "../network/index.ts";
import { readyCount } from "../network/index.ts";
import { idMapText } from "../runtime/index.ts";
import { idsOfRemap, subordinateFiles } from "./listed-ids.ts";
import { freeIds, ownersThrough, poolOf, type UserIds } from "./user-ids.ts";

/** Handles of a user namespace. */
export interface UserNamespaceHandles {
  readonly ids: UserIds;
  /** The namespace that a container is born in. */
  readonly handle: Handle;
  /** One whose maps owners are seen through. */
  readonly owners: Handle;
}

/** One that nobody is in yet. */
export interface ReadyUserNamespace extends UserNamespaceHandles {
  readonly network: PreparedNamespace;
}

function make(kernel: Kernel, { uidMap, gidMap }: UserIds): Promise<Handle> {
  return kernel.newUserNamespace(idMapText(uidMap), idMapText(gidMap));
}

function makeOwners(kernel: Kernel, ids: UserIds): Promise<Handle> {
  const [uid, gid] = [ids.uidMap[0]?.hostID ?? 0, ids.gidMap[0]?.hostID ?? 0];
  return kernel.guarded ? kernel.newOwners(uid, gid) : make(kernel, ownersThrough(ids));
}

async function withOwners(kernel: Kernel, ids: UserIds, handle: Handle) {
  try {
    return { ids, handle, owners: await makeOwners(kernel, ids) };
  } catch (error) {
    await kernel.close(handle).catch(() => {});
    throw error;
  }
}

/** Makes a user namespace; nothing is left when this rejects. */
export async function makeNamespaces(kernel: Kernel, ids: UserIds): Promise<UserNamespaceHandles> {
  return withOwners(kernel, ids, await make(kernel, ids));
}

/** The same for one that a process is in: "/proc/PID/ns/user". */
export async function openNamespaces(
  kernel: Kernel,
  ids: UserIds,
  path: string,
): Promise<UserNamespaceHandles> {
  return withOwners(kernel, ids, await kernel.openNetns(path));
}

/** Where the ids of containers are noted. */
interface Records {
  all(): readonly { readonly record: { readonly userNamespace?: UserIds | undefined } }[];
}

/** Which ids the next container gets, and what is ready for it, by the network namespaces that belong to it. */
export class UserNamespaceStock {
  /** By mode and kind. */
  private readonly stocks = new Map<string, Stock<ReadyUserNamespace>>();
  /** The ids of what is ready, or about to be. */
  private readonly reserved = new Set<UserIds>();
  private readonly records: Records[] = [];

  constructor(
    private readonly kernel: Kernel,
    private readonly networks: Networks,
    private readonly options: {
      /** The mode of which some are held ready from the beginning: "auto", or a remap; "host": none. */
      readonly mode: string;
      readonly warm: number;
    },
  ) {}

  /** Ids of containers there are taken. */
  know(records: Records): void {
    this.records.push(records);
  }

  /** Ids for a container of that mode. Throws Faults where there are none. */
  ids(mode: string): UserIds {
    if (mode !== "auto") return idsOfRemap(mode);
    const taken = this.records.flatMap((records) =>
      records.all().flatMap(({ record }) => record.userNamespace ?? []),
    );
    return freeIds(poolOf(subordinateFiles()), [...taken, ...this.reserved]);
  }

  /** Begins to hold some of a kind ready. */
  fill(kind: NamespaceKind): void {
    const { mode } = this.options;
    if (mode !== "host") this.stockOf(mode, kind).fill();
  }

  /** One with a network namespace of that kind; undefined: none is ready. Who has it closes it. */
  take(mode: string, kind: NamespaceKind): ReadyUserNamespace | undefined {
    if (mode !== this.options.mode && mode !== "auto") return undefined;
    const ready = this.stockOf(mode, kind).take();
    if (ready !== undefined) this.reserved.delete(ready.ids);
    return ready;
  }

  /** Nobody is on a default network that there is not. */
  private sizeOf(kind: NamespaceKind): number {
    const lacking = kind === "default" && this.networks.defaultBridge === undefined;
    return lacking ? 0 : readyCount(kind, this.options.warm);
  }

  private stockOf(mode: string, kind: NamespaceKind): Stock<ReadyUserNamespace> {
    const existing = this.stocks.get(`${mode} ${kind}`);
    if (existing !== undefined) return existing;
    const made = new Stock(
      "a user namespace",
      this.sizeOf(kind),
      () => this.make(mode, kind),
      (one) => this.discard(one),
    );
    this.stocks.set(`${mode} ${kind}`, made);
    return made;
  }

  private async make(mode: string, kind: NamespaceKind): Promise<ReadyUserNamespace> {
    const ids = this.ids(mode);
    this.reserved.add(ids);
    try {
      return await this.makeOf(ids, kind);
    } catch (error) {
      this.reserved.delete(ids);
      throw error;
    }
  }

  private async makeOf(ids: UserIds, kind: NamespaceKind): Promise<ReadyUserNamespace> {
    const made = await makeNamespaces(this.kernel, ids);
    try {
      return { ...made, network: await this.networks.namespaces.make(kind, made.handle) };
    } catch (error) {
      await this.close([made.handle, made.owners]);
      throw error;
    }
  }

  private async close(handles: readonly Handle[]): Promise<void> {
    for (const handle of handles) await this.kernel.close(handle).catch(() => {});
  }

  private async discard({ ids, handle, owners, network }: ReadyUserNamespace): Promise<void> {
    this.reserved.delete(ids);
    await this.networks.namespaces.discard(network);
    await this.close([handle, owners]);
  }

  /** Lets go of all; none is made any more. */
  async end(): Promise<void> {
    await Promise.all([...this.stocks.values()].map((stock) => stock.close()));
  }
}
