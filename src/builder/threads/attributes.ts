/**
 * Files' extended attributes, asked for ahead: who asks for one file of a directory goes on to its neighbours, and a question
 * between threads costs more than many answers. Only for directories that nobody changes meanwhile.
 */
import { fstatSync, readdirSync } from "node:fs";
import { receiveError } from "../../base/thread-errors.ts";
import { sortNames } from "../../tree/index.ts";
import type { FoundAttributes } from "./protocol.ts";

/** Files that are asked about at once, and directories that are remembered. */
const AHEAD = 128;
const DIRECTORIES = 32;
/** A name in an open directory, as tree/ calls it. */
const PATH = /^\/proc\/\d+\/fd\/(\d+)\/([^/]+)$/;
const NONE: ReadonlyMap<string, Uint8Array> = new Map();

interface Directory {
  /** Names that have not been asked about, in the order in which a walk comes to them. */
  readonly names: string[];
  readonly known: Map<string, FoundAttributes>;
}

/** What files have, and what their neighbours have. */
export class AttributesAhead {
  /** By their inodes, since descriptors are used again; in the order of their last use. */
  private readonly directories = new Map<string, Directory>();

  constructor(private readonly ask: (paths: readonly string[]) => Promise<FoundAttributes[]>) {}

  /** A file's attributes. Throws what the system says of a file that is not there. */
  async of(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
    const [, descriptor = "", name = ""] = PATH.exec(path) ?? [];
    if (name === "" || name === ".") return result((await this.ask([path]))[0]);
    const directory = this.directory(Number(descriptor));
    const { known } = directory;
    if (!known.has(name)) return this.askAhead(directory, name, path.slice(0, -name.length));
    const found = known.get(name);
    known.delete(name);
    return result(found);
  }

  private directory(descriptor: number): Directory {
    const { dev, ino, ctimeMs } = fstatSync(descriptor);
    const key = `${dev}:${ino}:${ctimeMs}`;
    const known = this.directories.get(key);
    if (known !== undefined) {
      this.directories.delete(key);
      this.directories.set(key, known);
      return known;
    }
    const names = sortNames(readdirSync(`/proc/self/fd/${descriptor}`)).reverse();
    const directory = { names, known: new Map() };
    this.directories.set(key, directory);
    const [oldest] = this.directories.keys();
    if (this.directories.size > DIRECTORIES && oldest !== undefined)
      this.directories.delete(oldest);
    return directory;
  }

  private async askAhead({ names, known }: Directory, name: string, parent: string) {
    const at = names.lastIndexOf(name);
    // Whoever comes back, or has another order, is answered alone.
    const start = Math.max(0, at + 1 - AHEAD);
    const wanted = at < 0 ? [] : names.slice(start, at);
    if (at >= 0) names.length = start;
    const [own, ...others] = await this.ask([name, ...wanted].map((one) => parent + one));
    for (const [index, one] of wanted.entries()) known.set(one, others[index]);
    return result(own);
  }
}

function result(found: FoundAttributes): ReadonlyMap<string, Uint8Array> {
  if (found === undefined) return NONE;
  if ("error" in found) throw receiveError(found.error);
  return found;
}
