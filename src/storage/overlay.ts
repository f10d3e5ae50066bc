/**
 * overlay2: each layer is kept as its difference, and the kernel merges.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import type { Comparison } from "./changes.ts";
import type { ContainerLayer, DriverName, RootMount, Usage } from "./driver.ts";
import type { LayerArchive } from "./layer-archive.ts";
import { Store } from "./store.ts";
import { usageOf } from "./usage.ts";

/** Layers as differences, merged by the kernel's overlay file system. */
export class OverlayDriver extends Store {
  readonly name: DriverName = "overlay2";
  readonly independent = true;

  protected fill(
    path: string,
    _parent: string | undefined,
    archive: LayerArchive,
  ): Promise<number> {
    mkdirSync(path, 0o755);
    return archive.extractTo(path, "overlay");
  }

  async prepare(container: ContainerLayer): Promise<RootMount> {
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
    return { kind: "overlay", ...this.parts(container), volatile: container.volatile };
  }

  /** The directories that are merged. */
  protected parts(container: ContainerLayer) {
    const directory = this.container(container.id);
    return {
      lowerdirs: this.lowers(container),
      upperdir: `${directory}/upper`,
      workdir: `${directory}/work`,
    };
  }

  override places(container: ContainerLayer): Readonly<Record<string, string>> {
    if (this.name !== "overlay2") return {};
    const { lowerdirs, upperdir, workdir } = this.parts(container);
    return { LowerDir: lowerdirs.join(":"), UpperDir: upperdir, WorkDir: workdir };
  }

  override imagePlaces(chain: readonly string[]): Readonly<Record<string, string>> {
    const [upper, ...lowers] = this.name === "overlay2" ? this.layerDirectories(chain) : [];
    if (upper === undefined) return {};
    return { UpperDir: upper, ...(lowers.length > 0 && { LowerDir: lowers.join(":") }) };
  }

  usage(container: ContainerLayer): Usage {
    return usageOf(`${this.container(container.id)}/upper`);
  }

  directories(container: ContainerLayer): string[] {
    return [`${this.container(container.id)}/upper`, ...this.lowers(container)].filter((path) =>
      existsSync(path),
    );
  }

  comparison(container: ContainerLayer): Comparison {
    const upper = `${this.container(container.id)}/upper`;
    return { upper, lowers: this.lowers(container), whole: false, same: "attributes" };
  }

  protected layerComparison(chain: readonly string[]): Comparison {
    const [upper = "", ...lowers] = this.layerDirectories(chain);
    return { upper, lowers, whole: false, same: "attributes" };
  }

  layerDirectories(chain: readonly string[]): string[] {
    return chain.map((chainId) => this.layer(chainId)).reverse();
  }

  private lowers(container: ContainerLayer): string[] {
    return [...this.layerDirectories(container.chain), `${this.root}/init`];
  }
}
