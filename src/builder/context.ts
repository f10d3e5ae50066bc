/**
 * A build's context: an archive from a client, unpacked into a directory that nobody else has.
 */
import { closeSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { posix } from "node:path";
import { type ByteStream, decompress } from "../base/compression.ts";
import { IgnoreRules, ignorePatterns } from "../base/dockerignore.ts";
import { fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { ContainerView } from "../storage/index.ts";
import { Extractor, openRoot, type Privileged, placeIn, TargetTree } from "../tree/index.ts";
import { archiveIn } from "./copy/archive.ts";
import type { SourceTree } from "./copy/source.ts";
import type { KeptContext, KeptContexts, KeptName } from "./kept-contexts.ts";
import { fetchFile, fetchRepository, gitSource, isHttp } from "./remote.ts";

/** A context that is there until it is closed. */
export interface BuildContext {
  readonly directory: string;
  /** For what the build fetches. */
  readonly scratch: string;
  readonly tree: SourceTree;
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

async function unpack(archive: ByteStream, directory: string, kernel: Privileged): Promise<void> {
  const root = openRoot(directory);
  const tree = new TargetTree(root);
  try {
    const reader = new TarReader(await decompress(archive));
    const options = { whiteouts: "keep", owner: { uid: 0, gid: 0 } } as const;
    await new Extractor(tree, kernel, options).extract(reader);
    await reader.drain();
  } finally {
    tree.close();
    closeSync(root);
  }
}

/** For files from outside, which have no attributes that count. */
export function withoutAttributes(kernel: Privileged): Privileged {
  return {
    mknod: (...node) => kernel.mknod(...node),
    setXattr: (...attribute) => kernel.setXattr(...attribute),
    xattrs: async () => new Map(),
  };
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

/** Puts the files of a context into a directory; gives the directory that is its root, and a Dockerfile's name if it is all. */
async function gather(
  source: ContextSource,
  directory: string,
  kernel: Privileged,
  signal: AbortSignal,
): Promise<{ root: string; dockerfile?: string; kept?: KeptContext }> {
  if (source.kind === "kept") {
    const kept = await source.contexts.open(source.name, source.archive, kernel);
    return { root: kept.root, kept };
  }
  const files = `${directory}/files`;
  mkdirSync(files);
  if (source.kind === "archive") {
    await unpack(source.archive, files, kernel);
    return { root: files };
  }
  const { address } = source;
  const repository = gitSource(address);
  if (repository !== undefined) {
    const fetched = await fetchRepository(repository, directory, false, signal);
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
  const { path } = await fetchFile(address, directory, signal);
  const parent = openRoot(directory);
  try {
    const place = placeIn(parent, posix.basename(path));
    const archive = place && (await archiveIn(place));
    if (archive !== undefined) {
      await unpack(archive, files, kernel);
      return { root: files };
    }
  } finally {
    closeSync(parent);
  }
  renameSync(path, `${files}/Dockerfile`);
  return { root: files, dockerfile: "Dockerfile" };
}

/**
 * Gets a context into a directory of its own below `parent`, and reads its Dockerfile and what goes with that. Rejects with
 * Faults in Docker's words; nothing is left then.
 */
export async function openContext(
  source: ContextSource,
  parent: string,
  kernel: Privileged,
  options: { readonly dockerfile: string; readonly signal: AbortSignal },
): Promise<BuildContext> {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const scratch = mkdtempSync(`${parent}/`);
  let kept: KeptContext | undefined;
  const close = () => {
    kept?.close();
    rmSync(scratch, { recursive: true, force: true });
  };
  try {
    const gathered = await gather(source, scratch, kernel, options.signal);
    const { root, dockerfile: only } = gathered;
    kept = gathered.kept;
    const view = new ContainerView(kernel, [root], []);
    const path = only ?? (options.dockerfile || "Dockerfile");
    const dockerfile = await textOf(view, path);
    if (dockerfile === undefined)
      throw fault(
        "invalid",
        "no-dockerfile",
        `failed to read dockerfile: open ${path}: no such file or directory`,
      );
    const own = await textOf(view, `${path}.dockerignore`);
    const patterns = ignorePatterns(own ?? (await textOf(view, ".dockerignore")) ?? "");
    const ignore = patterns.length === 0 ? undefined : new IgnoreRules(patterns);
    const tree = { view, kernel: withoutAttributes(kernel), ignore, digests: kept?.digests };
    return { directory: root, scratch, tree, dockerfile, close };
  } catch (error) {
    close();
    throw error;
  }
}
