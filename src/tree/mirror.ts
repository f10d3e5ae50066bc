/**
 * A copy of a tree that is made in two passes: one while others write to the tree, and one while they stand still, which has to copy
 * only what has changed since.
 *
 * Whether a file has changed is told by its inode and by the time of its last change (ctime), which nobody can set. That time is
 * right to a tick of the clock, and a call that writes may go on after it: so nothing counts as unchanged that has changed less than
 * a while before the copy began. Pages that are mapped are written to without a call: what was dirty is on the disk before the first
 * pass, so that the next write to each page is one that the kernel notes. This holds on file systems with pages that are written
 * back; `canMirror` knows which.
 */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  linkSync,
  mkdirSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { setImmediate } from "node:timers/promises";
import { errnoOf, fault } from "../base/errors.ts";
import { bytesOfName, systemPath } from "../base/names.ts";
import { fileTime } from "./extract.ts";
import {
  openDirectoryIn,
  openRoot,
  type Place,
  type Privileged,
  pathForOthers,
  placeIn,
  readNames,
} from "./walk.ts";

/** ext2 to ext4, xfs, f2fs. */
const WRITTEN_BACK: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0xf2f52010]);
/** Longer than one call writes: 2 GB at most. */
const SETTLED_MS = 60_000;
/** More than that between what two clocks say: somebody has set one. */
const CLOCKS_MS = 500;
/** What is copied in a fraction of a second. */
const SMALL_FILES = 1000;
const SMALL_BYTES = 32 << 20;
/** Files that are remembered; others are copied again. */
const MAX_KNOWN = 1_000_000;

