/** The images of one data root: bringing them in, finding, naming and removing them. */
import { linkSync } from "node:fs";
import { ArrivingFile } from "../base/arriving-file.ts";
import { type ByteStream, decompress, rejoin } from "../base/compression.ts";
import { digestOf } from "../base/digest.ts";
import { Fault, fault } from "../base/errors.ts";
import type { Repository } from "../registry/index.ts";
import type { DistributionInspect, ImageConfig, ImageManifestSummary } from "../spec/engine-api.ts";
import type { Platform } from "../spec/platform.ts";
import {
  familiarName,
  familiarReference,
  parseReference,
  type Reference,
} from "../spec/reference.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import { type ArchivedImage, readArchive } from "./archive.ts";
import { bringLayers } from "./bring.ts";
import { type CheckOptions, type CheckParts, type CheckStep, ImageCheck } from "./check.ts";
import { Composer, type LayerStack } from "./composer.ts";
import { ContentStore, type Ingested } from "./content.ts";
import { ImageDatabase } from "./database.ts";
import { describeRemote } from "./distribution.ts";
import { Downloads } from "./downloads.ts";
import { DroppedBlobs } from "./dropped.ts";
import { Exporter } from "./exporter.ts";
import { Holds } from "./holds.ts";
import { type ImportOptions, importArchive, remoteArchive } from "./import.ts";
import { Indexes } from "./indexes.ts";
import { LayerSets } from "./layer-set.ts";
import { Layers, wantedLayer } from "./layers.ts";
import { ImageLookup } from "./lookup.ts";
import { type Attestation, attestationsIn, manifestSummaries } from "./manifest.ts";
import { chainIds, type ImageRecord, sizeOf } from "./model.ts";
import { wholeDigest, wholeTag } from "./names.ts";
import type {
  CommitOptions,
  ImageStoreOptions,
  LoadedImage,
  LoadOptions,
  SharedBlobs,
  TransferOptions,
} from "./options.ts";
import { meter, type Report, shortDigest } from "./progress.ts";
import {
  admitBy,
  besideImage,
  type ImageSource,
  type RemoteImage,
  type RemoteWish,
  resolveRemote,
} from "./pull.ts";
import { pushImage } from "./push.ts";
import { Referrers, remoteReferrers } from "./referrers.ts";
import { type ImageUsers, type RemovalStep, type RemovalWish, removeImage } from "./removal.ts";
import { blobsBeside, type ImageArchive, imagesMeant, saveImages } from "./save.ts";
import { ImageUpkeep } from "./upkeep.ts";
import { checkPlatform, hostPlatform } from "./views.ts";

/** How many blobs are fetched or sent at the same time, as dockerd has it. */
const DOWNLOADS_MAX = 3;

/** The images. */
export class ImageStore {
  private readonly content: ContentStore;
  private readonly data: ImageDatabase;
  private readonly driver: SnapshotDriver;
  private readonly downloads: Downloads;
  /** Layers and blobs of images that are just coming in: no removal takes them. */
  private readonly holds = new Holds();
  private readonly dropped: DroppedBlobs;
  /** What keeps it clean. */
  readonly upkeep: ImageUpkeep;
  private readonly layers: Layers;
  private readonly indexes: Indexes;
  /** What refers to images. */
  readonly referrers: Referrers;
  /** Images made of layers here. */
  readonly composer: Composer;
  /** Images on their way out of a build. */
  readonly exporter: Exporter;
  /** Layers that come from registries or go there without an image. */
  readonly layerSets: LayerSets;
  private readonly lookup: ImageLookup;

