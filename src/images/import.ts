/**
 * Images of one layer, made from the archive of a root file system.
 */
import { rmSync } from "node:fs";
import { ArrivingFile } from "../base/arriving-file.ts";
import { type ByteStream, decompress } from "../base/compression.ts";
import { fault, messageOf } from "../base/errors.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import type { Platform } from "../spec/platform.ts";
import { parseReference, type Reference } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { Holds } from "./holds.ts";
import { type EarlyLayer, type Layers, wantedLayer } from "./layers.ts";
import type { ImageDocument } from "./model.ts";
import { wholeTag } from "./names.ts";
import { meter, type Report } from "./progress.ts";
import { hostPlatform } from "./views.ts";

/** How an archive becomes an image. */
export interface ImportOptions {
  readonly reference?: string | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions. */
  readonly changes?: readonly string[];
  readonly platform?: Platform | undefined;
}

/** Where images are made. */
interface Workshop {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly layers: Layers;
  readonly holds: Holds;
}

/** An archive at an address. */
interface RemoteArchive {
  readonly bytes: ByteStream;
  /** As far as the server says. */
  readonly size: number | undefined;
}

/** An address without a password in it, to be shown and kept. */
function shown(url: URL): string {
  const copy = new URL(url);
  if (copy.password !== "") copy.password = "xxxxx";
  return copy.href;
}

/** What a user calls an address. Throws a Fault "invalid" for anything but HTTP. */
function addressOf(text: string): URL {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw fault(
    "invalid",
    "import-url",
    `cannot import from ${text}: only http and https are fetched`,
  );
}

async function fetchArchive(url: URL, signal: AbortSignal): Promise<RemoteArchive> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    throw fault("failed", "import-fetch", `Get ${JSON.stringify(shown(url))}: ${messageOf(error)}`);
  }
  const { status, statusText, body } = response;
  if (status >= 400 || body === null)
    throw fault(
      "failed",
      "import-fetch",
      `failed to GET ${shown(url)} with status ${status} ${statusText}`,
    );
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  return { bytes: body as unknown as ByteStream, size: length > 0 ? length : undefined };
}

async function* told({ bytes, size }: RemoteArchive, report: Report): ByteStream {
  const count = meter(report, "Importing", "", size ?? 0);
  let current = 0;
  for await (const chunk of bytes) {
    current += chunk.length;
    count(current);
    yield chunk;
  }
}

/** Fetches an archive for an import, and tells of it. Rejects before anything is told when it cannot be had. */
export async function remoteArchive(
  address: string,
  report: Report,
  signal: AbortSignal,
): Promise<{ readonly from: string; readonly bytes: ByteStream }> {
  const url = addressOf(address);
  const archive = await fetchArchive(url, signal);
  const from = shown(url);
  report({ status: `Downloading from ${from}` });
  return { from, bytes: told(archive, report) };
}

/** A name for a new image. Throws a Fault "invalid" in Docker's words. */
function newName(text: string | undefined): Reference | undefined {
  if (text === undefined) return undefined;
  const reference = parseReference(text);
  if (reference.digest === undefined) return reference;
  throw fault("invalid", "import-digest", "cannot import digest reference");
}

/** A platform as a configuration names it. */
function platformFields({ os, architecture, variant }: Platform) {
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** Makes the image; gives its id. Nothing stays of an archive that is none. */
export async function importArchive(
  { content, data, layers, holds }: Workshop,
  source: ByteStream,
  config: ImageConfig,
  options: ImportOptions,
): Promise<string> {
  const reference = newName(options.reference);
  let early: EarlyLayer | undefined;
  const spooled = await content
    .ingest(await decompress(source), (file) => {
      early = layers.early(file);
    })
    .catch(async (error) => {
      await early?.end();
      throw error;
    });
  return holds.during([spooled.digest], async () => {
    try {
      if (spooled.size === 0)
        throw fault("invalid", "import-empty", "the archive to import is empty");
      const diffId = spooled.digest;
      const archive = ArrivingFile.here(spooled.path, spooled.size);
      const wanted = { ...wantedLayer([diffId], [diffId], 0), archive, early };
      const size = await layers.unpack(wanted);
      await content.commit(spooled);
      const created = new Date().toISOString();
      const document: ImageDocument = {
        created,
        ...platformFields(options.platform ?? hostPlatform()),
        config,
        rootfs: { type: "layers", diff_ids: [diffId] },
        history: [{ created, comment: options.message ?? "Imported from -" }],
      };
      const id = await content.put(new TextEncoder().encode(JSON.stringify(document)));
      data.atomically(() => {
        data.add({ id, document, size, blobs: [id, spooled.digest] });
        if (reference !== undefined) data.setTag(wholeTag(reference), id);
      });
      return id;
    } finally {
      await early?.end();
      rmSync(spooled.path, { force: true });
    }
  });
}
