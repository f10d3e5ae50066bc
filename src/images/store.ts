/**
 * The images of one data root: bringing them in, finding, naming and removing them.
 */
import type { Database } from "bun:sqlite";
import { linkSync, rmSync } from "node:fs";
import { arch } from "node:os";
import { type ByteStream, decompress } from "../base/compression.ts";
import { Fault, fault } from "../base/errors.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import { familiarReference, parseReference, type Reference } from "../spec/reference.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import { type ArchivedImage, readArchive } from "./archive.ts";
import { applyChanges } from "./changes.ts";
import { ContentStore, type Ingested } from "./content.ts";
import { ImageDatabase } from "./database.ts";
import { chainIds, type ImageDocument, type ImageRecord } from "./model.ts";

/** What an image store is made of. */
export interface ImageStoreOptions {
  /** The directory of the content store. */
  readonly root: string;
  readonly db: Database;
  readonly driver: SnapshotDriver;
  /** The image that is built into the executable. */
  readonly builtin?: { readonly reference: string; open(): ByteStream } | undefined;
}

/** Who uses images; the store asks before it removes. */
export interface ImageUsers {
  /** Containers of an image. */
  of(id: string): readonly { readonly id: string; readonly running: boolean }[];
  /** Layers that stopped or running containers stand on. */
  readonly chains: ReadonlySet<string>;
}

/** What happened to an image that was removed: one step a row, as the API lists them. */
export interface RemovalStep {
  readonly Untagged?: string;
  readonly Deleted?: string;
}

/** What a commit says of the new image. */
export interface CommitOptions {
  readonly config: ImageConfig;
  readonly createdBy: string;
  readonly reference?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  /** Dockerfile instructions. */
  readonly changes?: readonly string[] | undefined;
}

/** The whole form of a reference with a tag: the key in the database. */
function wholeTag(reference: Reference): string {
  return `${reference.domain}/${reference.path}:${reference.tag ?? "latest"}`;
}

function short(id: string): string {
  return id.replace("sha256:", "").slice(0, 12);
}

/** The images. */
export class ImageStore {
  private readonly content: ContentStore;
  private readonly data: ImageDatabase;
  private readonly driver: SnapshotDriver;
  private bringing: Promise<unknown> = Promise.resolve();
  /** A cache of resolved names, for the start path; emptied by every change. */
  private readonly resolved = new Map<string, ImageRecord>();

  constructor(private readonly options: ImageStoreOptions) {
    this.content = new ContentStore(options.root);
    this.data = new ImageDatabase(options.db);
    this.driver = options.driver;
  }

  /**
   * Finds an image by name, id, short id or digest. Throws a Fault "not-found" in Docker's words, and "invalid" for what
   * can be no name.
   */
  resolve(name: string): ImageRecord {
    const known = this.resolved.get(name);
    if (known !== undefined) return known;
    const id = this.lookUp(name);
    const record = id === undefined ? undefined : this.data.byId(id);
    if (record === undefined) throw this.missing(name);
    this.resolved.set(name, record);
    return record;
  }

  private missing(name: string): Error {
    let shown = name;
    try {
      shown = familiarReference(parseReference(name));
    } catch {
      // An id is shown as it was given.
    }
    return fault("not-found", "no-such-image", `No such image: ${shown}`);
  }

