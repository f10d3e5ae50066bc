/**
 * What stands in the head of a compressed log file, as its gzip header's extra field: JSON, in which Docker keeps the time of
 * the last record. The inode of the plain file tells a reader who has that one open what it has become.
 */
import { readSync } from "node:fs";

/** The note. */
export interface GzipNote {
  /** RFC 3339. */
  readonly lastTime?: string;
  readonly inode?: number;
}

const HEAD = 12;
const HAS_EXTRA = 4;

/** A gzip header with a note (RFC 1952); the compressed data and the trailer follow. */
export function gzipHead(note: GzipNote): Uint8Array {
  const extra = new TextEncoder().encode(JSON.stringify(note));
  const head = new Uint8Array(HEAD + extra.length);
  head.set([0x1f, 0x8b, 8, HAS_EXTRA, 0, 0, 0, 0, 0, 0xff]);
  new DataView(head.buffer).setUint16(10, extra.length, true);
  head.set(extra, HEAD);
  return head;
}

/** The note of a compressed file, empty when it has none; undefined for what is not compressed. */
export function readGzipNote(fd: number): GzipNote | undefined {
  const head = new Uint8Array(1024);
  const length = readSync(fd, head, 0, head.length, 0);
  if (length < HEAD || head[0] !== 0x1f || head[1] !== 0x8b) return undefined;
  if (((head[3] ?? 0) & HAS_EXTRA) === 0) return {};
  const size = new DataView(head.buffer).getUint16(10, true);
  try {
    const { lastTime, inode } = JSON.parse(
      new TextDecoder().decode(head.subarray(HEAD, HEAD + size)),
    );
    return {
      ...(typeof lastTime === "string" ? { lastTime } : {}),
      ...(Number.isInteger(inode) ? { inode } : {}),
    };
  } catch {
    return {};
  }
}
