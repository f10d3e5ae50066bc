/**
 * Blobs that are not kept, since their layers are unpacked beside them: each is dropped once it has been rebuilt from its
 * recipe, the unpacked files and the compressor's settings, and is rebuilt when somebody wants it. What does not come out
 * again byte for byte is kept.
 */
import type { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { Readable } from "node:stream";
import { createZstdCompress } from "node:zlib";
import { syncDirectory } from "../base/atomic-file.ts";
import { type ByteStream, decompress } from "../base/compression.ts";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import { ArchiveFiles } from "../tree/index.ts";
import { compressAs, compressorVersion, type Form, likelyForms } from "./compressor.ts";
import type { ContentStore, Ingested } from "./content.ts";
import type { ImageDatabase, LayerOfBlob } from "./database.ts";
import type { Holds } from "./holds.ts";
import { rebuildTar, recipeOf } from "./recipe.ts";

/** Which blobs stay beside their unpacked layers: all, those that came compressed, or none that can be rebuilt. */
export type KeepBlobs = "always" | "compressed" | "never";

/** What dropping works with. */
export interface DroppedParts {
  readonly root: string;
  readonly db: Database;
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly driver: SnapshotDriver;
  readonly holds: Holds;
  readonly keep: KeepBlobs;
}

/** A blob's row: its form, or why it is kept. */
interface Row {
  readonly digest: string;
  readonly form: string | null;
  readonly size: number;
  readonly compressor: string;
  readonly kept: string | null;
}

const HEAD = 1 << 20;

async function digestOf(source: ByteStream): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of source) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

/** The blobs of one data root that are not kept, and those that must be. */
export class DroppedBlobs {
  private readonly directory: string;
  private readonly restoring = new Map<string, Promise<void>>();
  private readonly queue = new Set<string>();
  private working: Promise<void> | undefined;

  constructor(private readonly parts: DroppedParts) {
    this.directory = `${parts.root}/recipes`;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    parts.db.run(
      "CREATE TABLE IF NOT EXISTS recipes (digest TEXT PRIMARY KEY, form TEXT, size INTEGER, compressor TEXT, kept TEXT)",
    );
  }

  private row(digest: string): Row | undefined {
    const query = this.parts.db.query<Row, [string]>("SELECT * FROM recipes WHERE digest = ?");
    return query.get(digest) ?? undefined;
  }

  /** Where a blob's recipe lies. */
  recipe(digest: string): string {
    return `${this.directory}/${digest.slice("sha256:".length)}`;
  }

  /** Whether a blob can be rebuilt, so that its being away is no loss. */
  has(digest: string): boolean {
    const row = this.row(digest);
    return row?.form != null && existsSync(this.recipe(digest));
  }

  /** Digests of every blob with a recipe. */
  all(): string[] {
    return this.parts.db
      .query<{ digest: string }, []>("SELECT digest FROM recipes WHERE form IS NOT NULL")
      .all()
      .map(({ digest }) => digest);
  }

  /** Blobs that are kept though they were to go, with the reason. */
  kept(): { readonly digest: string; readonly why: string }[] {
    return this.parts.db
      .query<{ digest: string; why: string }, []>(
        "SELECT digest, kept AS why FROM recipes WHERE kept IS NOT NULL",
      )
      .all();
  }

  /** Forgets a blob that is needed no more. */
  forget(digest: string): void {
    this.parts.db.run("DELETE FROM recipes WHERE digest = ?", [digest]);
    rmSync(this.recipe(digest), { force: true });
  }

  /** Whether any blob is ever dropped. */
  get drops(): boolean {
    return this.parts.keep !== "always";
  }

  /** Drops blobs one after the other, beside everything else, where the policy says so. */
  schedule(digests: Iterable<string>): void {
    if (!this.drops) return;
    for (const digest of digests) this.queue.add(digest);
    this.working ??= this.work().finally(() => {
      this.working = undefined;
    });
  }

