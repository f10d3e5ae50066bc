/**
 * Writing an EROFS image from the front to the back: what a file has is written when it comes, its inode right after, and
 * directories at the end, so that nothing but names is kept in memory. The format is the kernel's
 * (Documentation/filesystems/erofs.rst), without compression.
 */

import { ftruncateSync, writeSync } from "node:fs";
import { fault } from "../base/errors.ts";
import { bytesOfName } from "../base/names.ts";

const BLOCK = 4096;
/** Blocks have numbers of 32 bits. */
const BLOCKS_MAX = 0xffffffff;
const SLOT = 32;
const INODE = 64;
const SUPER_AT = 1024;
const SUPER_SIZE = 128;
const MAGIC = 0xe0f5e1e2;
const COMPAT_MTIME = 2;
const EXTENDED = 1;
const PLAIN = 0;
const INLINE = 2;
const DIRENT = 12;
/** Right behind the superblock, since its number must fit 16 bits. */
const ROOT_NID = (SUPER_AT + SUPER_SIZE) / SLOT;
/** Smaller contents stand beside their inode instead of in blocks of their own. */
const INLINE_MAX = 2048;
const LINKS_AT = 44;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** What a directory says of an entry's kind. */
const kinds = new Map([
  [0o100000, 1],
  [0o040000, 2],
  [0o020000, 3],
  [0o060000, 4],
  [0o010000, 5],
  [0o120000, 7],
]);

/** Prefixes of attributes' names, with their numbers. */
const prefixes: readonly (readonly [prefix: string, index: number])[] = [
  ["user.", 1],
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["trusted.", 4],
  ["security.", 6],
];

/** What an inode says. */
export interface Attributes {
  /** With the bits of its kind (S_IF*). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, with fractions. */
  readonly mtime: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly nid: number;
  /** Of what it names, for its kind. */
  readonly mode: number;
}

/** Where an inode's content is. */
interface Content {
  readonly size: number;
  readonly layout: number;
  /** The first block, or a device's number. */
  readonly place: number;
  /** What stands beside the inode. */
  readonly inline?: Uint8Array;
}

const encoder = new TextEncoder();

function aligned(size: number, to: number): number {
  return Math.ceil(size / to) * to;
}

/** Attributes as they stand behind an inode; those with a prefix that the format does not know are left out. */
function encodeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entries: Uint8Array[] = [];
  for (const [name, value] of xattrs) {
    const [prefix, index] = prefixes.find(([known]) => name.startsWith(known)) ?? [];
    if (prefix === undefined || index === undefined) continue;
    const rest = encoder.encode(name.slice(prefix.length));
    const entry = new Uint8Array(aligned(4 + rest.length + value.length, 4));
    entry.set([rest.length, index, value.length & 0xff, value.length >> 8]);
    entry.set(rest, 4);
    entry.set(value, 4 + rest.length);
    entries.push(entry);
  }
  return entries.length === 0 ? new Uint8Array(0) : Buffer.concat([new Uint8Array(12), ...entries]);
}

function inodeBytes(
  about: Attributes,
  content: Content,
  xattrs: Uint8Array,
  links = 1,
): Uint8Array {
  const bytes = new Uint8Array(INODE + xattrs.length + (content.inline?.length ?? 0));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, EXTENDED | (content.layout << 1), true);
  view.setUint16(2, xattrs.length === 0 ? 0 : (xattrs.length - 12) / 4 + 1, true);
  view.setUint16(4, about.mode, true);
  view.setBigUint64(8, BigInt(content.size), true);
  view.setUint32(16, content.place, true);
  view.setUint32(24, about.uid, true);
  view.setUint32(28, about.gid, true);
  const seconds = Math.floor(about.mtime);
  view.setBigInt64(32, BigInt(seconds), true);
  view.setUint32(40, Math.min(999_999_999, Math.round((about.mtime - seconds) * 1e9)), true);
  view.setUint32(LINKS_AT, links, true);
  bytes.set(xattrs, INODE);
  if (content.inline !== undefined) bytes.set(content.inline, INODE + xattrs.length);
  return bytes;
}

