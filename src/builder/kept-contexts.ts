/**
 * Contexts that stay from one build to the next, so that a client sends only what has changed.
 *
 * A kept context is a directory with files and a state beside them: the list that the files were made of, and digests of
 * contents that steps asked for. While the files are being changed there is no state: a daemon that is killed then begins
 * anew. Nothing is synced; a state counts only in the kernel's life in which it was written.
 */
import {
  closeSync,
  futimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path/posix";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import {
  type ContextAnswer,
  changedFiles,
  isDirectoryMode,
  LIST_ENTRY,
  LIST_MAX,
  type ListedFile,
  parseContextList,
  sameType,
} from "../spec/context-list.ts";
import { Extractor, openRoot, type Privileged, placeIn, TargetTree } from "../tree/index.ts";

/** Which context, and which state of it its client has compared with. */
export interface KeptName {
  /** 64 hexadecimal digits. */
  readonly key: string;
  readonly generation: string;
}

/** A context that nobody else uses until it is closed. */
export interface KeptContext {
  readonly root: string;
  /** Digests of contents, by what tells versions of files apart; what is added is there next time. */
  readonly digests: Map<string, string>;
  close(): void;
}

interface State {
  readonly boot: string;
  readonly generation: string;
  readonly files: readonly ListedFile[];
  readonly digests: readonly (readonly [string, string])[];
}

/** So many contexts stay, and so long; milliseconds. */
const KEPT_MAX = 8;
const AGE_MAX = 3 * 24 * 3600_000;
/** Digests of files that are gone are forgotten when they are more than those that are there. */
const SPARE_DIGESTS = 1000;
const KEY = /^[0-9a-f]{64}$/;

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function checkKey(key: string): void {
  if (!KEY.test(key)) throw fault("invalid", "build-context", `invalid key of a context: ${key}`);
}

/** The list that an archive begins with. */
async function listIn(reader: TarReader): Promise<readonly ListedFile[]> {
  const entry = await reader.next();
  if (entry?.path !== LIST_ENTRY || entry.size > LIST_MAX)
    throw fault("invalid", "build-context", "a context that is kept begins with its list");
  const text: Uint8Array[] = [];
  for await (const piece of reader.data()) text.push(piece);
  const listed = parseContextList(Buffer.concat(text).toString("utf8"));
  if (listed === undefined)
    throw fault("invalid", "build-context", "invalid list of a context's files");
  return listed;
}

/** Does something in the directory that a path is in, unless that is not there. */
function inParent(path: string, act: (parent: string) => void): void {
  const parent = dirname(path);
  try {
    act(parent === "." ? "" : parent);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) throw error;
  }
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** Takes away what is not in the list any more, and what comes anew. */
function removeOld(tree: TargetTree, before: readonly ListedFile[], now: readonly ListedFile[]) {
  const stays = new Map(now.map((file) => [file[0], file]));
  for (const index of changedFiles(before, now)) {
    const file = now[index];
    if (file !== undefined && !isDirectoryMode(file[1])) stays.delete(file[0]);
  }
  for (const [path, mode] of before.toReversed()) {
    const next = stays.get(path);
    if (next !== undefined && sameType(next[1], mode)) continue;
    inParent(path, (parent) => tree.remove(parent, nameOf(path)));
  }
}

/** The files that are there as the list says; directories get their times, which work in them has changed. */
function settle(tree: TargetTree, listed: readonly ListedFile[]): ListedFile[] {
  const there: ListedFile[] = [];
  for (const file of listed)
    inParent(file[0], (parent) => {
      const [path, mode, size, mtime] = file;
      const info = placeIn(tree.directory(parent), nameOf(path))?.info;
      if (info === undefined || !sameType(info.mode, mode)) return;
      if (info.isDirectory())
        futimesSync(tree.directory(path), Math.floor(mtime / 1000), Math.floor(mtime / 1000));
      // It changed while it was sent: it is asked for again.
      if (info.isFile() && info.size !== size) return;
      there.push(file);
    });
  return there;
}

/** The contexts of one daemon. */
export class KeptContexts {
  private readonly busy = new Set<string>();
  private readonly boot = bootId();

