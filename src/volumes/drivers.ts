/**
 * Volumes whatever their driver: made, removed, and mounted while somebody uses them. Who has what mounted is written down before
 * it is, so that the next daemon lets go of what nobody has any more.
 */
import { lookup } from "node:dns/promises";
import { errnoText } from "../base/errno-text.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type HostMounts, KernelError } from "../kernel/index.ts";
import type { NewVolume, VolumeRecord, VolumeStore } from "./local.ts";
import { mountPoints } from "./mount-points.ts";
import { type DeviceMount, deviceMountOf, hostOf, mountFailure, withAddress } from "./options.ts";
import type { VolumePlugin, VolumePlugins } from "./plugins.ts";

/** A volume, and what its driver says of it. */
export interface VolumeDetails extends VolumeRecord {
  readonly scope: "local" | "global";
  readonly status?: Readonly<Record<string, unknown>> | undefined;
}

/** True for a volume that is a directory of its own, and needs nothing else to be used. */
export function isOwnDirectory({ driver, options }: VolumeRecord): boolean {
  return driver === "local" && deviceMountOf(options) === undefined;
}

/** The volumes of a daemon. */
export class VolumeDrivers {
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(
    readonly store: VolumeStore,
    private readonly plugins: VolumePlugins,
    private readonly host: HostMounts,
  ) {}

