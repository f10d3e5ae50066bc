/**
 * The images' metadata: what an image is, what it is called, and which blobs and layers it needs.
 */
import type { Database } from "bun:sqlite";
import { familiarReference, parseReference } from "../spec/reference.ts";
import { IndexRows } from "./index-rows.ts";
import { chainIds, type ImageDocument, type ImageRecord } from "./model.ts";
import { ReferrerRows } from "./referrer-rows.ts";

interface Row {
  readonly id: string;
  readonly document: string;
  readonly size: number;
  readonly manifest: string | null;
  readonly blobs: string;
  readonly added: number;
}

/** What is stored of a new image. */
export interface NewImage {
  readonly id: string;
  readonly document: ImageDocument;
  readonly size: number;
  readonly manifest?: string | undefined;
  /** Every blob that belongs to it. */
  readonly blobs: readonly string[];
}

/** An unpacked layer, and the digest of its uncompressed archive. */
export interface LayerOfBlob {
  readonly chainId: string;
  readonly diffId: string;
}

/** The tables of images. References are stored whole ("docker.io/library/busybox:latest"). */
export class ImageDatabase {
  /** By image id. */
  private readonly contents = new Map<string, Pick<ImageRecord, "document" | "chain">>();
  /** Which indexes images have come with. */
  readonly indexes: IndexRows;
  /** What refers to images: signatures, attestations. */
  readonly referrers: ReferrerRows;

  /** `others`: blobs of the same content store that are not images', and stay. */
  constructor(
    private readonly db: Database,
    private readonly others: () => readonly string[] = () => [],
  ) {
    db.run(
      "CREATE TABLE IF NOT EXISTS images (id TEXT PRIMARY KEY, document TEXT, size INTEGER, manifest TEXT, blobs TEXT, added INTEGER)",
    );
    db.run(
      "CREATE TABLE IF NOT EXISTS tags (reference TEXT PRIMARY KEY, image TEXT, tagged INTEGER)",
    );
    db.run("CREATE TABLE IF NOT EXISTS layer_sizes (chain TEXT PRIMARY KEY, size INTEGER)");
    db.run("CREATE INDEX IF NOT EXISTS tags_image ON tags (image)");
    db.run("CREATE TABLE IF NOT EXISTS image_parents (image TEXT PRIMARY KEY, parent TEXT)");
    db.run("CREATE TABLE IF NOT EXISTS repo_digests (reference TEXT PRIMARY KEY, image TEXT)");
    db.run("CREATE INDEX IF NOT EXISTS repo_digests_image ON repo_digests (image)");
    db.run("CREATE TABLE IF NOT EXISTS compressed (digest TEXT PRIMARY KEY, gzip TEXT)");
    db.run("CREATE TABLE IF NOT EXISTS expected (digest TEXT PRIMARY KEY, since INTEGER)");
    db.run(
      "CREATE TABLE IF NOT EXISTS blob_sources (digest TEXT, domain TEXT, path TEXT, PRIMARY KEY (digest, domain, path))",
    );
    this.indexes = new IndexRows(db);
    this.referrers = new ReferrerRows(db);
  }

  /** Does all of something or nothing, whoever is killed meanwhile. */
  atomically<T>(work: () => T): T {
    return this.db.transaction(work)();
  }

  /** Adds an image or keeps the one that is there; layers that it has uncompressed are then known compressed as well. */
  add(image: NewImage): void {
    for (const [at, had] of this.blobsOf(image.id).entries()) {
      const other = image.blobs[at];
      if (other !== undefined && other !== had && image.document.rootfs.diff_ids.includes(had))
        this.db.run("INSERT OR IGNORE INTO compressed VALUES (?, ?)", [had, other]);
    }
    this.db.run("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?, ?)", [
      image.id,
      JSON.stringify(image.document),
      image.size,
      image.manifest ?? null,
      JSON.stringify(image.blobs),
      Date.now(),
    ]);
  }

  byId(id: string): ImageRecord | undefined {
    const row = this.db.query<Row, [string]>("SELECT * FROM images WHERE id = ?").get(id);
    return row === null ? undefined : this.record(row);
  }

  /** Ids that begin with these hexadecimal digits; at most two, since more make no difference. */
  byPrefix(hex: string): string[] {
    const query = this.db.query<{ id: string }, [string, string]>(
      "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2",
    );
    return query.all(`sha256:${hex}`, `sha256:${hex}g`).map((row) => row.id);
  }

  byReference(reference: string): string | undefined {
    return this.db
      .query<{ image: string }, [string]>("SELECT image FROM tags WHERE reference = ?")
      .get(reference)?.image;
  }

  byManifest(digest: string): string | undefined {
    return this.db
      .query<{ id: string }, [string]>("SELECT id FROM images WHERE manifest = ?")
      .get(digest)?.id;
  }

