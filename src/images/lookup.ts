/**
 * What a name means here: a tag, an id, its beginning, or a digest.
 */
import { fault } from "../base/errors.ts";
import { parseReference, type Reference } from "../spec/reference.ts";
import type { ImageDatabase } from "./database.ts";
import type { ImageRecord } from "./model.ts";
import { noSuchImage, wholeDigest, wholeTag } from "./names.ts";

/** Finds images by what users call them. */
export class ImageLookup {
  /** What was found, for the start path; emptied by every change. */
  private readonly found = new Map<string, ImageRecord>();

  constructor(private readonly data: ImageDatabase) {}

  /** Images have come, gone or changed their names. */
  forget(): void {
    this.found.clear();
  }

  /**
   * An image by name, id, short id or digest. Throws a Fault "not-found" in Docker's words, and "invalid" for what can be no
   * name.
   */
  image(name: string): ImageRecord {
    const known = this.found.get(name);
    if (known !== undefined) return known;
    const id = this.id(name);
    const record = id === undefined ? undefined : this.data.byId(id);
    if (record === undefined) throw noSuchImage(name);
    this.found.set(name, record);
    return record;
  }

  /** The same image's id; undefined when there is none. */
  id(name: string): string | undefined {
    const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(name)?.[1];
    if (hex?.length === 64) return this.data.byId(`sha256:${hex}`)?.id;
    if (name.startsWith("sha256:")) return hex === undefined ? undefined : this.byPrefix(hex);
    let reference: Reference;
    try {
      reference = parseReference(name);
    } catch (error) {
      if (hex !== undefined) return this.byPrefix(hex);
      throw error;
    }
    if (reference.digest !== undefined)
      return (
        this.data.byDigest(wholeDigest(reference, reference.digest)) ??
        this.loadedAs(reference, reference.digest)
      );
    return (
      this.data.byReference(wholeTag(reference)) ??
      (hex === undefined ? undefined : this.byPrefix(hex))
    );
  }

  /** An image that has come with this manifest, and has a name in this repository. */
  private loadedAs({ domain, path }: Reference, digest: string): string | undefined {
    const id = this.data.byManifest(digest) ?? this.data.indexes.imageOf(digest);
    if (id === undefined) return undefined;
    const prefix = `${domain}/${path}:`;
    return this.data.references(id).some((tag) => tag.startsWith(prefix)) ? id : undefined;
  }

  private byPrefix(hex: string): string | undefined {
    const found = this.data.byPrefix(hex);
    if (found.length > 1)
      throw fault(
        "invalid",
        "image-ambiguous",
        `ambiguous reference: several images have ids that begin with ${hex}`,
      );
    return found[0];
  }
}
