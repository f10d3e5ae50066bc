/**
 * vfs: trees are copied file by file. Slow and large, but right on every file system.
 */
import { fault } from "../base/errors.ts";
import { WholeTreeDriver } from "./whole-tree.ts";

/**
 * Copies a directory with all that belongs to it; contents are shared where the file system can. Throws a Fault "failed", and
 * the signal's reason.
 */
export async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  const child = Bun.spawn(["cp", "-a", "--reflink=auto", "-T", "--", from, to], {
    ...(signal === undefined ? {} : { signal }),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  signal?.throwIfAborted();
  if (status !== 0)
    throw fault("failed", "layer-copy", `cannot copy ${from}: ${said.trim().slice(0, 500)}`);
}

/** Whole trees, copied. */
export class VfsDriver extends WholeTreeDriver {
  readonly name = "vfs";
  protected readonly same = "attributes";

  protected copy(from: string, to: string): Promise<void> {
    return copyTree(from, to);
  }
}
