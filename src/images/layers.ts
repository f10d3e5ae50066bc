/**
 * Layers on their way from archives into the storage driver: each unpacked once, however many images want it, and as
 * early as the driver allows.
 */
import type { ArrivingFile } from "../base/arriving-file.ts";
import { damagedLayer, type SnapshotDriver, type StagedLayer } from "../storage/index.ts";
import type { ImageDatabase } from "./database.ts";

/** A layer that an image needs. */
export interface WantedLayer {
  readonly chainId: string;
  /** The chain id of the one below. */
  readonly parent: string | undefined;
  readonly diffId: string;
  readonly archive: ArrivingFile;
  /** What `early` has given for this archive. */
  readonly early?: EarlyLayer | undefined;
}

/** What names a layer of an image, `index` from below. */
export function wantedLayer(
  chain: readonly string[],
  diffIds: readonly string[],
  index: number,
): Omit<WantedLayer, "archive"> {
  return {
    chainId: chain[index] ?? "",
    parent: chain[index - 1],
    diffId: diffIds[index] ?? "",
  };
}

/** An archive that is unpacked before it is known what it is for. */
export class EarlyLayer {
  private taken = false;

  constructor(private readonly staging: Promise<StagedLayer>) {
    // Most are no layers after all; whoever takes it hears of what is wrong.
    staging.catch(() => {});
  }

  /** Gives it to the first who asks. */
  take(): Promise<StagedLayer> | undefined {
    if (this.taken) return undefined;
    this.taken = true;
    return this.staging;
  }

  /** Throws it away unless somebody has it. Resolves when its archive is not read any more. */
  async end(): Promise<void> {
    await this.take()?.then(
      (staged) => staged.discard(),
      () => {},
    );
  }
}

/** The layers of one store. */
export class Layers {
  private readonly underway = new Map<string, Promise<number>>();

  constructor(
    private readonly driver: SnapshotDriver,
    private readonly data: Pick<ImageDatabase, "layerSize" | "setLayerSize">,
  ) {}

  /** Begins to unpack an archive that may be a layer; undefined when the driver needs to know more first. */
  early(archive: ArrivingFile): EarlyLayer | undefined {
    if (!this.driver.independent) return undefined;
    return new EarlyLayer(this.driver.stageLayer({ tar: archive }));
  }

  /** Whether one can be unpacked before the one below it. */
  get independent(): boolean {
    return this.driver.independent;
  }

  has(chainId: string): boolean {
    return this.driver.hasLayer(chainId);
  }

  /** Unpacks a layer that is not there yet; gives its size. */
  async unpack(wanted: WantedLayer): Promise<number> {
    const { chainId } = wanted;
    for (;;) {
      const other = this.underway.get(chainId);
      if (other === undefined) break;
      // If that fails, it may be for a reason that is not ours: its pull was given up.
      await other.catch(() => {});
    }
    if (this.driver.hasLayer(chainId)) return this.data.layerSize(chainId);
    const work = this.unpackNow(wanted).finally(() => this.underway.delete(chainId));
    this.underway.set(chainId, work);
    return work;
  }

  /** Unpacks layers that stand on each other, the lowest first in the list. Gives the sum of their sizes. */
  async unpackAll(wanted: readonly WantedLayer[]): Promise<number> {
    let size = 0;
    if (!this.driver.independent) {
      for (const layer of wanted) size += await this.unpack(layer);
      return size;
    }
    const ends = await Promise.allSettled(wanted.map((layer) => this.unpack(layer)));
    for (const end of ends)
      if (end.status === "rejected") throw end.reason;
      else size += end.value;
    return size;
  }

  private async unpackNow({
    chainId,
    parent,
    diffId,
    archive,
    early,
  }: WantedLayer): Promise<number> {
    const staged = await (early?.take() ?? this.driver.stageLayer({ tar: archive, parent }));
    if (staged.diffId !== diffId) {
      staged.discard();
      throw damagedLayer(diffId, staged.diffId);
    }
    await staged.commit(chainId);
    this.data.setLayerSize(chainId, staged.size);
    return staged.size;
  }
}