  /** Resolves when nothing is left to drop. */
  async settled(): Promise<void> {
    while (this.working !== undefined) await this.working;
  }

  private async work(): Promise<void> {
    await new Promise(setImmediate);
    for (const digest of this.queue) {
      this.queue.delete(digest);
      try {
        await this.drop(digest);
      } catch (error) {
        log.warn("drop a blob; it is kept", { digest, error: messageOf(error) });
      }
    }
  }

  private async drop(digest: string): Promise<void> {
    const { content, data, holds, keep } = this.parts;
    // A registry's blobs are read as they lie there.
    if (!content.has(digest) || holds.has(digest) || data.foreignBlobs().has(digest)) return;
    if (this.has(digest)) return content.remove(digest);
    const layer = data.layersOfBlob(digest).find(({ chainId }) => this.isUnpacked(chainId));
    const known = this.row(digest);
    if (layer === undefined || known?.compressor === compressorVersion) return;
    if (keep === "compressed" && layer.diffId !== digest) return;
    const found = await this.make(digest, layer);
    if (typeof found === "string") this.note(digest, { form: null, kept: found });
    else this.note(digest, { form: JSON.stringify(found), kept: null });
    // Removed in between, with its image.
    if (data.layersOfBlob(digest).length === 0) return this.forget(digest);
    // Meanwhile a registry's repository may have come to have it.
    if (this.has(digest) && !holds.has(digest) && !data.foreignBlobs().has(digest))
      content.remove(digest);
  }

  private note(digest: string, { form, kept }: Pick<Row, "form" | "kept">): void {
    const { content, db } = this.parts;
    db.run("INSERT OR REPLACE INTO recipes VALUES (?, ?, ?, ?, ?)", [
      digest,
      form,
      content.has(digest) ? content.size(digest) : 0,
      compressorVersion,
      kept,
    ]);
  }

  private isUnpacked(chainId: string): boolean {
    return this.parts.driver.hasLayer(chainId);
  }

  /** The files of an unpacked layer; undefined when they cannot be had. Whoever asks closes them. */
  files(chainId: string): ArchiveFiles | undefined {
    const [directory] = this.parts.driver.layerDirectories([chainId]);
    try {
      return directory === undefined ? undefined : new ArchiveFiles(directory);
    } catch {
      // A layer that is no directory, as some drivers keep it.
      return undefined;
    }
  }

  /** Writes a blob's recipe and proves it; gives the blob's form, or why it must be kept. */
  private async make(digest: string, { chainId, diffId }: LayerOfBlob): Promise<Form | string> {
    const { content } = this.parts;
    const files = this.files(chainId);
    if (files === undefined) return "the storage driver keeps no files of the layer";
    const recipe = await content.ingest(
      Readable.from(recipeOf(await decompress(content.stream(digest))), {
        objectMode: false,
      }).pipe(createZstdCompress({ chunkSize: HEAD })) as unknown as ByteStream,
    );
    try {
      const rebuild = () =>
        rebuildTar(Bun.file(recipe.path).stream() as unknown as ByteStream, files);
      if ((await digestOf(rebuild())) !== diffId)
        return "the archive does not come out of the unpacked files again";
      const form =
        diffId === digest ? { kind: "plain" as const } : await this.formOf(digest, rebuild);
      if (form === undefined) return "no compressor here makes the same bytes";
      this.keepRecipe(recipe, digest);
      return form;
    } catch (error) {
      // That the host had no room just then says nothing of the blob.
      if (["ENOSPC", "EDQUOT", "EIO", "EMFILE"].includes(errnoOf(error) ?? "")) throw error;
      return messageOf(error);
    } finally {
      files.close();
      rmSync(recipe.path, { force: true });
    }
  }

