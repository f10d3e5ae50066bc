/**
 * What a registry knows: repositories' manifests, tags and blobs, what refers to what, and uploads under way. Every row of a
 * blob or manifest stands for a file that is there: the file comes before the row and goes after it.
 */
import type { Database } from "bun:sqlite";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ParsedManifest } from "./manifest.ts";

/** A manifest that a repository has. */
export interface ManifestRow {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
}

/** An entry of a list of referrers. */
export interface Referrer extends ManifestRow {
  readonly artifactType: string | null;
  /** JSON */
  readonly annotations: string | null;
}

/** An upload under way. */
export interface UploadRow {
  readonly id: string;
  readonly repository: string;
  /** Milliseconds since 1970. */
  readonly started: number;
}

/** A place in a list: what comes after `last`, at most `limit`. */
export interface Page {
  readonly last: string;
  readonly limit: number;
}

/** Whoever relies on a blob says so at most this often. */
const TOUCH_MS = 60_000;
/** Annotations in one answer, in characters. */
const ANSWER_MAX = 4 << 20;

/** The tables. Names begin with "registry_", since they may share a database with the images'. */
export class RegistryDatabase {
  constructor(private readonly db: Database) {
    const tables = [
      "manifests (repository TEXT, digest TEXT, media_type TEXT, size INTEGER, subject TEXT, artifact_type TEXT, annotations TEXT, touched INTEGER, PRIMARY KEY (repository, digest)) WITHOUT ROWID",
      "tags (repository TEXT, tag TEXT, digest TEXT, PRIMARY KEY (repository, tag)) WITHOUT ROWID",
      "blobs (repository TEXT, digest TEXT, touched INTEGER, PRIMARY KEY (repository, digest)) WITHOUT ROWID",
      "named (repository TEXT, manifest TEXT, digest TEXT, size INTEGER, PRIMARY KEY (repository, manifest, digest)) WITHOUT ROWID",
      "uploads (id TEXT PRIMARY KEY, repository TEXT, started INTEGER) WITHOUT ROWID",
    ];
    for (const table of tables) db.run(`CREATE TABLE IF NOT EXISTS registry_${table}`);
    const indexes = [
      "manifests (digest)",
      "manifests (repository, subject)",
      "tags (repository, digest)",
      "blobs (digest)",
      "named (repository, digest)",
    ];
    for (const index of indexes) {
      const name = index.replace(/\W+/g, "_").replace(/_$/, "");
      db.run(`CREATE INDEX IF NOT EXISTS registry_${name} ON registry_${index}`);
    }
  }

  /** Everything in `work` happens, or nothing of it. */
  atomically<T>(work: () => T): T {
    return this.db.transaction(work)();
  }

  manifest(repository: string, digest: string): ManifestRow | undefined {
    return (
      this.db
        .query<ManifestRow, [string, string]>(
          "SELECT digest, media_type AS mediaType, size FROM registry_manifests WHERE repository = ? AND digest = ?",
        )
        .get(repository, digest) ?? undefined
    );
  }

  tagged(repository: string, tag: string): string | undefined {
    return this.db
      .query<{ digest: string }, [string, string]>(
        "SELECT digest FROM registry_tags WHERE repository = ? AND tag = ?",
      )
      .get(repository, tag)?.digest;
  }

