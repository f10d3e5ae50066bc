/**
 * --build-context: what names mean, and what of it is sent.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ByteStream } from "../base/compression.ts";
import { tarEnd } from "../base/tar-writer.ts";
import { contextName, type NamedContextSource } from "../spec/named-contexts.ts";
import { closeAll, openRoot, placeIn } from "../tree/index.ts";
import { contextPacker, fileEntries, type LocalContext, localContext } from "./build-context.ts";

/** A named context as it was given. */
export interface NamedContext {
  readonly source: NamedContextSource;
  /** What is sent of it. */
  readonly directory?: LocalContext;
  readonly archive?: () => ByteStream;
}

/** Addresses that the daemon fetches. */
export const REMOTE = /^(https?:\/\/|git:\/\/|ssh:\/\/|git\+ssh:\/\/|git@|file:\/\/|github\.com\/)/;

interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const REF = "org.opencontainers.image.ref.name";

function readJson(path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (value === null || typeof value !== "object") throw new Error(`${path} is no JSON object`);
  return value as Record<string, unknown>;
}

function blobPath(digest: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`unsupported digest ${digest}`);
  return `blobs/sha256/${digest.slice(7)}`;
}

/** All blobs that a descriptor leads to and that are there: an index's platforms may be. */
function blobsOf(directory: string, descriptor: Descriptor, found: Set<string>): Set<string> {
  const path = blobPath(descriptor.digest);
  if (found.has(path) || !existsSync(join(directory, path))) return found;
  found.add(path);
  if (!/\b(index|manifest)\b/.test(descriptor.mediaType ?? "manifest")) return found;
  const { manifests = [], layers = [], config } = readJson(join(directory, path));
  const inner = [...(manifests as Descriptor[]), ...(layers as Descriptor[])];
  const isConfig = (one: unknown): one is Descriptor => one !== undefined;
  if (isConfig(config)) found.add(blobPath(config.digest));
  for (const one of inner) {
    if (/\b(index|manifest)\b/.test(one.mediaType ?? "")) blobsOf(directory, one, found);
    else found.add(blobPath(one.digest));
  }
  return found;
}

/** The image that DIR[:TAG|@DIGEST] means. */
function imageOf(text: string): { directory: string; descriptor: Descriptor } {
  const [, path = "", tag, digest] =
    /^(.*?)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(text) ?? [];
  const directory = existsSync(join(text, "index.json")) ? text : path;
  const index = join(directory, "index.json");
  if (!existsSync(index))
    throw new Error(`could not find an OCI layout at ${directory}: no index.json`);
  const { manifests } = readJson(index);
  const all = Array.isArray(manifests) ? (manifests as Descriptor[]) : [];
  const wanted = directory === text ? undefined : (digest ?? tag);
  const descriptor =
    wanted === undefined
      ? (all.find((one) => one.annotations?.[REF] === "latest") ??
        (all.length === 1 ? all[0] : undefined))
      : (all.find((one) => one.digest === digest) ??
        (digest === undefined ? all.find((one) => one.annotations?.[REF] === tag) : { digest }));
  if (descriptor === undefined)
    throw new Error(
      `could not find the image ${wanted ?? "latest"} in the OCI layout ${directory}`,
    );
  return { directory, descriptor };
}

/** One image of a layout as an archive without names, so that it gets none where it is taken in. */
async function* layoutArchive(directory: string, descriptor: Descriptor): ByteStream {
  const { mediaType = "application/vnd.oci.image.manifest.v1+json" } = descriptor;
  const path = join(directory, blobPath(descriptor.digest));
  if (!existsSync(path)) throw new Error(`the OCI layout ${directory} has no ${descriptor.digest}`);
  const { size } = statSync(path);
  const manifests = [{ mediaType, digest: descriptor.digest, size }];
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  yield* fileEntries({ path: "oci-layout", content: json({ imageLayoutVersion: "1.0.0" }) });
  yield* fileEntries({ path: "index.json", content: json({ schemaVersion: 2, manifests }) });
  const packer = contextPacker();
  for (const blob of blobsOf(directory, descriptor, new Set())) {
    const parent = openRoot(join(directory, blob, ".."));
    try {
      const place = placeIn(parent, blob.slice(blob.lastIndexOf("/") + 1));
      if (place !== undefined) yield* packer.entry(blob, place);
    } finally {
      closeAll([parent]);
    }
  }
  yield tarEnd();
}

/** Reads NAME=VALUE. Throws an Error in buildx's words. */
export function namedContext(text: string): NamedContext {
  const at = text.indexOf("=");
  if (at <= 0) throw new Error(`invalid context value: ${text}, expected key=value`);
  const value = text.slice(at + 1);
  let name: string;
  try {
    name = contextName(text.slice(0, at));
  } catch (error) {
    throw new Error(`invalid context name ${text.slice(0, at)}: ${(error as Error).message}`);
  }
  const image = /^docker-image:\/\/(.*)$/.exec(value)?.[1];
  if (image !== undefined) return { source: { name, kind: "image", reference: image } };
  const layout = /^oci-layout:\/\/(.*)$/.exec(value)?.[1];
  if (layout !== undefined) {
    const { directory, descriptor } = imageOf(layout);
    const archive = () => layoutArchive(directory, descriptor);
    return { source: { name, kind: "layout" }, archive };
  }
  if (REMOTE.test(value)) return { source: { name, kind: "remote", address: value } };
  const info = statSync(value, { throwIfNoEntry: false });
  if (info === undefined)
    throw new Error(
      `failed to get build context ${name}: stat ${value}: no such file or directory`,
    );
  if (!info.isDirectory())
    throw new Error(`failed to get build context ${name}: ${value} is no directory`);
  const directory = localContext(value, "", true);
  return { source: { name, kind: "directory" }, directory, archive: () => directory.archive() };
}
