/**
 * The user namespaces that a start needs: the container's own, those that mounts' owners are seen through, and with them
 * what it joins, since a container with its own has no right to open that. The shim gets them behind its other handles.
 */
import type { Handle } from "../kernel/index.ts";
import type { NamespaceOwner } from "../network/index.ts";
import { idMapText, ownersKey, type PlanExtras } from "../runtime/index.ts";
import type { OciSpec } from "../spec/oci-runtime.ts";
import type { ResolvedUser } from "../spec/users.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { ownersThrough } from "./user-ids.ts";
import { letGo, type MadeUserNamespace, makeUserNamespace, mappedUid } from "./user-namespaces.ts";

/** So many numbers behind the handles are left for what the shim itself opens. */
const SHIM_OWN = 64;

/** The handles of one start; whoever has made them closes them. */
export class UserHandles {
  private readonly all: Handle[] = [];
  /** The namespace that others are to belong to. */
  readonly owner: NamespaceOwner | undefined;
  /** Places among the handles, by what they are for. */
  private readonly owners = new Map<string, number>();
  private readonly joined = new Map<string, number>();

  private constructor(
    private readonly deps: EngineDeps,
    private readonly record: ContainerRecord,
    private readonly own: MadeUserNamespace | undefined,
  ) {
    if (own === undefined) return;
    this.all.push(own.handle, own.owners);
    const { uidMap: uidMappings, gidMap: gidMappings } = ownersThrough(own.ids);
    const usual = ownersKey({ uidMappings, gidMappings });
    if (usual !== undefined) this.owners.set(usual, 1);
    this.owner = { handle: own.handle, ready: own.network };
  }

  /** Makes the container's user namespace, if it has one, and notes in the record what it is. */
  static async make(
    deps: EngineDeps,
    record: ContainerRecord,
    user: ResolvedUser,
  ): Promise<UserHandles> {
    return new UserHandles(deps, record, await makeUserNamespace(deps, record, user));
  }

  get handles(): readonly Handle[] {
    return this.all;
  }

  /** Lets go of all. */
  close(): Promise<void> {
    return letGo(this.deps, this.all, this.owner?.ready);
  }

  /** Makes what a configuration asks for besides. */
  async makeFor(spec: OciSpec): Promise<void> {
    const { kernel } = this.deps;
    for (const mount of spec.mounts) {
      const key = ownersKey(mount);
      if (key === undefined || this.owners.has(key)) continue;
      const [uids, gids] = [idMapText(mount.uidMappings), idMapText(mount.gidMappings)];
      this.owners.set(key, this.all.length);
      this.all.push(await kernel.newUserNamespace(uids, gids));
    }
    if (this.own === undefined) return;
    for (const { path, type } of spec.linux.namespaces) {
      if (path === undefined || type === "pid" || this.joined.has(path)) continue;
      this.joined.set(path, this.all.length);
      this.all.push(await kernel.openNetns(path));
    }
  }

  /** What the plan has to know; `first`: the shim's number of the first of them. */
  extras(first: number, uid: number): Pick<PlanExtras, "userNamespace" | "owners" | "joined"> {
    const numbered = (places: ReadonlyMap<string, number>) =>
      new Map([...places].map(([key, place]) => [key, first + place]));
    const numbers = { owners: numbered(this.owners), joined: numbered(this.joined) };
    if (this.own === undefined) return numbers;
    const [uids, gids] = [this.own.ids.uidMap[0], this.own.ids.gidMap[0]];
    return {
      ...numbers,
      userNamespace: {
        fd: first,
        owners: first + 1,
        uid: uids?.hostID ?? 0,
        gid: gids?.hostID ?? 0,
        stdioUid: mappedUid(this.record, uid) ?? 0,
        firstHeld: first + this.all.length + SHIM_OWN,
      },
    };
  }
}