/** Entries in blocks: in each the fixed parts first, then the names. Sorted by bytes, since the kernel searches by halves. */
function directoryBytes(entries: readonly DirectoryEntry[]): Uint8Array {
  const sorted = entries
    .map((entry) => ({ ...entry, bytes: bytesOfName(entry.name) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  const blocks: Uint8Array[] = [];
  for (let from = 0; from < sorted.length; ) {
    let size = 0;
    let to = from;
    for (; to < sorted.length; to++) {
      const more = DIRENT + (sorted[to]?.bytes.length ?? 0);
      if (size + more > BLOCK) break;
      size += more;
    }
    const block = new Uint8Array(to < sorted.length ? BLOCK : size);
    const view = new DataView(block.buffer);
    let nameAt = (to - from) * DIRENT;
    for (const [index, { nid, mode, bytes }] of sorted.slice(from, to).entries()) {
      view.setBigUint64(index * DIRENT, BigInt(nid), true);
      view.setUint16(index * DIRENT + 8, nameAt, true);
      view.setUint8(index * DIRENT + 10, kinds.get(mode & S_IFMT) ?? 0);
      block.set(bytes, nameAt);
      nameAt += bytes.length;
    }
    blocks.push(block);
    from = to;
  }
  return Buffer.concat(blocks);
}

/** A file whose content comes in pieces. */
export interface FileSink {
  /** `offset`: where it belongs, after a hole; else behind the last. */
  write(piece: Uint8Array, offset?: number): void;
  /** Gives the inode's number, once everything has been written. */
  end(about: Attributes): number;
}

/** An image that is being written. Numbers of inodes are what directories name. */
export class ErofsWriter {
  /** The next block that nobody has. */
  private next = 1;
  /** The block that inodes are put into, and how much of it is taken. */
  private block = { at: -1, used: BLOCK, bytes: new Uint8Array(BLOCK) };
  private inodes = 0;
  private readonly links: [nid: number, count: number][] = [];

  /** `fd`: an empty file that is open for writing; it stays the caller's. */
  constructor(private readonly fd: number) {}

  /** Begins a file of exactly `size` bytes. */
  file(size: number): FileSink {
    if (size <= INLINE_MAX) return this.smallFile(size);
    const first = this.take(size);
    let at = 0;
    return {
      write: (piece, offset = at) => {
        this.put(piece, first * BLOCK + offset);
        at = offset + piece.length;
      },
      end: (about) => this.inode(about, { size, layout: PLAIN, place: first }),
    };
  }

  private smallFile(size: number): FileSink {
    const whole = new Uint8Array(size);
    let have = 0;
    return {
      write: (piece, offset = have) => {
        whole.set(piece, offset);
        have = offset + piece.length;
      },
      end: (about) => this.small(about, whole),
    };
  }

  /** A symbolic link. */
  link(about: Attributes, target: string): number {
    return this.small(about, bytesOfName(target));
  }

  /** A device or fifo. */
  node(about: Attributes, major: number, minor: number): number {
    const place = ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
    return this.inode(about, { size: 0, layout: PLAIN, place });
  }

  /** A directory below the root. `fill` is given its number and gives what is in it, but for "." and "..". */
  directory(about: Attributes, parent: number, fill: (nid: number) => DirectoryEntry[]): number {
    // The entries need the number, and the inode needs to know where they are: its place is taken first.
    const xattrs = encodeXattrs(about.xattrs);
    const nid = this.reserve(INODE + xattrs.length);
    this.fillDirectory(about, xattrs, nid, parent, fill(nid));
    return nid;
  }

  private fillDirectory(
    about: Attributes,
    xattrs: Uint8Array,
    nid: number,
    parent: number,
    entries: readonly DirectoryEntry[],
  ): void {
    const own = { mode: S_IFDIR };
    const bytes = directoryBytes([
      { ...own, name: ".", nid },
      { ...own, name: "..", nid: parent },
      ...entries,
    ]);
    const first = this.take(bytes.length);
    this.put(bytes, first * BLOCK);
    const content = { size: bytes.length, layout: PLAIN, place: first };
    const below = entries.filter(({ mode }) => (mode & S_IFMT) === S_IFDIR).length;
    this.store(inodeBytes(about, content, xattrs, 2 + below), nid * SLOT);
  }

  /** How many names an inode has; 1 unless it is told. */
  setLinks(nid: number, count: number): void {
    this.links.push([nid, count]);
  }

  /** Writes the root, and everything that is only known at the end. */
  finish(about: Attributes, fill: (nid: number) => DirectoryEntry[]): void {
    const xattrs = encodeXattrs(about.xattrs);
    if (ROOT_NID * SLOT + INODE + xattrs.length > BLOCK)
      throw fault("invalid", "archive-entry", "the attributes of the root directory are too large");
    this.inodes++;
    this.fillDirectory(about, xattrs, ROOT_NID, ROOT_NID, fill(ROOT_NID));
    this.flush();
    const count = new Uint8Array(4);
    for (const [nid, links] of this.links) {
      new DataView(count.buffer).setUint32(0, links, true);
      this.put(count, nid * SLOT + LINKS_AT);
    }
    this.put(this.superblock(), SUPER_AT);
    ftruncateSync(this.fd, this.next * BLOCK);
  }

  private superblock(): Uint8Array {
    const bytes = new Uint8Array(SUPER_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(8, COMPAT_MTIME, true);
    view.setUint8(12, Math.log2(BLOCK));
    view.setUint16(14, ROOT_NID, true);
    view.setBigUint64(16, BigInt(this.inodes), true);
    view.setUint32(36, this.next, true);
    return bytes;
  }

  private small(about: Attributes, content: Uint8Array): number {
    const { length: size } = content;
    const room = BLOCK - INODE - encodeXattrs(about.xattrs).length;
    if (size > 0 && size <= room)
      return this.inode(about, { size, layout: INLINE, place: 0xffffffff, inline: content });
    const first = this.take(size);
    this.put(content, first * BLOCK);
    return this.inode(about, { size, layout: PLAIN, place: first });
  }

  private inode(about: Attributes, content: Content): number {
    const bytes = inodeBytes(about, content, encodeXattrs(about.xattrs));
    const nid = this.reserve(bytes.length);
    this.store(bytes, nid * SLOT);
    return nid;
  }

  /** Takes the place of an inode: in one block if it fits one, else from the beginning of the first of several. */
  private reserve(size: number): number {
    this.inodes++;
    if (this.block.used + size > BLOCK) {
      this.flush();
      this.block = { at: this.take(size), used: 0, bytes: new Uint8Array(aligned(size, BLOCK)) };
    }
    const { at, used } = this.block;
    this.block.used = aligned(used + size, SLOT);
    return (at * BLOCK + used) / SLOT;
  }

  /** Puts bytes where they belong: into the block that is being filled, or, for what was taken earlier, into the file. */
  private store(bytes: Uint8Array, at: number): void {
    const inside = at - this.block.at * BLOCK;
    if (inside >= 0 && inside < this.block.bytes.length) this.block.bytes.set(bytes, inside);
    else this.put(bytes, at);
  }

  private flush(): void {
    if (this.block.at > 0) this.put(this.block.bytes, this.block.at * BLOCK);
  }

  /** Blocks for so many bytes; gives the first. */
  private take(size: number): number {
    const first = this.next;
    this.next += Math.ceil(size / BLOCK);
    if (this.next > BLOCKS_MAX)
      throw fault("invalid", "archive-entry", "the layer is larger than an image can be: 16 TiB");
    return first;
  }

  private put(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.fd, bytes, done, bytes.length - done, at + done);
  }
}
