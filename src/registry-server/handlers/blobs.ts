/**
 * Blobs: read, asked after, deleted.
 */
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Service } from "../service.ts";

/** GET and HEAD. */
export async function getBlob(
  { store, upstream }: Service,
  exchange: Exchange,
  name: string,
  digest: string,
): Promise<void> {
  const headers = {
    "Content-Type": "application/octet-stream",
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
  };
  const blob = store.blob(name, digest);
  if (blob === undefined) {
    if (upstream === undefined) throw new RegistryError("BLOB_UNKNOWN", { detail: { digest } });
    return upstream.sendBlob(exchange, name, digest, headers);
  }
  // Whoever asks after it may be about to push a manifest that names it; a cache keeps what is asked for.
  store.data.touch("blobs", name, digest);
  if (exchange.isKnown(digest)) return;
  await exchange.file(blob.path, headers);
}

/** DELETE: the repository has it no longer. */
export function deleteBlob({ store }: Service, exchange: Exchange, name: string, digest: string) {
  if (!store.removeBlob(name, digest))
    throw new RegistryError("BLOB_UNKNOWN", { detail: { digest } });
  exchange.empty(202, { "Docker-Content-Digest": digest });
}