  constructor(private readonly options: ImageStoreOptions) {
    this.content = new ContentStore(options.root);
    this.data = new ImageDatabase(options.db, options.others);
    this.lookup = new ImageLookup(this.data);
    this.driver = options.driver;
    const {
      root,
      db,
      driver,
      keepBlobs: keep = "always",
      layersInUse,
      cachedLayers,
      isCached,
    } = options;
    const { content, data, holds } = this;
    this.dropped = new DroppedBlobs({ root, db, content, data, driver, holds, keep });
    const { dropped } = this;
    this.upkeep = new ImageUpkeep({
      ...{ data, content, driver, holds, dropped },
      ...{ layersInUse, cachedLayers, isCached },
    });
    this.layers = new Layers(driver, this.data);
    const { layers } = this;
    const isHere = (digest: string) => this.isHere(digest);
    this.indexes = new Indexes({ content, data, holds, dropped, isHere });
    this.composer = new Composer({ content, data, layers, holds, isHere });
    const { indexes } = this;
    this.referrers = new Referrers({ content, data, holds, indexes });
    this.exporter = new Exporter({
      ...{ content, data, holds, dropped, indexes },
      open: (reference, options) => this.open(reference, "pull,push", options),
      changed: () => this.lookup.forget(),
    });
    const downloads = new Downloads(content, DOWNLOADS_MAX);
    this.downloads = downloads;
    this.layerSets = new LayerSets({
      ...{ content, data, holds, dropped, layers, downloads, isHere },
      open: (...wish) => this.open(...wish),
      admission: options.admission,
    });
  }

  /** For whoever keeps blobs of his own in the same store. */
  shared(): SharedBlobs {
    const { content, holds, downloads, data } = this;
    return { content, holds, downloads, usedElsewhere: (digest) => data.usesBlob(digest) };
  }

  /**
   * Finds an image by name, id, short id or digest. Throws a Fault "not-found" in Docker's words, and "invalid" for what
   * can be no name.
   */
  resolve(name: string): ImageRecord {
    return this.lookup.image(name);
  }

  /** An image by its whole id. */
  byId(id: string): ImageRecord | undefined {
    return this.data.byId(id);
  }

  /** What of an image's distributable form is here, manifest by manifest. `containers`: those that use it. */
  manifestSummaries(image: ImageRecord, containers: readonly string[]): ImageManifestSummary[] {
    const index = image.index === undefined ? undefined : this.indexes.read(image.index);
    return manifestSummaries({ content: this.content, data: this.data }, image, containers, index);
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
    if (reference.domain === "docker.io" && reference.path === "library/sha256")
      throw fault(
        "invalid",
        "tag-algorithm",
        "refusing to create an ambiguous tag using digest algorithm as name",
      );
    if (reference.digest !== undefined)
      throw fault("invalid", "tag-digest", "refusing to create a tag with a digest reference");
    const record = this.resolve(source);
    this.data.setTag(
      wholeTag(reference),
      record.id,
      Date.now(),
      this.indexes.meant(source, record),
    );
    this.lookup.forget();
    return record;
  }

  /**
   * Loads an archive. Gives what `docker load` prints for each image. Nothing of a bad archive stays; loading what is there
   * already is fine. Rejects with a Fault "forbidden" where archives must not come.
   */
  async load(source: ByteStream, options: LoadOptions = {}): Promise<LoadedImage[]> {
    this.options.admission?.archived("docker-archive");
    return this.loadArchive(source, options);
  }

  private loadArchive(source: ByteStream, options: LoadOptions = {}): Promise<LoadedImage[]> {
    const begin = (file: ArrivingFile) => this.layers.early(file);
    const use = async (images: readonly ArchivedImage[]) => {
      const loaded = [];
      for (const image of images) loaded.push(await this.store(image, options.report));
      return loaded;
    };
    return readArchive(source, { content: this.content, begin, platform: options.platform }, use);
  }

  /** The archive of some images, as `docker save` writes it. Rejects with a Fault when one of them is not there. */
  async save(names: readonly string[], platform?: Platform): Promise<ImageArchive> {
    const { content, data, holds, dropped } = this;
    const source = {
      ...{ content, data, holds, resolve: (name: string) => this.resolve(name) },
      index: (digest: string) => this.indexes.read(digest),
      referrers: (id: string) => this.referrers.of(id),
    };
    const layers = imagesMeant(source, names, platform).flatMap((image) => data.layerBlobs(image));
    const needed = [...layers, ...blobsBeside(source, names, platform)];
    return dropped.during([...new Set(needed)], async () => {
      const { ids, bytes } = saveImages(source, names, platform);
      // With its first piece the archive holds what it needs by itself.
      const iterator = bytes[Symbol.asyncIterator]();
      const first = await iterator.next();
      return { ids, bytes: rejoin(first.done ? [] : [first.value], iterator) };
    });
  }

