/**
 * What COPY and ADD take: the files that sources mean in a tree, be it a build's context or a stage's file system.
 */
import { posix } from "node:path";
import { globMatcher, IgnoreRules } from "../../base/dockerignore.ts";
import { fault } from "../../base/errors.ts";
import type { ContainerView, Found } from "../../storage/index.ts";
import { type Place, type Privileged, walkMerged } from "../../tree/index.ts";

/** A tree to copy from. */
export interface SourceTree {
  readonly view: ContainerView;
  readonly kernel: Privileged;
  /** What is not to be seen; paths are from the tree's root. */
  readonly ignore?: IgnoreRules | undefined;
  /** Digests of contents that are known, and those that are found out; by what tells versions of files apart. */
  readonly digests?:
    | { readonly known: ReadonlyMap<string, string>; readonly learned: Map<string, string> }
    | undefined;
}

/** What tells versions of a file apart. */
export function versionOf({ info }: Place): string {
  return `${info.ino}:${info.size}:${info.mtimeMs}:${info.ctimeMs}`;
}

/** How sources are meant. */
export interface SelectOptions {
  readonly parents: boolean;
  readonly exclude: readonly string[];
}

/** One thing that a source means: a file, or a directory whose contents are meant. */
export interface Selected {
  /** In the tree, resolved, without a leading slash; "" is the root. */
  readonly path: string;
  /** What it is called where it is copied to: "" for a directory's contents. */
  readonly name: string;
  readonly isDirectory: boolean;
}

/** A file on its way. */
export interface SourceEntry {
  /** Below the destination; "" is the destination itself. */
  readonly target: string;
  readonly place: Place;
}

const WILD = /[*?[\\]/;

function notFound(source: string, ignored: boolean): Error {
  const why = ignored ? " (.dockerignore leaves it out)" : "";
  return fault(
    "invalid",
    "copy-source",
    `failed to compute cache key: failed to calculate checksum: ${JSON.stringify(posix.join("/", source))}: not found${why}`,
  );
}

/** A source's path from the root: it cannot leave the tree. */
function plain(source: string): string {
  return posix.resolve("/", source).slice(1);
}

/** With --parents the name has the path in it, or what follows "/./". */
function nameOf(source: string, path: string, isDirectory: boolean, parents: boolean): string {
  if (!parents) return isDirectory ? "" : posix.basename(path);
  const pivot = source.indexOf("/./");
  const before = pivot < 0 ? "" : plain(source.slice(0, pivot));
  return before === "" ? path : path.slice(before.length + 1);
}

async function one(tree: SourceTree, source: string, options: SelectOptions): Promise<Selected> {
  const path = plain(source);
  const found = await tree.view.find(`/${path}`, true);
  if (found === undefined) throw notFound(source, tree.ignore?.ignores(path) ?? false);
  try {
    const resolved = found.path.slice(1);
    const isDirectory = found.place === undefined || found.place.info.isDirectory();
    if (!isDirectory && tree.ignore?.ignores(path)) throw notFound(source, true);
    if (isDirectory && path !== "" && tree.ignore?.prunes(path)) throw notFound(source, true);
    return {
      path: resolved,
      name: nameOf(source, path, isDirectory, options.parents),
      isDirectory,
    };
  } finally {
    found.close();
  }
}

/** Everything below a directory that a tree lets be seen. */
async function* visible(tree: SourceTree, found: Found): AsyncGenerator<SourceEntry> {
  const base = found.path === "/" ? "" : `${found.path.slice(1)}/`;
  for await (const { path, place } of walkMerged(tree.kernel, found.directories, found.mounts))
    if (!tree.ignore?.ignores(base + path)) yield { target: path, place };
}

/** What a pattern means: the names with as many components as it has, and any number where it has "**". */
async function* matching(
  tree: SourceTree,
  source: string,
  options: SelectOptions,
): AsyncGenerator<Selected> {
  const pattern = posix.normalize(source).replace(/^\/+/, "");
  const names = pattern.split("/");
  const fixed = names
    .slice(
      0,
      names.findIndex((name) => WILD.test(name)),
    )
    .join("/");
  const deep = names.includes("**");
  const matches = globMatcher(pattern.replace("/./", "/"));
  const start = await tree.view.find(`/${fixed}`, true);
  if (start === undefined) return;
  try {
    const depth = names.length - fixed.split("/").filter(Boolean).length;
    for await (const { target, place } of visible(tree, start)) {
      if (!deep && target.split("/").length !== depth) continue;
      const path = posix.join(fixed, target);
      if (!matches(path)) continue;
      const isDirectory = place.info.isDirectory();
      if (deep && isDirectory) continue;
      const name = nameOf(source, path, isDirectory, options.parents);
      yield { path: posix.join(start.path.slice(1), target), name, isDirectory };
    }
  } finally {
    start.close();
  }
}

/**
 * What sources mean, in their order. A name without wildcards that is not there is a mistake; a pattern may mean nothing.
 * Throws a Fault "invalid" in BuildKit's words.
 */
export async function select(
  tree: SourceTree,
  sources: readonly string[],
  options: SelectOptions,
): Promise<Selected[]> {
  const found: Selected[] = [];
  for (const source of sources)
    if (WILD.test(source))
      for await (const item of matching(tree, source, options)) found.push(item);
    else found.push(await one(tree, source, options));
  return found;
}

/** The files of one thing that was selected, each directory before what is in it. */
export async function* entriesOf(
  tree: SourceTree,
  selected: Selected,
  options: SelectOptions,
): AsyncGenerator<SourceEntry> {
  const excluded = new IgnoreRules(options.exclude);
  const found = await tree.view.find(`/${selected.path}`, false);
  if (found === undefined) throw notFound(selected.path, false);
  try {
    if (!selected.isDirectory) {
      if (found.place !== undefined && !excluded.ignores(posix.basename(selected.path)))
        yield { target: selected.name, place: found.place };
      return;
    }
    if (found.place !== undefined) yield { target: selected.name, place: found.place };
    for await (const { target, place } of visible(tree, found))
      if (!excluded.ignores(target)) yield { target: posix.join(selected.name, target), place };
  } finally {
    found.close();
  }
}
