/**
 * mount(8)'s option words as the mount API's attributes and propagation flags (mount_setattr(2), mount(2)).
 */
import { own } from "../base/own.ts";

const attributes: Readonly<Record<string, { set?: bigint; clear?: bigint }>> = {
  ro: { set: 0x1n },
  rw: { clear: 0x1n },
  nosuid: { set: 0x2n },
  suid: { clear: 0x2n },
  nodev: { set: 0x4n },
  dev: { clear: 0x4n },
  noexec: { set: 0x8n },
  exec: { clear: 0x8n },
  relatime: { clear: 0x70n },
  noatime: { set: 0x10n, clear: 0x70n },
  strictatime: { set: 0x20n, clear: 0x70n },
  nodiratime: { set: 0x80n },
  diratime: { clear: 0x80n },
  nosymfollow: { set: 0x200000n },
};

const MS_REC = 0x4000n;
const propagations: Readonly<Record<string, bigint>> = {
  private: 0x40000n,
  slave: 0x80000n,
  shared: 0x100000n,
  unbindable: 0x20000n,
  rprivate: 0x40000n | MS_REC,
  rslave: 0x80000n | MS_REC,
  rshared: 0x100000n | MS_REC,
  runbindable: 0x20000n | MS_REC,
};

/** Options, taken apart. */
export interface MountOptions {
  /** MOUNT_ATTR_* to set. */
  readonly set: bigint;
  /** MOUNT_ATTR_* to clear. */
  readonly clear: bigint;
  /** MS_* propagation with MS_REC, or 0. */
  readonly propagation: bigint;
  /** rbind: the whole tree. */
  readonly recursive: boolean;
  /** rro: attributes apply to the whole tree. */
  readonly recursiveAttributes: boolean;
  /** What the file system itself understands. */
  readonly params: readonly string[];
}

/** Takes option words apart. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let [set, clear, propagation] = [0n, 0n, 0n];
  let [recursive, recursiveAttributes] = [false, false];
  const params: string[] = [];
  for (const option of options) {
    const attribute = own(attributes, option);
    if (attribute !== undefined) {
      clear |= attribute.clear ?? 0n;
      set = (set & ~(attribute.clear ?? 0n)) | (attribute.set ?? 0n);
    } else if (Object.hasOwn(propagations, option)) propagation = propagations[option] ?? 0n;
    else if (option === "rbind") recursive = true;
    else if (option === "rro") {
      set |= 1n;
      recursiveAttributes = true;
    } else if (option !== "bind" && option !== "defaults" && option !== "") params.push(option);
  }
  return { set, clear: clear & ~set, propagation, recursive, recursiveAttributes, params };
}
