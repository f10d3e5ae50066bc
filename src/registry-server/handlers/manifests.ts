/**
 * Manifests: read by tag and digest, stored, deleted.
 */
import { digestOf } from "../../base/digest.ts";
import { accepts } from "../accept.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { imageManifests, MANIFEST_MAX, parseManifest } from "../manifest.ts";
import type { Service } from "../service.ts";
import type { StoredManifest } from "../store.ts";
import type { Target } from "../target.ts";

type ManifestTarget = Extract<Target, { readonly kind: "manifest" }>;

function unknown({ name, tag, digest }: ManifestTarget): RegistryError {
  return new RegistryError("MANIFEST_UNKNOWN", {
    detail: { name, ...(tag ? { tag } : { digest }) },
  });
}

/**
 * What a client that asks by tag can read. An old one that knows no index gets the entry for linux/amd64, as registries have
 * always done. Whoever asks by digest wants just that.
 */
function readable(
  { store }: Service,
  found: StoredManifest,
  exchange: Exchange,
  target: ManifestTarget,
): StoredManifest {
  const accept = exchange.header("accept");
  if (target.tag === undefined || accepts(accept, found.mediaType)) return found;
  const parsed = parseManifest(found.bytes, found.mediaType);
  const entry = parsed.children.find(
    (one) => one.os === "linux" && one.architecture === "amd64",
  )?.digest;
  const one = entry === undefined ? undefined : store.manifest(target.name, { digest: entry });
  if (one !== undefined && imageManifests.includes(one.mediaType) && accepts(accept, one.mediaType))
    return one;
  throw new RegistryError("MANIFEST_UNKNOWN", {
    message: `manifest found, but the accept header does not take ${found.mediaType}`,
  });
}

/** GET and HEAD. */
export async function getManifest(service: Service, exchange: Exchange, target: ManifestTarget) {
  const { store, upstream } = service;
  await upstream?.refresh(target);
  const found = store.manifest(target.name, target);
  if (found === undefined) throw unknown(target);
  const { digest, bytes, mediaType } = readable(service, found, exchange, target);
  store.data.touch("manifests", target.name, digest);
  if (exchange.isKnown(digest)) return;
  exchange.bytes(200, bytes, mediaType, { "Docker-Content-Digest": digest, ETag: `"${digest}"` });
}

/** PUT. */
export async function putManifest({ store }: Service, exchange: Exchange, target: ManifestTarget) {
  const { name, tag } = target;
  const bytes = await exchange.document(MANIFEST_MAX);
  const digest = digestOf(bytes);
  if (target.digest !== undefined && target.digest !== digest)
    throw new RegistryError("DIGEST_INVALID", {
      detail: { expected: target.digest, found: digest },
    });
  const parsed = parseManifest(bytes, exchange.header("content-type"));
  await store.putManifest(name, { digest, bytes, parsed }, { tag, complete: true });
  exchange.empty(201, {
    Location: exchange.address(`/v2/${name}/manifests/${digest}`),
    "Docker-Content-Digest": digest,
    ...(parsed.subject === undefined ? {} : { "OCI-Subject": parsed.subject }),
  });
}

/** DELETE: a tag, or a manifest with all its tags. */
export function deleteManifest({ store }: Service, exchange: Exchange, target: ManifestTarget) {
  const { name, tag, digest } = target;
  const removed =
    tag === undefined ? store.removeManifest(name, digest ?? "") : store.data.removeTag(name, tag);
  if (!removed) throw unknown(target);
  exchange.empty(202);
}
