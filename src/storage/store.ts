/**
 * What the drivers share: places on disk, atomic appearance, removal, and reading what a container has.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { DiskSync } from "../base/disk-sync.ts";
import { errnoOf, fault } from "../base/errors.ts";
import { Trash } from "../base/trash.ts";
import { closeAll, openRoot, packTree, walkMerged } from "../tree/index.ts";
import { type Change, type Comparison, changesIn } from "./changes.ts";
import type {
  ContainerLayer,
  DriverName,
  LayerInput,
  NamedLayer,
  RootMount,
  SnapshotDriver,
  StagedLayer,
  StorageKernel,
  Usage,
} from "./driver.ts";
import { LayerArchive } from "./layer-archive.ts";
import { mergedChanges } from "./merged-changes.ts";
import { packChanges, packFound } from "./pack.ts";
import { Unpacker } from "./unpacker.ts";
import { ContainerView, type Found, type ViewMount } from "./view.ts";

/** Files and directories that the engine mounts over: below every layer, so that they never show in a diff. */
const initFiles = ["etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv", "dev/console"];
const initDirectories = ["dev", "dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"];

function hexOf(chainId: string): string {
  return chainId.slice("sha256:".length);
}

/** A layer's archive is another one than it should be. */
export function damagedLayer(wanted: string, found: string): Error {
  return fault(
    "invalid",
    "layer-digest",
    `layer ${wanted} has the content of ${found}: it is damaged`,
  );
}

/** What the drivers do alike. */
export abstract class Store implements SnapshotDriver {
  readonly limitsSize: boolean = false;
  abstract readonly name: DriverName;
  abstract readonly independent: boolean;
  private counter = 0;
  private readonly prefix = crypto.randomUUID().slice(0, 8);
  private readonly trash: Trash;
  private readonly unpacker: Unpacker;
  private readonly disk: DiskSync;

  constructor(
    protected readonly root: string,
    protected readonly kernel: StorageKernel,
  ) {
    for (const name of ["layers", "containers", "new"])
      mkdirSync(`${root}/${name}`, { recursive: true, mode: 0o700 });
    this.trash = new Trash(`${root}/trash`, (path) => this.deleteFast(path));
    this.unpacker = new Unpacker(kernel);
    this.disk = new DiskSync(`${root}/new`);
    for (const name of initDirectories) mkdirSync(`${root}/init/${name}`, { recursive: true });
    for (const name of initFiles)
      if (!existsSync(`${root}/init/${name}`)) writeFileSync(`${root}/init/${name}`, "");
  }

  /** Deletes what can be deleted faster than file by file; the rest is deleted after. */
  protected async deleteFast(_path: string): Promise<void> {}

  protected layer(chainId: string): string {
    return `${this.root}/layers/${hexOf(chainId)}`;
  }

  protected container(id: string): string {
    return `${this.root}/containers/${id}`;
  }

  protected scratch(): string {
    return `${this.root}/new/${this.prefix}-${++this.counter}`;
  }

  /** Makes a layer of an archive at a path where nothing is yet; gives the bytes of its files' contents. */
  protected abstract fill(
    path: string,
    parent: string | undefined,
    archive: LayerArchive,
  ): Promise<number>;

  async stageLayer({ tar, parent }: LayerInput): Promise<StagedLayer> {
    const scratch = this.scratch();
    const archive = new LayerArchive(tar, this.kernel, this.unpacker, () => this.disk.nudge());
    try {
      const size = await this.fill(scratch, parent, archive);
      const diffId = await archive.finish();
      return {
        diffId,
        size,
        commit: (chainId) => this.keep(scratch, chainId),
        discard: () => this.discard(scratch),
      };
    } catch (error) {
      this.discard(scratch);
      throw error;
    }
  }

  private async keep(scratch: string, chainId: string): Promise<void> {
    try {
      // Data first, the name after: a layer that is there is whole, even after a power failure.
      await this.disk.flush();
      if (this.hasLayer(chainId)) return;
      this.discard(this.layer(chainId));
      renameSync(scratch, this.layer(chainId));
      await this.appeared(chainId);
    } finally {
      this.discard(scratch);
    }
  }

