/**
 * vfs: whole trees, copied. Slow and large, but right on every file system.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { fault } from "../base/errors.ts";
import type { TarReader } from "../base/tar.ts";
import type { ContainerLayer, RootMount, Usage } from "./driver.ts";
import { Store } from "./store.ts";
import { usageOf } from "./usage.ts";

/** Whole trees, copied: slow and large, but right on every file system. */
export class VfsDriver extends Store {
  readonly name = "vfs";

  protected fill(path: string, parent: string | undefined, reader: TarReader): Promise<number> {
    this.copy(parent === undefined ? `${this.root}/init` : this.layer(parent), path);
    return this.extract(path, reader, "apply");
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
