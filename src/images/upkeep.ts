/**
 * Keeping an image store clean: what nothing refers to goes, blobs that are not to be kept are dropped, and what a removal
 * would take away is said beforehand.
 */
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import type { ImageRecord } from "./model.ts";
import { planRemoval, type RemovalPlan } from "./removal.ts";

/** The store's parts that are looked after. */
export interface UpkeepParts {
  readonly data: ImageDatabase;
  readonly content: ContentStore;
  readonly driver: SnapshotDriver;
  readonly holds: Holds;
  readonly dropped: DroppedBlobs;
  /** Layers that containers stand on, whether an image has them or not; without it, none is removed by itself. */
  readonly layersInUse?: (() => ReadonlySet<string>) | undefined;
  /** Layers that builds may use again. */
  readonly cachedLayers?: (() => readonly string[]) | undefined;
  /** Whether builds may use a layer or a blob again. */
  readonly isCached?: ((key: string) => boolean) | undefined;
}

/** A pull that broke off may be taken up again for a week. */
const PULL_KEPT_MS = 7 * 24 * 3600 * 1000;

/** Looks after one image store. */
export class ImageUpkeep {
  constructor(private readonly parts: UpkeepParts) {
    parts.holds.onRelease = (keys) => {
      try {
        this.released(keys);
      } catch (error) {
        log.warn("take away what did not become an image", { error: messageOf(error) });
      }
    };
  }

  /** What nobody holds any more goes if nothing refers to it: the rest of what did not become an image. */
  private released(keys: readonly string[]): void {
    const { content, dropped } = this.parts;
    // A build's steps each let go of all that is below them: asking what images need is for what is left then.
    const loose = keys.filter((key) => !this.parts.isCached?.(key));
    if (loose.length > 0) this.removeLoose(loose);
    if (dropped.drops) dropped.schedule(keys.filter((key) => content.has(key)));
  }

  private removeLoose(keys: readonly string[]): void {
    const { content, driver, data } = this.parts;
    const needed = this.neededBlobs();
    for (const key of keys) if (!needed.has(key) && content.has(key)) this.removeBlob(key);
    const standOn = this.parts.layersInUse?.();
    if (standOn === undefined) return;
    const used = new Set([...standOn, ...this.imageLayers()]);
    for (const chainId of keys)
      if (!used.has(chainId) && driver.hasLayer(chainId)) {
        driver.removeLayer(chainId);
        data.forgetLayer(chainId);
      }
  }

  private removeBlob(digest: string): void {
    this.parts.content.remove(digest);
    this.parts.dropped.forget(digest);
  }

  private imageLayers(): string[] {
    return [...this.parts.data.all().flatMap(({ chain }) => chain), ...this.cachedLayers()];
  }

  /** Layers that builds may use again. */
  cachedLayers(): readonly string[] {
    return this.parts.cachedLayers?.() ?? [];
  }

  /** Blobs that images have, or that a pull waits for that may go on. */
  neededBlobs(): ReadonlySet<string> {
    const { data } = this.parts;
    return new Set([...data.allBlobs(), ...data.expectedSince(Date.now() - PULL_KEPT_MS)]);
  }

  /** What has come of pulls that broke off and that nobody goes on with now: blobs, whole or not. */
  brokenOff(): string[] {
    const { data, holds } = this.parts;
    const used = data.allBlobs();
    return [...data.expectedSince(0)].filter((one) => !used.has(one) && !holds.has(one));
  }

  /** Files of a blob, whether they are there or not: itself, what has come of it, and what it is rebuilt from. */
  filesOf(digest: string): string[] {
    const { content, dropped } = this.parts;
    return [content.path(digest), content.partial(digest), dropped.recipe(digest)];
  }

  /** Gives up pulls that broke off. */
  forgetBrokenOff(digests: readonly string[]): void {
    const { content, data } = this.parts;
    data.expectNoMore(digests);
    for (const digest of digests) {
      this.removeBlob(digest);
      content.removePartial(digest);
    }
  }

  /** Whether a layer or a blob belongs to something that is just coming in or going out. */
  isHeld(key: string): boolean {
    return this.parts.holds.has(key);
  }

  /** What would go with some images. */
  planRemoval(images: readonly ImageRecord[], chains: ReadonlySet<string>): RemovalPlan {
    return planRemoval(this.parts, images, chains);
  }

  /** Drops the layers' blobs of every image that has not been looked at, where they are not to be kept. */
  dropBlobs(): void {
    const { data, dropped } = this.parts;
    dropped.schedule(data.all().flatMap((image) => data.layerBlobs(image)));
  }

  /** Blobs that are kept though they were to be dropped, with the reason. */
  keptBlobs(): readonly { readonly digest: string; readonly why: string }[] {
    return this.parts.dropped.kept();
  }

  /** Resolves when no blob is being dropped. */
  settled(): Promise<void> {
    return this.parts.dropped.settled();
  }

  /** Deletes what nothing refers to: blobs, layers and half-made files that a crash has left. */
  sweep(inUse: ReadonlySet<string>): void {
    const { content, data, driver, dropped } = this.parts;
    const used = this.neededBlobs();
    data.expectNoMore([...data.expectedSince(0)].filter((digest) => !used.has(digest)));
    content.sweep(used);
    dropped.sweep(used);
    const needed = new Set([...inUse, ...this.imageLayers()]);
    for (const chainId of driver.layers()) if (!needed.has(chainId)) driver.removeLayer(chainId);
    for (const chainId of data.knownLayers()) if (!needed.has(chainId)) data.forgetLayer(chainId);
  }
}
