/**
 * Compressing a file that rotation has left: beside the event loop, since files are large and disks may stand still.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { crc32, createDeflateRaw } from "node:zlib";
import { gzipHead } from "./gzip-note.ts";

const CHUNK = 256 * 1024;

/** The time of the last whole record in this text. */
function lastTimeIn(text: string): string | undefined {
  return /.*"time":"([^"\\]+)"\}\n/s.exec(text)?.[1];
}

async function lastTimeOf(source: FileHandle, size: number): Promise<string | undefined> {
  const length = Math.min(size, 4096);
  const { buffer, bytesRead } = await source.read(new Uint8Array(length), 0, length, size - length);
  return lastTimeIn(Buffer.from(buffer.subarray(0, bytesRead)).toString("latin1"));
}

async function writeWhole(target: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await target.write(bytes, at, bytes.length - at)).bytesWritten;
}

async function compressInto(target: FileHandle, source: FileHandle): Promise<void> {
  const { ino, size } = await source.stat();
  const lastTime = await lastTimeOf(source, size);
  await writeWhole(
    target,
    gzipHead({ ...(lastTime === undefined ? {} : { lastTime }), inode: ino }),
  );
  let sum = 0;
  let length = 0;
  const engine = createDeflateRaw({ chunkSize: CHUNK });
  const feed = (async () => {
    for (;;) {
      const { buffer, bytesRead } = await source.read(new Uint8Array(CHUNK), 0, CHUNK, length);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      sum = crc32(bytes, sum);
      length += bytesRead;
      if (!engine.write(bytes)) await new Promise((resolve) => engine.once("drain", resolve));
    }
    engine.end();
  })();
  feed.catch((error) => engine.destroy(error));
  for await (const bytes of engine) await writeWhole(target, bytes);
  await feed;
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setUint32(0, sum, true);
  trailer.setUint32(4, length % 2 ** 32, true);
  await writeWhole(target, new Uint8Array(trailer.buffer));
  // The plain file goes once this has its place.
  await target.sync();
}

/** Writes a compressed copy of `source`, which has reached the disk when this resolves. Leaves nothing when it rejects. */
export async function compressFile(source: FileHandle, path: string): Promise<void> {
  const target = await open(path, "wx", 0o640);
  try {
    await compressInto(target, source);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await target.close();
  }
}
