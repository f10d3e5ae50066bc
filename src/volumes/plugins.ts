/**
 * Volume drivers that others have written: Docker's plugin protocol, JSON over a socket. What a plugin says is checked, since
 * it is a program of somebody else's.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";
/** A plugin that has to reach a server may take its time; one that says nothing at all is given up. */
const CALL_MS = 120_000;
const LIST_MS = 5000;
/** A plugin that is being restarted is waited for. */
const TRIES = 4;
const TRY_AGAIN_MS = 250;
const ANSWER_MAX = 4 << 20;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Where plugins are looked for, in this order. */
export interface PluginPlaces {
  readonly sockets: string;
  readonly specs: readonly string[];
}

/** Docker's own places. */
export const dockerPlaces: PluginPlaces = {
  sockets: "/run/docker/plugins",
  specs: ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
};

/** A volume as a plugin tells of it. */
export interface PluginVolume {
  readonly name: string;
  /** Empty while it is not mounted, for most. */
  readonly mountpoint: string;
  readonly status?: Readonly<Record<string, unknown>> | undefined;
}

interface Address {
  readonly url: string;
  readonly unix?: string;
  readonly tls?: {
    readonly rejectUnauthorized: boolean;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** "unix:///path", "tcp://host:port", as files say it. */
function parseAddress(address: string, tls?: Address["tls"]): Address {
  const { protocol, host, pathname } = new URL(address);
  if (protocol === "unix:") return { url: "http://plugin", unix: pathname };
  if (protocol !== "tcp:" || host === "")
    throw new Error(`the address ${address} is none of a plugin`);
  return tls === undefined ? { url: `http://${host}` } : { url: `https://${host}`, tls };
}

function parseJson(content: string): Address {
  const { Addr, TLSConfig } = object(JSON.parse(content));
  if (TLSConfig === undefined || TLSConfig === null) return parseAddress(text(Addr));
  const { CAFile, CertFile, KeyFile, InsecureSkipVerify } = object(TLSConfig);
  const read = (name: "ca" | "cert" | "key", path: unknown) =>
    text(path) === "" ? {} : { [name]: readFileSync(text(path), "utf8") };
  return parseAddress(text(Addr), {
    rejectUnauthorized: InsecureSkipVerify !== true,
    ...read("ca", CAFile),
    ...read("cert", CertFile),
    ...read("key", KeyFile),
  });
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function notFound(name: string): Error {
  return new Error(`plugin "${name}" not found`);
}

/** Where a plugin answers. */
function locate(places: PluginPlaces, name: string): Address {
  if (!NAME.test(name)) throw notFound(name);
  for (const path of [`${places.sockets}/${name}.sock`, `${places.sockets}/${name}/${name}.sock`])
    if (isSocket(path)) return { url: "http://plugin", unix: path };
  for (const directory of places.specs)
    for (const base of [`${directory}/${name}`, `${directory}/${name}/${name}`]) {
      if (existsSync(`${base}.spec`))
        return parseAddress(readFileSync(`${base}.spec`, "utf8").trim());
      if (existsSync(`${base}.json`)) return parseJson(readFileSync(`${base}.json`, "utf8"));
    }
  throw notFound(name);
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

async function post(address: Address, method: string, body: object, patience: number) {
  const response = await fetch(`${address.url}/${method}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { Accept: CONTENT_TYPE, "Content-Type": CONTENT_TYPE },
    redirect: "error",
    signal: AbortSignal.timeout(patience),
    ...(address.unix === undefined ? {} : { unix: address.unix }),
    ...(address.tls === undefined ? {} : { tls: address.tls }),
  });
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece);
    size += piece.length;
    if (size > ANSWER_MAX) throw new Error(`${method}: the answer is too long`);
  }
  return { ok: response.ok, content: Buffer.concat(pieces).toString() };
}

/** Nobody listens there, just now: nothing has been asked of anybody. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    /ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOENT/.test(
      `${"code" in error ? error.code : ""}`,
    )
  );
}

/** One plugin's volumes. */
export class VolumePlugin {
  private activated: string | undefined;

  constructor(
    private readonly places: PluginPlaces,
    readonly name: string,
  ) {}

  private async call(method: string, body: object, patience = CALL_MS) {
    for (let tries = 1; ; tries++) {
      const address = locate(this.places, this.name);
      try {
        const { ok, content } = await post(address, method, body, patience);
        let answer: Readonly<Record<string, unknown>> = {};
        try {
          answer = object(JSON.parse(content || "{}"));
        } catch (error) {
          if (ok) throw new Error(`${method}: the answer is no JSON: ${messageOf(error)}`);
        }
        const refusal = text(answer.Err);
        if (ok && refusal === "") return answer;
        throw new Error(ok ? refusal : `${method}: ${refusal || content.trim().slice(0, 500)}`);
      } catch (error) {
        if (!isRefusal(error) || tries === TRIES) throw error;
        await Bun.sleep(TRY_AGAIN_MS * tries);
      }
    }
  }

  /** Asks the program what it is, once for each that listens there. */
  async activate(patience = CALL_MS): Promise<this> {
    const address = JSON.stringify(locate(this.places, this.name));
    if (this.activated === address) return this;
    const { Implements } = await this.call("Plugin.Activate", {}, patience);
    if (!Array.isArray(Implements) || !Implements.includes("VolumeDriver"))
      throw new Error("Plugin does not implement the requested driver");
    this.activated = address;
    return this;
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

  constructor(private readonly places: PluginPlaces = dockerPlaces) {}

  /** The names that may be volume drivers: whoever is asked says whether it is one. */
  names(): string[] {
    const { sockets, specs } = this.places;
    const found = specs.flatMap((path) => [...namesIn(path, ".spec"), ...namesIn(path, ".json")]);
    return [...new Set([...namesIn(sockets, ".sock"), ...found])].sort();
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
