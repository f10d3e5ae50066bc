/**
 * The directories of RUN --mount=type=cache: kept over builds, each known by its id.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { fault } from "../base/errors.ts";
import { orAborted } from "../base/timers.ts";
import type { RunMount } from "./dockerfile/run-mounts.ts";

type CacheMount = Extract<RunMount, { type: "cache" }>;

/** A directory that is being used. */
export interface TakenMount {
  readonly path: string;
  end(): void;
}

/** What a directory begins with. */
export interface CacheBase {
  /** Another for other files. */
  readonly key: string;
  fill(directory: string): Promise<void>;
}

/** What is known of a directory. */
export interface KeptMount {
  readonly id: string;
  readonly path: string;
  /** What RUN calls it. */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly usedAt: number;
  readonly inUse: boolean;
}

const NEW = ".new";
const NAME = /^[0-9a-f]{32}(-\d+)?$/;
const NAME_MAX = 4096;
const OWN = /^[0-9a-f]{32}(-\d+)?(\.id)?$/;

function hashOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 32);
}

/** The directories of one data root. */
export class CacheMounts {
  /** Directories that are for one at a time, each with the end of its last user. */
  private readonly turns = new Map<string, Promise<void>>();
  private readonly users = new Map<string, number>();
  /** Directories that get what they begin with. */
  private readonly filling = new Map<string, Promise<void>>();

  /** `discard` takes a tree away at once; its files go beside the event loop. */
  constructor(
    private readonly directory: string,
    private readonly discard: (path: string) => void,
  ) {
    // What a daemon that was killed has half made.
    if (!existsSync(directory)) return;
    for (const name of readdirSync(directory)) if (!OWN.test(name)) discard(`${directory}/${name}`);
  }

  /**
   * Waits for its turn where a cache is for one at a time; makes the directory when it is not there. Rejects with the signal's
   * reason.
   */
  async take(mount: CacheMount, signal: AbortSignal, base?: CacheBase): Promise<TakenMount> {
    const own = base === undefined ? mount.id : JSON.stringify([mount.id, base.key]);
    const whole = `${this.directory}/${hashOf(own)}`;
    let path = whole;
    if (mount.sharing === "private")
      for (let count = 1; this.users.has(path); count++) path = `${whole}-${count}`;
    this.users.set(path, (this.users.get(path) ?? 0) + 1);
    let leave = () => {};
    const end = () => {
      leave();
      const left = (this.users.get(path) ?? 1) - 1;
      if (left > 0) this.users.set(path, left);
      else this.users.delete(path);
    };
    try {
      if (mount.sharing !== "shared") leave = await this.turn(path, signal);
      // Whoever takes it out or puts it in has it alone.
      while (this.filling.has(path))
        await orAborted(this.filling.get(path)?.catch(() => {}) ?? Promise.resolve(), signal);
      if (base === undefined) this.make(path, mount);
      else await this.filled(path, base);
      this.note(path, mount.id);
    } catch (error) {
      end();
      throw error;
    }
    return { path, end };
  }

  private make(path: string, mount: CacheMount): void {
    if (existsSync(path)) return;
    const fresh = `${path}${NEW}`;
    this.discard(fresh);
    mkdirSync(fresh, { recursive: true, mode: 0o700 });
    chownSync(fresh, mount.uid, mount.gid);
    chmodSync(fresh, mount.mode);
    renameSync(fresh, path);
  }

  /** Makes a directory with what it begins with, once; it appears whole. */
  private async filled(path: string, base: CacheBase): Promise<void> {
    const fill = async () => {
      if (existsSync(path)) return;
      const fresh = `${path}${NEW}`;
      try {
        mkdirSync(fresh, { recursive: true, mode: 0o755 });
        await base.fill(fresh);
        renameSync(fresh, path);
      } finally {
        this.discard(fresh);
      }
    };
    // Whoever gives up says nothing about the others.
    while (this.filling.has(path)) await this.filling.get(path)?.catch(() => {});
    const filling = fill();
    this.filling.set(path, filling);
    try {
      await filling;
    } finally {
      this.filling.delete(path);
    }
  }

  /** Its times are when the directory was made and last used. */
  private note(path: string, id: string): void {
    const known = `${path}.id`;
    if (existsSync(known)) utimesSync(known, new Date(), new Date());
    else writeFileSync(known, id);
  }

