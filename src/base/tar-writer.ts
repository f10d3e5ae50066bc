/**
 * Writing tar archives: ustar headers, and pax records for what those cannot say (POSIX.1-2001).
 */
import { bytesOfName } from "./names.ts";
import type { TarEntry, TarType } from "./tar.ts";

const BLOCK = 512;
const encoder = new TextEncoder();
const flags: Readonly<Record<TarType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
/** The largest numbers that fit: seven and eleven octal digits. */
const SMALL_MAX = 0o7777777;
const LARGE_MAX = 0o77777777777;

function block(
  fields: { path: string; linkPath: string; flag: string } & Pick<
    TarEntry,
    "mode" | "uid" | "gid" | "size" | "mtime" | "major" | "minor"
  >,
): Uint8Array {
  const out = Buffer.alloc(BLOCK);
  // What does not fit is in a pax record; here stands what fits.
  const octal = (at: number, width: number, value: number) => {
    const most = width === 12 ? LARGE_MAX : SMALL_MAX;
    const shown = value < 0 || value > most ? 0 : Math.floor(value);
    out.write(shown.toString(8).padStart(width - 1, "0"), at, width, "latin1");
  };
  const put = (text: string, at: number, most: number) =>
    out.set(bytesOfName(text).subarray(0, most), at);
  put(fields.path, 0, 100);
  octal(100, 8, fields.mode);
  octal(108, 8, fields.uid);
  octal(116, 8, fields.gid);
  octal(124, 12, fields.size);
  octal(136, 12, fields.mtime);
  out.write("        ", 148, "latin1");
  out.write(fields.flag, 156, 1, "latin1");
  put(fields.linkPath, 157, 100);
  out.write("ustar\u000000", 257, "latin1");
  octal(329, 8, fields.major);
  octal(337, 8, fields.minor);
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += out[at] ?? 0;
  out.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return out;
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function paxRecord(key: string, value: Uint8Array): Uint8Array {
  const rest = 1 + Buffer.byteLength(key) + 1 + value.length + 1;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([encoder.encode(`${length} ${key}=`), value, encoder.encode("\n")]);
}

function fits(text: string, most: number): boolean {
  // Bytes beyond ASCII mean something only with a declared encoding, which pax has.
  return Buffer.byteLength(text) <= most && /^[\x20-\x7e]*$/.test(text);
}

function paxOf(entry: TarEntry, exactTimes: boolean): Uint8Array {
  const records: Uint8Array[] = [];
  const put = (key: string, value: string) => records.push(paxRecord(key, bytesOfName(value)));
  if (!fits(entry.path, 100)) put("path", entry.path);
  if (!fits(entry.linkPath, 100)) put("linkpath", entry.linkPath);
  if (entry.size > LARGE_MAX) put("size", String(entry.size));
  if (entry.uid > SMALL_MAX) put("uid", String(entry.uid));
  if (entry.gid > SMALL_MAX) put("gid", String(entry.gid));
  if (exactTimes && !Number.isInteger(entry.mtime)) put("mtime", entry.mtime.toFixed(9));
  else if (entry.mtime < 0 || entry.mtime > LARGE_MAX)
    put("mtime", String(Math.floor(entry.mtime)));
  for (const [name, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)))
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  return Buffer.concat(records);
}

/** Zeros up to the next block. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}

/** What ends an archive. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * BLOCK);
}

/** The header of what has no owner and no time but root and 1970. */
export function plainTarHeader(
  entry: Pick<TarEntry, "path" | "type" | "mode" | "size">,
): Uint8Array {
  const none = { uid: 0, gid: 0, mtime: 0, linkPath: "", major: 0, minor: 0, xattrs: new Map() };
  return tarHeader({ ...none, ...entry });
}

/** An entry's header, with a pax header before it if one is needed. Times are cut to whole seconds but for `exactTimes`. */
export function tarHeader(entry: TarEntry, exactTimes = false): Uint8Array {
  const path =
    entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path}/` : entry.path;
  const named = { ...entry, path };
  const main = block({ ...named, flag: flags[entry.type] });
  const pax = paxOf(named, exactTimes);
  if (pax.length === 0) return main;
  const short = path.split("/").filter(Boolean).at(-1)?.slice(0, 50) ?? "";
  const head = block({
    path: `PaxHeaders.0/${short}`,
    linkPath: "",
    flag: "x",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: pax.length,
    mtime: 0,
    major: 0,
    minor: 0,
  });
  return Buffer.concat([head, pax, tarPadding(pax.length), main]);
}
