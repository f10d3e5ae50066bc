/**
 * What the drivers do alike that keep each layer, and each container, as a whole tree: a layer is a copy of the one below
 * with its own changes applied. They differ in how a tree is copied.
 */
import { mkdirSync, renameSync } from "node:fs";
import type { Comparison, SamenessName } from "./changes.ts";
import type { ContainerLayer, RootMount, Usage } from "./driver.ts";
import type { LayerArchive } from "./layer-archive.ts";
import { Store } from "./store.ts";
import { differenceOf } from "./usage.ts";

/** Trees that are copied. */
export abstract class WholeTreeDriver extends Store {
  readonly independent = false;

  /** Copies a tree; `to` is not there yet, and what of it is there after a failure is thrown away by the caller. */
  protected abstract copy(from: string, to: string): Promise<void>;

  /** Holds a copy to a size; bytes beyond what it was copied from. */
  protected async limit(_path: string, _bytes: number): Promise<void> {}

  /** What tells that a copy has not changed. */
  protected abstract readonly same: SamenessName;

  protected override async fill(
    path: string,
    parent: string | undefined,
    archive: LayerArchive,
  ): Promise<number> {
    await this.copy(this.base(parent), path);
    return archive.extractTo(path, "apply");
  }

  async prepare(container: ContainerLayer): Promise<RootMount> {
    const scratch = this.scratch();
    mkdirSync(scratch, { mode: 0o700 });
    try {
      await this.copy(this.base(container.chain.at(-1)), `${scratch}/root`);
      if (container.size !== undefined) await this.limit(`${scratch}/root`, container.size);
      renameSync(scratch, this.container(container.id));
    } catch (error) {
      this.discard(scratch);
      throw error;
    }
    return this.mountOf(container);
  }

  mountOf(container: ContainerLayer): RootMount {
    return { kind: "bind", path: this.tree(container) };
  }

  usage(container: ContainerLayer): Usage {
    return differenceOf(this.tree(container), this.base(container.chain.at(-1)));
  }

  directories(container: ContainerLayer): string[] {
    return [this.tree(container)];
  }

  layerDirectories(chain: readonly string[]): string[] {
    return chain.slice(-1).map((chainId) => this.layer(chainId));
  }

  protected override treeBelow(chain: readonly string[]): string[] {
    return [this.base(chain.at(-1))];
  }

  comparison(container: ContainerLayer): Comparison {
    const lower = this.base(container.chain.at(-1));
    return { upper: this.tree(container), lowers: [lower], whole: true, same: this.same };
  }

  protected layerComparison(chain: readonly string[]): Comparison {
    const [upper = ""] = this.layerDirectories(chain);
    return { upper, lowers: [this.base(chain.at(-2))], whole: true, same: this.same };
  }

  private tree({ id }: ContainerLayer): string {
    return `${this.container(id)}/root`;
  }

  /** What a tree is a copy of, at first. */
  private base(parent: string | undefined): string {
    return parent === undefined ? `${this.root}/init` : this.layer(parent);
  }
}