  /** Every image, the newest creation last. */
  all(): ImageRecord[] {
    const rows = this.db.query<Row, []>("SELECT * FROM images ORDER BY added").all();
    // One question for all images instead of one for each.
    const named = (table: "tags" | "repo_digests") =>
      Map.groupBy(
        this.db
          .query<{ reference: string; image: string }, []>(
            `SELECT reference, image FROM ${table} ORDER BY reference`,
          )
          .all(),
        ({ image }) => image,
      );
    const [tags, digests] = [named("tags"), named("repo_digests")];
    const parents = new Map(
      this.db
        .query<{ image: string; parent: string }, []>(
          "SELECT image, parent FROM image_parents JOIN images ON images.id = parent",
        )
        .all()
        .map(({ image, parent }) => [image, parent]),
    );
    const indexes = this.indexes.newest();
    const namesIn = (all: typeof tags, id: string) =>
      all.get(id)?.map(({ reference }) => reference) ?? [];
    return rows.map((row) =>
      this.record(row, {
        tags: namesIn(tags, row.id),
        digests: namesIn(digests, row.id),
        parent: parents.get(row.id),
        index: indexes.get(row.id),
      }),
    );
  }

  count(): number {
    return this.db.query<{ n: number }, []>("SELECT count(*) AS n FROM images").get()?.n ?? 0;
  }

