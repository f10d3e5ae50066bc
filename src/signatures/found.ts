/**
 * What a registry has of signatures and attestations of an image: under cosign's tags, and as referrers (OCI 1.1). Nothing of
 * it is believed here but that its bytes are those that its digest names.
 */
import { createHash } from "node:crypto";
import { Fault, messageOf } from "../base/errors.ts";
import { isSha256 } from "../spec/reference.ts";
import { BUNDLE, ENVELOPE, SIMPLE_SIGNING } from "./payloads.ts";
import { isObject, parseStrictly } from "./strict-json.ts";

/** A manifest as the registry has it; its digest is that of its bytes. */
interface Manifest {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** A manifest that refers to another. */
interface Referrer {
  readonly digest: string;
  readonly artifactType: string | undefined;
}

/** The repository that an image is in. */
export interface SignatureSource {
  /** Rejects with the Fault "manifest-unknown" where there is none. */
  manifest(reference: string, signal?: AbortSignal): Promise<Manifest>;
  blob(
    blob: { readonly digest: string; readonly size: number },
    from?: number,
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /** What refers to a manifest. */
  referrers(digest: string, signal?: AbortSignal): Promise<readonly Referrer[]>;
}

/** A document that may be a signature. */
export interface Candidate {
  /** Where it is, for messages. */
  readonly where: string;
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Rejects with an Error when it is not as it was announced. */
  read(): Promise<Uint8Array>;
}

/** No image has more manifests about it that are looked at, nor one of them more layers. */
const MANIFESTS_MAX = 64;
const LAYERS_MAX = 64;
/** No signature is larger; an attestation (an SBOM) may be. */
const SIGNATURE_MAX = 1 << 20;
const ATTESTATION_MAX = 32 << 20;
/** Referrers of other types are other things. */
const ARTIFACTS = [
  // What cosign 2 writes into the tag that stands in for a registry's list, whatever it is.
  "application/vnd.oci.empty.v1+json",
  BUNDLE,
  SIMPLE_SIGNING,
  ENVELOPE,
  "application/vnd.dev.cosign.artifact.sig.v1+json",
];
const TYPES = [SIMPLE_SIGNING, BUNDLE, ENVELOPE];

async function readBlob(
  source: SignatureSource,
  { digest, size }: { readonly digest: string; readonly size: number },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source.blob({ digest, size }, 0, signal)) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const own = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (own !== digest) throw new Error(`the registry sends ${own} for it`);
  return bytes;
}

function textsIn(value: unknown): Record<string, string> {
  const entries = Object.entries(isObject(value) ? value : {});
  return Object.fromEntries(entries.filter(([, one]) => typeof one === "string")) as Record<
    string,
    string
  >;
}

function candidatesIn(
  source: SignatureSource,
  manifest: Manifest,
  where: string,
  signal: AbortSignal,
): Candidate[] {
  const { layers } = parseStrictly(manifest.bytes);
  const list: unknown[] = Array.isArray(layers) ? layers : [];
  if (list.length > LAYERS_MAX) throw new Error(`it has more than ${LAYERS_MAX} layers`);
  return list.filter(isObject).flatMap((layer) => {
    const { mediaType, digest, size } = layer;
    if (typeof mediaType !== "string" || !TYPES.includes(mediaType)) return [];
    if (typeof digest !== "string" || !isSha256(digest)) return [];
    const most = mediaType === SIMPLE_SIGNING ? SIGNATURE_MAX : ATTESTATION_MAX;
    const read = async () => {
      if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > most)
        throw new Error(`it has ${String(size)} bytes, more than the ${most} that are read`);
      return readBlob(source, { digest, size }, signal);
    };
    return [{ where, mediaType, digest, annotations: textsIn(layer.annotations), read }];
  });
}

/** Something there is that cannot be read. */
export interface Unreadable {
  readonly where: string;
  readonly problem: string;
}

async function manifestIf(
  source: SignatureSource,
  reference: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  try {
    return await source.manifest(reference, signal);
  } catch (error) {
    if (error instanceof Fault && error.code === "manifest-unknown") return undefined;
    throw error;
  }
}

/**
 * Everything about an image that is signed, cosign's tags first. `tags`: the endings to look at, such as "sig". Rejects when
 * the registry cannot be asked: then nobody knows.
 */
export async function* candidatesOf(
  source: SignatureSource,
  digest: string,
  tags: readonly ("sig" | "att")[],
  signal: AbortSignal,
): AsyncGenerator<Candidate | Unreadable> {
  const from = function* (manifest: Manifest, where: string) {
    try {
      yield* candidatesIn(source, manifest, where, signal);
    } catch (error) {
      yield { where, problem: messageOf(error) };
    }
  };
  for (const ending of tags) {
    const tag = `${digest.replace(":", "-")}.${ending}`;
    const manifest = await manifestIf(source, tag, signal);
    if (manifest !== undefined) yield* from(manifest, `the tag ${tag}`);
  }
  const all = await source.referrers(digest, signal);
  const referrers = all.filter(({ artifactType: type }) => !type || ARTIFACTS.includes(type));
  if (referrers.length > MANIFESTS_MAX)
    yield {
      where: "the referrers",
      problem: `there are more than the ${MANIFESTS_MAX} that are read`,
    };
  for (const one of referrers.slice(0, MANIFESTS_MAX)) {
    const manifest = await manifestIf(source, one.digest, signal);
    if (manifest !== undefined) yield* from(manifest, `the referrer ${one.digest}`);
  }
}
