/**
 * Images to measure with: archives as `docker save` writes them, of files like those of a distribution with a language
 * and its modules: mostly small, half text, half of what no compressor makes smaller. The same at every run.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { TarEntry } from "../src/base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../src/base/tar-writer.ts";

/** What an image is like. */
export interface ImageShape {
  readonly name: string;
  readonly layers: number;
  /** In every layer. */
  readonly files: number;
  readonly bytes: number;
}

const POOL = 8 << 20;
const SLICE = 512;
const PER_DIRECTORY = 40;
const BUFFERED = 4 << 20;

/** Numbers between 0 and 1 that look like chance (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const entry: TarEntry = {
  path: "",
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 1_700_000_000,
  linkPath: "",
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

/** Text and noise to cut files from. */
function pools(next: () => number): readonly [Uint8Array, Uint8Array] {
  const words = Array.from({ length: 2000 }, () => Math.floor(next() * 1e9).toString(36));
  let text = "";
  while (text.length < POOL) text += `${words[Math.floor(next() * words.length)]} `;
  const noise = new Uint8Array(POOL);
  for (let at = 0; at < POOL; at++) noise[at] = next() * 256;
  return [new TextEncoder().encode(text).subarray(0, POOL), noise];
}

/** Pieces of a layer's archive. */
function* layerPieces(shape: ImageShape, layer: number): Generator<Uint8Array> {
  const next = chance(shape.layers * 1000 + layer);
  const cut = pools(next);
  const mean = shape.bytes / shape.files;
  let directory = "";
  for (let index = 0; index < shape.files; index++) {
    if (index % PER_DIRECTORY === 0) {
      directory = `usr/lib/part-${layer}/${Math.floor(index / 1600)}/${index}`;
      yield tarHeader({ ...entry, path: directory, type: "directory", mode: 0o755 });
    }
    // Few files hold most of the bytes: the cube of an even chance, of the same mean.
    const size = Math.floor(4 * mean * next() ** 3);
    yield tarHeader({ ...entry, path: `${directory}/module-${index}.js`, size });
    for (let left = size; left > 0; left -= SLICE) {
      const source = cut[next() < 0.2 ? 1 : 0] ?? cut[0];
      const from = Math.floor(next() * (POOL - SLICE));
      yield source.subarray(from, from + Math.min(left, SLICE));
    }
    yield tarPadding(size);
  }
  yield tarEnd();
}

/** Writes through a buffer: the pieces are small. */
class Writer {
  private readonly buffer = new Uint8Array(BUFFERED);
  private used = 0;
  size = 0;
  readonly hash = new Bun.CryptoHasher("sha256");
  private readonly fd: number;

  constructor(path: string) {
    this.fd = openSync(path, "w");
  }

  write(piece: Uint8Array): void {
    if (this.used + piece.length > BUFFERED) this.flush();
    this.buffer.set(piece, this.used);
    this.used += piece.length;
    this.size += piece.length;
  }

  flush(): void {
    const whole = this.buffer.subarray(0, this.used);
    this.hash.update(whole);
    for (let at = 0; at < whole.length; ) at += writeSync(this.fd, whole, at);
    this.used = 0;
  }

  close(): string {
    this.flush();
    closeSync(this.fd);
    return this.hash.digest("hex");
  }
}

async function append(out: Writer, path: string, name: string): Promise<void> {
  const file = Bun.file(path);
  out.write(tarHeader({ ...entry, path: name, size: file.size }));
  for await (const piece of file.stream()) out.write(piece);
  out.write(tarPadding(file.size));
}

function appendText(out: Writer, name: string, text: string): void {
  const bytes = new TextEncoder().encode(text);
  out.write(tarHeader({ ...entry, path: name, size: bytes.length }));
  out.write(bytes);
  out.write(tarPadding(bytes.length));
}

/** A configuration for layers by the digests of their archives. */
function configOf(layers: readonly string[], labels: Record<string, string> = {}): string {
  return JSON.stringify({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    created: "2026-01-02T03:04:05Z",
    config: { Cmd: ["true"], Labels: labels },
    rootfs: { type: "layers", diff_ids: layers.map((digest) => `sha256:${digest}`) },
    history: layers.map(() => ({ created: "2026-01-02T03:04:05Z", created_by: "bench" })),
  });
}

/** Writes an image's archive, its documents last as `docker save` has them, and its layers beside it. Gives their paths. */
export async function writeImage(shape: ImageShape, path: string): Promise<string[]> {
  const layers: { readonly path: string; readonly digest: string }[] = [];
  for (let index = 0; index < shape.layers; index++) {
    const out = new Writer(`${path}.${index}`);
    for (const piece of layerPieces(shape, index)) out.write(piece);
    layers.push({ path: `${path}.${index}`, digest: out.close() });
  }
  const config = configOf(layers.map(({ digest }) => digest));
  const id = new Bun.CryptoHasher("sha256").update(config).digest("hex");
  const out = new Writer(path);
  for (const layer of layers) await append(out, layer.path, `${layer.digest}/layer.tar`);
  appendText(out, `${id}.json`, config);
  const manifest = {
    Config: `${id}.json`,
    RepoTags: [shape.name],
    Layers: layers.map(({ digest }) => `${digest}/layer.tar`),
  };
  appendText(out, "manifest.json", JSON.stringify([manifest]));
  out.write(tarEnd());
  out.close();
  return layers.map((layer) => layer.path);
}

/** Writes an archive of many small images, which differ in a label and share their layer. */
export function writeManyImages(path: string, count: number): void {
  const shape = { name: "many", layers: 1, files: 10, bytes: 10_000 };
  const bytes = Buffer.concat([...layerPieces(shape, 0)].map((piece) => Uint8Array.from(piece)));
  const layer = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const out = new Writer(path);
  out.write(tarHeader({ ...entry, path: `${layer}/layer.tar`, size: bytes.length }));
  out.write(bytes);
  out.write(tarPadding(bytes.length));
  const manifest = Array.from({ length: count }, (_, index) => {
    const config = configOf([layer], { index: String(index) });
    const id = new Bun.CryptoHasher("sha256").update(config).digest("hex");
    appendText(out, `${id}.json`, config);
    return { Config: `${id}.json`, RepoTags: [`many:${index}`], Layers: [`${layer}/layer.tar`] };
  });
  appendText(out, "manifest.json", JSON.stringify(manifest));
  out.write(tarEnd());
  out.close();
}

/** Deletes files. */
export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { force: true });
}
