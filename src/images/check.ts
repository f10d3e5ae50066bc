/**
 * A thorough look at an image store: every blob against its digest, every layer against its archive, every row against what
 * it names; with what can be done about each problem.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { ArrivingFile } from "../base/arriving-file.ts";
import { type ByteStream, decompress } from "../base/compression.ts";
import { fault, messageOf } from "../base/errors.ts";
import type { BlobDescriptor, Credentials, Repository } from "../registry/index.ts";
import { familiarReference, parseReference, type Reference } from "../spec/reference.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { Downloads } from "./downloads.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import { checkLayer } from "./layer-check.ts";
import type { Layers } from "./layers.ts";
import { type ImageRecord, parseObject } from "./model.ts";

/** Something that is not as it should be. */
export interface Problem {
  /** A word for programs: "blob-damaged", "layer-missing"… */
  readonly code: string;
  /** The digest, chain id, name or path. */
  readonly subject: string;
  readonly what: string;
  /** What comes of it. */
  readonly means: string;
  /** What to do about it by hand. */
  readonly advice: string;
  /** Does away with it and says how; rejects with the reason when that cannot be done. Undefined: only by hand. */
  repair?(): Promise<string>;
}

/** A step of a check: what is looked at, or a problem. */
export type CheckStep =
  | { readonly kind: "looking"; readonly at: string; readonly done: number; readonly of: number }
  | { readonly kind: "problem"; readonly problem: Problem };

/** What the check works with. */
export interface CheckParts {
  readonly data: ImageDatabase;
  readonly content: ContentStore;
  readonly driver: SnapshotDriver;
  readonly holds: Holds;
  readonly dropped: DroppedBlobs;
  readonly downloads: Downloads;
  /** Opens a repository of a registry to fetch from. */
  open(reference: Reference, credentials: Credentials): Repository;
  /** Unpacks a layer that is not there. */
  readonly layers: Layers;
  /** Brings the image in again that is built into the executable; false when this is another. */
  loadBuiltin(image: ImageRecord): Promise<boolean>;
}

/** What a check is told. */
export interface CheckOptions {
  readonly signal: AbortSignal;
  /** Containers that run or stand on a layer, by their names. */
  runningOn(chainId: string): readonly string[];
  credentials(domain: string): Credentials;
}

const REPAIR = "berth system check --repair";
/** Drivers whose layers hold only what their archives brought. */
const DIFFERENCES = new Set(["overlay2", "erofs", "fuse-overlayfs"]);

const problem = (value: Problem): CheckStep => ({ kind: "problem", problem: value });

/** Looks at one image store. */
export class ImageCheck {
  /** Blobs that this check has found to be what they are called. */
  private readonly sound = new Set<string>();

  constructor(
    private readonly parts: CheckParts,
    private readonly options: CheckOptions,
  ) {}

  /** Everything, the blobs first, since layers are looked at and unpacked by them. */
  async *run(): AsyncGenerator<CheckStep> {
    yield* this.blobs();
    yield* this.layers();
    yield* this.rows();
  }

  private namesOf(digest: string): string {
    return this.ownersOf(digest)
      .map(({ id, tags }) => tags[0] ?? id.slice(7, 19))
      .join(", ");
  }

  private async *blobs(): AsyncGenerator<CheckStep> {
    const { data, content, dropped, holds } = this.parts;
    // Manifests first: they say how large the others are, should those have to be fetched.
    const all = [...new Set([...this.documents(), ...data.allBlobs()])];
    for (const [index, digest] of all.entries()) {
      this.options.signal.throwIfAborted();
      yield { kind: "looking", at: digest, done: index, of: all.length };
      const found = await this.look(digest);
      if (found === undefined) {
        this.sound.add(digest);
        continue;
      }
      // It may have gone with its image meanwhile.
      if (!data.allBlobs().has(digest) || holds.has(digest)) continue;
      const here = content.has(digest) || dropped.has(digest);
      const whose = this.namesOf(digest) || "what a registry's repository has";
      yield problem({
        code: here ? "blob-damaged" : "blob-missing",
        subject: digest,
        what: `the blob ${digest} of ${whose} ${found}`,
        means:
          "the image cannot be pushed or saved, nor its layer be unpacked again; containers run on",
        advice: `${REPAIR}, or pull ${whose} again`,
        repair: () => this.fetchAgain(digest),
      });
    }
  }

