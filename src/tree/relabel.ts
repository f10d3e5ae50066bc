/**
 * SELinux' labels of a tree of files, from descriptor to descriptor: whoever swaps directories for links meanwhile leads no label out.
 */
import { closeSync, lstatSync, realpathSync } from "node:fs";
import { basename, dirname } from "node:path/posix";
import { errnoOf } from "../base/errors.ts";
import { systemPath } from "../base/names.ts";
import {
  openDirectoryIn,
  openRoot,
  type Privileged,
  pathForOthers,
  pathIn,
  readNames,
} from "./walk.ts";

const ATTRIBUTE = "security.selinux";
/** As many files as are labelled at once. */
const TOGETHER = 32;
const NOT_SUPPORTED = new Set(["ENOTSUP", "EOPNOTSUPP"]);
const GONE = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

type Labelling = Pick<Privileged, "setXattr">;

/** Labels a file, or a directory with everything below it, links too. A file system that keeps no labels is left as it is. */
export async function relabel(kernel: Labelling, path: string, label: string): Promise<void> {
  const value = new TextEncoder().encode(`${label}\0`);
  const real = realpathSync(path);
  try {
    const parent = openRoot(dirname(real));
    try {
      const name = basename(real);
      if (await labelName(kernel, parent, name, value))
        await relabelInto(kernel, parent, name, value);
    } finally {
      closeSync(parent);
    }
  } catch (error) {
    if (!NOT_SUPPORTED.has(errnoOf(error) ?? "")) throw error;
  }
}

/** Labels a name; true when a directory is there, whose own names are still to be labelled. */
async function labelName(
  kernel: Labelling,
  directory: number,
  name: string,
  value: Uint8Array,
): Promise<boolean> {
  try {
    await kernel.setXattr(pathForOthers(directory, name), ATTRIBUTE, value);
    return lstatSync(systemPath(pathIn(directory, name))).isDirectory();
  } catch (error) {
    // Somebody has removed it meanwhile.
    if (GONE.has(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

/** Labels what is in a directory; one directory is open for each level. Closes the descriptor. */
async function relabelBelow(kernel: Labelling, open: number, value: Uint8Array): Promise<void> {
  try {
    const names = readNames(open);
    for (let at = 0; at < names.length; at += TOGETHER) {
      const some = names.slice(at, at + TOGETHER);
      const found = await Promise.all(some.map((name) => labelName(kernel, open, name, value)));
      for (const [index, name] of some.entries())
        if (found[index]) await relabelInto(kernel, open, name, value);
    }
  } finally {
    closeSync(open);
  }
}

async function relabelInto(
  kernel: Labelling,
  parent: number,
  name: string,
  value: Uint8Array,
): Promise<void> {
  let below: number;
  try {
    below = openDirectoryIn(parent, name);
  } catch (error) {
    // Removed, or replaced by a link, which is not followed.
    if (GONE.has(errnoOf(error) ?? "")) return;
    throw error;
  }
  await relabelBelow(kernel, below, value);
}