  private async store(image: ArchivedImage, report: Report = () => {}): Promise<LoadedImage> {
    const names = image.names.map((name) => parseReference(name));
    const { diff_ids } = image.document.rootfs;
    const chain = chainIds(diff_ids);
    const digests = image.layers.map(({ digest }) => digest);
    const { index, referrers } = image;
    const beside = [index?.documents, index?.blobs, referrers?.files].flatMap((one) => one ?? []);
    const replacing = names.flatMap((name) => this.indexes.besideNamed(wholeTag(name)));
    const held = [...beside.map(({ digest }) => digest), ...replacing];
    return this.holds.during([...chain, ...digests, ...held], async () => {
      const wanted = image.layers.map(({ path, size, early }, index) => ({
        ...wantedLayer(chain, diff_ids, index),
        archive: ArrivingFile.here(path, size),
        early,
      }));
      const missing = image.layers.filter((_, at) => !this.driver.hasLayer(chain[at] ?? ""));
      const tell = (done: boolean) => {
        for (const { digest, size } of missing)
          meter(report, "Loading layer", shortDigest(digest), size)(done ? size : 0);
      };
      tell(false);
      const size = sizeOf(image, await this.layers.unpackAll(wanted));
      tell(true);
      for (const file of [...image.layers, ...beside])
        await this.content.commit({ ...file, path: this.copyOf(file) });
      let replaced: LoadedImage["replaced"] = [];
      const id = await this.add(image, digests, size, (added) => {
        this.indexes.keep(added, index);
        this.referrers.keep(added, referrers);
        replaced = names.flatMap((name) => {
          const before = this.data.byReference(wholeTag(name));
          this.indexes.rename(wholeTag(name), added, index?.digest);
          return before === undefined || before === added
            ? []
            : [{ name: familiarReference(name), id: before }];
        });
      });
      this.lookup.forget();
      return { names: names.map(familiarReference), id, replaced };
    });
  }

  /** Records an image whose layers are unpacked and whose layers' blobs are there; `named` gives it its names, at once with it. */
  private async add(
    image: Pick<ArchivedImage, "configBytes" | "document" | "manifestBytes">,
    layers: readonly string[],
    size: number,
    named: (id: string) => void,
  ): Promise<string> {
    const { document, configBytes, manifestBytes } = image;
    const documents = [configBytes, ...(manifestBytes === undefined ? [] : [manifestBytes])];
    // Whoever shares the store must not take for unused what the row does not name yet.
    return this.holds.during(documents.map(digestOf), async () => {
      const id = await this.content.put(configBytes);
      const manifest =
        manifestBytes === undefined ? undefined : await this.content.put(manifestBytes);
      const blobs = [id, ...layers, ...(manifest === undefined ? [] : [manifest])];
      this.data.atomically(() => {
        this.data.add({ id, document, size, manifest, blobs });
        named(id);
      });
      return id;
    });
  }

  /** A second name for a spooled file, since two images of an archive may share it. */
  private copyOf(layer: Ingested): string {
    if (this.content.has(layer.digest)) return `${layer.path}.copy`;
    linkSync(layer.path, `${layer.path}.copy`);
    return `${layer.path}.copy`;
  }

  /** Makes an image of one layer from a root file system's archive, whatever it is compressed with. Gives its id. */
  async importTar(source: ByteStream, options: ImportOptions): Promise<string> {
    this.options.admission?.archived("tarball");
    const { content, data, layers, holds } = this;
    const changed = this.changed({}, options.changes);
    try {
      return await importArchive({ content, data, layers, holds }, source, changed, options);
    } finally {
      this.lookup.forget();
    }
  }

