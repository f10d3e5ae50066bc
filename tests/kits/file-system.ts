/**
 * File systems of a test's own: an image file, mounted, and taken away again.
 */
import {
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";

/** What can be made. */
export type FileSystemKind = "btrfs" | "ext4" | "xfs";

const makers: Readonly<Record<FileSystemKind, readonly string[]>> = {
  btrfs: ["mkfs.btrfs", "-q"],
  ext4: ["mkfs.ext4", "-q", "-F"],
  xfs: ["mkfs.xfs", "-q"],
};
/** The least that mkfs.xfs accepts; nothing is taken until it is written. */
const SIZE = 512 << 20;

function call(...argv: string[]): void {
  const done = Bun.spawnSync(argv);
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${done.stderr.toString()}`);
}

/** Takes a mount away, on which a daemon has had its data. Its guard ends, and lets its log go, a moment after the daemon. */
export async function unmountSettled(path: string): Promise<void> {
  for (const end = Date.now() + 20_000; ; await Bun.sleep(20)) {
    const { exitCode, stderr } = Bun.spawnSync(["umount", path]);
    if (exitCode === 0) return;
    if (Date.now() > end) throw new Error(`umount ${path}: ${stderr}`);
  }
}

/** Why a kind cannot be made on this machine; undefined when it can. */
export function fileSystemMissing(kind: FileSystemKind): string | undefined {
  const [program = ""] = makers[kind];
  if (Bun.which(program) === null) return `there is no ${program}`;
  if (!new RegExp(`\\t${kind}$`, "m").test(readFileSync("/proc/filesystems", "utf8")))
    return `the kernel has no ${kind}`;
  return undefined;
}

/** A mounted file system. */
export class TestFileSystem {
  readonly path = mkdtempSync("/tmp/fs-");
  private readonly image = `${this.path}.img`;

  constructor(kind: FileSystemKind) {
    writeFileSync(this.image, "");
    truncateSync(this.image, SIZE);
    call(...makers[kind], this.image);
    call("mount", "-o", "loop", this.image, this.path);
  }

  /** Leaves only so many bytes free; gives what makes room again. */
  fill(leave: number): () => void {
    const { bavail, bsize } = statfsSync(this.path);
    call("fallocate", "-l", String(bavail * bsize - leave), `${this.path}/filler`);
    return () => rmSync(`${this.path}/filler`);
  }

  /** Takes it away; throws when somebody still uses it. */
  remove(): void {
    call("umount", this.path);
    rmdirSync(this.path);
    rmSync(this.image);
  }
}
