/**
 * Contexts as archives, as docker writes and reads them: meta.json, and tls/docker/*.pem; tar or zip.
 */
import { inflateRawSync } from "node:zlib";
import { TarReader } from "../base/tar.ts";
import { plainTarHeader, tarEnd, tarPadding } from "../base/tar-writer.ts";
import { type ContextMeta, parseMeta, type TlsFiles } from "./contexts.ts";

/** Archives above this are refused, and files in them, too. */
const MAX = 10 << 20;

/** A context as a tar archive. */
export function contextArchive(meta: ContextMeta, tls: TlsFiles): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory = (path: string) =>
    parts.push(plainTarHeader({ path, type: "directory", mode: 0o700, size: 0 }));
  const file = (path: string, mode: number, bytes: Uint8Array) =>
    parts.push(
      plainTarHeader({ path, type: "file", mode, size: bytes.length }),
      bytes,
      tarPadding(bytes.length),
    );
  file("meta.json", 0o644, new TextEncoder().encode(JSON.stringify(meta)));
  directory("tls");
  if (tls.size > 0) directory("tls/docker");
  for (const [name, bytes] of tls) file(`tls/docker/${name}`, 0o600, bytes);
  return Buffer.concat([...parts, tarEnd()]);
}

async function tarFiles(bytes: Uint8Array): Promise<Map<string, Uint8Array>> {
  const source = async function* () {
    yield bytes;
  };
  const reader = new TarReader(source());
  const files = new Map<string, Uint8Array>();
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    if (entry.type !== "file") continue;
    const pieces: Uint8Array[] = [];
    for await (const piece of reader.data()) pieces.push(piece.slice());
    files.set(entry.path, Buffer.concat(pieces));
  }
  return files;
}

const [END_OF_DIRECTORY, DIRECTORY_ENTRY, LOCAL_ENTRY] = [0x06054b50, 0x02014b50, 0x04034b50];

/** The files of a zip archive (PKWARE's APPNOTE, 4.3), stored or deflated. Throws for what is none. */
function zipFiles(bytes: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map<string, Uint8Array>();
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("zip: not a valid zip file");
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0; count--) {
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY) throw new Error("zip: not a valid zip file");
    const [method, stored] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true)];
    const size = view.getUint32(at + 24, true);
    const nameLength = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (name.endsWith("/")) continue;
    if (view.getUint32(local, true) !== LOCAL_ENTRY || size > MAX)
      throw new Error("zip: not a valid zip file");
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const data = bytes.subarray(from, from + stored);
    if (method !== 0 && method !== 8) throw new Error("zip: unsupported compression algorithm");
    files.set(name, method === 0 ? data : inflateRawSync(data, { maxOutputLength: MAX }));
  }
  return files;
}

/** Reads an archive. Rejects in docker's words for what is no context. */
export async function readContextArchive(
  bytes: Uint8Array,
): Promise<{ readonly meta: ContextMeta; readonly tls: TlsFiles }> {
  if (bytes.length > MAX) throw new Error("read: limited reader reached its maximum size");
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  let files: Map<string, Uint8Array>;
  try {
    files = isZip ? zipFiles(bytes) : await tarFiles(bytes);
  } catch (error) {
    // Outside of its buffer: the archive is cut.
    if (error instanceof RangeError) throw new Error("unexpected EOF");
    throw error;
  }
  const tls = new Map<string, Uint8Array>();
  let meta: ContextMeta | undefined;
  for (const [path, content] of files) {
    const name = path.replace(/^\.\//, "");
    if (name === "meta.json") meta = parseMeta(new TextDecoder().decode(content), name);
    else if (name.startsWith("tls/")) {
      const match = /^tls\/docker\/([\w-]+\.pem)$/.exec(name);
      if (match === null) throw new Error(`${name}: unexpected context file`);
      tls.set(match[1] ?? "", content);
    } else throw new Error(`${name}: unexpected context file`);
  }
  if (meta === undefined) throw new Error("invalid context: no metadata found");
  return { meta, tls };
}
