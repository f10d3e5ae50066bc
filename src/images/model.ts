/**
 * Image configurations and manifests as berth reads them: taken from hostile bytes, bounded and checked.
 */
import { digestOf } from "../base/digest.ts";
import { fault, messageOf } from "../base/errors.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import { isSha256 } from "../spec/reference.ts";

/** One step of an image's history (image-spec, config.md). */
export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** An image configuration (image-spec, config.md). */
export interface ImageDocument {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly os: string;
  readonly config?: ImageConfig | undefined;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  readonly history?: readonly HistoryEntry[];
  /** It is no image, but an artifact of this type (OCI 1.1), which is known by its manifest. */
  readonly artifact?: string | undefined;
}

/** A content descriptor (image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly platform?: {
    readonly architecture?: string;
    readonly os?: string;
    readonly variant?: string | undefined;
  };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image as the rest of berth knows it. */
export interface ImageRecord {
  /** The digest of its configuration. */
  readonly id: string;
  readonly document: ImageDocument;
  /** Chain ids of its layers, the lowest first. */
  readonly chain: readonly string[];
  /** Bytes of file content in its layers. */
  readonly size: number;
  /** Familiar names with tags. */
  readonly tags: readonly string[];
  /** Familiar names with digests: what registries know it as. */
  readonly digests: readonly string[];
  /** The manifest that it came with, if any. */
  readonly manifest?: string;
  /** The index that it came with, of several the newest. */
  readonly index?: string;
  /** The image that it was made from here. */
  readonly parent?: string;
  /** When it was put here, in milliseconds since 1970. */
  readonly added: number;
}

/** In an archive's index: the manifest was made for the archive, and is nothing that a registry knows the image by. */
export const MADE_MANIFEST = "berth.manifest-made-for-archive";

/** No manifest or configuration is larger. */
export const DOCUMENT_MAX = 8 << 20;
const LAYERS_MAX = 1000;

/** Parses JSON that must be an object. */
export function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw fault("invalid", "image-json", `${what} is not valid JSON: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw fault("invalid", "image-json", `${what} is not a JSON object`);
  return value as Record<string, unknown>;
}

function isStringList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isHistory(value: unknown): boolean {
  const isStep = (step: unknown) =>
    typeof step === "object" &&
    step !== null &&
    ["created", "created_by", "author", "comment"].every(
      (key) => typeof ((step as Record<string, unknown>)[key] ?? "") === "string",
    );
  return Array.isArray(value) && value.every(isStep);
}

/** Parses and checks an image configuration. */
export function parseDocument(bytes: Uint8Array): ImageDocument {
  const value = parseObject(bytes, "the image configuration");
  const bad = (why: string) =>
    fault("invalid", "image-config", `the image configuration is invalid: ${why}`);
  const rootfs = value.rootfs as ImageDocument["rootfs"] | undefined;
  if (typeof rootfs !== "object" || rootfs === null || !isStringList(rootfs.diff_ids))
    throw bad("rootfs.diff_ids is missing");
  if (rootfs.diff_ids.length > LAYERS_MAX) throw bad(`more than ${LAYERS_MAX} layers`);
  for (const digest of rootfs.diff_ids)
    if (!isSha256(digest)) throw bad(`${JSON.stringify(digest)} is no digest`);
  const config = (value.config ?? {}) as Record<string, unknown>;
  if (typeof config !== "object" || Array.isArray(config)) throw bad("config is not an object");
  for (const key of ["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"])
    if (config[key] !== undefined && config[key] !== null && !isStringList(config[key]))
      throw bad(`config.${key} is not a list of strings`);
  for (const key of ["User", "WorkingDir", "StopSignal"])
    if (config[key] !== undefined && config[key] !== null && typeof config[key] !== "string")
      throw bad(`config.${key} is not a string`);
  for (const key of ["Volumes", "ExposedPorts", "Labels"])
    if (
      config[key] !== undefined &&
      config[key] !== null &&
      (typeof config[key] !== "object" || Array.isArray(config[key]))
    )
      throw bad(`config.${key} is not an object`);
  for (const key of ["architecture", "os", "variant", "created", "author"])
    if (typeof (value[key] ?? "") !== "string") throw bad(`${key} is not a string`);
  if (!isHistory(value.history ?? [])) throw bad("history is not a list of steps");
  return {
    architecture: "",
    os: "linux",
    ...value,
    config,
    artifact: undefined,
  } as unknown as ImageDocument;
}

/** Parses a descriptor found in `what`. */
export function parseDescriptor(value: unknown, what: string): Descriptor {
  const descriptor = value as Partial<Descriptor> | null;
  if (
    typeof descriptor !== "object" ||
    descriptor === null ||
    typeof descriptor.digest !== "string" ||
    !isSha256(descriptor.digest)
  )
    throw fault("invalid", "image-descriptor", `${what} has a descriptor without a valid digest`);
  if (!Number.isSafeInteger(descriptor.size) || (descriptor.size ?? -1) < 0)
    throw fault("invalid", "image-descriptor", `${what} has a descriptor without a size`);
  return descriptor as Descriptor;
}

const configs = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
  // Old images of Docker Hub say this of theirs.
  "application/octet-stream",
  "",
]);

/** The type of the artifact that a manifest is of; undefined for images. */
export function artifactType(manifest: Readonly<Record<string, unknown>>): string | undefined {
  const { mediaType = "" } = parseDescriptor(manifest.config, "an image manifest");
  if (configs.has(mediaType)) return undefined;
  const said = manifest.artifactType;
  return typeof said === "string" && said !== "" ? said : String(mediaType);
}

/** What stands for the configuration of an artifact, which has none that berth could read. */
export function artifactDocument(artifact: string): ImageDocument {
  const rootfs = { type: "layers", diff_ids: [] };
  return { architecture: "", os: "", config: {}, rootfs, artifact };
}

/** The bytes of an image: unpacked, or of an artifact as they came. */
export function sizeOf(
  image: {
    readonly document: ImageDocument;
    readonly index?: { readonly blobs: readonly { readonly size: number }[] } | undefined;
  },
  unpacked: number,
): number {
  if (image.document.artifact === undefined) return unpacked;
  return image.index?.blobs.reduce((sum, { size }) => sum + size, 0) ?? 0;
}

/** The chain ids of a list of diff ids (image-spec, config.md, Layer ChainID). */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
