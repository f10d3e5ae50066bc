/**
 * A layer's archive on its way into a driver: unpacked into a directory by a thread, or read here, and its diff id in the
 * end.
 */
import { closeSync, readSync } from "node:fs";
import { ArrivingFile, ArrivingReader } from "../base/arriving-file.ts";
import { type ByteStream, decompress } from "../base/compression.ts";
import { TarReader } from "../base/tar.ts";
import { extractLayer, openRoot, type Privileged } from "../tree/index.ts";
import type { Whiteouts } from "./unpack-job.ts";
import type { Unpacker } from "./unpacker.ts";

const CHUNK = 256 << 10;

/** Feeds a stream through a digest on its way. */
async function* hashed(source: ByteStream, hash: Bun.CryptoHasher): ByteStream {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

async function* plain(file: ArrivingFile): ByteStream {
  const fd = file.open();
  const reader = new ArrivingReader((into, at) => readSync(fd, into, 0, into.length, at), CHUNK);
  const leave = file.follow((state) => reader.arrived(state));
  try {
    yield* await decompress(reader.pieces());
  } finally {
    leave();
    closeSync(fd);
  }
}

/** One archive, read once. */
export class LayerArchive {
  private diffId: string | undefined;
  private readonly hash = new Bun.CryptoHasher("sha256");
  private tar: TarReader | undefined;

  /** `written` hears now and then that much has been unpacked. */
  constructor(
    private readonly source: ArrivingFile | ByteStream,
    private readonly kernel: Privileged,
    private readonly unpacker: Unpacker,
    private readonly written: () => void,
  ) {}

  /** Its entries, for a driver that keeps no directories. */
  reader(): TarReader {
    const bytes = this.source instanceof ArrivingFile ? plain(this.source) : this.source;
    this.tar = new TarReader(hashed(bytes, this.hash));
    return this.tar;
  }

  /** Unpacks it into a directory that is there. Gives the bytes of its files' contents. */
  async extractTo(directory: string, whiteouts: Whiteouts): Promise<number> {
    const { source: archive, written } = this;
    if (archive instanceof ArrivingFile) {
      const unpacked = await this.unpacker.unpack({ archive, directory, whiteouts, written });
      this.diffId = unpacked.diffId;
      return unpacked.size;
    }
    const root = openRoot(directory);
    try {
      return await extractLayer(this.reader(), root, this.kernel, whiteouts);
    } finally {
      closeSync(root);
    }
  }

  /** What the whole archive is, once the driver has what it needs of it. */
  async finish(): Promise<string> {
    await this.tar?.drain();
    return this.diffId ?? `sha256:${this.hash.digest("hex")}`;
  }
}
