/**
 * Reading the files of an unpacked archive again, by the paths that the archive gave them.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { systemPath } from "../base/names.ts";
import { components, TargetTree } from "./target.ts";
import { openRoot, pathIn } from "./walk.ts";

/** O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC */
const READ_FILE = 0o400000 | 0o4000 | 0o2000000;

/** The regular files below a directory. Whoever makes one closes it. */
export class ArchiveFiles {
  private readonly root: number;
  private readonly tree: TargetTree;

  constructor(readonly path: string) {
    this.root = openRoot(path);
    this.tree = new TargetTree(this.root);
  }

  /** Opens what an archive's entry has become, found as it was when it was unpacked. Throws the system's errors. The caller closes it. */
  open(path: string): { readonly fd: number; readonly size: number } {
    const names = components(path);
    const name = names.pop() ?? ".";
    const parent = this.tree.resolve([], names, false);
    const fd = openSync(systemPath(pathIn(this.tree.directory(parent), name)), READ_FILE);
    const info = fstatSync(fd);
    if (info.isFile()) return { fd, size: info.size };
    closeSync(fd);
    throw Object.assign(new Error(`${JSON.stringify(path)} is no regular file`), {
      code: "EISDIR",
    });
  }

  /**
   * Where an archive's path leads: the directory, with a slash behind it unless it is the root, and the name in it ("" for
   * the root itself). Undefined when the directory is not there.
   */
  placeOf(path: string): { readonly parent: string; readonly name: string } | undefined {
    const names = components(path);
    const name = names.pop() ?? "";
    try {
      const parent = this.tree.resolve([], names, false);
      return { parent: parent === "" ? "" : `${parent}/`, name };
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.tree.close();
    closeSync(this.root);
  }
}
