/**
 * Cgroups that berth makes outside of its own group, where --cgroup-parent names an absolute path. Somebody else may have
 * made the parent (a scheduler: a pod's cgroup, with its limits) and keeps it; what berth itself makes is remembered in a
 * file before it is made, so that this daemon or the next can take it away again. It does so by rmdir alone, which the kernel
 * refuses while anything is in a cgroup.
 */
import { readFileSync, rmdirSync, statSync } from "node:fs";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { errnoOf } from "../base/errors.ts";

const content = z.object({
  /** Cgroups do not survive a boot, and inodes are given again. */
  boot: z.string(),
  leaves: z.array(z.string()),
  directories: z.record(z.string(), z.number()),
});

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function load(file: string): Pick<z.infer<typeof content>, "leaves" | "directories"> {
  try {
    const read = content.parse(JSON.parse(readFileSync(file, "utf8")));
    if (read.boot === bootId()) return read;
  } catch {
    // It is not there, or it is no list of ours.
  }
  return { leaves: [], directories: {} };
}

function inode(directory: string): number {
  return statSync(directory, { throwIfNoEntry: false })?.ino ?? 0;
}

/** What has been made. */
export class MadeCgroups {
  private readonly paths: Set<string>;
  /** Directories, each with its inode: another one of that name is not ours. 0 while it is being made. */
  private readonly directories: Map<string, number>;

  /** `own`: berth's own group. `file`: where it is remembered, beside other things that end with the host's run. */
  constructor(
    private readonly own: string,
    private readonly file: string,
  ) {
    const { leaves, directories } = load(file);
    this.paths = new Set(leaves);
    this.directories = new Map(Object.entries(directories));
  }

  /** True for a path that is not below berth's own group. */
  isOutside(path: string): boolean {
    return !path.startsWith(`${this.own}/`);
  }

  /** The containers' cgroups that have been made and not yet taken away. */
  get leaves(): string[] {
    return [...this.paths];
  }

  /** Remembers a container's cgroup and the directories above it that `make` then makes; gives back what that gives. */
  remember<T>(path: string, directories: readonly string[], make: () => T): T {
    this.paths.add(path);
    for (const directory of directories) this.directories.set(directory, 0);
    this.save();
    const made = make();
    if (directories.length === 0) return made;
    for (const directory of directories) this.directories.set(directory, inode(directory));
    this.save();
    return made;
  }

  /** Forgets a container's cgroup, which is gone, and removes every directory that is empty now. */
  forget(path: string): void {
    if (!this.paths.delete(path)) return;
    const deepestFirst = [...this.directories].sort(([a], [b]) => b.length - a.length);
    for (const [directory, known] of deepestFirst) {
      const now = inode(directory);
      if ((known === 0 || known === now) && !removed(directory)) continue;
      this.directories.delete(directory);
    }
    this.save();
  }

  private save(): void {
    const directories = Object.fromEntries(this.directories);
    const written = { boot: bootId(), leaves: this.leaves, directories };
    writeFileAtomic(this.file, JSON.stringify(written satisfies z.infer<typeof content>));
  }
}

/** False while the directory is in use. */
function removed(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return errnoOf(error) === "ENOENT";
  }
}
