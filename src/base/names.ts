/**
 * Names of files as text. The kernel's names are bytes; in those that are no UTF-8 each such byte is a character of a private
 * range, U+10F780 to U+10F7FF, and so is each byte of a real character of that range: no two names are one, and names stay what
 * they are on their way through the program, JSON, threads, and functions that know only whole characters.
 *
 * A path for a system call goes through `systemPath`, bytes that are written through `bytesOfName`.
 */

// A mark at the beginning is part of a name.
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const KEPT_BYTE = /[\u{10f780}-\u{10f7ff}]/u;
const KEPT_BYTES = /[\u{10f780}-\u{10f7ff}]/gu;
const ESCAPE = 0x10f700;

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** How many bytes a character has that begins with this one. */
function lengthOf(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

/** A name's text. */
export function nameOfBytes(bytes: Uint8Array): string {
  const whole = decoded(bytes);
  if (whole !== undefined && !KEPT_BYTE.test(whole)) return whole;
  let name = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0;
    const end = at + lengthOf(first);
    const character = end <= bytes.length ? decoded(bytes.subarray(at, end)) : undefined;
    if (character !== undefined && !KEPT_BYTE.test(character)) {
      name += character;
      at = end;
    } else {
      name += String.fromCodePoint(ESCAPE + first);
      at++;
    }
  }
  return name;
}

/** The bytes of a name or path. */
export function bytesOfName(name: string): Uint8Array {
  if (!KEPT_BYTE.test(name)) return encoder.encode(name);
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const { index, 0: kept } of name.matchAll(KEPT_BYTES)) {
    const byte = (kept.codePointAt(0) ?? ESCAPE) - ESCAPE;
    pieces.push(encoder.encode(name.slice(at, index)), new Uint8Array([byte]));
    at = index + kept.length;
  }
  return Buffer.concat([...pieces, encoder.encode(name.slice(at))]);
}

/** A path as the system's calls take it. */
export function systemPath(path: string): string | Buffer {
  return KEPT_BYTE.test(path) ? Buffer.from(bytesOfName(path)) : path;
}

/** What a call gives that makes text of bytes; `again` asks for the bytes, where the text has lost some. */
export function nameOr(text: string, again: () => Uint8Array): string {
  return text.includes("\ufffd") ? nameOfBytes(again()) : text;
}
