/**
 * Image indexes read (pure): what each entry is, and what a manifest names. An index is of hostile bytes like every other
 * document.
 */
import { fault } from "../base/errors.ts";
import { OCI_INDEX } from "./layout.ts";
import { type Descriptor, parseDescriptor, parseObject } from "./model.ts";

const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const NESTING_MAX = 4;
/** No index has more entries, those of nested ones included. */
const ENTRIES_MAX = 1000;

/** Whether a media type is that of an index. */
export function isIndexType(mediaType: string | undefined): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

/** The digest of the manifest that an attestation's is about (BuildKit, "Image attestation storage"); undefined for others. */
export function attestedBy({ annotations }: Descriptor): string | undefined {
  if (annotations?.["vnd.docker.reference.type"] !== "attestation-manifest") return undefined;
  return annotations["vnd.docker.reference.digest"];
}

/** The entries of an index. Throws Faults for what is none. */
export function entriesOf(index: Readonly<Record<string, unknown>>): Descriptor[] {
  // What is both could mean one thing to us and another to somebody else (CVE-2021-41190).
  if (index.config !== undefined || index.layers !== undefined)
    throw fault("invalid", "image-archive", "a manifest that is also an index is refused");
  const list = Array.isArray(index.manifests) ? index.manifests : [];
  if (list.length > ENTRIES_MAX)
    throw fault("invalid", "image-archive", `an index has more than ${ENTRIES_MAX} entries`);
  return list.map((item) => parseDescriptor(item, "an image index"));
}

/** What a manifest names: its configuration, then its layers. */
function namedBy(manifest: Readonly<Record<string, unknown>>): Descriptor[] {
  const layers = Array.isArray(manifest.layers) ? manifest.layers : [];
  const config = manifest.config === undefined ? [] : [manifest.config];
  return [...config, ...layers].map((item) => parseDescriptor(item, "an image manifest"));
}

/** A manifest in an index. */
export interface IndexPart {
  readonly descriptor: Descriptor;
  /** Undefined: it is not here. */
  readonly bytes: Uint8Array | undefined;
  /** What it names, as far as that is known. */
  readonly names: readonly Descriptor[];
}

/** An index with what is in it; a manifest alone counts as one that has only that, and is none. */
export interface IndexContent {
  /** The index and those nested in it, as far as they are here. */
  readonly indexes: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
  /** In the order of the index. */
  readonly parts: readonly IndexPart[];
}

/** Reads an index and everything that it leads to; `read` gives a document's bytes, or undefined where it is not here. */
export function readIndex(
  top: Descriptor,
  read: (descriptor: Descriptor) => Uint8Array | undefined,
): IndexContent {
  const indexes: { descriptor: Descriptor; bytes: Uint8Array }[] = [];
  const parts: IndexPart[] = [];
  const seen = new Set<string>();
  const walk = (descriptor: Descriptor, depth: number): void => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    if (depth > NESTING_MAX || seen.size > ENTRIES_MAX)
      throw fault(
        "invalid",
        "image-archive",
        "indexes are nested too deeply, or have too many entries",
      );
    const bytes = read(descriptor);
    if (bytes === undefined) {
      parts.push({ descriptor, bytes, names: [] });
      return;
    }
    const document = parseObject(bytes, "an image manifest");
    const isIndex = isIndexType(descriptor.mediaType) || Array.isArray(document.manifests);
    if (isIndex) {
      indexes.push({ descriptor, bytes });
      for (const entry of entriesOf(document)) walk(entry, depth + 1);
    } else parts.push({ descriptor, bytes, names: namedBy(document) });
  };
  walk(top, 0);
  return { indexes, parts };
}

/** Whether a part and all that it names is here. */
export function isWhole({ bytes, names }: IndexPart, has: (digest: string) => boolean): boolean {
  return bytes !== undefined && names.every(({ digest }) => has(digest));
}