  constructor(private readonly root: string) {
    this.sweep();
  }

  private stateFile(key: string): string {
    return `${this.root}/${key}/state.json`;
  }

  private read(key: string): State | undefined {
    try {
      const state = JSON.parse(readFileSync(this.stateFile(key), "utf8")) as State;
      return state.boot === this.boot ? state : undefined;
    } catch {
      return undefined;
    }
  }

  private write(key: string, state: Omit<State, "boot">): void {
    const path = this.stateFile(key);
    writeFileSync(`${path}.new`, JSON.stringify({ ...state, boot: this.boot }), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Which of a context's files are to be sent. Throws a Fault "conflict" while another build uses the context. */
  compare(key: string, text: string): ContextAnswer {
    this.checkFree(key);
    const listed = parseContextList(text);
    if (listed === undefined)
      throw fault("invalid", "build-context", "invalid list of a context's files");
    const state = this.read(key);
    return {
      generation: state?.generation ?? "",
      wanted: changedFiles(state?.files ?? [], listed),
    };
  }

  private checkFree(key: string): void {
    checkKey(key);
    if (this.busy.has(key))
      throw fault(
        "conflict",
        "build-context-use",
        "the context is in use: it has to be sent whole",
      );
  }

  /**
   * Brings a context up to date with an archive: its list, then the files that were wanted. Throws a Fault "conflict" when
   * another build uses it, or has changed it since the client compared: it has to be sent whole then.
   */
  async open(name: KeptName, archive: ByteStream, kernel: Privileged): Promise<KeptContext> {
    const { key } = name;
    this.checkFree(key);
    this.busy.add(key);
    try {
      const state = this.read(key);
      if ((state?.generation ?? "") !== name.generation)
        throw fault(
          "conflict",
          "build-context-use",
          "the context is another now: it is sent whole",
        );
      return await this.update(key, state, archive, kernel);
    } catch (error) {
      this.busy.delete(key);
      throw error;
    }
  }

  private async update(
    key: string,
    state: State | undefined,
    archive: ByteStream,
    kernel: Privileged,
  ): Promise<KeptContext> {
    const directory = `${this.root}/${key}`;
    const root = `${directory}/files`;
    const reader = new TarReader(await decompress(archive));
    const listed = await listIn(reader);
    rmSync(this.stateFile(key), { force: true });
    if (state === undefined) rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mkdirSync(root, { recursive: true });
    const files = await this.fill(root, state?.files ?? [], listed, reader, kernel);
    const digests = new Map(state?.digests);
    if (digests.size > 2 * files.length + SPARE_DIGESTS) digests.clear();
    const known = digests.size;
    const generation = crypto.randomUUID();
    this.write(key, { generation, files, digests: [...digests] });
    const close = () => {
      if (digests.size !== known) this.write(key, { generation, files, digests: [...digests] });
      this.busy.delete(key);
      this.sweep();
    };
    return { root, digests, close };
  }

  private async fill(
    root: string,
    before: readonly ListedFile[],
    listed: readonly ListedFile[],
    reader: TarReader,
    kernel: Privileged,
  ): Promise<ListedFile[]> {
    const descriptor = openRoot(root);
    const tree = new TargetTree(descriptor);
    try {
      removeOld(tree, before, listed);
      const options = { whiteouts: "keep", owner: { uid: 0, gid: 0 } } as const;
      await new Extractor(tree, kernel, options).extract(reader);
      await reader.drain();
      return settle(tree, listed);
    } finally {
      tree.close();
      closeSync(descriptor);
    }
  }

  /** Forgets contexts that nobody has used for long, and the oldest of too many. */
  private sweep(): void {
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    const all = readdirSync(this.root).map((key) => {
      // Without a state it is of no use to anybody.
      const used = statSync(this.stateFile(key), { throwIfNoEntry: false })?.mtimeMs ?? 0;
      return { key, used };
    });
    all.sort((a, b) => b.used - a.used);
    for (const [index, { key, used }] of all.entries())
      if (!this.busy.has(key) && (index >= KEPT_MAX || used < Date.now() - AGE_MAX))
        rmSync(`${this.root}/${key}`, { recursive: true, force: true });
  }
}
