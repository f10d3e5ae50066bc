/**
 * Name questions taken apart, and answers put together. Pure.
 *
 * A question is read where it lies and its bytes stand in the answer as they are, case included; that is all that the usual
 * question needs. What has more to it is left to dns-packet, as are the records' data.
 */
import { a, aaaa, decode, ptr } from "dns-packet";
import { type Family, parseAddress } from "./addresses.ts";

/** Types of records of which berth knows some. */
export const RecordType = { A: 1, PTR: 12, AAAA: 28 } as const;

/** One question for records of a name. */
export interface NameQuestion {
  /** In lower case, without the dot at its end. */
  readonly name: string;
  readonly type: number;
  /** The id and the question section, as they are. */
  readonly id: number;
  readonly section: Uint8Array;
  /** Recursion is desired. */
  readonly recursion: boolean;
  /** How long an answer by UDP may be. */
  readonly room: number;
  /** The asker knows EDNS (RFC 6891). */
  readonly extended: boolean;
}

/** What comes before the question section. */
export const HEADER = 12;
const QUERY_BITS = 0x7800;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const TRUNCATED = 0x0200;
const RESPONSE_BIT = 0x8000;
const MAX_LABEL = 63;
const MAX_NAME = 255;
const INTERNET = 1;
const OPT = 41;
/** Name, type, size, version and flags, no data. */
const OPT_SIZE = 11;
/** Without a word about it (RFC 1035), and the most that is believed. */
const PLAIN_ROOM = 512;
const MOST_ROOM = 4096;
const TCP_ROOM = 65535;
/** The name of the question, pointed to; its type, class and time. */
const RECORD_HEAD = 10;
/** Seconds: containers come and go. */
const TTL = 5;

const u16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Where the only question of a message ends; undefined when there is none, more than one, or no end. */
export function questionEnd(message: Uint8Array): number | undefined {
  if (message.length < HEADER || u16(message, 4) !== 1) return undefined;
  let at = HEADER;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > MAX_LABEL || at - HEADER > MAX_NAME) return undefined;
    at += 1 + length;
    if (length === 0) break;
  }
  return at + 4 <= message.length ? at + 4 : undefined;
}

/** A name's text in lower case; labels with dots in them are no container's. */
function nameIn(message: Uint8Array, end: number): string | undefined {
  let name = "";
  for (let at = HEADER; at < end - 5; ) {
    const length = message[at] ?? 0;
    if (at > HEADER) name += ".";
    for (let i = at + 1; i <= at + length; i++) {
      const byte = message[i] ?? 0;
      if (byte === 0x2e) return undefined;
      name += String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
    }
    at += 1 + length;
  }
  return name;
}

/** The size that the asker says it takes, if it says any. Throws for what is no message. */
function sizeIn(message: Uint8Array, end: number): number | undefined {
  const [answers, authorities, additionals] = [6, 8, 10].map((at) => u16(message, at));
  if (additionals === 0) return undefined;
  if (answers === 0 && authorities === 0 && message[end] === 0 && u16(message, end + 1) === OPT)
    return u16(message, end + 3);
  // dns-packet reads by Buffer's methods.
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  return decode(buffer).additionals?.find((one) => one.type === "OPT")?.udpPayloadSize;
}

/** A question for the records of a name; undefined for every other message, which others may understand. */
export function questionIn(message: Uint8Array): NameQuestion | undefined {
  const flags = u16(message, 2);
  const end = questionEnd(message);
  if (end === undefined || (flags & (RESPONSE_BIT | QUERY_BITS)) !== 0) return undefined;
  const name = nameIn(message, end);
  if (name === undefined || u16(message, end - 2) !== INTERNET) return undefined;
  try {
    const size = sizeIn(message, end);
    return {
      name,
      type: u16(message, end - 4),
      id: u16(message, 0),
      section: message.subarray(HEADER, end),
      recursion: (flags & RECURSION_DESIRED) !== 0,
      room: Math.min(Math.max(size ?? 0, PLAIN_ROOM), MOST_ROOM),
      extended: size !== undefined,
    };
  } catch {
    return undefined;
  }
}

/** A record's data with its length, as they stand in an answer. */
export function recordData(type: number, text: string): Uint8Array {
  if (type === RecordType.PTR) return ptr.encode(text);
  return type === RecordType.A ? a.encode(text) : aaaa.encode(text);
}

/**
 * An answer with these records, which may be none, the one of number `first` first. What does not fit into a datagram is left
 * for TCP to ask for.
 */
export function answerTo(
  question: NameQuestion,
  data: readonly Uint8Array[],
  tcp: boolean,
  first = 0,
): Uint8Array {
  const { id, section, recursion, extended } = question;
  const room = tcp ? TCP_ROOM : question.room;
  let size = HEADER + section.length + (extended ? OPT_SIZE : 0);
  const chosen: Uint8Array[] = [];
  for (let i = 0; i < data.length; i++) {
    const one = data[(first + i) % data.length] as Uint8Array;
    if (size + RECORD_HEAD + one.length > room) break;
    size += RECORD_HEAD + one.length;
    chosen.push(one);
  }
  const message = new Uint8Array(size);
  const view = new DataView(message.buffer);
  const cut = chosen.length < data.length ? TRUNCATED : 0;
  view.setUint16(0, id);
  view.setUint16(2, RESPONSE_BIT | RECURSION_AVAILABLE | cut | (recursion ? RECURSION_DESIRED : 0));
  view.setUint16(4, 1);
  view.setUint16(6, chosen.length);
  view.setUint16(10, extended ? 1 : 0);
  message.set(section, HEADER);
  let at = HEADER + section.length;
  for (const one of chosen) {
    view.setUint16(at, 0xc000 | HEADER);
    message.set(section.subarray(-4), at + 2);
    view.setUint32(at + 6, TTL);
    message.set(one, at + RECORD_HEAD);
    at += RECORD_HEAD + one.length;
  }
  if (extended) {
    view.setUint16(at + 1, OPT);
    view.setUint16(at + 3, MOST_ROOM);
  }
  return message;
}

/** The address that a reverse question asks about; undefined for what is none. */
export function reverseAddress(name: string): { family: Family; value: bigint } | undefined {
  const four = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name);
  if (four !== null)
    return parseAddress((four[1] ?? "").split(".").filter(Boolean).reverse().join("."));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (six === null) return undefined;
  const digits = (six[1] ?? "").split(".").filter(Boolean).reverse().join("");
  return { family: 6, value: BigInt(`0x${digits}`) };
}