  private async formOf(digest: string, rebuild: () => ByteStream): Promise<Form | undefined> {
    const head = new Uint8Array(HEAD);
    const fd = openSync(this.parts.content.path(digest), "r");
    const length = readSync(fd, head, 0, HEAD, 0);
    closeSync(fd);
    for (const form of await likelyForms(head.subarray(0, length), rebuild()))
      if ((await digestOf(compressAs(rebuild(), form))) === digest) return form;
    return undefined;
  }

  private keepRecipe(recipe: Ingested, digest: string): void {
    const fd = openSync(recipe.path, "r");
    fsyncSync(fd);
    closeSync(fd);
    renameSync(recipe.path, this.recipe(digest));
    syncDirectory(this.directory);
  }

  /** Makes sure that blobs are here while the work goes on; what had to be rebuilt goes again some time after. */
  async during<T>(digests: readonly string[], work: () => Promise<T>): Promise<T> {
    return await this.parts.holds.during(digests, async () => {
      for (const digest of digests) await this.restore(digest);
      return await work();
    });
  }

  /** Rebuilds a blob that is not here. Rejects with a Fault "failed" when that cannot be done; a wrong one is never stored. */
  restore(digest: string): Promise<void> {
    const underway = this.restoring.get(digest);
    if (underway !== undefined) return underway;
    const work = this.rebuild(digest).finally(() => this.restoring.delete(digest));
    this.restoring.set(digest, work);
    return work;
  }

  private async rebuild(digest: string): Promise<void> {
    const { content } = this.parts;
    if (content.has(digest)) return;
    await this.rebuilt(digest, async (bytes) => {
      const made = await content.ingest(bytes);
      try {
        if (made.digest !== digest) throw new Error(`what comes out has the digest ${made.digest}`);
        await content.commit(made);
      } finally {
        rmSync(made.path, { force: true });
      }
    });
  }

  /** The digest of what a dropped blob comes out as. Rejects with a Fault "failed" when nothing does. */
  digestOf(digest: string): Promise<string> {
    return this.rebuilt(digest, digestOf);
  }

  private async rebuilt<T>(digest: string, use: (bytes: ByteStream) => Promise<T>): Promise<T> {
    const form = this.row(digest)?.form;
    const layer = this.parts.data
      .layersOfBlob(digest)
      .find(({ chainId }) => this.isUnpacked(chainId));
    const cannot = (why: string, cause?: unknown) =>
      fault(
        "failed",
        "blob-rebuild",
        `the blob ${digest} cannot be rebuilt: ${why}; "berth system check --repair" fetches it from its registry again`,
        cause,
      );
    if (form == null) throw cannot("it is not in the content store, and there is no recipe for it");
    const files = layer && this.files(layer.chainId);
    if (layer === undefined || files === undefined) throw cannot("its layer is not unpacked");
    try {
      return await this.parts.holds.during([layer.chainId], () => {
        const recipe = Bun.file(this.recipe(digest)).stream() as unknown as ByteStream;
        return use(compressAs(rebuildTar(recipe, files), JSON.parse(form) as Form));
      });
    } catch (error) {
      throw cannot(messageOf(error), error);
    } finally {
      files.close();
    }
  }

  /** Deletes what a crash left between the recipe, its row and the blob. `used`: the blobs that images have. */
  sweep(used: ReadonlySet<string>): void {
    const { content, data, db, keep } = this.parts;
    const foreign = data.foreignBlobs();
    const rows = db.query<{ digest: string }, []>("SELECT digest FROM recipes").all();
    for (const { digest } of rows)
      if (!used.has(digest) || (keep === "always" && content.has(digest))) this.forget(digest);
    for (const digest of this.all())
      if (content.has(digest) && !foreign.has(digest) && existsSync(this.recipe(digest)))
        content.remove(digest);
    const known = new Set(this.all().map((digest) => digest.slice("sha256:".length)));
    for (const name of readdirSync(this.directory))
      if (!known.has(name)) rmSync(`${this.directory}/${name}`, { force: true });
  }
}