  private async turn(path: string, signal: AbortSignal): Promise<() => void> {
    const before = this.turns.get(path) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.turns.set(path, promise);
    const leave = () => {
      if (this.turns.get(path) === promise) this.turns.delete(path);
      resolve();
    };
    try {
      await orAborted(before, signal);
      return leave;
    } catch (error) {
      // Whoever waits behind still waits for the one before.
      void before.then(leave);
      throw error;
    }
  }

  /** All of them. */
  all(): KeptMount[] {
    if (!existsSync(this.directory)) return [];
    return readdirSync(this.directory)
      .filter((id) => NAME.test(id))
      .map((id) => {
        const path = `${this.directory}/${id}`;
        const known = `${path}.id`;
        const named = existsSync(known);
        const { mtimeMs, birthtimeMs } = statSync(named ? known : path);
        return {
          ...{ id, path, createdAt: birthtimeMs, usedAt: mtimeMs, inUse: this.users.has(path) },
          name: named ? readFileSync(known, "utf8") : id,
        };
      });
  }

  /** The one that RUN calls so, or whose id begins so. Throws a Fault "not-found", and "invalid" where several are meant. */
  private meant(name: string): KeptMount {
    const all = this.all();
    const named = all.filter((one) => one.name === name);
    const found = named.length > 0 ? named : all.filter(({ id }) => name && id.startsWith(name));
    const [one, another] = found;
    if (another !== undefined)
      throw fault(
        "invalid",
        "cache-mount-ambiguous",
        `several directories are called ${name}: ${found.map(({ id }) => id).join(", ")}`,
      );
    if (one !== undefined) return one;
    throw fault("not-found", "no-such-cache-mount", `no such cache mount: ${name}`);
  }

  /** Has one alone while the work goes on. Rejects with a Fault "conflict" while a build uses it. */
  private async alone<T>(path: string, work: () => Promise<T>): Promise<T> {
    if (this.users.has(path) || this.turns.has(path) || this.filling.has(path))
      throw fault("conflict", "cache-mount-use", "a build uses this cache mount just now");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.users.set(path, 1);
    this.turns.set(path, promise);
    // Builds that share it wait, too.
    this.filling.set(path, promise);
    try {
      return await work();
    } finally {
      const left = (this.users.get(path) ?? 1) - 1;
      if (left > 0) this.users.set(path, left);
      else this.users.delete(path);
      if (this.turns.get(path) === promise) this.turns.delete(path);
      this.filling.delete(path);
      resolve();
    }
  }

  /** Hands out the directory of one, that no build changes meanwhile. Rejects with Faults. */
  export<T>(name: string, use: (mount: KeptMount) => Promise<T>): Promise<T> {
    const mount = this.meant(name);
    return this.alone(mount.path, () => use(mount));
  }

  /** Puts another directory in the place of one, or makes one that RUN will call so; `fill` fills it. Gives its id. */
  async import(name: string, fill: (directory: string) => Promise<void>): Promise<string> {
    if (name === "" || name.length > NAME_MAX || name.includes("\0"))
      throw fault("invalid", "cache-mount-name", "invalid name of a cache mount");
    const known = this.all().find((one) => one.id === name || one.name === name);
    const { path, name: called } = known === undefined ? this.placeOf(name) : this.meant(name);
    const fresh = `${this.directory}/${crypto.randomUUID()}.import`;
    mkdirSync(fresh, { recursive: true, mode: 0o755 });
    try {
      await fill(fresh);
      await this.alone(path, async () => {
        if (existsSync(path)) this.discard(path);
        renameSync(fresh, path);
        this.note(path, called);
      });
    } finally {
      if (existsSync(fresh)) this.discard(fresh);
    }
    return path.slice(path.lastIndexOf("/") + 1);
  }

  private placeOf(name: string): { readonly path: string; readonly name: string } {
    return { path: `${this.directory}/${hashOf(name)}`, name };
  }

  /** Takes one away with all that is in it; says whether it did: not while somebody uses it. */
  remove(id: string): boolean {
    const path = `${this.directory}/${id}`;
    if (!NAME.test(id) || this.users.has(path) || !existsSync(path)) return false;
    // Whoever wants it next begins with an empty one.
    this.discard(path);
    rmSync(`${path}.id`, { force: true });
    return true;
  }
}
