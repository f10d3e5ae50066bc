/**
 * Moving layers and containers' writable layers from one driver to another. The driver they come from is only read.
 */
import type { ByteStream } from "../base/compression.ts";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ContainerLayer, SnapshotDriver } from "./driver.ts";

/** What is to be moved. */
export interface Cargo {
  /** Chains whose layers are needed. */
  readonly chains: readonly (readonly string[])[];
  readonly containers: readonly ContainerLayer[];
  /** The archive that the last layer of a chain was unpacked from, if it is still there. */
  archive(
    chain: readonly string[],
  ): Promise<{ readonly tar: ByteStream; readonly diffId: string } | undefined>;
}

async function moveLayer(
  from: SnapshotDriver,
  to: SnapshotDriver,
  chain: readonly string[],
  cargo: Cargo,
): Promise<void> {
  const [parent, chainId = ""] = [chain.at(-2), chain.at(-1)];
  const layer = { chainId, ...(parent === undefined ? {} : { parent }) };
  try {
    const archive = await cargo.archive(chain);
    if (archive !== undefined) {
      await to.applyLayer({ ...layer, ...archive });
      return;
    }
  } catch (error) {
    log.warn("a layer's archive is of no use; its files are copied", {
      layer: chainId,
      error: messageOf(error),
    });
  }
  await to.applyLayer({ ...layer, tar: from.packLayer(chain) });
}

/**
 * Moves everything; what a cut-off attempt has brought whole stays. `tell` hears how far it is. When it resolves all of it
 * is there, but need not have reached the disk.
 */
export async function moveAll(
  from: SnapshotDriver,
  to: SnapshotDriver,
  cargo: Cargo,
  tell: (line: string) => void,
): Promise<void> {
  to.sweep();
  for (const id of to.containers()) to.remove(id);
  const wanted = new Map(
    cargo.chains.flatMap((chain) =>
      chain.map((chainId, index) => [chainId, chain.slice(0, index + 1)] as const),
    ),
  );
  // A layer comes after the one below it.
  const layers = [...wanted.values()].sort((a, b) => a.length - b.length);
  for (const [index, chain] of layers.entries()) {
    const chainId = chain.at(-1) ?? "";
    tell(`layer ${index + 1} of ${layers.length}: ${chainId.slice(7, 19)}`);
    if (!to.hasLayer(chainId)) await moveLayer(from, to, chain, cargo);
  }
  const here = new Set(from.containers());
  const containers = cargo.containers.filter(({ id }) => here.has(id));
  for (const [index, container] of containers.entries()) {
    tell(`container ${index + 1} of ${containers.length}: ${container.id.slice(0, 12)}`);
    await to.prepare(container);
    await to.unpackWritten(container, from.packWritten(container));
  }
  await to.settled();
}