/** Whether two passes are right on a directory's file system and cheaper than one. `beside`: an empty directory for trying. */
export async function canMirror(source: string, beside: string): Promise<boolean> {
  if (!WRITTEN_BACK.has(statfsSync(source).type >>> 0)) return false;
  if (statSync(source).dev !== statSync(beside).dev || !isLarge(source)) return false;
  // Where files share blocks one pass takes no time.
  const probe = `${beside}/.reflink`;
  const script = 'echo > "$1" && cp --reflink=always -- "$1" "$1"2';
  const { exited } = Bun.spawn(["sh", "-c", script, "sh", probe], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const shares = (await exited) === 0;
  for (const path of [probe, `${probe}2`]) rmSync(path, { force: true });
  return !shares;
}

/** Whether a tree takes longer to copy than to write back what the file system has not written yet. */
function isLarge(path: string): boolean {
  const left = { files: SMALL_FILES, bytes: SMALL_BYTES };
  const exceeds = (directory: number): boolean => {
    try {
      return readNames(directory).some((name) => {
        const place = placeIn(directory, name);
        if (place === undefined) return false;
        left.bytes -= place.info.size;
        if (--left.files < 0 || left.bytes < 0) return true;
        return place.info.isDirectory() && exceeds(place.openDirectory());
      });
    } finally {
      closeSync(directory);
    }
  };
  try {
    return exceeds(openRoot(path));
  } catch {
    // It changes under our hands.
    return true;
  }
}

interface Known {
  readonly ino: number;
  readonly ctimeMs: number;
}

/** One directory of the tree, while it is copied. */
interface At {
  /** Open, in the source. */
  readonly source: number;
  /** In the copy, on the host. */
  readonly target: string;
  /** From the root, without a leading slash. */
  readonly path: string;
}

/** A tree and its copy. The copy is nobody else's. */
export class Mirror {
  private readonly known = new Map<string, Known>();
  /** Directories of the copy that have been made here, bare of everything that belongs to them. */
  private readonly made = new Set<string>();
  /** Where the last pass has put the first name of a file that has several. */
  private readonly links = new Map<string, string>();
  private readonly settled: number;
  private readonly device: number;
  private readonly clocks = Date.now() - performance.now();
  private last = false;
  /** Files that have been copied so far. */
  copied = 0;

  /** `target`: an empty directory that has just been made on the same file system, whose time it tells. */
  constructor(
    private readonly kernel: Privileged,
    private readonly source: string,
    private readonly target: string,
    private readonly signal: AbortSignal,
    settledMs = SETTLED_MS,
  ) {
    const { ctimeMs, dev } = statSync(target);
    this.settled = ctimeMs - settledMs;
    this.device = dev;
  }

  /** Copies what there is, while others may change it. What fails now is left to the last pass. */
  async begin(): Promise<void> {
    const said = await this.run(["sync", "-f", "--", this.source]);
    // Pages that are dirty still may change unnoticed: then the last pass copies everything.
    if (said === "") await this.pass();
  }

  /** Makes the copy what the tree is now, while nobody changes it. Throws a Fault "failed", and the signal's reason. */
  async finish(): Promise<void> {
    this.last = true;
    if (Math.abs(Date.now() - performance.now() - this.clocks) > CLOCKS_MS) this.known.clear();
    await this.pass();
  }

  private async pass(): Promise<void> {
    const root = openRoot(this.source);
    try {
      await this.directory({ source: root, target: this.target, path: "" });
    } finally {
      closeSync(root);
    }
  }

  private async directory(at: At): Promise<void> {
    this.signal.throwIfAborted();
    await setImmediate();
    const { wanted, kept, below } = this.sorted(at);
    this.clear(at, kept, below);
    await this.copy(at, wanted);
    for (const place of below) await this.below(at, place);
    if (this.last) await this.attributes(at);
  }

  /** What is in a directory: to be copied, as it is already, and directories. */
  private sorted({ source, path }: At) {
    const places = readNames(source).flatMap((name) => placeIn(source, name) ?? []);
    const below = places.filter(({ info }) => info.isDirectory());
    // A socket means nothing to anybody else.
    const files = places.filter(({ info }) => !info.isDirectory() && !info.isSocket());
    const kept = new Set<string>();
    const wanted: Place[] = [];
    for (const place of files) {
      if (this.isUnchanged(`${path}/${place.name}`, place)) kept.add(place.name);
      // Which names are one file is only known when nothing changes.
      else if (place.info.nlink === 1 || this.last) wanted.push(place);
    }
    return { wanted, kept, below };
  }

  private isUnchanged(path: string, { info }: Place): boolean {
    const known = this.known.get(path);
    return (
      known !== undefined &&
      info.nlink === 1 &&
      known.ino === info.ino &&
      known.ctimeMs === info.ctimeMs &&
      info.ctimeMs < this.settled
    );
  }

  /** Takes away from the copy what is not in the tree any more, and what is to be copied anew. */
  private clear({ target, path }: At, kept: ReadonlySet<string>, below: readonly Place[]): void {
    const directories = new Set(below.map(({ name }) => name));
    const root = openRoot(target);
    try {
      for (const name of readNames(root)) {
        const isDirectory = placeIn(root, name)?.info.isDirectory() === true;
        const inner = `${path}/${name}`;
        if (isDirectory ? directories.has(name) && this.made.has(inner) : kept.has(name)) continue;
        rmSync(systemPath(`${target}/${name}`), { recursive: true, force: true });
      }
    } finally {
      closeSync(root);
    }
  }

  private async copy(at: At, places: readonly Place[]): Promise<void> {
    const again: (readonly [first: string, name: string])[] = [];
    const fresh = places.filter(({ name, info }) => {
      const key = `${info.dev}:${info.ino}`;
      const first = this.links.get(key);
      if (first !== undefined) again.push([first, name]);
      else if (info.nlink > 1) this.links.set(key, `${at.target}/${name}`);
      return first === undefined;
    });
    if (fresh.length > 0 && (await this.copyFiles(at, fresh)) && !this.last)
      for (const { name, info } of fresh)
        if (this.known.size < MAX_KNOWN && info.dev === this.device)
          this.known.set(`${at.path}/${name}`, { ino: info.ino, ctimeMs: info.ctimeMs });
    for (const [first, name] of again)
      linkSync(systemPath(first), systemPath(`${at.target}/${name}`));
  }

  /** Copies files; false when not all of them could be. */
  private async copyFiles({ source, target }: At, places: readonly Place[]): Promise<boolean> {
    const into = openRoot(target);
    try {
      const names = places.map(({ name }) => bytesOfName(`${pathForOthers(source, name)}\0`));
      const copy = ["cp", "-a", "--reflink=auto", "-t", pathForOthers(into, "."), "--"];
      const said = await this.run(["xargs", "-0", ...copy], Buffer.concat(names));
      this.copied += places.length;
      // What has gone meanwhile is seen by the last pass.
      if (said === "" || (!this.last && !/No space left|quota exceeded/i.test(said)))
        return said === "";
      throw fault("failed", "layer-copy", `cannot copy ${this.source}: ${said.slice(0, 500)}`);
    } finally {
      closeSync(into);
    }
  }

  private async below(at: At, { name }: Place): Promise<void> {
    const inner = { target: `${at.target}/${name}`, path: `${at.path}/${name}` };
    let source: number;
    try {
      source = openDirectoryIn(at.source, name);
    } catch (error) {
      if (this.last || !["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) throw error;
      return;
    }
    try {
      if (!this.made.has(inner.path)) mkdirSync(systemPath(inner.target), { mode: 0o700 });
      this.made.add(inner.path);
      await this.directory({ source, ...inner });
    } finally {
      closeSync(source);
    }
  }

  /** A directory gets what belongs to it once everything is in it. */
  private async attributes({ source, target }: At): Promise<void> {
    const itself = placeIn(source, ".");
    if (itself === undefined) return;
    const { uid, gid, mode, atimeMs, mtimeMs } = itself.info;
    const made = openRoot(target);
    try {
      fchownSync(made, uid, gid);
      fchmodSync(made, mode & 0o7777);
      const xattrs = await this.kernel.xattrs(pathForOthers(source, "."));
      for (const [name, value] of xattrs)
        await this.kernel.setXattr(pathForOthers(made, "."), name, value);
      futimesSync(made, fileTime(atimeMs / 1000), fileTime(mtimeMs / 1000));
    } finally {
      closeSync(made);
    }
  }

  /** Runs a program; gives what it says when it fails. */
  private async run(argv: readonly string[], stdin = Buffer.alloc(0)): Promise<string> {
    this.signal.throwIfAborted();
    const child = Bun.spawn([...argv], {
      signal: this.signal,
      stdin,
      stdout: "ignore",
      stderr: "pipe",
    });
    const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
    this.signal.throwIfAborted();
    return status === 0 ? "" : said.trim() || `status ${status}`;
  }
}
