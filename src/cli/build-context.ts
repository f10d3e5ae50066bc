/**
 * A directory of this machine as a build's context: everything that .dockerignore does not leave out, and what the build
 * needs in any case.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { ByteStream } from "../base/compression.ts";
import { IgnoreRules, ignorePatterns } from "../base/dockerignore.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import { LIST_ENTRY, type ListedFile } from "../spec/context-list.ts";
import {
  closeAll,
  namesIn,
  openRoot,
  Packer,
  type Place,
  type Privileged,
  placeIn,
} from "../tree/index.ts";

/** No attributes: a context has none that count. */
const plain: Privileged = {
  mknod: async () => {},
  setXattr: async () => {},
  xattrs: async () => new Map(),
};

/** A context, found on this machine. */
export interface LocalContext {
  /** Where its Dockerfile is in the context. */
  readonly dockerfile: string;
  archive(): ByteStream;
  /** An archive of what says how to build, alone. */
  instructions(): ByteStream;
  /** What tells versions of each file apart, by the files' paths. */
  versions(): ReadonlyMap<string, string>;
  /** What would be sent, and what not and why. */
  show(): ShownContext;
  /** Its files as a list, to send only some of them; undefined when it has to be sent whole. */
  listed(): ContextList | undefined;
}

/** A context for somebody to look at. */
export interface ShownContext {
  readonly sent: readonly { readonly path: string; readonly size: number }[];
  /** With the pattern and its line in the file of patterns; a directory ends with a slash. */
  readonly leftOut: readonly {
    readonly path: string;
    readonly pattern: string;
    readonly line: number;
  }[];
  /** The file of patterns, if there is one. */
  readonly ignoreFile: string | undefined;
}

/** A context as a list. */
export interface ContextList {
  readonly key: string;
  /** JSON of the files. */
  readonly content: Uint8Array;
  /** Its digest; undefined when some files may change without telling. */
  readonly digest: string | undefined;
  /** An archive of the list and some of its files, by their places in it. */
  archive(wanted: readonly number[]): ByteStream;
}

/** A file that stands in the archive without being in the directory. */
export interface ExtraFile {
  readonly path: string;
  readonly content: Uint8Array;
}

/** One file as entries of an archive. */
export function* fileEntries({ path, content }: ExtraFile): Generator<Uint8Array> {
  yield tarHeader({
    path,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: content.length,
    mtime: 0,
    linkPath: "",
    major: 0,
    minor: 0,
    xattrs: new Map(),
  });
  yield content;
  yield tarPadding(content.length);
}

/** A file of a context, while the walk stands at it. */
interface Visited {
  readonly path: string;
  readonly place: Place;
}

/**
 * Walks what is not left out; a directory is told when something in it is sent or it is not left out itself. `leftOut` hears
 * of the others, and of a directory with all that is in it at once.
 */
function* walk(
  directory: string,
  rules: IgnoreRules,
  always: ReadonlySet<string>,
  leftOut: (visited: Visited, all: boolean) => void = () => {},
): Generator<Visited> {
  function* below(fd: number, prefix: string): Generator<Visited> {
    for (const name of namesIn([fd])) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      const place = placeIn(fd, name);
      if (place === undefined) continue;
      const kept = always.has(path) || !rules.ignores(path);
      const isDirectory = place.info.isDirectory();
      const all =
        isDirectory &&
        !kept &&
        rules.prunes(path) &&
        ![...always].some((one) => one.startsWith(`${path}/`));
      if (all || (!kept && !isDirectory)) leftOut({ path, place }, isDirectory);
      if (all) continue;
      if (kept || isDirectory) yield { path, place };
      if (!isDirectory) continue;
      const inner = place.openDirectory();
      try {
        yield* below(inner, path);
      } finally {
        closeAll([inner]);
      }
    }
  }
  const root = openRoot(`${directory}/.`);
  try {
    yield* below(root, "");
  } finally {
    closeAll([root]);
  }
}

/** A file that was changed so short a time ago may change again without its times telling. */
const JUST_NOW_MS = 20;

/** What there is, as a list; undefined when it has what a list cannot tell: files with several names, devices. */
function listOf(files: Iterable<Visited>): ListedFile[] | undefined {
  const listed: ListedFile[] = [];
  const linked = new Set<string>();
  const recent = Date.now() - JUST_NOW_MS;
  for (const { path, place } of files) {
    const { info } = place;
    if (info.isSocket()) continue;
    if (!info.isFile() && !info.isDirectory() && !info.isSymbolicLink()) return undefined;
    const inode = `${info.dev}:${info.ino}`;
    if (info.isFile() && info.nlink > 1) {
      if (linked.has(inode)) return undefined;
      linked.add(inode);
    }
    const stamp = info.ctimeMs > recent ? "" : `${inode}:${info.ctimeMs}`;
    const link = info.isSymbolicLink() ? place.readLink() : "";
    const size = info.isFile() ? info.size : 0;
    listed.push([path, info.mode, size, info.mtimeMs, stamp, link]);
  }
  return listed;
}