  /** The same from an address. Rejects before anything is told when it cannot be had. */
  async importFrom(
    address: string,
    options: ImportOptions & Pick<TransferOptions, "report" | "signal">,
  ): Promise<string> {
    this.options.admission?.archived("tarball");
    // What is wrong with the request is wrong before anything is fetched.
    this.changed({}, options.changes);
    const { from, bytes } = await remoteArchive(address, options.report, options.signal);
    return this.importTar(bytes, { message: `Imported from ${from}`, ...options });
  }

  private changed(config: ImageConfig, changes: readonly string[] = []): ImageConfig {
    if (changes.length === 0) return config;
    if (this.options.change === undefined)
      throw fault("unsupported", "no-changes", "this daemon changes no configurations");
    return this.options.change(config, changes);
  }

  /** Makes an image of another (or of nothing) and one more layer. `config` is the whole of the new image's. */
  async commit(parent: ImageRecord, layer: ByteStream, options: CommitOptions): Promise<string> {
    const reference =
      options.reference === undefined ? undefined : parseReference(options.reference);
    const config = this.changed(options.config, options.changes);
    const below = this.layersOf(parent);
    return this.composer.addLayer(below, layer, async (made) => {
      const created = new Date().toISOString();
      const author = options.author ? { author: options.author } : {};
      const comment = options.comment ? { comment: options.comment } : {};
      const empty = made.chain.length === below.chain.length ? { empty_layer: true } : {};
      const history = { created, created_by: options.createdBy, ...author, ...comment, ...empty };
      const { document: base } = parent;
      const document = {
        ...{ ...base, created, ...author, config },
        history: [...(base.history ?? []), history],
      };
      const id = await this.composer.create(document, made);
      if (parent.id !== "") this.data.setParent(id, parent.id);
      if (reference !== undefined) this.data.setTag(wholeTag(reference), id);
      this.lookup.forget();
      return id;
    });
  }

  /** The layers of an image that is here. */
  layersOf(image: ImageRecord): LayerStack {
    const blobs = this.data.layerBlobs(image);
    return { diffIds: image.document.rootfs.diff_ids, chain: image.chain, blobs, size: image.size };
  }

  /** Unpacks the image that is built into the executable. */
  private async loadBuiltin(name: string): Promise<ImageRecord> {
    if (this.options.builtin !== undefined) await this.loadArchive(this.options.builtin.open());
    return this.resolve(name);
  }

  /** A repository of a registry. */
  open(reference: Reference, actions: "pull" | "pull,push", options: TransferOptions): Repository {
    if (this.options.repository === undefined)
      throw fault("unsupported", "no-registry", "this daemon reaches no registries");
    const notice = (status: string) => options.report({ status });
    return this.options.repository(reference, options.credentials, actions, notice);
  }

  /** What is attested of an image: in the index that it came with, and by what refers to it. */
  attestations({ id, index, manifest }: ImageRecord): Attestation[] {
    const here = index === undefined ? undefined : this.indexes.read(index);
    const own = here === undefined || manifest === undefined ? [] : attestationsIn(here, manifest);
    return [...own, ...this.referrers.attestations(id)];
  }

  /** What a registry has under a name. */
  describeRemote(name: string, options: TransferOptions): Promise<DistributionInspect> {
    const reference = parseReference(name);
    return describeRemote(this.open(reference, "pull", options), reference, options.signal);
  }

  /** The tags of a repository that a registry has. */
  tagsOf(name: string, options: TransferOptions): Promise<string[]> {
    return this.open(parseReference(name), "pull", options).tags(options.signal);
  }

