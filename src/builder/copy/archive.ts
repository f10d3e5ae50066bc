/**
 * Whether a file is an archive that ADD unpacks: a tar, plain or compressed, whatever it is called.
 */
import { closeSync, createReadStream, readSync } from "node:fs";
import { type ByteStream, compressionOf, decompress } from "../../base/compression.ts";
import { Fault } from "../../base/errors.ts";
import type { Place } from "../../tree/index.ts";

const BLOCK = 512;
const CHUNK = 256 * 1024;
/** Whether a block is a header: the sum that it carries is that of its bytes. */
function isHeader(block: Uint8Array): boolean {
  if (block.length < BLOCK) return false;
  const said = Number.parseInt(Buffer.from(block.subarray(148, 156)).toString("latin1").trim(), 8);
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum === said;
}

/** The plain bytes of an archive; undefined for every other file. */
export async function archiveIn(place: Place): Promise<ByteStream | undefined> {
  const fd = place.open();
  const head = new Uint8Array(BLOCK);
  const length = readSync(fd, head, 0, BLOCK, 0);
  const compressed = compressionOf(head.subarray(0, length));
  if (compressed === undefined && !isHeader(head.subarray(0, length))) {
    closeSync(fd);
    return undefined;
  }
  const stream = createReadStream("", { fd, start: 0, highWaterMark: CHUNK });
  const plain = await decompress(stream as unknown as ByteStream);
  const pieces = plain[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  try {
    for (let have = 0; have < BLOCK; ) {
      const next = await pieces.next();
      if (next.done) break;
      first.push(next.value);
      have += next.value.length;
    }
  } catch (error) {
    // It only looked compressed: then it is a file like others.
    stream.destroy();
    if (error instanceof Fault) return undefined;
    throw error;
  }
  if (!isHeader(Buffer.concat(first))) {
    stream.destroy();
    return undefined;
  }
  return (async function* () {
    yield* first;
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
  })();
}
