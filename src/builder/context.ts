/**
 * A build's context: an archive from a client, unpacked into a directory that nobody else has.
 */
import { closeSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { posix } from "node:path";
import type { ByteStream } from "../base/compression.ts";
import { IgnoreRules, ignorePatterns } from "../base/dockerignore.ts";
import { fault } from "../base/errors.ts";
import { ContainerView } from "../storage/index.ts";
import { openRoot, type Privileged, placeIn } from "../tree/index.ts";
import { archiveIn } from "./copy/archive.ts";
import type { TreeSpec } from "./copy/spec.ts";
import type { KeptContext, KeptContexts, KeptName } from "./kept-contexts.ts";
import { fetchFile, isHttp } from "./remote.ts";
import { fetchRepository, type GitAccess, gitSource } from "./repositories.ts";
import type { BuildThreads } from "./threads/pool.ts";

/** A context that is there until it is closed. */
export interface BuildContext {
  readonly directory: string;
  /** For what the build fetches. */
  readonly scratch: string;
  readonly tree: TreeSpec;
  readonly knownCopies: Map<string, string> | undefined;
  /** The Dockerfile's text. */
  readonly dockerfile: string;
  close(): void;
}

const TEXT_MAX = 4 << 20;

/** A text of the context; undefined when there is no such file. */
async function textOf(view: ContainerView, path: string): Promise<string | undefined> {
  const found = await view.find(posix.join("/", path), true);
  try {
    if (found?.place === undefined || !found.place.info.isFile()) return undefined;
    if (found.place.info.size > TEXT_MAX)
      throw fault("invalid", "dockerfile", `${path} is larger than ${TEXT_MAX} bytes`);
    return await Bun.file(found.place.path).text();
  } finally {
    found?.close();
  }
}

/** What a context is made of: an archive that was sent, or an address. */
export type ContextSource =
  | { readonly kind: "archive"; readonly archive: ByteStream }
  /** An archive of what has changed since the build before. */
  | {
      readonly kind: "kept";
      readonly contexts: KeptContexts;
      readonly name: KeptName;
      readonly archive: ByteStream;
    }
  | { readonly kind: "remote"; readonly address: string };

/** What contexts need of others. */
export interface ContextDeps {
  readonly kernel: Privileged;
  readonly threads: BuildThreads;
  readonly git: GitAccess;
  /** Takes a tree away at once; its files go beside the event loop. */
  readonly discard: (path: string) => void;
}

/** A context's files, where they are. */
interface Gathered {
  readonly root: string;
  /** The name of the only file, when an address was that of one and not of an archive. */
  readonly single?: string;
  readonly kept?: KeptContext;
}

/** Puts the files of a context into a directory. */
async function gather(
  source: ContextSource,
  directory: string,
  { kernel, threads, git }: ContextDeps,
  signal: AbortSignal,
): Promise<Gathered> {
  if (source.kind === "kept") {
    const kept = await source.contexts.open(source.name, source.archive, signal);
    return { root: kept.root, kept };
  }
  const files = `${directory}/files`;
  mkdirSync(files);
  const unpack = (body: ByteStream) =>
    threads.run("unpack", { directory: files }, { body, signal });
  if (source.kind === "archive") {
    await unpack(source.archive);
    return { root: files };
  }
  const { address } = source;
  const repository = gitSource(address);
  if (repository !== undefined) {
    const fetched = await fetchRepository(repository, directory, false, git, signal);
    if (repository.directory === "") return { root: fetched.directory };
    const view = new ContainerView(kernel, [fetched.directory], []);
    const found = await view.find(posix.join("/", repository.directory), true);
    found?.close();
    if (found === undefined || found.directories.length === 0)
      throw fault("invalid", "build-fetch", `${address} has no directory ${repository.directory}`);
    return { root: posix.join(fetched.directory, found.path) };
  }
  if (!isHttp(address))
    throw fault(
      "invalid",
      "build-fetch",
      `${address} is no address of a context: http, https or git`,
    );
  const { path, name } = await fetchFile(address, directory, signal);
  const parent = openRoot(directory);
  try {
    const place = placeIn(parent, posix.basename(path));
    const archive = place && (await archiveIn(place));
    if (archive !== undefined) {
      await unpack(archive);
      return { root: files };
    }
  } finally {
    closeSync(parent);
  }
  renameSync(path, `${files}/${name}`);
  return { root: files, single: name };
}

async function treeOf(
  { root, kept }: Gathered,
  view: ContainerView,
  ignoreFiles: readonly string[],
): Promise<TreeSpec> {
  let text: string | undefined;
  for (const file of ignoreFiles) text ??= await textOf(view, file);
  const ignore = ignorePatterns(text ?? "");
  // What makes no sense is told of now.
  new IgnoreRules(ignore);
  return { directories: [root], ignore, attributes: false, digests: kept?.digests };
}

/** Files of a context that are there until it is closed. */
export type FileContext = Omit<BuildContext, "dockerfile">;

/** Gathers a context into a directory of its own below `parent`, and opens it; nothing is left when that rejects. */
async function openIn<T>(
  source: ContextSource,
  parent: string,
  deps: ContextDeps,
  signal: AbortSignal,
  open: (gathered: Gathered, common: Omit<FileContext, "tree">) => Promise<T>,
): Promise<T> {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const scratch = mkdtempSync(`${parent}/`);
  let kept: KeptContext | undefined;
  const close = () => {
    kept?.close();
    deps.discard(scratch);
  };
  try {
    const gathered = await gather(source, scratch, deps, signal);
    kept = gathered.kept;
    const common = { directory: gathered.root, scratch, knownCopies: kept?.copies, close };
    return await open(gathered, common);
  } catch (error) {
    close();
    throw error;
  }
}

/** Gets the files of a named context, which has no Dockerfile. Rejects with Faults; nothing is left then. */
export function openFiles(
  source: ContextSource,
  parent: string,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<FileContext> {
  return openIn(source, parent, deps, signal, async (gathered, common) => {
    const view = new ContainerView(deps.kernel, [gathered.root], []);
    return { ...common, tree: await treeOf(gathered, view, [".dockerignore"]) };
  });
}

/**
 * Gets a context into a directory of its own below `parent`, and reads its Dockerfile and what goes with that. Rejects with
 * Faults in Docker's words; nothing is left then.
 */
export function openContext(
  source: ContextSource,
  parent: string,
  deps: ContextDeps,
  options: { readonly dockerfile: string; readonly signal: AbortSignal },
): Promise<BuildContext> {
  return openIn(source, parent, deps, options.signal, async (gathered, common) => {
    const view = new ContainerView(deps.kernel, [gathered.root], []);
    const path = gathered.single ?? (options.dockerfile || "Dockerfile");
    const dockerfile = await textOf(view, path);
    if (dockerfile === undefined)
      throw fault(
        "invalid",
        "no-dockerfile",
        `failed to read dockerfile: open ${path}: no such file or directory`,
      );
    const tree = await treeOf(gathered, view, [`${path}.dockerignore`, ".dockerignore"]);
    return { ...common, tree, dockerfile };
  });
}
