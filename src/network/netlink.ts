/**
 * Netlink messages (netlink(7)): building requests, taking answers apart. Pure; little-endian, as every machine is that
 * berth runs on.
 */

const NLM_F_REQUEST = 1;
/** Answer even a success. */
export const NLM_F_ACK = 4;
/** Answer with every object. */
export const NLM_F_DUMP = 0x300;
/** Make the object if it is missing. */
export const NLM_F_CREATE = 0x400;
/** Fail if the object is there. */
export const NLM_F_EXCL = 0x200;
/** The attribute is made of attributes. */
export const NLA_F_NESTED = 0x8000;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;

const pad = (length: number) => (length + 3) & ~3;

const encoder = new TextEncoder();

/** Appends attributes to a growing message. */
export class MessageBuilder {
  private parts = new Uint8Array(512);
  private view = new DataView(this.parts.buffer);
  private length = 0;

  /** Bytes as they are, then padding to 4. */
  raw(data: Uint8Array): this {
    const at = this.reserve(pad(data.length));
    this.parts.set(data, at);
    return this;
  }

  u8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  u16(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value & 255, value >> 8));
  }

  u16be(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value >> 8, value));
  }

  u32(type: number, value: number): this {
    return this.word(type, value, true);
  }

  u32be(type: number, value: number): this {
    return this.word(type, value, false);
  }

  private word(type: number, value: number, little: boolean): this {
    const at = this.header(type, 4);
    this.view.setUint32(at, value, little);
    return this;
  }

  /** A string with its NUL. */
  text(type: number, value: string): this {
    return this.attribute(type, encoder.encode(`${value}\0`));
  }

  attribute(type: number, data: Uint8Array): this {
    // Making room may give it other memory.
    const at = this.header(type, data.length);
    this.parts.set(data, at);
    return this;
  }

  /** An attribute made of attributes. */
  nest(type: number, fill: (inner: this) => unknown): this {
    const data = this.header(type, 0);
    fill(this);
    this.view.setUint16(data - 4, this.length - data + 4, true);
    return this;
  }

  /** Begins an attribute, and makes room for its data, of which it gives the place. */
  private header(type: number, length: number): number {
    const at = this.reserve(pad(4 + length));
    this.view.setUint16(at, 4 + length, true);
    this.view.setUint16(at + 2, type, true);
    return at + 4;
  }

  bytes(): Uint8Array {
    return this.parts.slice(0, this.length);
  }

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.parts.length) {
      const grown = new Uint8Array(Math.max(this.length, this.parts.length * 2));
      grown.set(this.parts.subarray(0, at));
      this.parts = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** One request; its sequence number is given when it is sent. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
  /** What it is about, for error messages. */
  readonly what: string;
}

/** Several requests as one buffer, numbered from `firstSeq`. */
export function encodeRequests(requests: readonly NetlinkRequest[], firstSeq: number): Uint8Array {
  const total = requests.reduce((sum, { body }) => sum + HEADER + pad(body.length), 0);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  let at = 0;
  requests.forEach(({ type, flags, body }, index) => {
    view.setUint32(at, HEADER + body.length, true);
    view.setUint16(at + 4, type, true);
    view.setUint16(at + 6, flags | NLM_F_REQUEST, true);
    view.setUint32(at + 8, firstSeq + index, true);
    out.set(body, at + HEADER);
    at += HEADER + pad(body.length);
  });
  return out;
}

/** One answer. */
export interface NetlinkAnswer {
  readonly type: number;
  readonly seq: number;
  /** The number of the socket that asked for it, or whose request a notice is about. */
  readonly port: number;
  readonly body: Uint8Array;
  /** For errors and acknowledgements: the errno, 0 for success. */
  readonly error?: number;
}

/** Takes an answer buffer apart. */
export function decodeAnswers(data: Uint8Array): NetlinkAnswer[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const answers: NetlinkAnswer[] = [];
  for (let at = 0; at + HEADER <= data.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > data.length) break;
    const type = view.getUint16(at + 4, true);
    const body = data.subarray(at + HEADER, at + length);
    const seq = view.getUint32(at + 8, true);
    const port = view.getUint32(at + 12, true);
    if (type === NLMSG_ERROR)
      answers.push({ type, seq, port, body, error: -view.getInt32(at + HEADER, true) });
    else if (type !== NLMSG_DONE) answers.push({ type, seq, port, body });
    at += pad(length);
  }
  return answers;
}

/** Where the data of the first attribute of a type begins in a body, whose attributes begin at `from`; -1: it has none. */
export function attributeAt(body: Uint8Array, from: number, type: number): number {
  for (let at = from; at + 4 <= body.length; ) {
    const length = (body[at] ?? 0) | ((body[at + 1] ?? 0) << 8);
    if (length < 4 || at + length > body.length) return -1;
    if (((body[at + 2] ?? 0) | (((body[at + 3] ?? 0) & 0x3f) << 8)) === type) return at + 4;
    at += pad(length);
  }
  return -1;
}

/** The attributes of a body from `from` on, by type. */
export function attributesOf(body: Uint8Array, from: number): Map<number, Uint8Array> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const found = new Map<number, Uint8Array>();
  for (let at = from; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) break;
    found.set(view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + length));
    at += pad(length);
  }
  return found;
}