  /** Does one thing after the other to a volume. */
  inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.turns.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const quiet = mine.catch(() => {});
    this.turns.set(name, quiet);
    void quiet.then(() => {
      if (this.turns.get(name) === quiet) this.turns.delete(name);
    });
    return mine;
  }

  /** Makes a volume, or gives the existing one of that name. Throws Faults in Docker's words. */
  async create(input: NewVolume): Promise<VolumeRecord> {
    const { name = "", driver = "" } = input;
    const existing = name === "" ? undefined : this.store.find(name);
    if (existing !== undefined) {
      if (driver !== "" && driver !== existing.driver)
        throw fault(
          "conflict",
          "volume-name-taken",
          `create ${name}: driver '${existing.driver}' already has volume '${name}': volume name must be unique`,
        );
      return this.store.create({ ...input, driver: existing.driver });
    }
    if (driver === "local") return this.store.create(input);
    if (driver === "") {
      const holder = name === "" ? undefined : await this.holderOf(name);
      return this.store.create({ ...input, driver: holder?.name ?? "local" });
    }
    const doing = `create ${name}: `;
    const plugin = await this.plugins.get(driver, doing);
    const checked = this.store.checked(input);
    return this.inTurn(checked.name, async () => {
      if ((await plugin.find(checked.name)) === undefined)
        await told(doing, plugin.create(checked.name, input.options ?? {}));
      return this.store.create({ ...input, ...checked });
    });
  }

  /** The plugin that has a volume which nobody here has made. */
  private async holderOf(name: string): Promise<VolumePlugin | undefined> {
    for (const plugin of this.plugins.names().map((one) => this.plugins.named(one)))
      if ((await plugin.list()).some((volume) => volume.name === name)) return plugin;
    return undefined;
  }

  /** Throws a Fault "not-found". */
  async get(name: string): Promise<VolumeDetails> {
    const record = this.store.find(name);
    if (record?.driver === "local") return { ...record, scope: "local" };
    const plugin = record ? this.plugins.named(record.driver) : await this.holderOf(name);
    if (plugin === undefined) return { ...this.store.get(name), scope: "local" };
    const known = await plugin.find(name);
    const mountpoint = known?.mountpoint || (await plugin.path(name).catch(() => ""));
    return {
      ...(record ?? foreign(plugin.name, name)),
      mountpoint,
      scope: await plugin.scope(),
      ...(known?.status ? { status: known.status } : {}),
    };
  }

  /** All that there are, those of plugins that nobody here has made among them. */
  async list(): Promise<VolumeDetails[]> {
    const records = this.store.list();
    const names = [...new Set([...this.plugins.names(), ...records.map(({ driver }) => driver)])];
    const plugins = names
      .filter((name) => name !== "local")
      .map((name) => this.plugins.named(name));
    const lists = await Promise.all(
      plugins.map(async (plugin) => {
        const volumes = await plugin.list();
        const scope = volumes.length === 0 ? "local" : await plugin.scope();
        return volumes.map((volume) => ({ ...volume, driver: plugin.name, scope }));
      }),
    );
    const found = new Map(
      lists.flat().map((volume) => [`${volume.driver}\0${volume.name}`, volume]),
    );
    const own = records.map((record): VolumeDetails => {
      const key = `${record.driver}\0${record.name}`;
      const told = found.get(key);
      found.delete(key);
      return {
        ...record,
        scope: told?.scope ?? "local",
        ...(told && { mountpoint: told.mountpoint }),
      };
    });
    const taken = new Set(records.map(({ name }) => name));
    const others = [...found.values()]
      .filter(({ name }) => !taken.has(name))
      .map(({ name, driver, mountpoint, scope }) => ({
        ...foreign(driver, name),
        mountpoint,
        scope,
      }));
    return [...own, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Removes a volume and its content; `force`: also when it, or its driver, is not there. Throws Faults in Docker's words. */
  async remove(name: string, force = false): Promise<void> {
    const record = this.store.find(name);
    if (record === undefined || record.driver !== "local") {
      const plugin = record ? this.plugins.named(record.driver) : await this.holderOf(name);
      if (record !== undefined) this.store.checkUnused(name);
      const removal = plugin && told(`remove ${name}: `, plugin.remove(name));
      await (force ? removal?.catch((error) => log.warn(messageOf(error), { name })) : removal);
      if (record === undefined && plugin !== undefined) return;
    }
    await this.inTurn(name, async () => {
      this.store.checkUnused(name);
      const mountpoint = this.store.find(name)?.mountpoint;
      // What lies beyond a mount is not the volume's to delete.
      if (record !== undefined && !isOwnDirectory(record) && mountpoint)
        await this.unmountAll(mountpoint);
      this.store.remove(name, force);
    });
  }

  /** Has a volume mounted for somebody, until that one lets go; gives its directory on the host. */
  use(name: string, user: string): Promise<string> {
    return this.inTurn(name, async () => {
      const volume = this.store.get(name);
      if (isOwnDirectory(volume)) return volume.mountpoint;
      this.store.noteMount(name, user);
      try {
        if (volume.driver !== "local") {
          const plugin = await this.plugins.get(volume.driver, `mount ${name}: `);
          return await told(`error while mounting volume '${name}': `, plugin.mount(name, user));
        }
        const device = deviceMountOf(volume.options);
        if (device !== undefined && !mountPoints().includes(volume.mountpoint))
          await this.mountDevice(device, volume.mountpoint);
        return volume.mountpoint;
      } catch (error) {
        this.store.forgetMount(name, user);
        throw error;
      }
    });
  }

  /** Lets go of everything that somebody has mounted. What does not go now is tried again by the next daemon. */
  async letGo(user: string): Promise<void> {
    await Promise.all(
      this.store.mountsOf(user).map((name) => this.inTurn(name, () => this.letGoNow(name, user))),
    );
  }

  private async letGoNow(name: string, user: string): Promise<void> {
    const volume = this.store.find(name);
    try {
      if (volume !== undefined && volume.driver !== "local")
        await this.plugins.named(volume.driver).unmount(name, user);
      else if (volume !== undefined && this.store.mountUsers(name).every((one) => one === user))
        await this.unmountAll(volume.mountpoint);
      this.store.forgetMount(name, user);
    } catch (error) {
      log.warn("unmount a volume", { name, error: messageOf(error) });
    }
  }

  /** Lets go of what users have that are no more, `live` being those that are. */
  async recover(live: ReadonlySet<string>): Promise<void> {
    const gone = this.store.allMountUsers().filter((user) => !live.has(user));
    await Promise.all(gone.map((user) => this.letGo(user)));
  }

  private async unmountAll(mountpoint: string): Promise<void> {
    while (mountPoints().includes(mountpoint)) await this.host.unmount(mountpoint);
  }

  private async mountDevice(wanted: DeviceMount, target: string): Promise<void> {
    const refusal = (why: string, error: unknown) =>
      fault("failed", "volume-mount", mountFailure(wanted, target, why), error);
    let mount = wanted;
    const host = hostOf(wanted);
    if (host !== undefined)
      try {
        mount = withAddress(wanted, (await lookup(host)).address);
      } catch (error) {
        throw refusal(
          `error resolving passed in network volume address: ${messageOf(error)}`,
          error,
        );
      }
    const { set, clear, propagation, params } = mount.options;
    const how = { target, set, clear, propagation };
    try {
      await (mount.bind === undefined
        ? this.host.mount({ ...how, type: mount.type, source: mount.device, params })
        : this.host.mount({ ...how, bind: mount.device, recursive: mount.bind === "rbind" }));
    } catch (error) {
      if (!(error instanceof KernelError)) throw refusal(messageOf(error), error);
      const why = errnoText(error.errno);
      throw refusal(error.detail === "" ? why : `${why} (${error.detail})`, error);
    }
  }
}

function foreign(driver: string, name: string): VolumeRecord {
  return { name, driver, labels: {}, options: {}, created: 0, mountpoint: "" };
}

/** A plugin's refusal as a Fault. */
async function told<T>(doing: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw fault("failed", "volume-plugin", `${doing}${messageOf(error)}`, error);
  }
}
