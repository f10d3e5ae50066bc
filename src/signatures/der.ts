/**
 * DER (X.690), as far as certificates need it to be read (pure): definite lengths in their shortest form, nothing behind the
 * end. Throws Errors for anything else, so that two readers cannot see two things in the same bytes.
 */

/** A value with its tag. */
export interface DerItem {
  readonly tag: number;
  readonly content: Buffer;
}

/** Tags of the universal class. */
export const TAGS = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
} as const;

const broken = () => new Error("it is not valid DER");

function lengthAt(bytes: Buffer, at: number): { readonly length: number; readonly next: number } {
  const first = bytes[at] ?? 0xff;
  if (first < 0x80) return { length: first, next: at + 1 };
  const count = first & 0x7f;
  if (count < 1 || count > 3 || at + 1 + count > bytes.length) throw broken();
  const length = bytes.readUIntBE(at + 1, count);
  const shortest = length < 0x80 ? 0 : Math.ceil((32 - Math.clz32(length)) / 8);
  if (shortest !== count) throw broken();
  return { length, next: at + 1 + count };
}

/** The values that some bytes consist of. */
export function readDer(bytes: Buffer): DerItem[] {
  const items: DerItem[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    // Tags of more than one byte are in no certificate.
    if ((tag & 0x1f) === 0x1f) throw broken();
    const { length, next } = lengthAt(bytes, at + 1);
    if (next + length > bytes.length) throw broken();
    items.push({ tag, content: bytes.subarray(next, next + length) });
    at = next + length;
  }
  return items;
}

/** The one value that some bytes are, which must have this tag. */
export function readOne(bytes: Buffer, tag: number): Buffer {
  const [item, ...more] = readDer(bytes);
  if (item?.tag !== tag || more.length > 0) throw broken();
  return item.content;
}

/** An object identifier in numbers and dots. */
export function oidText(content: Buffer): string {
  const parts: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER / 128) throw broken();
    if (byte < 0x80) {
      parts.push(value);
      value = 0;
    }
  }
  const [first = 0, ...rest] = parts;
  if (parts.length === 0 || (content.at(-1) ?? 0x80) >= 0x80) throw broken();
  const top = Math.min(Math.floor(first / 40), 2);
  return [top, first - top * 40, ...rest].join(".");
}
