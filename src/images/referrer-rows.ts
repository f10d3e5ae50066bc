/**
 * The rows of referrers: manifests that say something of an image here (signatures, attestations), with what they name. A row
 * lives no longer than its image, nor than what it refers to.
 */
import type { Database } from "bun:sqlite";

/** A referrer as a row has it. */
export interface KeptReferrer {
  readonly image: string;
  /** What it refers to: the image's manifest, or an index that the image has come with. */
  readonly subject: string;
  /** Of its own manifest. */
  readonly digest: string;
  /** The tag that registries have it under; "": it names its subject itself (OCI 1.1). */
  readonly tag: string;
  readonly blobs: readonly string[];
}

interface Row extends Omit<KeptReferrer, "blobs"> {
  readonly blobs: string;
}

/** The table of referrers. */
export class ReferrerRows {
  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS image_referrers (image TEXT, subject TEXT, digest TEXT, tag TEXT, blobs TEXT, PRIMARY KEY (image, subject, digest, tag))",
    );
  }

  /** Keeps what refers to a subject now, in place of what did. */
  put(image: string, subject: string, referrers: readonly KeptReferrer[]): void {
    this.db.run("DELETE FROM image_referrers WHERE image = ? AND subject = ?", [image, subject]);
    for (const { digest, tag, blobs } of referrers)
      this.db.run("INSERT OR REPLACE INTO image_referrers VALUES (?, ?, ?, ?, ?)", [
        ...[image, subject, digest, tag],
        JSON.stringify(blobs),
      ]);
  }

  all(): KeptReferrer[] {
    const rows = this.db.query<Row, []>("SELECT * FROM image_referrers ORDER BY rowid").all();
    return rows.map((row) => ({ ...row, blobs: JSON.parse(row.blobs) as string[] }));
  }

  /** Those of an image, in the order in which they came. */
  of(image: string): KeptReferrer[] {
    return this.all().filter((one) => one.image === image);
  }

  /** Forgets what refers to other things of an image than these. */
  release(image: string, subjects: ReadonlySet<string>): void {
    for (const { subject } of this.of(image))
      if (!subjects.has(subject)) this.put(image, subject, []);
  }

  /** Forgets those of an image that goes. */
  remove(image: string): void {
    this.db.run("DELETE FROM image_referrers WHERE image = ?", [image]);
  }

  /** Their manifests and blobs, except for those of some images. */
  blobs(except: ReadonlySet<string> = new Set()): string[] {
    return this.all()
      .filter(({ image }) => !except.has(image))
      .flatMap(({ digest, blobs }) => [digest, ...blobs]);
  }
}