  async applyLayer(layer: NamedLayer): Promise<{ diffId: string; size: number }> {
    const staged = await this.stageLayer(layer);
    const { diffId, size } = staged;
    if (layer.diffId !== undefined && layer.diffId !== diffId) {
      staged.discard();
      throw damagedLayer(layer.diffId, diffId);
    }
    await staged.commit(layer.chainId);
    return { diffId, size };
  }

  /** A layer has got its name. */
  protected async appeared(_chainId: string): Promise<void> {}

  hasLayer(chainId: string): boolean {
    return existsSync(this.layer(chainId));
  }

  removeLayer(chainId: string): void {
    this.discard(this.layer(chainId));
  }

  layers(): string[] {
    return readdirSync(`${this.root}/layers`).map((hex) => `sha256:${hex}`);
  }

  containers(): string[] {
    return readdirSync(`${this.root}/containers`);
  }

  remove(id: string): void {
    this.discard(this.container(id));
  }

  changes(container: ContainerLayer): AsyncGenerator<Change> {
    return changesIn(this.kernel, this.comparison(container));
  }

  differences(chain: readonly string[], before: readonly string[]): AsyncGenerator<Change> {
    const [now, old] = [this.layerDirectories(chain), this.treeBelow(before)];
    return mergedChanges(this.kernel, now, old);
  }

  /** The directories of layers, or of what lies below the first one of any chain. */
  protected treeBelow(chain: readonly string[]): string[] {
    return this.layerDirectories(chain);
  }

  packChanges(container: ContainerLayer): ByteStream {
    return packChanges(this.kernel, this.changes(container));
  }

  packLayer(chain: readonly string[]): ByteStream {
    return this.packExactly(this.layerComparison(chain));
  }

  packWritten(container: ContainerLayer): ByteStream {
    return this.packExactly(this.comparison(container));
  }

  private packExactly(comparison: Comparison): ByteStream {
    const byContent = changesIn(this.kernel, { ...comparison, same: "content" });
    return packChanges(this.kernel, byContent, true);
  }

  async unpackWritten(container: ContainerLayer, tar: ByteStream): Promise<void> {
    const { upper, whole } = this.comparison(container);
    const archive = new LayerArchive(tar, this.kernel, this.unpacker, () => {});
    await archive.extractTo(upper, whole ? "apply" : "overlay");
    await archive.finish();
  }

  async *packTree(container: ContainerLayer): ByteStream {
    const open = this.directories(container).map(openRoot);
    try {
      yield* packTree(this.kernel, walkMerged(this.kernel, open));
    } finally {
      closeAll(open);
    }
  }

  view(container: ContainerLayer, mounts: readonly ViewMount[]): ContainerView {
    return new ContainerView(this.kernel, this.directories(container), mounts);
  }

  packFound(found: Found, name: string): ByteStream {
    return packFound(this.kernel, found, name);
  }

  abstract comparison(container: ContainerLayer): Comparison;
  protected abstract layerComparison(chain: readonly string[]): Comparison;
  abstract prepare(container: ContainerLayer): Promise<RootMount>;
  places(_container: ContainerLayer): Readonly<Record<string, string>> {
    return {};
  }

  imagePlaces(_chain: readonly string[]): Readonly<Record<string, string>> {
    return {};
  }

  abstract mountOf(container: ContainerLayer): RootMount;
  abstract usage(container: ContainerLayer): Usage;
  abstract directories(container: ContainerLayer): string[];
  abstract layerDirectories(chain: readonly string[]): string[];

  async readFile(
    container: ContainerLayer,
    path: string,
    max: number,
  ): Promise<Uint8Array | undefined> {
    const found = await this.view(container, [])
      .find(path, true)
      .catch((error: unknown) => {
        if (errnoOf(error) === "ELOOP") return undefined;
        throw error;
      });
    try {
      const { place } = found ?? {};
      if (!place?.info.isFile() || place.info.size > max) return undefined;
      const fd = place.open();
      try {
        return fstatSync(fd).isFile() ? readFileSync(fd) : undefined;
      } finally {
        closeSync(fd);
      }
    } finally {
      found?.close();
    }
  }

  sweep(): void {
    this.trash.empty();
    for (const entry of readdirSync(`${this.root}/new`)) this.discard(`${this.root}/new/${entry}`);
  }

  settled(): Promise<void> {
    return this.trash.settled();
  }

  protected discard(path: string): void {
    this.trash.discard(path);
  }
}
