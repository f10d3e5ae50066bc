/**
 * What COPY and ADD come to: a digest of everything that matters of what is copied, and the layer's archive. The archive is
 * made of the sources directly; nothing is mounted.
 */
import { closeSync, readSync } from "node:fs";
import { posix } from "node:path";
import type { ByteStream } from "../../base/compression.ts";
import { fault } from "../../base/errors.ts";
import { type TarEntry, TarReader } from "../../base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../../base/tar-writer.ts";
import type { ContainerView } from "../../storage/index.ts";
import { isOverlayMark, Packer, type Place, type Privileged } from "../../tree/index.ts";
import type { CopyWork } from "../dockerfile/evaluate.ts";
import { fingerprint } from "../explain.ts";
import { type ModeChange, parseMode } from "./modes.ts";
import { entriesOf, type Selected, type SourceTree, select, versionOf } from "./source.ts";
import type { Owner } from "./spec.ts";
import { checkDirectory, directoriesTo, lookUp, newDirectory, type Target } from "./target.ts";

/** A file or a directory that was fetched; no archive of these is unpacked unless that is asked for. */
export interface FetchedSource {
  readonly tree: SourceTree;
  /** In the tree. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** What is copied, to where. */
export interface CopyInput {
  readonly work: CopyWork;
  /** Where its sources are. */
  readonly tree: SourceTree;
  /** What was fetched for it. */
  readonly fetched: readonly FetchedSource[];
  /** The file system that is copied to. */
  readonly base: ContainerView;
  readonly kernel: Privileged;
  /** Undefined: files keep their owners. */
  readonly owner: Owner | undefined;
  /** The time of what has none of its own; seconds since 1970. */
  readonly time: number;
  /** No time is later; seconds since 1970. */
  readonly latest?: number | undefined;
  /** The plain archive in a file, if it is one and to be unpacked: undefined for all other files. */
  readonly archiveIn: (place: Place) => Promise<ByteStream | undefined>;
  readonly signal: AbortSignal;
}

const CHUNK = 1 << 20;
/** After so many bytes, others get a turn. */
const TURN_BYTES = 8 << 20;
const ENTRY_COST = 16 << 10;

interface Item {
  readonly tree: SourceTree;
  readonly selected: Selected;
  /** Archives are taken apart. */
  readonly unpack: boolean;
}

/** A COPY or ADD that has been looked up. */
export class CopyLayer {
  private spent = 0;
  private readonly mode: ModeChange | undefined;
  private readonly options: { readonly parents: boolean; readonly exclude: readonly string[] };

  private constructor(
    private readonly input: CopyInput,
    private readonly items: readonly Item[],
    private readonly target: Target,
    /** Files go into the destination, not in its place. */
    private readonly intoDirectory: boolean,
  ) {
    const { chmod, parents, exclude } = input.work;
    this.mode = chmod === undefined ? undefined : parseMode(chmod);
    this.options = { parents, exclude };
  }

  /** Looks everything up. Throws Faults "invalid" in BuildKit's words. */
  static async plan(input: CopyInput): Promise<CopyLayer> {
    const { work, tree, base } = input;
    const options = { parents: work.parents, exclude: work.exclude };
    const selected = await select(tree, work.sources, options);
    const fetched = input.fetched.map(({ tree: own, path, isDirectory }) => ({
      tree: own,
      selected: { path, name: isDirectory ? "" : path, isDirectory },
      unpack: work.unpack === true,
    }));
    const unpack = work.kind === "add" && work.unpack !== false;
    const items = [...selected.map((one) => ({ tree, selected: one, unpack })), ...fetched];
    const count = items.length + work.inline.length;
    const asked = work.sources.length + work.inline.length + fetched.length;
    const slash = work.destination.endsWith("/");
    if (asked > 1 && !slash)
      throw fault(
        "invalid",
        "copy-target",
        `When using ${work.kind.toUpperCase()} with more than one source file, the destination must be a directory and end with a /`,
      );
    const target = work.link ? literal(work.destination) : await lookUp(base, work.destination);
    const into = slash || count > 1 || work.parents || target.there === "directory";
    if (target.there === "other" && (into || items.some((item) => item.selected.isDirectory)))
      throw fault("invalid", "copy-target", `cannot copy to non-directory: /${target.path}`);
    return new CopyLayer(input, items, target, into);
  }

