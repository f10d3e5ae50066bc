/**
 * Images made here, layer by layer: of containers' changes and of builds.
 */

import { rmSync } from "node:fs";
import { ArrivingFile } from "../base/arriving-file.ts";
import type { ByteStream } from "../base/compression.ts";
import { digestOf } from "../base/digest.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { Holds } from "./holds.ts";
import { type EarlyLayer, type Layers, wantedLayer } from "./layers.ts";
import { chainIds, type ImageDocument } from "./model.ts";

/** Layers that stand on each other, the lowest first; the three lists are of one length. */
export interface LayerStack {
  /** Digests of the uncompressed layers. */
  readonly diffIds: readonly string[];
  /** Chain ids (OCI image-spec, config.md). */
  readonly chain: readonly string[];
  /** The layers' blobs. */
  readonly blobs: readonly string[];
  /** Bytes of content. */
  readonly size: number;
}

/** An image made here, recorded or not. */
export interface Composed {
  readonly id: string;
  /** Its configuration as bytes, of which the id is the digest. */
  readonly bytes: Uint8Array;
  readonly document: ImageDocument;
  readonly layers: LayerStack;
}

/** What an archive without entries is known by. */
const EMPTY_TAR = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

interface Parts {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly layers: Layers;
  readonly holds: Holds;
  /** Whether a blob is in the store, or can be rebuilt. */
  readonly isHere: (digest: string) => boolean;
}

/** Makes images of layers. */
export class Composer {
  constructor(private readonly parts: Parts) {}

  /** Keeps layers and blobs from being deleted while work goes on. */
  during<T>({ chain, blobs }: LayerStack, work: () => Promise<T>): Promise<T> {
    return this.parts.holds.during([...chain, ...blobs], work);
  }

  /** Whether all of it is here. */
  has({ chain, blobs }: LayerStack): boolean {
    const { layers, isHere } = this.parts;
    return chain.every((one) => layers.has(one)) && blobs.every(isHere);
  }

  /**
   * Stores an archive as a layer upon others, durably, and hands the whole to `use`, while which nothing deletes it. An archive
   * without entries adds nothing.
   */
  async addLayer<T>(
    on: LayerStack,
    tar: ByteStream,
    use: (made: LayerStack) => T | Promise<T>,
  ): Promise<T> {
    const { content, layers, holds } = this.parts;
    let early: EarlyLayer | undefined;
    const spooled = await content.ingest(tar, (file) => {
      early = layers.early(file);
    });
    try {
      if (spooled.digest === EMPTY_TAR) return await use(on);
      const diffIds = [...on.diffIds, spooled.digest];
      const chain = chainIds(diffIds);
      const blobs = [...on.blobs, spooled.digest];
      return await holds.during([...chain, ...blobs], async () => {
        const archive = ArrivingFile.here(spooled.path, spooled.size);
        const wanted = wantedLayer(chain, diffIds, diffIds.length - 1);
        const size = await layers.unpack({ ...wanted, archive, early });
        await content.commit(spooled);
        return use({ diffIds, chain, blobs, size: on.size + size });
      });
    } finally {
      await early?.end();
      rmSync(spooled.path, { force: true });
    }
  }

  /** An image of layers that are here, which nothing records yet. */
  compose(document: Omit<ImageDocument, "rootfs">, layers: LayerStack): Composed {
    const whole = { ...document, rootfs: { type: "layers", diff_ids: layers.diffIds } };
    const bytes = new TextEncoder().encode(JSON.stringify(whole));
    const id = digestOf(bytes);
    return { id, bytes, document: whole, layers };
  }

  /** Records an image; gives its id. What is there already is fine. */
  async record({ id, bytes, document, layers }: Composed): Promise<string> {
    const { content, data, holds } = this.parts;
    return holds.during([id, ...layers.chain, ...layers.blobs], async () => {
      await content.put(bytes);
      // Of layers that have come from elsewhere the whole does not say how large they are.
      const known = layers.chain.reduce((sum, one) => sum + data.layerSize(one), 0);
      const size = Math.max(known, layers.size);
      data.add({ id, document, size, blobs: [id, ...layers.blobs] });
      return id;
    });
  }

  /** Both at once. */
  create(document: Omit<ImageDocument, "rootfs">, layers: LayerStack): Promise<string> {
    return this.record(this.compose(document, layers));
  }
}