  /** Adds a manifest, or keeps it, with what it names and the tag that it was sent under. */
  putManifest(
    repository: string,
    { digest, size }: { readonly digest: string; readonly size: number },
    parsed: ParsedManifest,
    tag: string | undefined,
  ): void {
    const { mediaType, subject, artifactType, annotations } = parsed;
    this.atomically(() => {
      this.db.run("INSERT OR REPLACE INTO registry_manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [
        ...[repository, digest, mediaType, size],
        ...[subject ?? null, artifactType ?? null],
        annotations === undefined ? null : JSON.stringify(annotations),
        Date.now(),
      ]);
      for (const one of [...parsed.blobs, ...parsed.children])
        this.db.run("INSERT OR REPLACE INTO registry_named VALUES (?, ?, ?, ?)", [
          ...[repository, digest, one.digest],
          one.size,
        ]);
      if (tag !== undefined) this.setTag(repository, tag, digest);
    });
  }

  setTag(repository: string, tag: string, digest: string): void {
    this.db.run("INSERT OR REPLACE INTO registry_tags VALUES (?, ?, ?)", [repository, tag, digest]);
  }

  /** False if there was none. */
  removeTag(repository: string, tag: string): boolean {
    return (
      this.db.run("DELETE FROM registry_tags WHERE repository = ? AND tag = ?", [repository, tag])
        .changes > 0
    );
  }

  /** Removes a manifest with its tags. False if there was none. */
  removeManifest(repository: string, digest: string): boolean {
    return this.atomically(() => {
      const key = [repository, digest];
      this.db.run("DELETE FROM registry_tags WHERE repository = ? AND digest = ?", key);
      this.db.run("DELETE FROM registry_named WHERE repository = ? AND manifest = ?", key);
      return (
        this.db.run("DELETE FROM registry_manifests WHERE repository = ? AND digest = ?", key)
          .changes > 0
      );
    });
  }

  hasBlob(repository: string, digest: string): boolean {
    const query = this.db.query<{ one: number }, [string, string]>(
      "SELECT 1 AS one FROM registry_blobs WHERE repository = ? AND digest = ?",
    );
    return query.get(repository, digest) !== null;
  }

  /** A repository other than this one that has a blob. */
  otherWith(digest: string, except: string): string | undefined {
    return this.db
      .query<{ repository: string }, [string, string]>(
        "SELECT repository FROM registry_blobs WHERE digest = ? AND repository <> ? LIMIT 1",
      )
      .get(digest, except)?.repository;
  }

  /** Adds a blob; if it is there, it counts as new again. */
  putBlob(repository: string, digest: string): void {
    this.db.run("INSERT OR REPLACE INTO registry_blobs VALUES (?, ?, ?)", [
      ...[repository, digest],
      Date.now(),
    ]);
  }

  /** Notes that somebody has looked at a blob or manifest and may rely on it from now on. */
  touch(kind: "blobs" | "manifests", repository: string, digest: string): void {
    const now = Date.now();
    const query = this.db.query(
      `UPDATE registry_${kind} SET touched = ? WHERE repository = ? AND digest = ? AND touched < ?`,
    );
    try {
      query.run(now, repository, digest, now - TOUCH_MS);
    } catch (error) {
      // A full disk is no reason not to read.
      log.warn("registry: note that something is in use", { digest, error: messageOf(error) });
    }
  }

  removeBlob(repository: string, digest: string): boolean {
    return (
      this.db.run("DELETE FROM registry_blobs WHERE repository = ? AND digest = ?", [
        repository,
        digest,
      ]).changes > 0
    );
  }

  /** The size that a repository's manifests give for what they name. */
  namedSize(repository: string, digest: string): number | undefined {
    return this.db
      .query<{ size: number }, [string, string]>(
        "SELECT size FROM registry_named WHERE repository = ? AND digest = ? LIMIT 1",
      )
      .get(repository, digest)?.size;
  }

  hasRepository(repository: string): boolean {
    const query = this.db.query<{ one: number }, [string, string]>(
      "SELECT 1 AS one FROM registry_manifests WHERE repository = ? UNION ALL SELECT 1 FROM registry_blobs WHERE repository = ? LIMIT 1",
    );
    return query.get(repository, repository) !== null;
  }

  /** Tags in the order of their bytes. */
  tags(repository: string, { last, limit }: Page): string[] {
    return this.db
      .query<{ tag: string }, [string, string, number]>(
        "SELECT tag FROM registry_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
      )
      .all(repository, last, limit)
      .map(({ tag }) => tag);
  }

  /** Repositories that have a manifest, in the order of their bytes. */
  repositories({ last, limit }: Page): string[] {
    return this.db
      .query<{ repository: string }, [string, number]>(
        "SELECT DISTINCT repository FROM registry_manifests WHERE repository > ? ORDER BY repository LIMIT ?",
      )
      .all(last, limit)
      .map(({ repository }) => repository);
  }

  /** Manifests whose subject is the given one, with a digest after `last`: as many as an answer may hold. */
  referrers(
    repository: string,
    subject: string,
    { last, limit }: Page,
  ): { readonly items: Referrer[]; readonly more: boolean } {
    const rows = this.db
      .query<Referrer, [string, string, string]>(
        "SELECT digest, media_type AS mediaType, size, artifact_type AS artifactType, annotations FROM registry_manifests WHERE repository = ? AND subject = ? AND digest > ? ORDER BY digest",
      )
      .iterate(repository, subject, last);
    const items: Referrer[] = [];
    let length = 0;
    for (const row of rows) {
      length += row.annotations?.length ?? 0;
      const full = items.length >= limit || (items.length > 0 && length > ANSWER_MAX);
      if (full) return { items, more: true };
      items.push(row);
    }
    return { items, more: false };
  }

  /** Whether any repository has a blob or manifest. */
  uses(digest: string): boolean {
    const query = this.db.query<{ one: number }, [string, string]>(
      "SELECT 1 AS one FROM registry_blobs WHERE digest = ? UNION ALL SELECT 1 FROM registry_manifests WHERE digest = ? LIMIT 1",
    );
    return query.get(digest, digest) !== null;
  }

  /** Every blob and manifest of every repository. */
  allBlobs(): string[] {
    return this.db
      .query<{ digest: string }, []>(
        "SELECT digest FROM registry_blobs UNION SELECT digest FROM registry_manifests",
      )
      .all()
      .map(({ digest }) => digest);
  }

  /** Everything that a manifest names, whether it is here or not. */
  allNamed(): string[] {
    return this.db
      .query<{ digest: string }, []>("SELECT DISTINCT digest FROM registry_named")
      .all()
      .map(({ digest }) => digest);
  }

  /** Every repository that has anything at all. */
  everyRepository(): string[] {
    return this.db
      .query<{ repository: string }, []>(
        "SELECT repository FROM registry_blobs UNION SELECT repository FROM registry_manifests",
      )
      .all()
      .map(({ repository }) => repository);
  }

  /** Blobs of a repository that no manifest but the doomed ones names, last relied on before `before`. */
  unnamedBlobs(repository: string, before: number, doomed: ReadonlySet<string>): string[] {
    return this.db
      .query<{ digest: string }, [string, number, string]>(
        "SELECT digest FROM registry_blobs AS b WHERE repository = ? AND touched <= ? AND NOT EXISTS (SELECT 1 FROM registry_named AS n WHERE n.repository = b.repository AND n.digest = b.digest AND n.manifest NOT IN (SELECT value FROM json_each(?)))",
      )
      .all(repository, before, JSON.stringify([...doomed]))
      .map(({ digest }) => digest);
  }

  /** Manifests of a repository that no tag, index or subject that stays leads to, last relied on before `before`. */
  unreachableManifests(repository: string, before: number): string[] {
    return this.db
      .query<{ digest: string }, [string, number]>(
        `WITH RECURSIVE kept (digest) AS (
           SELECT digest FROM registry_tags WHERE repository = ?1
           UNION SELECT digest FROM registry_manifests WHERE repository = ?1 AND touched > ?2
           UNION SELECT n.digest FROM kept JOIN registry_named AS n ON n.repository = ?1 AND n.manifest = kept.digest
           UNION SELECT m.digest FROM kept JOIN registry_manifests AS m ON m.repository = ?1 AND m.subject = kept.digest
         )
         SELECT digest FROM registry_manifests WHERE repository = ?1 AND digest NOT IN (SELECT digest FROM kept)`,
      )
      .all(repository, before)
      .map(({ digest }) => digest);
  }

  /** Manifests and blobs of every repository that nobody has asked for since `before`. */
  unusedSince(
    before: number,
  ): { kind: "blobs" | "manifests"; repository: string; digest: string }[] {
    return this.db
      .query<{ kind: "blobs" | "manifests"; repository: string; digest: string }, [number, number]>(
        "SELECT 'manifests' AS kind, repository, digest FROM registry_manifests WHERE touched <= ? UNION ALL SELECT 'blobs', repository, digest FROM registry_blobs WHERE touched <= ?",
      )
      .all(before, before);
  }

  addUpload(upload: UploadRow): void {
    this.db.run("INSERT INTO registry_uploads VALUES (?, ?, ?)", [
      upload.id,
      upload.repository,
      upload.started,
    ]);
  }

  upload(id: string): UploadRow | undefined {
    return (
      this.db.query<UploadRow, [string]>("SELECT * FROM registry_uploads WHERE id = ?").get(id) ??
      undefined
    );
  }

  uploads(): UploadRow[] {
    return this.db.query<UploadRow, []>("SELECT * FROM registry_uploads").all();
  }

  removeUpload(id: string): void {
    this.db.run("DELETE FROM registry_uploads WHERE id = ?", [id]);
  }
}