/** The same context in the same place has the same key; a named one has other rules, and is another. */
function keyOf(directory: string, named: boolean): string {
  const machine = ["/etc/machine-id", "/etc/hostname"].find((path) => existsSync(path));
  const { dev, ino } = statSync(directory);
  const host = machine === undefined ? "" : readFileSync(machine, "utf8");
  const parts = [
    host,
    realpathSync(directory),
    dev,
    ino,
    process.getuid?.(),
    ...(named ? ["named"] : []),
  ];
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** Some files of a directory, by their paths. */
async function* someFiles(directory: string, paths: readonly string[], packer: Packer): ByteStream {
  for (const path of paths) {
    const parent = openRoot(join(directory, dirname(path), "."));
    try {
      const place = placeIn(parent, basename(path));
      if (place !== undefined) yield* packer.entry(path, place);
    } finally {
      closeAll([parent]);
    }
  }
}

/** The Dockerfile's place in the context, or its content when it lies outside. */
function findDockerfile(directory: string, file: string): { path: string; outside?: ExtraFile } {
  if (file === "") {
    const usual = ["Dockerfile", "dockerfile"].find((name) => existsSync(join(directory, name)));
    return { path: usual ?? "Dockerfile" };
  }
  const whole = isAbsolute(file) ? file : resolve(file);
  const inside = relative(resolve(directory), whole);
  if (!existsSync(whole))
    throw new Error(
      `unable to evaluate symlinks in Dockerfile path: lstat ${whole}: no such file or directory`,
    );
  if (!inside.startsWith("..") && !isAbsolute(inside)) return { path: inside };
  const path = `.dockerfile.${crypto.randomUUID().slice(0, 20)}`;
  return { path, outside: { path, content: readFileSync(whole) } };
}

function ignoreFile(directory: string, dockerfile: string, outside: string): string | undefined {
  const own =
    outside === "" ? join(directory, `${dockerfile}.dockerignore`) : `${outside}.dockerignore`;
  return [own, join(directory, ".dockerignore")].find((path) => existsSync(path));
}

/** What a walk finds, for somebody to look at. */
function showContext(
  directory: string,
  rules: IgnoreRules,
  always: ReadonlySet<string>,
  file: string | undefined,
): ShownContext {
  const lines = file === undefined ? [] : readFileSync(file, "utf8").split(/\r?\n/);
  const leftOut: { path: string; pattern: string; line: number }[] = [];
  const sent: { path: string; size: number }[] = [];
  const left = ({ path }: Visited, all: boolean): void => {
    const pattern = rules.reason(path) ?? "";
    const line = lines.findLastIndex((one) => one.trim() === pattern) + 1;
    leftOut.push({ path: all ? `${path}/` : path, pattern, line });
  };
  for (const { path, place } of walk(directory, rules, always, left))
    if (!place.info.isDirectory())
      sent.push({ path, size: place.info.isFile() ? place.info.size : 0 });
  return { sent, leftOut, ignoreFile: file };
}

/** Packs files as a context has them: root's, without attributes. */
export function contextPacker(): Packer {
  return new Packer(plain, false, (entry) => ({ ...entry, uid: 0, gid: 0 }));
}

/** Finds a directory's context; one with a name has no Dockerfile. Throws an Error in Docker's words. */
export function localContext(directory: string, file: string, named = false): LocalContext {
  const info = statSync(directory, { throwIfNoEntry: false });
  if (info === undefined)
    throw new Error(`unable to prepare context: path ${JSON.stringify(directory)} not found`);
  if (!info.isDirectory())
    throw new Error(`unable to prepare context: context must be a directory: ${directory}`);
  const { path, outside } = named
    ? { path: "", outside: undefined }
    : findDockerfile(directory, file);
  const patterns = ignoreFile(directory, path, outside === undefined ? "" : file);
  const text = patterns === undefined ? "" : readFileSync(patterns, "utf8");
  const rules = new IgnoreRules(ignorePatterns(text));
  const always = new Set([path, `${path}.dockerignore`, ".dockerignore"]);
  async function* archive(): ByteStream {
    const whole = contextPacker();
    for (const { path: one, place } of walk(directory, rules, always))
      yield* whole.entry(one, place);
    if (outside !== undefined) yield* fileEntries(outside);
    yield tarEnd();
  }
  async function* instructions(): ByteStream {
    const there = [...always].filter((one) => one !== "" && existsSync(join(directory, one)));
    yield* someFiles(directory, there, contextPacker());
    if (outside !== undefined) yield* fileEntries(outside);
    yield tarEnd();
  }
  const listed = (): ContextList | undefined => {
    const files = outside === undefined ? listOf(walk(directory, rules, always)) : undefined;
    if (files === undefined) return undefined;
    const content = new TextEncoder().encode(JSON.stringify(files));
    const certain = files.every(([, , , , stamp]) => stamp !== "");
    return {
      key: keyOf(directory, named),
      content,
      digest: certain ? new Bun.CryptoHasher("sha256").update(content).digest("hex") : undefined,
      async *archive(wanted) {
        yield* fileEntries({ path: LIST_ENTRY, content });
        const paths = wanted.flatMap((index) => files[index]?.[0] ?? []);
        yield* someFiles(directory, paths, contextPacker());
        yield tarEnd();
      },
    };
  };
  const versions = () => {
    const found = new Map<string, string>();
    for (const { path: one, place } of walk(directory, rules, always)) {
      const { ino, mode, size, mtimeMs, ctimeMs } = place.info;
      // A directory's times and size say what is in it, which is looked at anyway.
      const isDirectory = place.info.isDirectory();
      found.set(one, JSON.stringify(isDirectory ? [mode] : [ino, mode, size, mtimeMs, ctimeMs]));
    }
    if (outside !== undefined) found.set(file, Buffer.from(outside.content).toString("base64"));
    return found;
  };
  const show = () => showContext(directory, rules, always, patterns);
  return { dockerfile: path, archive, instructions, listed, versions, show };
}
