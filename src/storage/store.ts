/**
 * The two drivers. Overlay keeps each layer's difference and lets the kernel merge; vfs copies whole trees and works on
 * any file system. What they share (places, atomic appearance, removal) is here once.
 */
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { TarReader } from "../base/tar.ts";
import { Trash } from "../base/trash.ts";
import {
  closeAll,
  extractLayer,
  openRoot,
  type Privileged,
  packTree,
  walkMerged,
} from "../tree/index.ts";
import { type Change, changesOf } from "./changes.ts";
import type { ContainerLayer, LayerInput, RootMount, SnapshotDriver, Usage } from "./driver.ts";
import { readMerged } from "./merged.ts";
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

/** What both drivers do alike. */
abstract class Store implements SnapshotDriver {
  abstract readonly name: "overlay2" | "vfs";
  private counter = 0;
  private readonly trash: Trash;

  constructor(
    protected readonly root: string,
    protected readonly kernel: Privileged,
  ) {
    for (const name of ["layers", "containers", "new"])
      mkdirSync(`${root}/${name}`, { recursive: true, mode: 0o700 });
    this.trash = new Trash(`${root}/trash`);
    for (const name of initDirectories) mkdirSync(`${root}/init/${name}`, { recursive: true });
    for (const name of initFiles)
      if (!existsSync(`${root}/init/${name}`)) writeFileSync(`${root}/init/${name}`, "");
  }

  protected layer(chainId: string): string {
    return `${this.root}/layers/${hexOf(chainId)}`;
  }

  protected container(id: string): string {
    return `${this.root}/containers/${id}`;
  }

  protected scratch(): string {
    return `${this.root}/new/${process.pid}-${++this.counter}`;
  }

  /** Makes the directory that the archive is unpacked on. */
  protected abstract begin(path: string, parent: string | undefined): void;

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
      this.begin(scratch, parent);
      const reader = new TarReader(hashed(tar, hash));
      const root = openRoot(scratch);
      const whiteouts = this.name === "vfs" ? "apply" : "overlay";
      const size = await extractLayer(reader, root, this.kernel, whiteouts).finally(() =>
        closeSync(root),
      );
      await reader.drain();
      const diffId = `sha256:${hash.digest("hex")}`;
      const target = this.layer(chainOf(diffId));
      // Data first, the name after: a layer that is there is whole, even after a power failure.
      Bun.spawnSync(["sync", "-f", scratch]);
      if (existsSync(target)) this.discard(scratch);
      else renameSync(scratch, target);
      return { diffId, size };
    } catch (error) {
      this.discard(scratch);
      throw error;
    }
  }

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

  async *changes(container: ContainerLayer): AsyncGenerator<Change> {
    const { upper, lowers, whole } = this.comparison(container);
    const open: number[] = [];
    try {
      for (const path of [upper, ...lowers]) if (existsSync(path)) open.push(openRoot(path));
      const [first, ...rest] = open;
      if (first === undefined) return;
      yield* changesOf(this.kernel, { upper: first, lowers: rest, path: "", whole });
    } finally {
      closeAll(open);
    }
  }

  packChanges(container: ContainerLayer): ByteStream {
    return packChanges(this.kernel, this.changes(container));
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

  /** What tells a container's changes: `whole` when `upper` is everything, not only the difference. */
  protected abstract comparison(container: ContainerLayer): {
    readonly upper: string;
    readonly lowers: readonly string[];
    readonly whole: boolean;
  };
  abstract prepare(container: ContainerLayer): RootMount;
  abstract mountOf(container: ContainerLayer): RootMount;
  abstract usage(id: string): Usage;
  abstract directories(container: ContainerLayer): string[];
  abstract layerDirectories(chain: readonly string[]): string[];

  readFile(container: ContainerLayer, path: string, max: number): Uint8Array | undefined {
    return readMerged(this.directories(container), path, max);
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

/** Bytes and entries of a tree on the host, each file once however many names it has. */
export function usageOf(path: string): Usage {
  let [bytes, inodes] = [0, 0];
  const seen = new Set<number>();
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const full = `${directory}/${entry.name}`;
      const info = lstatSync(full, { throwIfNoEntry: false });
      if (info === undefined) continue;
      inodes++;
      if (info.isFile() && !seen.has(info.ino)) bytes += info.size;
      if (info.nlink > 1) seen.add(info.ino);
      if (info.isDirectory()) walk(full);
    }
  };
  if (existsSync(path)) walk(path);
  return { bytes, inodes };
}

