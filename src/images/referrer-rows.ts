/**
 * The rows of referrers: manifests that say something of an image here (signatures, attestations), with what they name. A row
 * lives no longer than its image, nor than what it refers to, which may be another of them.
 */
import type { Database } from "bun:sqlite";

/** A referrer as a row has it. */
export interface KeptReferrer {
  readonly image: string;
  /** What it refers to: the image's manifest, an index that the image has come with, or another of its referrers. */
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

/**
 * What refers to some manifests, what refers to that in its turn, and so on: what is nearer to them comes first. Whoever is given
 * hostile documents may be led in circles.
 */
export function reaching<T extends { readonly subject: string; readonly digest: string }>(
  all: readonly T[],
  roots: Iterable<string>,
): T[] {
  const bySubject = Map.groupBy(all, ({ subject }) => subject);
  const seen = new Set(roots);
  const found: T[] = [];
  // A set hands out what is added while it is gone through.
  for (const subject of seen)
    for (const one of bySubject.get(subject) ?? []) {
      found.push(one);
      seen.add(one.digest);
    }
  return found;
}

/** The table of referrers. */
export class ReferrerRows {
  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS image_referrers (image TEXT, subject TEXT, digest TEXT, tag TEXT, blobs TEXT, PRIMARY KEY (image, subject, digest, tag))",
    );
  }

  /** Keeps what leads to some manifests of an image now, in place of what did. */
  put(image: string, roots: readonly string[], referrers: readonly KeptReferrer[]): void {
    this.forget(reaching(this.of(image), roots));
    for (const { subject, digest, tag, blobs } of referrers)
      this.db.run("INSERT OR REPLACE INTO image_referrers VALUES (?, ?, ?, ?, ?)", [
        ...[image, subject, digest, tag],
        JSON.stringify(blobs),
      ]);
  }

  private forget(rows: readonly KeptReferrer[]): void {
    for (const { image, subject, digest, tag } of rows)
      this.db.run(
        "DELETE FROM image_referrers WHERE image = ? AND subject = ? AND digest = ? AND tag = ?",
        [image, subject, digest, tag],
      );
  }

  all(): KeptReferrer[] {
    const rows = this.db.query<Row, []>("SELECT * FROM image_referrers ORDER BY rowid").all();
    return rows.map((row) => ({ ...row, blobs: JSON.parse(row.blobs) as string[] }));
  }

  /** Those of an image, in the order in which they came. */
  of(image: string): KeptReferrer[] {
    return this.all().filter((one) => one.image === image);
  }

  /** Forgets what leads to none of these manifests of an image. */
  release(image: string, roots: ReadonlySet<string>): void {
    const all = this.of(image);
    const kept = new Set(reaching(all, roots));
    this.forget(all.filter((one) => !kept.has(one)));
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