  /**
   * Fetches an image from its registry. What is there already is not fetched again; the image that is built in comes from
   * the executable. Rejects with Faults in Docker's words.
   */
  async pull(name: string, options: TransferOptions): Promise<void> {
    const reference = parseReference(name);
    const shown = familiarReference(reference);
    const { report, signal } = options;
    const before = this.lookup.id(name);
    const id = reference.digest ?? reference.tag ?? "latest";
    if (this.isBuiltin(name)) {
      const image = await this.loadBuiltin(name);
      report({ status: `Pulling from ${reference.path}`, id });
      report({ status: `Digest: ${image.manifest ?? image.id}` });
    } else {
      const source = this.open(reference, "pull", options);
      const platform = options.platform ?? hostPlatform();
      const beside = options.allPlatforms ? "all" : "attestations";
      const admit = admitBy(this.options.admission, { reference, source, signal });
      const remote = await resolveRemote(source, { reference, platform, beside, admit }, signal);
      report({ status: `Pulling from ${reference.path}`, id });
      const referring = await remoteReferrers(source, remote, options);
      await this.bring({ ...remote, referring }, source, reference, options);
      report({ status: `Digest: ${remote.digest}` });
    }
    const status =
      before === this.lookup.id(name) ? "Image is up to date for" : "Downloaded newer image for";
    report({ status: `Status: ${status} ${shown}` });
  }

  /** Fetches the image of a platform, known by its manifest's digest alone: the name goes on meaning what it means here. */
  async pullBeside(
    name: string,
    options: TransferOptions & { readonly platform: Platform; readonly fresh: boolean },
  ): Promise<ImageRecord> {
    const { platform, signal, fresh } = options;
    const reference = parseReference(name);
    const bring = async (source: ImageSource, from: Reference, admit?: RemoteWish["admit"]) => {
      const remote = await resolveRemote(source, { reference: from, platform, admit }, signal);
      const digest = digestOf(remote.manifestBytes);
      await this.bring({ ...remote, digest }, source, { ...reference, digest }, options);
      return this.resolve(digestOf(remote.configBytes));
    };
    const here = fresh ? undefined : this.indexes.having(reference, platform);
    if (here === undefined) {
      const source = this.open(reference, "pull", options);
      const question = { reference, source, signal };
      return bring(source, reference, admitBy(this.options.admission, question));
    }
    const { digest } = here.descriptor;
    return this.indexes.during(here, () => bring(this.indexes.source, { ...reference, digest }));
  }

  /** Fetches an image and records it. */
  private async bring(
    image: RemoteImage,
    source: ImageSource,
    reference: Reference,
    { report, signal }: TransferOptions,
  ): Promise<void> {
    const chain = chainIds(image.document.rootfs.diff_ids);
    const layers = image.layers.map(({ digest }) => digest);
    const { blobs, documents } = besideImage(image);
    const beside = blobs.filter(({ digest }) => !layers.includes(digest));
    const digests = [...layers, ...beside.map(({ digest }) => digest)];
    const replaced =
      reference.digest === undefined ? this.indexes.besideNamed(wholeTag(reference)) : [];
    const held = [...digests, ...documents.map(({ digest }) => digest), ...replaced];
    await this.holds.during([...chain, ...held], async () => {
      this.data.expect(digests.filter((digest) => !this.isHere(digest)));
      const { content, downloads } = this;
      const isHere = (digest: string) => this.isHere(digest);
      const parts = { content, downloads, layers: this.layers, isHere, source, report, signal };
      const sizes = await bringLayers(image, chain, parts);
      const size = sizeOf(
        image,
        sizes.reduce((sum, one) => sum + one, 0),
      );
      await Promise.all(beside.map((blob) => downloads.fetch(source, blob, report, signal)));
      for (const { bytes } of documents) await content.put(bytes);
      await this.add(image, layers, size, (id) => {
        this.data.expectNoMore(digests);
        for (const digest of digests) this.data.addSource(digest, reference.domain, reference.path);
        this.data.setDigest(wholeDigest(reference, image.digest), id);
        this.indexes.keep(id, image.index);
        this.referrers.keep(id, image.referring);
        if (reference.digest === undefined)
          this.indexes.rename(wholeTag(reference), id, image.index?.digest);
      });
      this.lookup.forget();
    });
  }

  /** Does something with an image's blobs, which are all here meanwhile: those that are not kept are rebuilt. */
  withBlobs<T>(image: ImageRecord, work: () => Promise<T>): Promise<T> {
    const layers = this.data.layerBlobs(image);
    return this.holds.during([image.id, ...image.chain, ...layers], () =>
      this.dropped.during(layers, work),
    );
  }

