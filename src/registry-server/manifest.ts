/**
 * What a manifest names (pure): configuration and layers, the entries of an index, its subject. Image manifests and indexes
 * of OCI, Docker's schema 2 and manifest lists.
 */
import { isSha256 } from "../spec/reference.ts";
import { RegistryError } from "./errors.ts";

/** No larger manifest is taken or kept. */
export const MANIFEST_MAX = 4 << 20;

const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const known = new Set([OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST]);

/** The media types of manifests that clients without a list of their own are taken to know. */
export const imageManifests: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];

/** What a manifest points at. */
export interface Named {
  readonly digest: string;
  readonly size: number;
  /** A layer that lies elsewhere (`urls`), and need not be here. */
  readonly elsewhere: boolean;
}

/** A manifest as the registry needs to know it. */
export interface ParsedManifest {
  readonly mediaType: string;
  readonly isIndex: boolean;
  /** Blobs of an image manifest. */
  readonly blobs: readonly Named[];
  /** Manifests of an index, with the platform that each is for. */
  readonly children: readonly (Named & { readonly os: string; readonly architecture: string })[];
  readonly subject: string | undefined;
  /** As the list of referrers shows it. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

type Json = Readonly<Record<string, unknown>>;

function invalid(message: string): RegistryError {
  return new RegistryError("MANIFEST_INVALID", { message: `manifest invalid: ${message}` });
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${what} is not an object`);
  return value as Json;
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function named(value: unknown, what: string): Named {
  const { digest, size, urls } = objectOf(value, what);
  if (typeof digest !== "string" || !isSha256(digest)) throw invalid(`${what} has no valid digest`);
  if (!Number.isSafeInteger(size) || Number(size) < 0) throw invalid(`${what} has no valid size`);
  return { digest, size: Number(size), elsewhere: Array.isArray(urls) && urls.length > 0 };
}

function child(value: unknown, at: number) {
  const what = `manifests[${at}]`;
  const { platform } = objectOf(value, what);
  const { os, architecture } = objectOf(platform ?? {}, `${what}.platform`);
  return { ...named(value, what), os: String(os ?? ""), architecture: String(architecture ?? "") };
}

function annotationsOf(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  const all = objectOf(value, "annotations");
  for (const [key, text] of Object.entries(all))
    if (typeof text !== "string") throw invalid(`annotation ${JSON.stringify(key)} is not a text`);
  return all as Readonly<Record<string, string>>;
}

function textOf(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw invalid(`${what} is not a text`);
  return value;
}

/** The type that counts: what the manifest says of itself, which the header may not contradict. */
function typeOf(manifest: Json, header: string | undefined): string {
  const sent = header?.split(";")[0]?.trim() || undefined;
  const given = sent === "application/json" ? undefined : sent;
  const said = textOf(manifest.mediaType, "mediaType");
  if (said !== undefined && given !== undefined && said !== given)
    throw invalid(`it says that it is ${said}, and was sent as ${given}`);
  const type = said ?? given ?? (Array.isArray(manifest.manifests) ? OCI_INDEX : OCI_MANIFEST);
  if (known.has(type)) return type;
  throw invalid(`media type ${JSON.stringify(type.slice(0, 200))} is not one of a manifest`);
}

/** Reads a manifest; `header`: the Content-Type that it came with. Throws MANIFEST_INVALID. */
export function parseManifest(bytes: Uint8Array, header: string | undefined): ParsedManifest {
  let manifest: Json;
  try {
    manifest = objectOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)), "it");
  } catch (error) {
    if (error instanceof RegistryError) throw error;
    throw invalid("it is not JSON");
  }
  if (manifest.schemaVersion !== 2) throw invalid("its schemaVersion is not 2");
  const mediaType = typeOf(manifest, header);
  const isIndex = mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
  const config = manifest.config ?? undefined;
  // What is both could mean one image to us and another to somebody else (CVE-2021-41190).
  const other = isIndex
    ? config !== undefined || manifest.layers !== undefined
    : manifest.manifests !== undefined;
  if (other) throw invalid("it is both an image and an index");
  if (!isIndex && config === undefined) throw invalid("it has no config");
  const layers = listOf(manifest.layers, "layers").map((one, at) => named(one, `layers[${at}]`));
  const configType = isIndex ? undefined : objectOf(config, "config").mediaType;
  return {
    mediaType,
    isIndex,
    blobs: isIndex ? [] : [{ ...named(config, "config"), elsewhere: false }, ...layers],
    children: isIndex ? listOf(manifest.manifests, "manifests").map(child) : [],
    subject: manifest.subject ? named(manifest.subject, "subject").digest : undefined,
    artifactType:
      textOf(manifest.artifactType, "artifactType") ?? textOf(configType, "config.mediaType"),
    annotations: annotationsOf(manifest.annotations),
  };
}
