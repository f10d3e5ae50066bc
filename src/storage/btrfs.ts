/**
 * btrfs: trees are subvolumes, and a copy is a snapshot, which costs the same whatever is in it.
 */
import { lstatSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { copyTree } from "./vfs.ts";
import { WholeTreeDriver } from "./whole-tree.ts";

/** The inode of every subvolume's root. */
const SUBVOLUME_INODE = 256;

/** Whole trees, by snapshots. */
export class BtrfsDriver extends WholeTreeDriver {
  readonly name = "btrfs";
  protected readonly same = "snapshots";
  override readonly limitsSize = true;

  protected async copy(from: string, to: string): Promise<void> {
    if (from !== `${this.root}/init`) return this.kernel.makeSubvolume(to, from);
    await this.kernel.makeSubvolume(to);
    await copyTree(`${from}/.`, to);
  }

  protected override limit(path: string, bytes: number): Promise<void> {
    return this.kernel.limitSubvolume(path, bytes);
  }

  /** A subvolume goes at once. One with others in it, which a container may have made, is deleted file by file. */
  protected override async deleteFast(path: string): Promise<void> {
    for (const tree of [path, `${path}/root`]) {
      const info = lstatSync(tree, { throwIfNoEntry: false });
      if (!info?.isDirectory() || info.ino !== SUBVOLUME_INODE) continue;
      await this.kernel
        .deleteSubvolume(tree)
        .catch((error) => log.debug("delete a subvolume", { tree, error: messageOf(error) }));
    }
  }
}
