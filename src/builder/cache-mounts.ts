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

const NAME = /^[0-9a-f]{32}(-\d+)?$/;

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
  ) {}

  /** Waits for its turn where a cache is for one at a time; makes the directory when it is not there. */
  async take(mount: CacheMount, base?: CacheBase): Promise<TakenMount> {
    const own = base === undefined ? mount.id : JSON.stringify([mount.id, base.key]);
    const whole = `${this.directory}/${hashOf(own)}`;
    let path = whole;
    if (mount.sharing === "private")
      for (let count = 1; this.users.has(path); count++) path = `${whole}-${count}`;
    this.users.set(path, (this.users.get(path) ?? 0) + 1);
    const leave = mount.sharing === "shared" ? () => {} : await this.turn(path);
    const end = () => {
      leave();
      const left = (this.users.get(path) ?? 1) - 1;
      if (left > 0) this.users.set(path, left);
      else this.users.delete(path);
    };
    try {
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
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, mount.uid, mount.gid);
    chmodSync(path, mount.mode);
  }

  /** Makes a directory with what it begins with, once; it appears whole. */
  private async filled(path: string, base: CacheBase): Promise<void> {
    const fill = async () => {
      if (existsSync(path)) return;
      const fresh = `${path}.new`;
      try {
        mkdirSync(fresh, { recursive: true, mode: 0o755 });
        await base.fill(fresh);
        renameSync(fresh, path);
      } finally {
        rmSync(fresh, { recursive: true, force: true });
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

  private async turn(path: string): Promise<() => void> {
    const before = this.turns.get(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.turns.set(path, promise);
    await before;
    return () => {
      if (this.turns.get(path) === promise) this.turns.delete(path);
      resolve();
    };
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