  /** Looks at everything, thoroughly. */
  check(options: CheckOptions): AsyncGenerator<CheckStep> {
    const { data, content, driver, holds, dropped, downloads } = this;
    const parts: CheckParts = {
      ...{ data, content, driver, holds, dropped, downloads },
      open: (reference, credentials) =>
        this.open(reference, "pull", { credentials, report: () => {}, signal: options.signal }),
      layers: this.layers,
      loadBuiltin: async ({ tags }) => {
        const name = tags.find((tag) => this.isBuiltin(tag));
        if (name !== undefined) await this.loadBuiltin(name);
        return name !== undefined;
      },
    };
    return new ImageCheck(parts, options).run();
  }

  /** Whether a blob is in the store, or can be made again. */
  private isHere(digest: string): boolean {
    return this.content.has(digest) || this.dropped.has(digest);
  }

  /** Sends an image under a name that it has here. Gives what the registry knows it as. Rejects with Faults. */
  async push(name: string, options: TransferOptions): Promise<{ digest: string; size: number }> {
    const reference = parseReference(name);
    if (this.data.byReference(wholeTag(reference)) === undefined) {
      // Of a repository that is not here at all something else is said.
      this.tagsHere(`${reference.domain}/${reference.path}`);
      throw fault(
        "not-found",
        "no-such-tag",
        `tag does not exist: ${familiarReference(reference)}`,
      );
    }
    const image = this.resolve(name);
    checkPlatform(name, image, options.platform);
    const repository = this.open(reference, "pull,push", options);
    const { content, data } = this;
    const target = { content, data, repository, reference, signal: options.signal };
    const sent = await this.indexes.push(target, options, () =>
      image.document.artifact === undefined
        ? this.withBlobs(image, () => pushImage(target, image, options.report))
        : this.indexes.pushArtifact(target, image, options.report),
    );
    this.data.setDigest(wholeDigest(reference, sent.digest), image.id);
    this.lookup.forget();
    await this.referrers.push(target, image.id, sent.digest, options.report);
    return sent;
  }

  /** The names with tags that an image of a repository has here. Throws a Fault "not-found" when there is none. */
  tagsHere(repository: string): string[] {
    const { domain, path } = parseReference(repository);
    const prefix = `${domain}/${path}:`;
    const found = this.data.taggedLike(prefix);
    if (found.length > 0) return found.map((whole) => familiarReference(parseReference(whole)));
    throw fault(
      "not-found",
      "no-such-tag",
      `An image does not exist locally with the tag: ${familiarName({ domain, path })}`,
    );
  }

  /** Like resolve, but the built-in image is unpacked when it is asked for and missing. */
  async resolveOrBuiltin(name: string): Promise<ImageRecord> {
    try {
      return this.resolve(name);
    } catch (error) {
      const isBuiltin =
        error instanceof Fault && error.kind === "not-found" && this.isBuiltin(name);
      if (!isBuiltin) throw error;
      return this.loadBuiltin(name);
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
  remove(wish: RemovalWish, users: ImageUsers): RemovalStep[] {
    const { data, content, driver, holds, dropped } = this;
    const removal = { data, content, driver, holds, dropped };
    try {
      return removeImage(removal, this.resolve(wish.name), wish, users);
    } finally {
      this.lookup.forget();
    }
  }

  /** A layer of an image as it came, uncompressed; undefined when its blob is neither kept nor to be rebuilt. */
  async layerArchive(image: ImageRecord, index: number): Promise<ByteStream | undefined> {
    const digest = this.data.layerBlobs(image)[index];
    if (digest === undefined || !this.isHere(digest)) return undefined;
    await this.dropped.restore(digest);
    return decompress(Bun.file(this.content.path(digest)).stream() as unknown as ByteStream);
  }

  /** Bytes of file content in a layer. */
  layerSize(chainId: string): number {
    return this.data.layerSize(chainId);
  }
}