  /** Manifests and indexes that images have come with, and what refers to them. */
  private documents(): string[] {
    const { data } = this.parts;
    const manifests = data.all().flatMap(({ manifest }) => manifest ?? []);
    const indexes = data.indexes.all().flatMap(({ documents }) => documents);
    return [...manifests, ...indexes, ...data.referrers.all().map(({ digest }) => digest)];
  }

  /** What is wrong with a blob; undefined when nothing is. */
  private async look(digest: string): Promise<string | undefined> {
    const { content, dropped } = this.parts;
    try {
      if (!content.has(digest)) {
        if (!dropped.has(digest)) return "is not in the content store";
        const made = await dropped.digestOf(digest);
        return made === digest ? undefined : `does not come out of its layer again, but as ${made}`;
      }
      const hash = new Bun.CryptoHasher("sha256");
      for await (const piece of content.stream(digest)) hash.update(piece);
      const is = `sha256:${hash.digest("hex")}`;
      return is === digest ? undefined : `is damaged: its content has the digest ${is}`;
    } catch (error) {
      return `cannot be read: ${messageOf(error)}`;
    }
  }

  /** The size that some manifest gives a blob. */
  private descriptorOf(digest: string): BlobDescriptor | undefined {
    for (const document of this.documents()) {
      if (!this.sound.has(document)) continue;
      const manifest = parseObject(this.parts.content.read(document), "the image's manifest");
      const entries = [manifest.config, ...((manifest.layers ?? []) as unknown[])];
      const found = entries.find(
        (one) => (one as { digest?: string } | undefined)?.digest === digest,
      );
      const size = (found as { size?: unknown } | undefined)?.size;
      if (typeof size === "number") return { digest, size };
    }
    return undefined;
  }

  /** The images that a blob belongs to, or to whose indexes or referrers. */
  private ownersOf(digest: string): ImageRecord[] {
    const { data } = this.parts;
    const beside = data.indexes
      .all()
      .filter(({ documents, blobs }) => documents.includes(digest) || blobs.includes(digest));
    const referring = data.referrers
      .all()
      .filter((one) => one.digest === digest || one.blobs.includes(digest));
    const images = new Set([...beside, ...referring].map(({ image }) => image));
    return data.all().filter(({ id }) => images.has(id) || data.blobsOf(id).includes(digest));
  }

  private async fetchAgain(digest: string): Promise<string> {
    const { content, dropped } = this.parts;
    const owners = this.ownersOf(digest);
    const aside = `${content.partial(digest)}.damaged`;
    if (content.has(digest)) renameSync(content.path(digest), aside);
    try {
      for (const image of owners)
        if ((await this.parts.loadBuiltin(image)) && content.has(digest))
          return this.done(digest, "brought in again from berth's own executable");
      const reasons: string[] = [];
      for (const { domain, path } of this.sourcesOf(digest, owners)) {
        try {
          await this.fetchFrom(digest, { domain, path });
          return this.done(digest, `fetched again from ${domain}/${path}`);
        } catch (error) {
          this.options.signal.throwIfAborted();
          reasons.push(`${domain}/${path}: ${messageOf(error)}`);
        }
      }
      throw fault(
        "failed",
        "check-repair",
        reasons.length === 0 ? "no registry is known that has it" : reasons.join("; "),
      );
    } finally {
      // Of the old bytes nobody is served, but somebody may want to look at them until there are better ones.
      if (!existsSync(content.path(digest)) && existsSync(aside) && !dropped.has(digest))
        renameSync(aside, content.path(digest));
      rmSync(aside, { force: true });
    }
  }

  private done(digest: string, how: string): string {
    // What it was rebuilt from did not make it: it is kept from now on.
    this.parts.dropped.forget(digest);
    this.sound.add(digest);
    return how;
  }

  private sourcesOf(
    digest: string,
    owners: readonly ImageRecord[],
  ): { readonly domain: string; readonly path: string }[] {
    const { data } = this.parts;
    const named = owners
      .flatMap(({ id }) => data.digests(id))
      .map((name) => parseReference(name))
      .map(({ domain, path }) => ({ domain, path }));
    const all = [...data.sources(digest), ...named];
    return all.filter(
      (one, at) =>
        all.findIndex(({ domain, path }) => domain === one.domain && path === one.path) === at,
    );
  }

