/**
 * Looking a path up as a container sees it: through its merged layers and what is mounted over them, without mounting
 * anything. Links are followed inside the container's own tree only.
 */
import { lstatSync } from "node:fs";
import { basename, dirname } from "node:path/posix";
import { errnoOf } from "../base/errors.ts";
import type { Privileged } from "../tree/index.ts";
import {
  closeAll,
  type Merged,
  mergedIn,
  namesOf,
  openMerged,
  openRoot,
  Place,
  type WalkMounts,
} from "../tree/index.ts";

const MAX_LINKS = 40;

/** What stands over a path of the container. */
export interface ViewMount {
  /** In the container. */
  readonly target: string;
  /** On the host: a directory or a file, or directories that are merged, the uppermost first. */
  readonly sources: readonly string[];
  /** A path in the sources that alone is mounted; links are followed inside the sources. */
  readonly subpath?: string | undefined;
}

/** What a path means. Whoever has looked it up closes it. */
export interface Found {
  /** The path in the container, with every link resolved that was followed. */
  readonly path: string;
  /** What is there; undefined for the root itself. */
  readonly place: Place | undefined;
  /** For a directory: what it is merged from, opened; empty for anything else. */
  readonly directories: readonly number[];
  /** What is mounted below it. */
  readonly mounts: WalkMounts;
  close(): void;
}

interface At {
  readonly trail: readonly string[];
  readonly found: Merged | undefined;
  readonly directories: number[];
}

/** A container's file system. */
export class ContainerView {
  /** `layers`: directories on the host, the uppermost first. */
  constructor(
    private readonly kernel: Privileged,
    private readonly layers: readonly string[],
    private readonly mounts: readonly ViewMount[],
  ) {}

  /**
   * Looks a path up. A link in its last component is followed only with `follow`. Gives undefined when there is nothing.
   * Throws the system's ELOOP when links lead in circles.
   */
  async find(path: string, follow: boolean): Promise<Found | undefined> {
    const open: number[] = [];
    try {
      const at = await this.walk(path, follow, open);
      const isDirectory = at?.found === undefined || at.directories.length > 0;
      if (at !== undefined && (isDirectory || !/\/\.?$/.test(path)))
        return {
          path: `/${at.trail.join("/")}`,
          place: at.found?.top,
          directories: at.directories,
          mounts: this.mountsBelow(at.trail),
          close: () => closeAll(open),
        };
      closeAll(open);
      return undefined;
    } catch (error) {
      closeAll(open);
      // EINVAL: what was a link is none any more. Whoever swaps them has neither just now.
      if (["ENOENT", "ENOTDIR", "EINVAL"].includes(errnoOf(error) ?? "")) return undefined;
      throw error;
    }
  }

  private async walk(path: string, follow: boolean, open: number[]): Promise<At | undefined> {
    const rest = namesOf(path);
    let at = this.start(open);
    const stack: At[] = [];
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() ?? "";
      if (name === "..") {
        at = stack.pop() ?? at;
        continue;
      }
      if (at.found !== undefined && at.directories.length === 0) return undefined;
      const next = await this.step(at, name, open);
      if (next === undefined) return undefined;
      const isLink = next.found?.top.info.isSymbolicLink() === true;
      if (!isLink || (rest.length === 0 && !follow && !path.endsWith("/"))) {
        stack.push(at);
        at = next;
        continue;
      }
      if (++links > MAX_LINKS)
        throw Object.assign(new Error(`too many levels of symbolic links: ${path}`), {
          code: "ELOOP",
        });
      const link = next.found?.top.readLink() ?? "";
      if (link.startsWith("/")) {
        at = stack[0] ?? at;
        stack.length = 0;
      }
      rest.unshift(...namesOf(link));
    }
    return at;
  }

  private start(open: number[]): At {
    const directories = this.layers.map(openRoot);
    open.push(...directories);
    return { trail: [], found: undefined, directories };
  }

  private async step(at: At, name: string, open: number[]): Promise<At | undefined> {
    const trail = [...at.trail, name];
    const mount = this.mounts.find(({ target }) => target === `/${trail.join("/")}`);
    if (mount !== undefined) return this.mounted(trail, mount, open);
    const found = mergedIn(at.directories, name);
    if (found === undefined) return undefined;
    const directories = found.all.length === 0 ? [] : await openMerged(this.kernel, found);
    open.push(...directories);
    return { trail, found, directories };
  }

  private mountsBelow(trail: readonly string[]): WalkMounts {
    const inContainer = (path: string) => `/${[...trail, path].filter(Boolean).join("/")}`;
    return {
      namesIn: (path) =>
        this.mounts
          .filter(({ target }) => dirname(target) === inContainer(path))
          .map(({ target }) => basename(target)),
      at: async (path) => {
        const mount = this.mounts.find(({ target }) => target === inContainer(path));
        if (mount === undefined) return undefined;
        const open: number[] = [];
        const at = await this.mounted([], mount, open);
        return at?.found && { found: at.found, close: () => closeAll(open) };
      },
    };
  }

  /** What the host has at a mount's sources; undefined when the subpath leads nowhere. */
  private async mounted(
    trail: readonly string[],
    { sources, subpath }: ViewMount,
    open: number[],
  ): Promise<At | undefined> {
    if (subpath !== undefined) {
      const inside = new ContainerView(this.kernel, sources, []);
      const at = await inside.walk(subpath, true, open);
      return at && { ...at, trail };
    }
    const all = sources.map((source) => {
      const parent = openRoot(dirname(source));
      open.push(parent);
      return new Place(parent, basename(source), lstatSync(source));
    });
    const [top] = all;
    if (top === undefined) return undefined;
    if (!top.info.isDirectory()) return { trail, found: { top, all: [] }, directories: [] };
    const directories = all.map((place) => place.openDirectory());
    open.push(...directories);
    return { trail, found: { top, all }, directories };
  }
}
