/**
 * Repositories on a content store, which may be shared with a daemon's images: a blob that both have is there once, and goes
 * when neither needs it.
 */
import type { ContentStore, Holds } from "../images/index.ts";
import type { ManifestRow, RegistryDatabase } from "./database.ts";
import { RegistryError } from "./errors.ts";
import type { ParsedManifest } from "./manifest.ts";
import { Uploads } from "./uploads.ts";

/** Where blobs lie, and who else needs them. */
export interface SharedContent {
  readonly content: ContentStore;
  /** What must stay for the time being. */
  readonly holds: Holds;
  /** Whether somebody beside the registry needs a blob. */
  usedElsewhere(digest: string): boolean;
}

/** A manifest with its bytes. */
export interface StoredManifest extends ManifestRow {
  readonly bytes: Uint8Array;
}

/** A blob's file. */
export interface BlobFile {
  readonly path: string;
  readonly size: number;
}

/** The registry's repositories. */
export class RegistryStore {
  readonly uploads: Uploads;

  constructor(
    private readonly shared: SharedContent,
    readonly data: RegistryDatabase,
    uploadsDirectory: string,
  ) {
    const { content } = shared;
    const holding = <T>(digest: string, work: () => Promise<T>) => this.holding(digest, work);
    this.uploads = new Uploads({ directory: uploadsDirectory, data, content, holding });
  }

  get content(): ContentStore {
    return this.shared.content;
  }

  /** Keeps a blob's file while the work goes on that is to give it a row; without one the file goes then. */
  async holding<T>(digest: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.shared.holds.during([digest], work);
    } finally {
      this.release(digest);
    }
  }

  /** A blob that a repository has. Manifests are none. */
  blob(repository: string, digest: string): BlobFile | undefined {
    if (!this.data.hasBlob(repository, digest)) return undefined;
    return { path: this.content.path(digest), size: this.content.size(digest) };
  }

  /** Gives a repository a blob that another one has (`from`, or any); false if none has it. */
  mount(repository: string, digest: string, from: string | undefined): boolean {
    const source =
      from === undefined
        ? this.data.otherWith(digest, repository)
        : this.data.hasBlob(from, digest)
          ? from
          : undefined;
    if (source === undefined) return false;
    this.data.putBlob(repository, digest);
    return true;
  }

  /** A manifest by tag or digest. */
  manifest(
    repository: string,
    { tag, digest }: { readonly tag?: string; readonly digest?: string },
  ): StoredManifest | undefined {
    const found = tag === undefined ? digest : this.data.tagged(repository, tag);
    const row = found === undefined ? undefined : this.data.manifest(repository, found);
    return row === undefined ? undefined : { ...row, bytes: this.content.read(row.digest) };
  }

  /**
   * Stores a manifest, and under a tag if there is one. With `complete`, what it names must be there, or MANIFEST_BLOB_UNKNOWN
   * is thrown.
   */
  async putManifest(
    repository: string,
    manifest: {
      readonly digest: string;
      readonly bytes: Uint8Array;
      readonly parsed: ParsedManifest;
    },
    { tag, complete }: { readonly tag?: string | undefined; readonly complete: boolean },
  ): Promise<void> {
    const { digest, bytes, parsed } = manifest;
    if (complete) this.checkNamed(repository, parsed);
    await this.holding(digest, async () => {
      await this.content.put(bytes);
      // Meanwhile something may have been deleted.
      if (complete) this.checkNamed(repository, parsed);
      this.data.putManifest(repository, { digest, size: bytes.length }, parsed, tag);
    });
  }

  private checkNamed(repository: string, { blobs, children }: ParsedManifest): void {
    const missing =
      blobs.find((one) => !one.elsewhere && !this.data.hasBlob(repository, one.digest)) ??
      children.find((one) => this.data.manifest(repository, one.digest) === undefined);
    if (missing !== undefined)
      throw new RegistryError("MANIFEST_BLOB_UNKNOWN", { detail: { digest: missing.digest } });
  }

  /** False if there was none. */
  removeManifest(repository: string, digest: string): boolean {
    const removed = this.data.removeManifest(repository, digest);
    if (removed) this.release(digest);
    return removed;
  }

  /** False if there was none. */
  removeBlob(repository: string, digest: string): boolean {
    const removed = this.data.removeBlob(repository, digest);
    if (removed) this.release(digest);
    return removed;
  }

  /** Deletes a blob's file once nobody needs it. */
  private release(digest: string): void {
    const { content, holds } = this.shared;
    if (this.data.uses(digest) || holds.has(digest) || this.shared.usedElsewhere(digest)) return;
    content.remove(digest);
  }
}
