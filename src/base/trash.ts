/**
 * Deleting trees without waiting: a rename takes a tree away at once, whatever its size, and its files go after.
 */
import { lstatSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { errnoOf, messageOf } from "./errors.ts";
import { log } from "./log.ts";

/** A directory for what is to be deleted, on the file system of what is thrown into it. Sub-directories of it are its own. */
export class Trash {
  private counter = 0;
  /** A later process may have the number of an earlier one, whose names may still be there. */
  private readonly prefix = crypto.randomUUID().slice(0, 8);
  private readonly deleting = new Set<Promise<void>>();

  /** `shortcut` may delete much of a tree at once; what it leaves is deleted file by file. */
  constructor(
    private readonly directory: string,
    private readonly shortcut?: (path: string) => Promise<void>,
  ) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Takes `path` away; nothing if it is not there. Its bytes are free soon, or after the next `empty`. */
  discard(path: string): void {
    const grave = `${this.directory}/${this.prefix}-${++this.counter}`;
    try {
      renameSync(path, grave);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    this.remove(grave);
  }

  /** Deletes what an earlier process left. Told to what is left by this one too. */
  empty(): void {
    for (const name of readdirSync(this.directory)) this.remove(`${this.directory}/${name}`);
  }

  /** Resolves when nothing is being deleted. */
  async settled(): Promise<void> {
    while (this.deleting.size > 0) await Promise.all(this.deleting);
  }

  private async deleteTree(path: string): Promise<void> {
    await this.shortcut?.(path).catch((error) =>
      log.debug("delete at once", { path, error: messageOf(error) }),
    );
    await rm(path, { recursive: true, force: true });
  }

  private remove(path: string): void {
    const work = this.deleteTree(path)
      .catch((error) => {
        if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
          log.warn("delete; the next start tries again", { path, error: messageOf(error) });
      })
      .finally(() => this.deleting.delete(work));
    this.deleting.add(work);
  }
}