  private lookUp(name: string): string | undefined {
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
      return this.data.byManifest(reference.digest) ?? this.data.byId(reference.digest)?.id;
    return (
      this.data.byReference(wholeTag(reference)) ??
      (hex === undefined ? undefined : this.byPrefix(hex))
    );
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

  list(): ImageRecord[] {
    return this.data.all();
  }

  count(): number {
    return this.data.count();
  }

  lastTagged(id: string): number {
    return this.data.lastTagged(id);
  }

  /** Gives an image another name. */
  tag(source: string, target: string): ImageRecord {
    const reference = parseReference(target);
    if (reference.digest !== undefined)
      throw fault("invalid", "tag-digest", "refusing to create a tag with a digest reference");
    const record = this.resolve(source);
    this.data.setTag(wholeTag(reference), record.id);
    this.resolved.clear();
    return record;
  }

  /**
   * Loads an archive. Gives what `docker load` prints for each image. Nothing of a bad archive stays; loading what is there
   * already is fine.
   */
  load(source: ByteStream): Promise<{ readonly names: readonly string[]; readonly id: string }[]> {
    return this.oneAtATime(() =>
      readArchive(source, this.content, async (images) => {
        const loaded = [];
        for (const image of images) loaded.push(await this.store(image));
        return loaded;
      }),
    );
  }

  private async store(image: ArchivedImage): Promise<{ names: readonly string[]; id: string }> {
    const names = image.names.map((name) => parseReference(name));
    const chain = chainIds(image.document.rootfs.diff_ids);
    let size = 0;
    for (const [index, layer] of image.layers.entries()) {
      const chainId = chain[index] ?? "";
      size += await this.unpack(
        layer,
        chainId,
        chain[index - 1],
        image.document.rootfs.diff_ids[index],
      );
    }
    for (const layer of image.layers) this.content.commit({ ...layer, path: this.copyOf(layer) });
    const id = await this.content.put(image.configBytes);
    const manifest =
      image.manifestBytes === undefined ? undefined : await this.content.put(image.manifestBytes);
    const blobs = [
      id,
      ...image.layers.map((layer) => layer.digest),
      ...(manifest === undefined ? [] : [manifest]),
    ];
    this.data.add({ id, document: image.document, size, manifest, blobs });
    for (const name of names) this.data.setTag(wholeTag(name), id);
    this.resolved.clear();
    return { names: names.map(familiarReference), id };
  }

  /** A second name for a spooled file, since two images of an archive may share it. */
  private copyOf(layer: Ingested): string {
    if (this.content.has(layer.digest)) return `${layer.path}.copy`;
    linkSync(layer.path, `${layer.path}.copy`);
    return `${layer.path}.copy`;
  }

  private async unpack(
    layer: Ingested,
    chainId: string,
    parent: string | undefined,
    diffId: string | undefined,
  ): Promise<number> {
    if (this.driver.hasLayer(chainId)) return this.data.layerSize(chainId);
    const stream = Bun.file(layer.path).stream() as unknown as ByteStream;
    const { size } = await this.driver.applyLayer({
      chainId,
      tar: await decompress(stream),
      ...(parent === undefined ? {} : { parent }),
      ...(diffId === undefined ? {} : { diffId }),
    });
    this.data.setLayerSize(chainId, size);
    return size;
  }

  /** Makes an image of one layer from a root file system's archive (plain, gzip or zstd). */
  async importTar(
    source: ByteStream,
    options: {
      readonly reference?: string | undefined;
      readonly message?: string | undefined;
      readonly changes?: readonly string[];
    },
  ): Promise<string> {
    const reference =
      options.reference === undefined ? undefined : parseReference(options.reference);
    const config: ImageConfig = applyChanges({}, options.changes ?? []);
    return this.oneAtATime(async () => {
      const spooled = await this.content.ingest(await decompress(source));
      try {
        if (spooled.size === 0)
          throw fault("invalid", "import-empty", "the archive to import is empty");
        const stream = Bun.file(spooled.path).stream() as unknown as ByteStream;
        const { diffId, size } = await this.driver.importLayer(stream);
        this.data.setLayerSize(diffId, size);
        this.content.commit(spooled);
        const created = new Date().toISOString();
        const document: ImageDocument = {
          created,
          architecture: { x64: "amd64", arm64: "arm64" }[arch() as string] ?? arch(),
          os: "linux",
          config,
          rootfs: { type: "layers", diff_ids: [diffId] },
          history: [{ created, comment: options.message ?? "Imported from -" }],
        };
        const id = await this.content.put(new TextEncoder().encode(JSON.stringify(document)));
        this.data.add({ id, document, size, blobs: [id, spooled.digest] });
        if (reference !== undefined) this.data.setTag(wholeTag(reference), id);
        this.resolved.clear();
        return id;
      } finally {
        rmSync(spooled.path, { force: true });
      }
    });
  }

  /** Makes an image of another (or of nothing) and one more layer. `config` is the whole of the new image's. */
  async commit(parent: ImageRecord, layer: ByteStream, options: CommitOptions): Promise<string> {
    const reference =
      options.reference === undefined ? undefined : parseReference(options.reference);
    const config = applyChanges(options.config, options.changes ?? []);
    return this.oneAtATime(async () => {
      const spooled = await this.content.ingest(layer);
      try {
        const diffIds = [...parent.document.rootfs.diff_ids, spooled.digest];
        const chain = chainIds(diffIds);
        const chainId = chain.at(-1) ?? "";
        const size = await this.unpack(spooled, chainId, parent.chain.at(-1), spooled.digest);
        this.content.commit(spooled);
        const created = new Date().toISOString();
        const history = {
          created,
          created_by: options.createdBy,
          ...(options.author ? { author: options.author } : {}),
          ...(options.comment ? { comment: options.comment } : {}),
        };
        const document: ImageDocument = {
          ...parent.document,
          created,
          ...(options.author ? { author: options.author } : {}),
          config,
          rootfs: { type: "layers", diff_ids: diffIds },
          history: [...(parent.document.history ?? []), history],
        };
        const id = await this.content.put(new TextEncoder().encode(JSON.stringify(document)));
        const inherited = this.data
          .blobsOf(parent.id)
          .filter((digest) => digest !== parent.id && digest !== parent.manifest);
        const blobs = [id, ...inherited, spooled.digest];
        this.data.add({ id, document, size: parent.size + size, blobs });
        if (reference !== undefined) this.data.setTag(wholeTag(reference), id);
        this.resolved.clear();
        return id;
      } finally {
        rmSync(spooled.path, { force: true });
      }
    });
  }

  /** Gets an image that is not here: the built-in one. Throws a Fault "unsupported" for any other. */
  async pull(name: string): Promise<ImageRecord> {
    const reference = familiarReference(parseReference(name));
    const { builtin } = this.options;
    if (builtin === undefined || reference !== builtin.reference)
      throw fault(
        "unsupported",
        "no-registry",
        `cannot pull ${reference}: berth does not reach registries yet; bring the image with berth load or berth import`,
      );
    await this.load(builtin.open());
    return this.resolve(name);
  }

  /** Like resolve, but the built-in image is unpacked when it is asked for and missing. */
  async resolveOrBuiltin(name: string): Promise<ImageRecord> {
    try {
      return this.resolve(name);
    } catch (error) {
      const isBuiltin =
        error instanceof Fault && error.kind === "not-found" && this.isBuiltin(name);
      if (!isBuiltin) throw error;
      return this.pull(name);
    }
  }

  private isBuiltin(name: string): boolean {
    try {
      return familiarReference(parseReference(name)) === this.options.builtin?.reference;
    } catch {
      return false;
    }
  }

  /** Removes a name, and the image with it when that was its last. Throws Faults "conflict" in Docker's words. */
  remove(name: string, force: boolean, users: ImageUsers): RemovalStep[] {
    const image = this.resolve(name);
    const references = this.data.references(image.id);
    const byName = this.nameAmong(name, references);
    const containers = users.of(image.id);
    const running = containers.find((container) => container.running);
    const last = byName === undefined || references.length === 1;
    if (byName === undefined && references.length > 1 && !force)
      throw fault(
        "conflict",
        "image-in-repositories",
        `conflict: unable to delete ${short(image.id)} (must be forced) - image is referenced in multiple repositories`,
      );
    if (last && running !== undefined && (byName === undefined || !force))
      throw fault(
        "conflict",
        "image-running",
        byName === undefined
          ? `conflict: unable to delete ${short(image.id)} (cannot be forced) - image is being used by running container ${running.id.slice(0, 12)}`
          : `conflict: unable to remove repository reference "${name}" (must force) - container ${running.id.slice(0, 12)} is using its referenced image ${short(image.id)}`,
      );
    const stopped = containers[0];
    if (last && stopped !== undefined && !force)
      throw fault(
        "conflict",
        "image-used",
        byName === undefined
          ? `conflict: unable to delete ${short(image.id)} (must be forced) - image is being used by stopped container ${stopped.id.slice(0, 12)}`
          : `conflict: unable to remove repository reference "${name}" (must force) - container ${stopped.id.slice(0, 12)} is using its referenced image ${short(image.id)}`,
      );
    this.resolved.clear();
    const untag = byName === undefined ? references : [byName];
    for (const reference of untag) this.data.removeTag(reference);
    const steps: RemovalStep[] = untag.map((reference) => ({
      Untagged: familiarReference(parseReference(reference)),
    }));
    // A running container keeps its image, nameless.
    if (!last || running !== undefined) return steps;
    return [...steps, ...this.delete(image, users.chains)];
  }

  private nameAmong(name: string, references: readonly string[]): string | undefined {
    try {
      const whole = wholeTag(parseReference(name));
      return references.includes(whole) ? whole : undefined;
    } catch {
      return undefined;
    }
  }

  private delete(image: ImageRecord, inUse: ReadonlySet<string>): RemovalStep[] {
    const steps: RemovalStep[] = [{ Deleted: image.id }];
    for (const digest of this.data.remove(image.id)) this.content.remove(digest);
    const needed = new Set([...inUse, ...this.data.all().flatMap((other) => other.chain)]);
    for (const chainId of [...image.chain].reverse()) {
      if (needed.has(chainId)) continue;
      this.driver.removeLayer(chainId);
      steps.push({ Deleted: chainId });
    }
    return steps;
  }

  /** Bytes of file content in a layer. */
  layerSize(chainId: string): number {
    return this.data.layerSize(chainId);
  }

  /** Deletes what nothing refers to: blobs, layers and half-made files that a crash has left. */
  sweep(inUse: ReadonlySet<string>): void {
    this.content.sweep(this.data.allBlobs());
    const needed = new Set([...inUse, ...this.data.all().flatMap((image) => image.chain)]);
    for (const chainId of this.driver.layers())
      if (!needed.has(chainId)) this.driver.removeLayer(chainId);
  }

  /** Bringing in happens one after the other: two loads of one image must not unpack it twice. */
  private oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const next = this.bringing.then(work, work);
    this.bringing = next.catch(() => {});
    return next;
  }
}