  /**
   * What is copied, in a form that differs whenever the layer would; times do not count. `tell` hears of each file, with a
   * digest of what counts of it.
   */
  async digest(tell: (path: string, what: string) => void): Promise<string> {
    const hash = new Bun.CryptoHasher("sha256");
    const { work, owner } = this.input;
    hash.update(
      JSON.stringify([
        this.target.path,
        this.intoDirectory,
        owner,
        work.chmod,
        work.link,
        work.kind,
      ]),
    );
    for (const { name, content } of work.inline)
      hash.update(JSON.stringify(["inline", name, content]));
    for (const item of this.items)
      for await (const { target, place } of entriesOf(item.tree, item.selected, this.options))
        hash.update(await this.told(item, target, place, tell));
    return hash.digest("hex");
  }

  private async told(
    item: Item,
    target: string,
    place: Place,
    tell: (path: string, what: string) => void,
  ): Promise<string> {
    const what = await this.describe(item, this.place(item, target), place);
    const { path, isDirectory } = item.selected;
    tell(isDirectory ? posix.join(path, target) : path, fingerprint(what));
    return JSON.stringify(what);
  }

  private async describe({ tree }: Item, path: string, place: Place): Promise<unknown[]> {
    const { info } = place;
    await this.turn(ENTRY_COST);
    const xattrs = await tree.kernel.xattrs(place.pathForOthers);
    const own = [...xattrs].filter(([name]) => !isOverlayMark(name));
    return [
      path,
      info.mode,
      info.uid,
      info.gid,
      info.isSymbolicLink() ? place.readLink() : info.rdev,
      info.isFile() ? await this.knownDigest(tree, place) : "",
      own.map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
    ];
  }

  private async knownDigest({ digests }: SourceTree, place: Place): Promise<string> {
    if (digests === undefined) return this.contentDigest(place);
    const version = versionOf(place);
    const known = digests.known.get(version) ?? digests.learned.get(version);
    if (known !== undefined) return known;
    const found = await this.contentDigest(place);
    digests.learned.set(version, found);
    return found;
  }

  private async contentDigest(place: Place): Promise<string> {
    const hash = new Bun.CryptoHasher("sha256");
    const fd = place.open();
    try {
      const chunk = new Uint8Array(Math.min(CHUNK, place.info.size + 1));
      for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
        hash.update(chunk.subarray(0, length));
        await this.turn(length);
      }
    } finally {
      closeSync(fd);
    }
    return hash.digest("hex");
  }

