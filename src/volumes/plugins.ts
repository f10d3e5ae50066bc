/**
 * Volume drivers that others have written: Docker's plugin protocol, JSON over a socket. What a plugin says is checked, since
 * it is a program of somebody else's.
 */
import { existsSync, readdirSync } from "node:fs";
import { DockerPlugin, object, type PluginPlaces, text } from "../base/docker-plugin.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";

const LIST_MS = 5000;

/** A volume as a plugin tells of it. */
export interface PluginVolume {
  readonly name: string;
  /** Empty while it is not mounted, for most. */
  readonly mountpoint: string;
  readonly status?: Readonly<Record<string, unknown>> | undefined;
}

/** A directory's plugins by name: NAME.EXT, or NAME/NAME.EXT. */
function namesIn(directory: string, extension: string): string[] {
  try {
    return readdirSync(directory).flatMap((entry) => {
      if (entry.endsWith(extension)) return [entry.slice(0, -extension.length)];
      return existsSync(`${directory}/${entry}/${entry}${extension}`) ? [entry] : [];
    });
  } catch {
    return [];
  }
}

/** One plugin's volumes. */
export class VolumePlugin {
  private readonly plugin: DockerPlugin;

  constructor(
    places: PluginPlaces,
    readonly name: string,
  ) {
    this.plugin = new DockerPlugin(places, name);
  }

  private call(method: string, body: object, patience?: number) {
    return this.plugin.call(method, body, patience);
  }

  /** Rejects when it is no volume driver. */
  activate(patience?: number): Promise<void> {
    return this.plugin.activate("VolumeDriver", patience);
  }

  async create(name: string, options: Readonly<Record<string, string>>): Promise<void> {
    await this.call("VolumeDriver.Create", { Name: name, Opts: options });
  }

  async remove(name: string): Promise<void> {
    await this.call("VolumeDriver.Remove", { Name: name });
  }

  /** Gives where it is mounted on the host. `id`: who wants it; the same for the end of that. */
  async mount(name: string, id: string): Promise<string> {
    const { Mountpoint } = await this.call("VolumeDriver.Mount", { Name: name, ID: id });
    const path = text(Mountpoint);
    if (!path.startsWith("/") || path.includes("\0"))
      throw new Error(`the plugin has mounted it nowhere: ${JSON.stringify(Mountpoint)}`);
    return path;
  }

  async unmount(name: string, id: string): Promise<void> {
    await this.call("VolumeDriver.Unmount", { Name: name, ID: id });
  }

  /** Where it is mounted, or ""; for a plugin whose Get does not say it. */
  async path(name: string): Promise<string> {
    return text((await this.call("VolumeDriver.Path", { Name: name })).Mountpoint);
  }

  /** undefined when the plugin knows none of that name. */
  async find(name: string): Promise<PluginVolume | undefined> {
    try {
      const { Volume } = await this.call("VolumeDriver.Get", { Name: name });
      return this.volume(Volume);
    } catch (error) {
      log.debug("a volume plugin knows no such volume", { name, error: messageOf(error) });
      return undefined;
    }
  }

  private volume(value: unknown): PluginVolume | undefined {
    const { Name, Mountpoint, Status } = object(value);
    if (text(Name) === "") return undefined;
    const status = Status === undefined || Status === null ? undefined : object(Status);
    return { name: text(Name), mountpoint: text(Mountpoint), ...(status ? { status } : {}) };
  }

  /** What the plugin has; nothing from one that does not answer soon. */
  async list(): Promise<PluginVolume[]> {
    try {
      await this.activate(LIST_MS);
      const { Volumes } = await this.call("VolumeDriver.List", {}, LIST_MS);
      return (Array.isArray(Volumes) ? Volumes : []).flatMap((one) => this.volume(one) ?? []);
    } catch (error) {
      log.debug("a volume plugin lists nothing", { name: this.name, error: messageOf(error) });
      return [];
    }
  }

  /** Whether other hosts have the same volumes. Plugins that do not know the question have them here only. */
  async scope(): Promise<"local" | "global"> {
    const answer = await this.call("VolumeDriver.Capabilities", {}, LIST_MS).catch(() => ({}));
    return text(object(object(answer).Capabilities).Scope) === "global" ? "global" : "local";
  }
}

/** The plugins of a host. */
export class VolumePlugins {
  private readonly known = new Map<string, VolumePlugin>();

  constructor(private readonly places: PluginPlaces) {}

  /** The names that may be volume drivers: whoever is asked says whether it is one. */
  names(): string[] {
    const { sockets, specs } = this.places;
    const found = [
      ...sockets.flatMap((path) => namesIn(path, ".sock")),
      ...specs.flatMap((path) => [...namesIn(path, ".spec"), ...namesIn(path, ".json")]),
    ];
    return [...new Set(found)].sort();
  }

  /** Throws a Fault "not-found" in Docker's words; `doing`: what for. */
  async get(name: string, doing: string): Promise<VolumePlugin> {
    const plugin = this.known.get(name) ?? new VolumePlugin(this.places, name);
    try {
      await plugin.activate();
    } catch (error) {
      throw fault(
        "not-found",
        "volume-driver",
        `${doing}error looking up volume plugin ${name}: ${messageOf(error)}`,
        error,
      );
    }
    this.known.set(name, plugin);
    return plugin;
  }

  /** One that is not asked whether it is there. */
  named(name: string): VolumePlugin {
    return this.known.get(name) ?? new VolumePlugin(this.places, name);
  }
}