  /**
   * Gives an image a name. `tagged`: when somebody asked for that, in milliseconds since 1970; 0 for names that came along.
   * `index`: the digest of the index that the name means, which this image stands for.
   */
  setTag(reference: string, id: string, tagged = Date.now(), index?: string): void {
    this.atomically(() => {
      this.db.run("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [reference, id, tagged]);
      this.indexes.setNamed(reference, index);
    });
  }

  /** Notes which image one was made from here. */
  setParent(id: string, parent: string): void {
    this.db.run("INSERT OR REPLACE INTO image_parents VALUES (?, ?)", [id, parent]);
  }

  private parentOf(id: string): string | undefined {
    return this.db
      .query<{ parent: string }, [string]>(
        "SELECT parent FROM image_parents JOIN images ON images.id = parent WHERE image = ?",
      )
      .get(id)?.parent;
  }

  /** Whether others here were made from an image. */
  hasChildren(id: string): boolean {
    return (
      this.db
        .query<{ image: string }, [string]>(
          "SELECT image FROM image_parents WHERE parent = ? LIMIT 1",
        )
        .get(id) !== null
    );
  }

  removeTag(reference: string): void {
    this.atomically(() => {
      this.db.run("DELETE FROM tags WHERE reference = ?", [reference]);
      this.indexes.setNamed(reference, undefined);
    });
  }

  /** What a registry knows an image as: "docker.io/library/busybox@sha256:…". */
  setDigest(reference: string, id: string): void {
    this.db.run("INSERT OR REPLACE INTO repo_digests VALUES (?, ?)", [reference, id]);
  }

  removeDigest(reference: string): void {
    this.db.run("DELETE FROM repo_digests WHERE reference = ?", [reference]);
  }

  byDigest(reference: string): string | undefined {
    return this.db
      .query<{ image: string }, [string]>("SELECT image FROM repo_digests WHERE reference = ?")
      .get(reference)?.image;
  }

  /** Whole references with digests of an image. */
  digests(id: string): string[] {
    return this.db
      .query<{ reference: string }, [string]>(
        "SELECT reference FROM repo_digests WHERE image = ? ORDER BY reference",
      )
      .all(id)
      .map(({ reference }) => reference);
  }

  /** Notes that blobs are being fetched: what comes of them is kept, so that a pull that breaks off can go on. */
  expect(digests: readonly string[]): void {
    const note = this.db.query("INSERT OR REPLACE INTO expected VALUES (?, ?)");
    this.db.transaction(() => {
      for (const digest of digests) note.run(digest, Date.now());
    })();
  }

  /** Forgets that: they have come with an image, or nobody waits for them any more. */
  expectNoMore(digests: readonly string[]): void {
    const forget = this.db.query("DELETE FROM expected WHERE digest = ?");
    this.db.transaction(() => {
      for (const digest of digests) forget.run(digest);
    })();
  }

  /** Blobs that have been expected since a time, in milliseconds since 1970. */
  expectedSince(time: number): Set<string> {
    return new Set(
      this.db
        .query<{ digest: string }, [number]>("SELECT digest FROM expected WHERE since >= ?")
        .all(time)
        .map(({ digest }) => digest),
    );
  }

  /** The compressed form of a layer that is kept uncompressed, once a push has made it. */
  compressedOf(digest: string): string | undefined {
    return this.db
      .query<{ gzip: string }, [string]>("SELECT gzip FROM compressed WHERE digest = ?")
      .get(digest)?.gzip;
  }

  /** Notes it down; the compressed blob then lives as long as one image that has the layer. */
  setCompressed(digest: string, gzip: string): void {
    this.db.run("INSERT OR REPLACE INTO compressed VALUES (?, ?)", [digest, gzip]);
  }

  /** The blobs that a layer's archive is known as: plain, compressed here, or as images came with it. */
  formsOf(diffId: string): string[] {
    const rows = this.db
      .query<Row, [string]>("SELECT * FROM images WHERE instr(document, ?) > 0")
      .all(diffId);
    const named = rows.flatMap((row) => {
      const { diff_ids } = this.contentOf(row).document.rootfs;
      const blobs = (JSON.parse(row.blobs) as string[]).filter(
        (digest) => digest !== row.id && digest !== row.manifest,
      );
      return blobs.filter((_, at) => diff_ids[at] === diffId);
    });
    return [...new Set([...named, diffId, this.compressedOf(diffId) ?? diffId])];
  }

  /** The repositories that are known to have a blob. */
  sources(digest: string): { readonly domain: string; readonly path: string }[] {
    return this.db
      .query<{ domain: string; path: string }, [string]>(
        "SELECT domain, path FROM blob_sources WHERE digest = ?",
      )
      .all(digest);
  }

  /** Whole names whose image is not there. */
  danglingNames(): string[] {
    return this.db
      .query<{ reference: string }, []>(
        `SELECT reference FROM tags WHERE image NOT IN (SELECT id FROM images)
         UNION SELECT reference FROM repo_digests WHERE image NOT IN (SELECT id FROM images)`,
      )
      .all()
      .map(({ reference }) => reference);
  }

  addSource(digest: string, domain: string, path: string): void {
    this.db.run("INSERT OR IGNORE INTO blob_sources VALUES (?, ?, ?)", [digest, domain, path]);
  }

  /** Bytes of file content in a layer; 0 when unknown. */
  layerSize(chainId: string): number {
    return (
      this.db
        .query<{ size: number }, [string]>("SELECT size FROM layer_sizes WHERE chain = ?")
        .get(chainId)?.size ?? 0
    );
  }

  setLayerSize(chainId: string, size: number): void {
    this.db.run("INSERT OR REPLACE INTO layer_sizes VALUES (?, ?)", [chainId, size]);
  }

  /** Forgets a layer that has been removed. */
  forgetLayer(chainId: string): void {
    this.db.run("DELETE FROM layer_sizes WHERE chain = ?", [chainId]);
  }

  /** Layers that a size is known of, whether they are there or not. */
  knownLayers(): string[] {
    return this.db
      .query<{ chain: string }, []>("SELECT chain FROM layer_sizes")
      .all()
      .map(({ chain }) => chain);
  }

  /** When an image was last tagged, in milliseconds since 1970; 0 if never. */
  lastTagged(id: string): number {
    return (
      this.db
        .query<{ t: number | null }, [string]>("SELECT max(tagged) AS t FROM tags WHERE image = ?")
        .get(id)?.t ?? 0
    );
  }

  /** Whole references of an image. */
  references(id: string): string[] {
    const rows = this.db
      .query<{ reference: string }, [string]>(
        "SELECT reference FROM tags WHERE image = ? ORDER BY reference",
      )
      .all(id);
    return rows.map((row) => row.reference);
  }

  /** Removes an image with its tags; gives the blobs that no other image has. */
  remove(id: string): string[] {
    return this.db.transaction(() => {
      const beside = this.indexes
        .of(id)
        .flatMap(({ documents, blobs }) => [...documents, ...blobs]);
      const referring = this.referrers.of(id).flatMap(({ digest, blobs }) => [digest, ...blobs]);
      const own = [...new Set([...this.blobsOf(id), ...beside, ...referring])];
      this.db.run("DELETE FROM tags WHERE image = ?", [id]);
      this.indexes.remove(id);
      this.referrers.remove(id);
      this.db.run("DELETE FROM repo_digests WHERE image = ?", [id]);
      this.db.run("DELETE FROM images WHERE id = ?", [id]);
      this.contents.delete(id);
      this.db.run("DELETE FROM image_parents WHERE image = ? OR parent = ?", [id, id]);
      const used = this.allBlobs();
      const gone = [...own, ...this.compressedForms(own)].filter((digest) => !used.has(digest));
      for (const digest of gone) {
        this.db.run("DELETE FROM compressed WHERE digest = ?", [digest]);
        this.db.run("DELETE FROM blob_sources WHERE digest = ?", [digest]);
      }
      return gone;
    })();
  }

  /** Blobs that somebody reads as they lie there: others in the same store, indexes beside their images, what refers to them. */
  foreignBlobs(): ReadonlySet<string> {
    return new Set([...this.others(), ...this.indexes.blobs(), ...this.referrers.blobs()]);
  }

  /** Every blob of every image, or of every other than some, and what others have in the same store. */
  allBlobs(except: ReadonlySet<string> = new Set()): Set<string> {
    const rows = this.db
      .query<{ id: string; blobs: string }, []>("SELECT id, blobs FROM images")
      .all();
    const named = rows
      .filter(({ id }) => !except.has(id))
      .flatMap((row) => JSON.parse(row.blobs) as string[])
      .concat(this.indexes.blobs(except), this.referrers.blobs(except));
    return new Set([...named, ...this.compressedForms(named), ...this.others()]);
  }

  /** Whether an image needs a blob, as it is or as the compressed form of a layer. */
  usesBlob(digest: string): boolean {
    const query = this.db.query<{ one: number }, [string]>(
      `SELECT 1 AS one FROM images WHERE instr(blobs, ?1) > 0
       UNION ALL SELECT 1 FROM image_indexes WHERE instr(documents, ?1) > 0 OR instr(blobs, ?1) > 0
       UNION ALL SELECT 1 FROM image_referrers WHERE digest = ?1 OR instr(blobs, ?1) > 0
       UNION ALL SELECT 1 FROM compressed JOIN images ON instr(images.blobs, compressed.digest) > 0 WHERE gzip = ?1
       LIMIT 1`,
    );
    return query.get(digest) !== null;
  }

  private compressedForms(digests: readonly string[]): string[] {
    const wanted = new Set(digests);
    return this.db
      .query<{ digest: string; gzip: string }, []>("SELECT digest, gzip FROM compressed")
      .all()
      .filter(({ digest }) => wanted.has(digest))
      .map(({ gzip }) => gzip);
  }

  /** The blobs that an image needs. */
  blobsOf(id: string): string[] {
    const row = this.db
      .query<{ blobs: string }, [string]>("SELECT blobs FROM images WHERE id = ?")
      .get(id);
    return row === null ? [] : (JSON.parse(row.blobs) as string[]);
  }

  /** The blobs of an image's layers, the lowest first. */
  layerBlobs({ id, manifest }: ImageRecord): string[] {
    return this.blobsOf(id).filter((digest) => digest !== id && digest !== manifest);
  }

  /** The layers that a blob is the archive of, plain or compressed: one for each image's chain that has it. */
  layersOfBlob(digest: string): LayerOfBlob[] {
    const plain = this.db
      .query<{ digest: string }, [string]>("SELECT digest FROM compressed WHERE gzip = ?")
      .all(digest)
      .map((row) => row.digest);
    const wanted = new Set([digest, ...plain]);
    const found = new Map<string, LayerOfBlob>();
    for (const image of this.all())
      for (const [index, blob] of this.layerBlobs(image).entries()) {
        const [chainId, diffId] = [image.chain[index], image.document.rootfs.diff_ids[index]];
        if (wanted.has(blob) && chainId !== undefined && diffId !== undefined)
          found.set(chainId, { chainId, diffId });
      }
    return [...found.values()];
  }

  /** Whole references that begin with "domain/path:". */
  taggedLike(prefix: string): string[] {
    return this.db
      .query<{ reference: string }, [string, string]>(
        "SELECT reference FROM tags WHERE reference >= ? AND reference < ? ORDER BY reference",
      )
      .all(prefix, `${prefix.slice(0, -1)};`)
      .map(({ reference }) => reference);
  }

  private record(
    row: Row,
    names = {
      tags: this.references(row.id),
      digests: this.digests(row.id),
      parent: this.parentOf(row.id),
      index: this.indexes.of(row.id).at(-1)?.digest,
    },
  ): ImageRecord {
    const { document, chain } = this.contentOf(row);
    const familiar = (reference: string) => familiarReference(parseReference(reference));
    return {
      id: row.id,
      document,
      chain,
      size: row.size,
      tags: names.tags.map(familiar),
      digests: names.digests.map(familiar),
      ...(row.manifest === null ? {} : { manifest: row.manifest }),
      ...(names.index === undefined ? {} : { index: names.index }),
      ...(names.parent === undefined ? {} : { parent: names.parent }),
      added: row.added,
    };
  }

  /** What an id stands for never changes: it is read once. */
  private contentOf(row: Row): Pick<ImageRecord, "document" | "chain"> {
    const known = this.contents.get(row.id);
    if (known !== undefined) return known;
    const document = JSON.parse(row.document) as ImageDocument;
    const content = { document, chain: chainIds(document.rootfs.diff_ids) };
    this.contents.set(row.id, content);
    return content;
  }
}
