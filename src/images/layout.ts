/**
 * An OCI image layout as an archive, with what older engines read beside it if that is wanted. What describes it stands
 * before the layers, so that a reader can do with one pass. The same images give the same bytes each time.
 */
import { open } from "node:fs/promises";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { plainTarHeader, tarEnd, tarPadding } from "../base/tar-writer.ts";
import type { Descriptor } from "./model.ts";

/** The media type of an OCI image index. */
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const CHUNK = 1 << 20;
const encoder = new TextEncoder();

/** A blob that is a file. */
export interface BlobFile {
  readonly digest: string;
  readonly size: number;
  readonly path: string;
}

/** What a layout is made of. */
export interface LayoutParts {
  /** The entries of index.json. */
  readonly manifests: readonly Descriptor[];
  /** More files by name, which are JSON: what Docker reads. */
  readonly beside: Readonly<Record<string, unknown>>;
  /** Manifests and configurations by digest. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  readonly layers: readonly BlobFile[];
}

/** Where a blob is in a layout. */
export function blobName(digest: string): string {
  return `blobs/sha256/${digest.slice(7)}`;
}

function header(path: string, size: number, type: "file" | "directory" = "file"): Uint8Array {
  return plainTarHeader({ path, type, mode: type === "file" ? 0o644 : 0o755, size });
}

function member(path: string, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([header(path, bytes.length), bytes, tarPadding(bytes.length)]);
}

/** A blob's bytes in large pieces. Each has a buffer of its own: whoever takes it may keep it. */
async function* blob({ digest, size, path }: BlobFile): ByteStream {
  yield header(blobName(digest), size);
  const file = await open(path, "r");
  try {
    for (let left = size; left > 0; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, left));
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0)
        throw fault("failed", "blob-short", `blob ${digest} is shorter than ${size} bytes`);
      left -= bytesRead;
      yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
  yield tarPadding(size);
}

/** The archive. */
export async function* layoutArchive(parts: LayoutParts): ByteStream {
  const { manifests, beside, documents } = parts;
  const json = (path: string, value: unknown) =>
    member(path, encoder.encode(JSON.stringify(value)));
  const layers = new Map(parts.layers.map((layer) => [layer.digest, layer]));
  yield Buffer.concat([
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", { schemaVersion: 2, mediaType: OCI_INDEX, manifests }),
    ...Object.entries(beside).map(([path, value]) => json(path, value)),
    header("blobs", 0, "directory"),
    header("blobs/sha256", 0, "directory"),
    ...[...documents].map(([digest, bytes]) => member(blobName(digest), bytes)),
  ]);
  for (const layer of layers.values()) yield* blob(layer);
  yield tarEnd();
}
