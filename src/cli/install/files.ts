/**
 * Putting files in place and taking them away again. A manifest says which are berth's, by digest: whatever is not in it,
 * or was changed since, is somebody else's and stays as it is. The manifest is written before the files, so that a run
 * that was cut short is finished, or undone, by the next one.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../../base/atomic-file.ts";
import { errnoOf } from "../../base/errors.ts";
import { manifestPath, type PlannedFile } from "./plan.ts";

/** What was installed. */
export interface Manifest {
  readonly version: string;
  /** Each file with the digests that it may have while it is berth's. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** Directories that were not there before. */
  readonly directories: readonly string[];
  /** A group that was made. */
  readonly group?: string;
  /** A user that was made. */
  readonly user?: string;
}

/** The manifest of a prefix; undefined when nothing was installed. */
export function readManifest(destdir: string, prefix: string): Manifest | undefined {
  const path = destdir + manifestPath(prefix);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
  return parseManifest(text, path);
}

function parseManifest(text: string, path: string): Manifest {
  const wrong = () =>
    new Error(
      `${path} is no list of installed files: it was damaged or is somebody else's. Restore it, or take berth's files away by hand and delete it.`,
    );
  let value: Partial<Manifest>;
  try {
    value = JSON.parse(text) as Partial<Manifest>;
  } catch {
    throw wrong();
  }
  const { version, files, directories, group, user } = value ?? {};
  const areTexts = (list: unknown) =>
    Array.isArray(list) && list.every((one) => typeof one === "string");
  if (typeof version !== "string" || typeof files !== "object" || files === null) throw wrong();
  if (!areTexts(directories) || !Object.values(files).every(areTexts)) throw wrong();
  return {
    version,
    files,
    directories: directories ?? [],
    ...(typeof group === "string" ? { group } : {}),
    ...(typeof user === "string" ? { user } : {}),
  };
}

function digestOf(bytes: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function digestAt(path: string): string | "missing" | "special" {
  try {
    if (!lstatSync(path).isFile()) return "special";
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return "missing";
    throw error;
  }
  return digestOf(readFileSync(path));
}

/** One file, as it is and as it is to be. */
export interface Step {
  readonly file: PlannedFile;
  readonly digest: string;
  readonly action: "new" | "replace" | "keep" | "foreign" | "theirs";
}

/** What an installation would do to each file. Changes nothing. */
export function stepsOf(
  files: readonly PlannedFile[],
  destdir: string,
  manifest: Manifest | undefined,
): Step[] {
  return files.map((file) => {
    const { content, path } = file;
    const digest = digestOf(typeof content === "string" ? content : readFileSync(content.copyOf));
    const present = digestAt(destdir + path);
    if (present === "missing") return { file, digest, action: "new" };
    if (present === digest) return { file, digest, action: "keep" };
    if (present !== "special" && manifest?.files[path]?.includes(present))
      return { file, digest, action: "replace" };
    return { file, digest, action: file.isConfiguration ? "theirs" : "foreign" };
  });
}

/** Makes a directory with its parents; gives those that were not there, the outermost first. */
function makeDirectory(path: string): string[] {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const one of missing) {
    mkdirSync(one);
    chmodSync(one, 0o755);
  }
  return missing;
}

function put({ content, mode }: PlannedFile, target: string): void {
  if (typeof content === "string") {
    writeFileAtomic(target, content, { mode, durable: true });
    chmodSync(target, mode);
    return;
  }
  const temporary = `${target}.new`;
  rmSync(temporary, { force: true });
  copyFileSync(content.copyOf, temporary, constants.COPYFILE_FICLONE);
  chmodSync(temporary, mode);
  const fd = openSync(temporary, "r");
  fsyncSync(fd);
  closeSync(fd);
  // What runs keeps the file that it was started from.
  renameSync(temporary, target);
}

function without(manifest: Manifest | undefined, path: string): readonly string[] {
  return manifest?.files[path] ?? [];
}

function writeManifest(destdir: string, prefix: string, manifest: Manifest): void {
  writeFileAtomic(destdir + manifestPath(prefix), `${JSON.stringify(manifest, null, 2)}\n`, {
    mode: 0o644,
    durable: true,
  });
}

/** Where an installation goes. */
export interface Place {
  readonly destdir: string;
  readonly prefix: string;
}

/**
 * Carries the steps out; none may be foreign. What an older version had and this one has not is taken away; what has become
 * the administrator's is noted no more.
 */
export function install(
  all: readonly Step[],
  { destdir, prefix }: Place,
  before: Manifest | undefined,
  version: string,
): Manifest {
  const steps = all.filter(({ action }) => action !== "theirs");
  const wanted = new Set(steps.map(({ file }) => file.path));
  const stale = Object.keys(before?.files ?? {}).filter((path) => !wanted.has(path));
  const directories = new Set(before?.directories ?? []);
  const folders = [manifestPath(prefix), ...wanted].map(dirname);
  for (const folder of folders)
    for (const made of missingOf(destdir, folder)) directories.add(made);
  makeDirectory(destdir + dirname(manifestPath(prefix)));
  const files = Object.fromEntries(
    steps.map(({ file, digest }) => [
      file.path,
      [...new Set([digest, ...without(before, file.path)])],
    ]),
  );
  const kept = {
    ...(before?.group === undefined ? {} : { group: before.group }),
    ...(before?.user === undefined ? {} : { user: before.user }),
  };
  const during: Manifest = {
    version,
    files: { ...before?.files, ...files },
    directories: [...directories],
    ...kept,
  };
  writeManifest(destdir, prefix, during);
  for (const { file, action } of steps) {
    if (action === "keep") continue;
    makeDirectory(dirname(destdir + file.path));
    put(file, destdir + file.path);
  }
  for (const path of stale) removeOwn(destdir, path, without(before, path));
  const after: Manifest = {
    ...during,
    files: Object.fromEntries(steps.map(({ file, digest }) => [file.path, [digest]])),
  };
  writeManifest(destdir, prefix, after);
  return after;
}

/** Which directories on the way to one are not there, as paths without the destination directory. */
function missingOf(destdir: string, folder: string): string[] {
  const missing: string[] = [];
  for (let at = folder; at !== "/" && !existsSync(destdir + at); at = dirname(at))
    missing.unshift(at);
  return missing;
}

/** Notes a group or a user as made by the installation; gives the manifest that says so. */
export function noteMade(
  { destdir, prefix }: Place,
  manifest: Manifest,
  made: Pick<Manifest, "group" | "user">,
): Manifest {
  const noted = { ...manifest, ...made };
  writeManifest(destdir, prefix, noted);
  return noted;
}

function removeOwn(destdir: string, path: string, digests: readonly string[]): "gone" | "foreign" {
  const present = digestAt(destdir + path);
  if (present === "missing") return "gone";
  if (!digests.includes(present)) return "foreign";
  rmSync(destdir + path, { force: true });
  return "gone";
}

/** Takes everything away that is as it was installed. Gives the paths that were changed since, and stay. */
export function uninstall({ destdir, prefix }: Place, manifest: Manifest): string[] {
  const changed = Object.entries(manifest.files)
    .filter(([path, digests]) => removeOwn(destdir, path, digests) === "foreign")
    .map(([path]) => path);
  rmSync(destdir + manifestPath(prefix), { force: true });
  // The innermost first; whoever has put something into one keeps it.
  for (const path of manifest.directories.toSorted((a, b) => b.length - a.length)) {
    const directory = destdir + path;
    if (existsSync(directory) && readdirSync(directory).length === 0) rmdirSync(directory);
  }
  return changed;
}