/** Layers as differences, merged by the kernel's overlay file system. */
export class OverlayDriver extends Store {
  readonly name = "overlay2";

  protected begin(path: string): void {
    mkdirSync(path, 0o755);
  }

  prepare(container: ContainerLayer): RootMount {
    const directory = this.container(container.id);
    mkdirSync(directory, 0o700);
    mkdirSync(`${directory}/upper`, 0o755);
    mkdirSync(`${directory}/work`, 0o700);
    return this.mountOf(container);
  }

  mountOf(container: ContainerLayer): RootMount {
    const directory = this.container(container.id);
    // The kernel refuses a volatile upper a second time unless told that its loss is accepted.
    if (container.volatile)
      rmSync(`${directory}/work/work/incompat`, { recursive: true, force: true });
    return {
      kind: "overlay",
      lowerdirs: this.lowers(container),
      upperdir: `${directory}/upper`,
      workdir: `${directory}/work`,
      volatile: container.volatile,
    };
  }

  usage(id: string): Usage {
    return usageOf(`${this.container(id)}/upper`);
  }

  directories(container: ContainerLayer): string[] {
    return [`${this.container(container.id)}/upper`, ...this.lowers(container)].filter((path) =>
      existsSync(path),
    );
  }

  protected comparison(container: ContainerLayer) {
    const upper = `${this.container(container.id)}/upper`;
    return { upper, lowers: this.lowers(container), whole: false };
  }

  layerDirectories(chain: readonly string[]): string[] {
    return chain.map((chainId) => this.layer(chainId)).reverse();
  }

  private lowers(container: ContainerLayer): string[] {
    return [...this.layerDirectories(container.chain), `${this.root}/init`];
  }
}

/** Whole trees, copied: slow and large, but right on every file system. */
export class VfsDriver extends Store {
  readonly name = "vfs";

  protected begin(path: string, parent: string | undefined): void {
    this.copy(parent === undefined ? `${this.root}/init` : this.layer(parent), path);
  }

  prepare(container: ContainerLayer): RootMount {
    const directory = this.container(container.id);
    const scratch = this.scratch();
    mkdirSync(scratch, 0o700);
    try {
      const top = container.chain.at(-1);
      this.copy(top === undefined ? `${this.root}/init` : this.layer(top), `${scratch}/root`);
      renameSync(scratch, directory);
    } catch (error) {
      this.discard(scratch);
      throw error;
    }
    return this.mountOf(container);
  }

  mountOf(container: ContainerLayer): RootMount {
    return { kind: "bind", path: `${this.container(container.id)}/root` };
  }

  usage(id: string): Usage {
    return usageOf(`${this.container(id)}/root`);
  }

  directories(container: ContainerLayer): string[] {
    return [`${this.container(container.id)}/root`];
  }

  layerDirectories(chain: readonly string[]): string[] {
    return chain.slice(-1).map((chainId) => this.layer(chainId));
  }

  protected comparison(container: ContainerLayer) {
    const top = container.chain.at(-1);
    const lower = top === undefined ? `${this.root}/init` : this.layer(top);
    return { upper: `${this.container(container.id)}/root`, lowers: [lower], whole: true };
  }

  private copy(from: string, to: string): void {
    const done = Bun.spawnSync(["cp", "-a", "--reflink=auto", from, to]);
    if (done.exitCode !== 0) {
      rmSync(to, { recursive: true, force: true });
      throw fault("failed", "layer-copy", `cannot copy ${from}: ${done.stderr.toString().trim()}`);
    }
  }
}

/** Makes the driver's directories and gives the driver. `root` is the data root's folder for it. */
export function createDriver(
  name: "overlay2" | "vfs",
  root: string,
  kernel: Privileged,
): SnapshotDriver {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  return name === "vfs" ? new VfsDriver(root, kernel) : new OverlayDriver(root, kernel);
}
