/**
 * Uploads of blobs: begun, continued, asked after, finished, given up.
 */
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { parseContentRange, type Span } from "../ranges.ts";
import type { Service } from "../service.ts";
import { checkedDigest, isRepositoryName } from "../target.ts";

function created(exchange: Exchange, name: string, digest: string): void {
  exchange.empty(201, {
    Location: exchange.address(`/v2/${name}/blobs/${digest}`),
    "Docker-Content-Digest": digest,
  });
}

function stateOf(exchange: Exchange, name: string, id: string, size: number) {
  return {
    Location: exchange.address(`/v2/${name}/blobs/uploads/${id}`),
    Range: `0-${Math.max(size - 1, 0)}`,
    "Docker-Upload-UUID": id,
  };
}

function underway(exchange: Exchange, name: string, id: string, size: number, status: number) {
  exchange.empty(status, stateOf(exchange, name, id, size));
}

/** A chunk that is out of order is told where the upload stands, so that its client can go on from there. */
function tellingPlace(
  { store }: Service,
  exchange: Exchange,
  name: string,
  id: string,
): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof RegistryError) || error.code !== "RANGE_INVALID") throw error;
    const { detail } = error;
    const headers = stateOf(exchange, name, id, store.uploads.size(name, id));
    throw new RegistryError("RANGE_INVALID", { detail, headers });
  };
}

/** Where the client says that its chunk belongs. Throws for a range that is none, or not as long as the body. */
function spanOf(exchange: Exchange): Span | undefined {
  const header = exchange.header("content-range");
  if (header === undefined) return undefined;
  const span = parseContentRange(header);
  if (span === undefined)
    throw new RegistryError("BLOB_UPLOAD_INVALID", { message: "invalid Content-Range" });
  const length = exchange.header("content-length");
  if (length !== undefined && Number(length) !== span.end - span.start)
    throw new RegistryError("SIZE_INVALID");
  return span;
}

/** POST: takes a blob over from another repository, takes it whole, or begins an upload. */
export async function beginUpload({ store }: Service, exchange: Exchange, name: string) {
  const { uploads } = store;
  const mount = exchange.query.get("mount");
  const from = exchange.query.get("from") ?? undefined;
  if (mount !== null) {
    const digest = checkedDigest(mount);
    if (from !== undefined && !isRepositoryName(from)) throw new RegistryError("NAME_INVALID");
    if (store.mount(name, digest, from)) return created(exchange, name, digest);
  }
  const given = mount === null ? exchange.query.get("digest") : null;
  const digest = given === null ? undefined : checkedDigest(given);
  const id = uploads.begin(name);
  if (digest === undefined) return underway(exchange, name, id, 0, 202);
  try {
    await uploads.finish(name, id, digest, exchange.body);
  } catch (error) {
    // Nobody has been told of this upload, so that nobody could go on with it.
    await uploads.cancel(name, id).catch(() => {});
    throw error;
  }
  created(exchange, name, digest);
}

/** PATCH: a chunk, or as much as comes. */
export async function continueUpload(
  service: Service,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  const size = await service.store.uploads
    .append(name, id, exchange.body, spanOf(exchange))
    .catch(tellingPlace(service, exchange, name, id));
  underway(exchange, name, id, size, 202);
}

/** PUT: the rest, and what it all must be. */
export async function finishUpload(
  service: Service,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  const { uploads } = service.store;
  uploads.size(name, id);
  const digest = checkedDigest(exchange.query.get("digest") ?? "");
  await uploads
    .finish(name, id, digest, exchange.body, spanOf(exchange))
    .catch(tellingPlace(service, exchange, name, id));
  created(exchange, name, digest);
}

/** GET: how far it is. */
export function uploadStatus({ store }: Service, exchange: Exchange, name: string, id: string) {
  underway(exchange, name, id, store.uploads.size(name, id), 204);
}

/** DELETE. */
export async function cancelUpload(
  { store }: Service,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  await store.uploads.cancel(name, id);
  exchange.empty(204, { "Docker-Upload-UUID": id });
}
