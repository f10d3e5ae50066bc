/**
 * What building threads do. Everything that goes in and comes out is plain data.
 */
import { closeSync } from "node:fs";
import { type ByteStream, decompress } from "../../base/compression.ts";
import { TarReader } from "../../base/tar.ts";
import { Extractor, openRoot, type Privileged, TargetTree } from "../../tree/index.ts";
import { archiveIn } from "../copy/archive.ts";
import { addDigests } from "../copy/digests.ts";
import { CopyLayer } from "../copy/layer.ts";
import type { CopySpec } from "../copy/spec.ts";
import { openTree } from "../copy/tree.ts";
import {
  type ContextUpdate,
  compareFiles,
  type UpdatedContext,
  updateFiles,
} from "../kept-files.ts";
import type { StepChanges } from "../ports.ts";
import { packStepChanges } from "./step-layer.ts";

/** Bytes of one message. */
const MESSAGE = 256 << 10;

/** What a task has besides its input. */
export interface TaskContext {
  readonly kernel: Privileged;
  /** Bytes that come with it. */
  readonly body: ByteStream;
  /** Sends bytes; resolves when there is room for more. */
  write(piece: Uint8Array): Promise<void>;
  readonly signal: AbortSignal;
}

/** What is found out of a COPY before it is done. */
export interface CopyDigest {
  readonly digest: string;
  /** JSON of a digest for each file that is copied, by its path: as text, which is cheap to hand over. */
  readonly files: string;
}

/** The same bytes, until somebody gives up: what is packed may be without end. */
async function* until(signal: AbortSignal, source: ByteStream): ByteStream {
  for await (const piece of source) {
    signal.throwIfAborted();
    yield piece;
  }
}

/** How an archive is unpacked. */
interface Unpacking {
  readonly directory: string;
  /** Those of the archive; otherwise everything is root's. */
  readonly keepOwners?: boolean;
  /** The directory becomes what the archive says of its root. */
  readonly takeRoot?: boolean;
}

/** Unpacks an archive, plain or compressed, into a directory. */
async function unpack(
  { directory, keepOwners = false, takeRoot = false }: Unpacking,
  { body, kernel, signal }: TaskContext,
): Promise<void> {
  const root = openRoot(directory);
  const tree = new TargetTree(root);
  try {
    const reader = new TarReader(until(signal, await decompress(body)));
    const owner = keepOwners ? undefined : { uid: 0, gid: 0 };
    const options = { whiteouts: "keep", owner, takeRoot } as const;
    await new Extractor(tree, kernel, options).extract(reader);
    await reader.drain();
  } finally {
    tree.close();
    closeSync(root);
  }
}

/** Compares a list that is sent with one that is here. */
function compareContext(
  { before }: { readonly before: string | undefined },
  { body }: TaskContext,
): Promise<readonly number[]> {
  return compareFiles(before, body);
}

/** Brings a kept context up to date. */
function updateContext(
  update: ContextUpdate,
  { body, kernel, signal }: TaskContext,
): Promise<UpdatedContext> {
  return updateFiles(update, until(signal, body), kernel);
}

function layerOf(spec: CopySpec, { kernel, signal }: TaskContext) {
  const learned = new Map<string, string>();
  const { work, owner, time, latest } = spec;
  const open = (tree: CopySpec["tree"]) => openTree(tree, kernel, learned);
  const layer = CopyLayer.plan({
    ...{ work, owner, time, latest, kernel, signal },
    tree: open(spec.tree),
    fetched: spec.fetched.map((one) => ({ ...one, tree: open(one.tree) })),
    base: open({ directories: spec.base, attributes: true }).view,
    archiveIn: async (place) => archiveIn(place),
  });
  return { layer, learned };
}

/** Finds out what a COPY would copy. */
async function digestCopy(spec: CopySpec, context: TaskContext): Promise<CopyDigest> {
  const { layer, learned } = layerOf(spec, context);
  const files: Record<string, string> = Object.create(null);
  const digest = await (await layer).digest((path, what) => {
    files[path] = what;
  });
  if (spec.tree.digests !== undefined) addDigests(spec.tree.digests, [...learned]);
  return { digest, files: JSON.stringify(files) };
}

/** Sends an archive. Headers are small, and messages are not: they are joined. A piece is good only until the next one. */
async function send(archive: ByteStream, { write, signal }: TaskContext): Promise<void> {
  let buffer = new Uint8Array(MESSAGE);
  let used = 0;
  for await (const piece of until(signal, archive))
    for (let at = 0; at < piece.length; ) {
      const some = piece.subarray(at, at + MESSAGE - used);
      buffer.set(some, used);
      used += some.length;
      at += some.length;
      if (used < MESSAGE) continue;
      await write(buffer);
      buffer = new Uint8Array(MESSAGE);
      used = 0;
    }
  if (used > 0) await write(buffer.slice(0, used));
}

/** Writes the layer of a COPY. */
async function packCopy(spec: CopySpec, context: TaskContext): Promise<void> {
  const layer = await layerOf(spec, context).layer;
  await send(layer.archive(), context);
}

/** Writes the layer of a RUN. `latest`: no time in it is later, in seconds since 1970. */
async function packStep(
  { changed, latest }: { readonly changed: StepChanges; readonly latest: number | undefined },
  context: TaskContext,
): Promise<void> {
  await send(packStepChanges(context.kernel, changed, latest), context);
}

/** By their names. */
export const tasks = { unpack, compareContext, updateContext, digestCopy, packCopy, packStep };

/** What each takes and gives. */
export type Tasks = typeof tasks;