  /** Lets others have a turn now and then, and ends when nobody wants it any more: files may be without end. */
  private async turn(bytes: number): Promise<void> {
    this.spent += bytes;
    if (this.spent < TURN_BYTES) return;
    this.spent = 0;
    this.input.signal.throwIfAborted();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Where an entry goes. */
  private place({ selected }: Item, target: string): string {
    const { path } = this.target;
    if (selected.isDirectory) return posix.join(path, target);
    return this.intoDirectory ? posix.join(path, target) : path;
  }

  /** The layer. */
  async *archive(): ByteStream {
    const { base, kernel, work, owner, time, latest } = this.input;
    const seen = new Set<string>();
    const { path, missing } = this.target;
    // Patterns that mean nothing make nothing.
    if (this.items.length + work.inline.length === 0) return yield tarEnd();
    if (!work.link) yield* directoriesTo(kernel, base, path, seen, latest);
    const directory = owner ?? { uid: 0, gid: 0 };
    for (const name of missing.filter((one) => one !== "" && !seen.has(one))) {
      seen.add(name);
      yield tarHeader(newDirectory(name, directory, time));
    }
    const contents = this.items.some(
      ({ selected }) => selected.isDirectory && selected.name === "",
    );
    // A new one is like no source, be it a directory whose contents are copied.
    if ((this.intoDirectory || contents) && path !== "" && !seen.has(path)) {
      seen.add(path);
      yield tarHeader(newDirectory(path, directory, time));
    }
    yield* this.inline(directory);
    for (const item of this.items) yield* this.item(item, seen);
    yield tarEnd();
  }

  private *inline(owner: Owner): Generator<Uint8Array> {
    const { work, time } = this.input;
    for (const { name, content } of work.inline) {
      const data = new TextEncoder().encode(content);
      const path = this.intoDirectory ? posix.join(this.target.path, name) : this.target.path;
      const mode = this.mode?.(0o644, false) ?? 0o644;
      yield tarHeader({
        ...newDirectory(path, owner, time),
        type: "file",
        mode,
        size: data.length,
      });
      yield data;
      yield tarPadding(data.length);
    }
  }

  private async *item(item: Item, seen: Set<string>): ByteStream {
    const { base, work, archiveIn } = this.input;
    const packer = new Packer(item.tree.kernel, false, (entry) => this.changed(entry));
    for await (const { target, place } of entriesOf(item.tree, item.selected, this.options)) {
      const path = this.place(item, target);
      await this.turn(ENTRY_COST + place.info.size);
      const archive = item.unpack && place.info.isFile() ? await archiveIn(place) : undefined;
      if (archive !== undefined) {
        yield* this.unpacked(archive, seen);
        continue;
      }
      if (work.parents && target !== "") yield* this.parents(item, path, packer, seen);
      if (place.info.isDirectory()) {
        // The destination itself stays what it was.
        if (seen.has(path) || path === "") continue;
        seen.add(path);
        if (!work.link) await checkDirectory(base, path);
      }
      yield* packer.entry(path, place);
    }
  }

  /** The directories above an entry, as they are where it comes from; those that are there stay as they are. */
  private async *parents(
    { tree, selected }: Item,
    path: string,
    packer: Packer,
    seen: Set<string>,
  ): ByteStream {
    const { base, kernel, work, latest, owner, time } = this.input;
    const above = posix.dirname(path);
    if (!work.link) yield* directoriesTo(kernel, base, above, seen, latest);
    const root = selected.path.slice(0, Math.max(0, selected.path.length - selected.name.length));
    const names = above.split("/");
    for (const [index] of names.entries()) {
      const one = names.slice(0, index + 1).join("/");
      if (seen.has(one) || one === "." || one === "") continue;
      seen.add(one);
      const found = await tree.view.find(
        posix.join("/", root, posix.relative(this.target.path, one)),
        false,
      );
      try {
        if (found?.place?.info.isDirectory()) yield* packer.entry(one, found.place);
        else yield tarHeader(newDirectory(one, owner ?? { uid: 0, gid: 0 }, time));
      } finally {
        found?.close();
      }
    }
  }

  /** What --chown and --chmod make of an entry; only an archive's have owners of their own. */
  private changed(entry: TarEntry, isPacked = false): TarEntry {
    const { work, latest = Number.POSITIVE_INFINITY } = this.input;
    const owner = isPacked && work.chown === undefined ? undefined : this.input.owner;
    const mtime = Math.min(entry.mtime, latest);
    const mode = this.mode?.(entry.mode, entry.type === "directory") ?? entry.mode;
    return {
      ...entry,
      ...(owner ?? {}),
      mtime,
      mode: entry.type === "symlink" ? entry.mode : mode,
    };
  }

  /** An archive's entries, below the destination whatever their names are. */
  private async *unpacked(archive: ByteStream, seen: Set<string>): ByteStream {
    const { path: at } = this.target;
    const reader = new TarReader(archive);
    const inside = (name: string) => posix.join(at, posix.resolve("/", name).slice(1));
    if (at !== "" && !seen.has(at)) {
      seen.add(at);
      yield tarHeader(newDirectory(at, this.input.owner ?? { uid: 0, gid: 0 }, this.input.time));
    }
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      const path = inside(entry.path);
      if (path === at || path === "") continue;
      const linkPath = entry.type === "hardlink" ? inside(entry.linkPath) : entry.linkPath;
      yield tarHeader(this.changed({ ...entry, path, linkPath }, true));
      if (entry.type !== "file") continue;
      yield* reader.data();
      yield tarPadding(entry.size);
    }
    await reader.drain();
  }
}

/** --link: the layer knows nothing of what it is put upon. */
function literal(destination: string): Target {
  const path = posix.resolve("/", destination).slice(1);
  const names = path.split("/").slice(0, -1);
  const missing = names.map((_, index) => names.slice(0, index + 1).join("/"));
  return { path, there: destination === "/" ? "directory" : undefined, missing };
}