  private async fetchFrom(digest: string, from: { domain: string; path: string }): Promise<void> {
    const { content, downloads } = this.parts;
    const reference: Reference = { ...from, digest };
    const source = this.parts.open(reference, this.options.credentials(from.domain));
    if (this.documents().includes(digest)) {
      const { bytes } = await source.manifest(digest, this.options.signal);
      await content.put(bytes);
    } else {
      const descriptor = this.descriptorOf(digest);
      if (descriptor === undefined)
        throw fault("failed", "check-repair", "no manifest says how large it is");
      await downloads.fetch(source, descriptor, () => {}, this.options.signal);
    }
    if (!content.has(digest))
      throw fault("failed", "check-repair", "the registry gave something else");
  }

  private async *layers(): AsyncGenerator<CheckStep> {
    const { data, holds } = this.parts;
    const places = new Map<string, { image: ImageRecord; index: number }>();
    for (const image of data.all())
      for (const [index, chainId] of image.chain.entries())
        if (!places.has(chainId)) places.set(chainId, { image, index });
    let done = 0;
    for (const [chainId, { image, index }] of places) {
      this.options.signal.throwIfAborted();
      yield { kind: "looking", at: chainId, done: done++, of: places.size };
      const found = await this.lookAtLayer(image, index);
      if (found === undefined || data.byId(image.id) === undefined || holds.has(chainId)) continue;
      const missing = !this.parts.driver.hasLayer(chainId);
      yield problem({
        code: missing ? "layer-missing" : "layer-damaged",
        subject: chainId,
        what: `layer ${index + 1} of ${image.tags[0] ?? image.id.slice(7, 19)} ${found}`,
        means: "containers of the image do not start, or see other files than the image has",
        advice: `${REPAIR}; containers that run on it must be stopped before`,
        repair: () => this.unpackAgain(image, index),
      });
    }
  }

  /** The uncompressed archive of a layer, if there is one to trust. */
  private async archiveOf(image: ImageRecord, index: number): Promise<ByteStream | undefined> {
    const { content, data } = this.parts;
    const digest = data.layerBlobs(image)[index] ?? "";
    if (!this.sound.has(digest) || !content.has(digest)) return undefined;
    return decompress(content.stream(digest));
  }

  private async lookAtLayer(image: ImageRecord, index: number): Promise<string | undefined> {
    const { driver, dropped } = this.parts;
    const chainId = image.chain[index] ?? "";
    if (!driver.hasLayer(chainId)) return "is not unpacked";
    const files = dropped.files(chainId);
    if (files === undefined) return "cannot be opened";
    try {
      // Without a blob, that it is rebuilt from the files has proved them.
      const archive = await this.archiveOf(image, index);
      if (archive === undefined) return undefined;
      const wrong = await checkLayer(archive, files, !DIFFERENCES.has(driver.name));
      return wrong.length === 0
        ? undefined
        : `is not what it was unpacked from: ${wrong.join(", ")}`;
    } catch (error) {
      return `cannot be looked at: ${messageOf(error)}`;
    } finally {
      files.close();
    }
  }

  private async unpackAgain(image: ImageRecord, index: number): Promise<string> {
    const { content, data, driver, holds, layers } = this.parts;
    const [chainId = "", parent] = [image.chain[index], image.chain[index - 1]];
    const running = this.options.runningOn(chainId);
    if (running.length > 0)
      throw fault("conflict", "check-repair", `containers run on it: ${running.join(", ")}`);
    const digest = data.layerBlobs(image)[index] ?? "";
    if (!content.has(digest) || !this.sound.has(digest)) await this.fetchAgain(digest);
    if (parent !== undefined && !driver.hasLayer(parent))
      throw fault("failed", "check-repair", "the layer below it is not there");
    await holds.during([chainId, digest], async () => {
      driver.removeLayer(chainId);
      const diffId = image.document.rootfs.diff_ids[index] ?? "";
      const archive = ArrivingFile.here(content.path(digest), content.size(digest));
      await layers.unpack({ chainId, parent, diffId, archive });
    });
    return "unpacked again";
  }

  /** Rows that name what is not there, and layers that no row names. */
  private async *rows(): AsyncGenerator<CheckStep> {
    const { data } = this.parts;
    for (const reference of data.danglingNames())
      yield problem({
        code: "name-without-image",
        subject: reference,
        what: `the name ${familiarReference(parseReference(reference))} is that of an image that is not there`,
        means: "it is found and cannot be used",
        advice: REPAIR,
        repair: async () => {
          data.removeTag(reference);
          data.removeDigest(reference);
          return "the name has been removed";
        },
      });
  }
}
