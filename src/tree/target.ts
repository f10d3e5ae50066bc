/**
 * A directory tree that is written into. Others, even a hostile container, may change it meanwhile: every step is taken
 * from an open directory to a name in it, links are followed inside the tree only, and what has been opened stays what it
 * is.
 */
import { closeSync, lchownSync, mkdirSync, rmdirSync, unlinkSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";
import { systemPath } from "../base/names.ts";
import { namesOf, openDirectoryIn, openRoot, pathIn, placeIn, readNames } from "./walk.ts";

const MAX_LINKS = 40;
/** Open directories at most: an archive names the same few again and again. */
const CACHED = 64;

/** What stands over a path of a tree. */
export interface TreeMount {
  /** In the tree: absolute, plain. */
  readonly target: string;
  /** On the host: a directory or a file. Undefined: one gets there by the tree itself. */
  readonly source: string | undefined;
}

/** Whom something belongs to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The components of a path; ".." goes up but never above the root. */
export function components(path: string): string[] {
  const out: string[] = [];
  for (const name of namesOf(path)) {
    if (name === "..") out.pop();
    else out.push(name);
  }
  return out;
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(what), { code });
}

/** A tree below an open directory, with what is mounted over it. Whoever makes one closes it. */
export class TargetTree {
  /** By the path from the root without a leading slash; in the order of their last use. */
  private readonly open = new Map<string, number>();

  /** `root`: an open directory, which stays the caller's. `maker`: who owns what is made on the way; undefined: this process. */
  constructor(
    private readonly root: number,
    private readonly mounts: readonly TreeMount[] = [],
    private readonly maker?: Owner,
  ) {}

  /**
   * The plain path of the directory that names lead to, links followed. Makes what is missing only with `make`. Throws the
   * system's ENOENT, ENOTDIR and ELOOP.
   */
  resolve(from: readonly string[], names: readonly string[], make: boolean): string {
    const whole = [...from, ...names].join("/");
    if (this.open.has(whole)) return whole;
    const rest = [...from, ...names];
    const at: string[] = [];
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() ?? "";
      if (name === "..") {
        at.pop();
        continue;
      }
      const link = this.enter(at.join("/"), name, make);
      if (link === undefined) {
        at.push(name);
        continue;
      }
      if (++links > MAX_LINKS) throw failure("ELOOP", "too many levels of symbolic links");
      if (link.startsWith("/")) at.length = 0;
      rest.unshift(...namesOf(link));
    }
    return at.join("/");
  }

  /** The descriptor of a plain path's directory; good until the tree's next call. */
  directory(path: string): number {
    if (path === "") return this.root;
    const known = this.open.get(path);
    if (known !== undefined) {
      this.open.delete(path);
      this.open.set(path, known);
      return known;
    }
    const slash = path.lastIndexOf("/");
    const [parent, name] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
    const source = this.sourceOf(path);
    const descriptor =
      source !== undefined ? openRoot(source) : openDirectoryIn(this.directory(parent), name);
    return this.keep(path, descriptor);
  }

  private sourceOf(path: string): string | undefined {
    return this.mounts.find(({ target }) => target === `/${path}`)?.source;
  }

  /** Opens name in a directory, which is then in the cache; gives the link that stands there instead, if one does. */
  private enter(parent: string, name: string, make: boolean): string | undefined {
    const path = parent === "" ? name : `${parent}/${name}`;
    if (this.sourceOf(path) !== undefined) {
      this.directory(path);
      return undefined;
    }
    // What is mounted further below needs its way there, as a start would make it.
    const mayMake = make || this.isMounted(path);
    for (let tries = 0; ; tries++) {
      try {
        this.directory(path);
        return undefined;
      } catch (error) {
        const code = errnoOf(error);
        const found = placeIn(this.directory(parent), name);
        if (found?.info.isSymbolicLink()) return found.readLink();
        if (found !== undefined && !found.info.isDirectory())
          throw failure("ENOTDIR", `${JSON.stringify(path)} is not a directory`);
        // What changes again and again under our hands is left alone.
        if (tries > 2 || (code === "ENOENT" && !mayMake)) throw error;
        if (found === undefined) makeDirectoryIn(this.directory(parent), name, this.maker);
      }
    }
  }

  private keep(path: string, descriptor: number): number {
    this.open.set(path, descriptor);
    if (this.open.size > CACHED) {
      const [[oldest, unused] = ["", -1]] = this.open;
      this.open.delete(oldest);
      closeSync(unused);
    }
    return descriptor;
  }

  /** True when something is mounted at a path or below it. */
  isMounted(path: string): boolean {
    return this.mounts.some(({ target }) => `${target}/`.startsWith(`/${path}/`));
  }

  /** Takes away what a name stands for, whatever it is. */
  remove(parent: string, name: string): void {
    const path = parent === "" ? name : `${parent}/${name}`;
    if (this.isMounted(path)) throw failure("EBUSY", `${JSON.stringify(path)} is a mount`);
    removeTree(this.directory(parent), name);
    this.forget(path);
  }

  /** Takes away everything in a directory. */
  empty(path: string): void {
    for (const name of readNames(this.directory(path))) this.remove(path, name);
  }

  private forget(path: string): void {
    for (const [known, descriptor] of this.open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      this.open.delete(known);
      closeSync(descriptor);
    }
  }

  /** Closes what was opened below the root. */
  close(): void {
    for (const descriptor of this.open.values()) closeSync(descriptor);
    this.open.clear();
  }
}

function makeDirectoryIn(directory: number, name: string, maker: Owner | undefined): void {
  const path = systemPath(pathIn(directory, name));
  try {
    mkdirSync(path, 0o755);
    if (maker !== undefined) lchownSync(path, maker.uid, maker.gid);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

/** Removes a name and all below it. Follows no link, whatever others make of the tree meanwhile. */
function removeTree(directory: number, name: string): void {
  const place = placeIn(directory, name);
  if (place === undefined) return;
  if (!place.info.isDirectory()) {
    unlinkSync(systemPath(place.path));
    return;
  }
  const inner = place.openDirectory();
  try {
    for (const child of readNames(inner)) removeTree(inner, child);
  } finally {
    closeSync(inner);
  }
  rmdirSync(systemPath(place.path));
}
