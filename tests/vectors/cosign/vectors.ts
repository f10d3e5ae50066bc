/** What real cosign programs have made, as record.ts has written it down. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import type { FakeRegistry } from "../../kits/fake-registry.ts";

/** One program's images, signatures and attestations. */
export interface CosignVectors {
  /** Of cosign. */
  readonly version: string;
  /** Of the registry then: signatures without a name of their own name it. */
  readonly address: string;
  /** Public keys in PEM. */
  readonly keys: Readonly<Record<string, string>>;
  /** Digests by tags. */
  readonly images: Readonly<Record<string, string>>;
  /** By tags and digests. */
  readonly manifests: Readonly<
    Record<string, { readonly mediaType: string; readonly text: string }>
  >;
  /** Deflated, in base64. */
  readonly blobs: readonly string[];
}

/** Reads those of a version. */
export function cosignVectors(version: string): CosignVectors {
  const path = join(import.meta.dir, `cosign-${version}.json`);
  return JSON.parse(readFileSync(path, "utf8")) as CosignVectors;
}

/** Puts everything into a registry. */
export function replay({ manifests, blobs }: CosignVectors, registry: FakeRegistry): void {
  for (const blob of blobs) registry.blob(inflateRawSync(Buffer.from(blob, "base64")), "");
  for (const [name, { mediaType, text }] of Object.entries(manifests))
    registry.manifests.set(name, { mediaType, bytes: Buffer.from(text) });
}
