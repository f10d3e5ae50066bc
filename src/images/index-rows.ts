/**
 * The rows of image indexes: which index an image came with, under which names, and what of the index is here beside the
 * image: itself, attestations, images for other platforms. A row lives no longer than its image.
 */
import type { Database } from "bun:sqlite";

/** An index as a row has it. */
export interface KeptIndex {
  readonly digest: string;
  /** The image that stands for it here. */
  readonly image: string;
  /** Indexes and manifests, the index itself first. */
  readonly documents: readonly string[];
  /** What the manifests name, as far as it is here. */
  readonly blobs: readonly string[];
}

interface Row {
  readonly digest: string;
  readonly image: string;
  readonly documents: string;
  readonly blobs: string;
}

const keptOf = (row: Row): KeptIndex => ({
  ...row,
  documents: JSON.parse(row.documents) as string[],
  blobs: JSON.parse(row.blobs) as string[],
});

/** The tables of indexes. */
export class IndexRows {
  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS image_indexes (digest TEXT, image TEXT, documents TEXT, blobs TEXT, PRIMARY KEY (digest, image))",
    );
    db.run("CREATE INDEX IF NOT EXISTS image_indexes_image ON image_indexes (image)");
    db.run("CREATE TABLE IF NOT EXISTS tag_indexes (reference TEXT PRIMARY KEY, digest TEXT)");
  }

  /** Keeps an index with its image; what it has had of it before stays in it. */
  put({ digest, image, documents, blobs }: KeptIndex): void {
    const before = this.of(image).find((one) => one.digest === digest);
    const all = (old: readonly string[] = [], more: readonly string[]) =>
      JSON.stringify([...new Set([...old, ...more])]);
    this.db.run("INSERT OR REPLACE INTO image_indexes VALUES (?, ?, ?, ?)", [
      digest,
      image,
      all(before?.documents, documents),
      all(before?.blobs, blobs),
    ]);
  }

  /** The indexes of an image, the newest last. */
  of(image: string): KeptIndex[] {
    return this.db
      .query<Row, [string]>("SELECT * FROM image_indexes WHERE image = ? ORDER BY rowid")
      .all(image)
      .map(keptOf);
  }

  all(): KeptIndex[] {
    return this.db.query<Row, []>("SELECT * FROM image_indexes ORDER BY rowid").all().map(keptOf);
  }

  /** For each image that has one its newest index. */
  newest(): Map<string, string> {
    const query = this.db.query<{ image: string; digest: string }, []>(
      "SELECT image, digest FROM image_indexes ORDER BY rowid",
    );
    return new Map(query.all().map(({ image, digest }) => [image, digest]));
  }

  /** The image that stands for an index. */
  imageOf(digest: string): string | undefined {
    return this.db
      .query<{ image: string }, [string]>(
        "SELECT image FROM image_indexes WHERE digest = ? ORDER BY rowid DESC LIMIT 1",
      )
      .get(digest)?.image;
  }

  /** Says which index a name means; undefined: an image alone. */
  setNamed(reference: string, digest: string | undefined): void {
    if (digest === undefined)
      this.db.run("DELETE FROM tag_indexes WHERE reference = ?", [reference]);
    else this.db.run("INSERT OR REPLACE INTO tag_indexes VALUES (?, ?)", [reference, digest]);
  }

  /** The digest of the index that a name means. */
  named(reference: string): string | undefined {
    return this.db
      .query<{ digest: string }, [string]>("SELECT digest FROM tag_indexes WHERE reference = ?")
      .get(reference)?.digest;
  }

  /** Forgets indexes of an image that no name of its means any more; the newest stays where none has a name. */
  release(image: string): void {
    const names = this.db
      .query<{ digest: string }, [string]>(
        "SELECT digest FROM tag_indexes JOIN tags USING (reference) WHERE image = ?",
      )
      .all(image)
      .map(({ digest }) => digest);
    const own = this.of(image).map(({ digest }) => digest);
    const kept = new Set(names.length > 0 ? names : own.slice(-1));
    for (const digest of own)
      if (!kept.has(digest))
        this.db.run("DELETE FROM image_indexes WHERE digest = ? AND image = ?", [digest, image]);
  }

  /** Forgets those of an image that goes. */
  remove(image: string): void {
    this.db.run("DELETE FROM image_indexes WHERE image = ?", [image]);
    this.db.run("DELETE FROM tag_indexes WHERE reference NOT IN (SELECT reference FROM tags)");
  }

  /** Blobs that are here for indexes, documents among them, except for those of some images. */
  blobs(except: ReadonlySet<string> = new Set()): string[] {
    return this.all()
      .filter(({ image }) => !except.has(image))
      .flatMap(({ documents, blobs }) => [...documents, ...blobs]);
  }
}
