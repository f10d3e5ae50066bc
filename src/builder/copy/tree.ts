/**
 * A tree to copy from, opened.
 */
import { IgnoreRules } from "../../base/dockerignore.ts";
import { ContainerView } from "../../storage/index.ts";
import type { Privileged } from "../../tree/index.ts";
import { readDigests } from "./digests.ts";
import type { SourceTree } from "./source.ts";
import type { TreeSpec } from "./spec.ts";

/** For files from outside, which have no attributes that count. */
function withoutAttributes(kernel: Privileged): Privileged {
  return {
    mknod: (...node) => kernel.mknod(...node),
    setXattr: (...attribute) => kernel.setXattr(...attribute),
    xattrs: async () => new Map(),
  };
}

/** Opens a tree; digests that are found out are added to `learned`, if the tree knows any. */
export function openTree(
  { directories, ignore = [], attributes, digests }: TreeSpec,
  kernel: Privileged,
  learned: Map<string, string>,
): SourceTree {
  const own = attributes ? kernel : withoutAttributes(kernel);
  return {
    view: new ContainerView(own, directories, []),
    kernel: own,
    ignore: ignore.length === 0 ? undefined : new IgnoreRules(ignore),
    digests: digests === undefined ? undefined : { known: readDigests(digests), learned },
  };
}
