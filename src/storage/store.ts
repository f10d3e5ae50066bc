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
import { fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { Trash } from "../base/trash.ts";
import { closeAll, extractLayer, openRoot, packTree, walkMerged } from "../tree/index.ts";
import { type Change, changesOf, type Sameness, sameByContent } from "./changes.ts";
import type {
  ContainerLayer,
  DriverName,
  LayerInput,
  RootMount,
  SnapshotDriver,
  StorageKernel,
  Usage,
} from "./driver.ts";
import { packChanges, packFound } from "./pack.ts";
import { ContainerView, type Found, type ViewMount } from "./view.ts";

/** Files and directories that the engine mounts over: below every layer, so that they never show in a diff. */
const initFiles = ["etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv", "dev/console"];
const initDirectories = ["dev", "dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"];

function hexOf(chainId: string): string {
  return chainId.slice("sha256:".length);
}

/** Feeds a stream through a digest on its way. */
async function* hashed(source: ByteStream, hash: Bun.CryptoHasher): ByteStream {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

/** What tells changes: `whole` when `upper` is everything, not only the difference. */
export interface Comparison {
  readonly upper: string;
  readonly lowers: readonly string[];
  readonly whole: boolean;
  readonly same: Sameness;
}

/** What the drivers do alike. */
export abstract class Store implements SnapshotDriver {
  abstract readonly name: DriverName;
  private counter = 0;
  private readonly prefix = crypto.randomUUID().slice(0, 8);
  private readonly trash: Trash;

  constructor(
    protected readonly root: string,
    protected readonly kernel: StorageKernel,
  ) {
    for (const name of ["layers", "containers", "new"])
      mkdirSync(`${root}/${name}`, { recursive: true, mode: 0o700 });
    this.trash = new Trash(`${root}/trash`, (path) => this.deleteFast(path));
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
    reader: TarReader,
  ): Promise<number>;

  /** Unpacks an archive into a directory. `whiteouts`: what the archive's marks become. */
  protected async extract(
    path: string,
    reader: TarReader,
    whiteouts: "overlay" | "apply",
  ): Promise<number> {
    const root = openRoot(path);
    try {
      return await extractLayer(reader, root, this.kernel, whiteouts);
    } finally {
      closeSync(root);
    }
  }

  async applyLayer(input: LayerInput): Promise<{ diffId: string; size: number }> {
    return this.unpack(input.tar, input.parent, (diffId) => {
      if (input.diffId !== undefined && input.diffId !== diffId)
        throw fault(
          "invalid",
          "layer-digest",
          `layer ${input.diffId} has the content of ${diffId}: it is damaged`,
        );
      return input.chainId;
    });
  }

  async importLayer(tar: ByteStream): Promise<{ diffId: string; size: number }> {
    return this.unpack(tar, undefined, (diffId) => diffId);
  }

  private async unpack(
    tar: ByteStream,
    parent: string | undefined,
    chainOf: (diffId: string) => string,
  ): Promise<{ diffId: string; size: number }> {
    const scratch = this.scratch();
    const hash = new Bun.CryptoHasher("sha256");
    try {
      const reader = new TarReader(hashed(tar, hash));
      const size = await this.fill(scratch, parent, reader);
      await reader.drain();
      const diffId = `sha256:${hash.digest("hex")}`;
      const chainId = chainOf(diffId);
      // Data first, the name after: a layer that is there is whole, even after a power failure.
      Bun.spawnSync(["sync", "-f", scratch]);
      if (this.hasLayer(chainId)) this.discard(scratch);
      else {
        this.discard(this.layer(chainId));
        renameSync(scratch, this.layer(chainId));
        await this.appeared(chainId);
      }
      return { diffId, size };
    } catch (error) {
      this.discard(scratch);
      throw error;
    }
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
    return this.difference(this.comparison(container));
  }

  private async *difference(comparison: Comparison): AsyncGenerator<Change> {
    const { upper, lowers, whole, same } = comparison;
    const open: number[] = [];
    try {
      for (const path of [upper, ...lowers]) if (existsSync(path)) open.push(openRoot(path));
      const [first, ...rest] = open;
      if (first === undefined) return;
      yield* changesOf(this.kernel, { upper: first, lowers: rest, path: "", whole, same });
    } finally {
      closeAll(open);
    }
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
    const same = sameByContent(this.kernel);
    return packChanges(this.kernel, this.difference({ ...comparison, same }), true);
  }

  async unpackWritten(container: ContainerLayer, tar: ByteStream): Promise<void> {
    const { upper, whole } = this.comparison(container);
    const reader = new TarReader(tar);
    await this.extract(upper, reader, whole ? "apply" : "overlay");
    await reader.drain();
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

  protected abstract comparison(container: ContainerLayer): Comparison;
  protected abstract layerComparison(chain: readonly string[]): Comparison;
  abstract prepare(container: ContainerLayer): Promise<RootMount>;
  abstract mountOf(container: ContainerLayer): RootMount;
  abstract usage(container: ContainerLayer): Usage;
  abstract directories(container: ContainerLayer): string[];
  abstract layerDirectories(chain: readonly string[]): string[];

  async readFile(
    container: ContainerLayer,
    path: string,
    max: number,
  ): Promise<Uint8Array | undefined> {
    const found = await this.view(container, []).find(path, true);
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
