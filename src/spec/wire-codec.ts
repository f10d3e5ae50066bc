/**
 * Encodes and decodes the records that wire.ts describes. Pure; both directions refuse what does not fit.
 */
import { bytesOfName } from "../base/names.ts";
import type { FieldType, NamedRecord, RecordKind } from "./wire-kinds.ts";

const HEADER = 8;
const decoder = new TextDecoder();

type Family = Readonly<Record<string, RecordKind>>;

/** A kind's fields in their order; listing them anew for each record would be most of the work. */
const fieldsOf = (() => {
  const known = new WeakMap<RecordKind, readonly (readonly [string, FieldType])[]>();
  return (kind: RecordKind) => {
    let fields = known.get(kind);
    if (fields === undefined) {
      fields = Object.entries(kind.fields);
      known.set(kind, fields);
    }
    return fields;
  };
})();

/** A family's names by their codes. */
const namesOf = (() => {
  const known = new WeakMap<Family, ReadonlyMap<number, string>>();
  return (family: Family) => {
    let names = known.get(family);
    if (names === undefined) {
      names = new Map(Object.entries(family).map(([name, { code }]) => [code, name]));
      known.set(family, names);
    }
    return names;
  };
})();

/** Appends integers, strings and lists to a buffer that grows. */
class Writer {
  private buffer = new Uint8Array(4096);
  private view = new DataView(this.buffer.buffer);
  length = 0;

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.buffer.length) {
      const grown = new Uint8Array(Math.max(this.length, this.buffer.length * 2));
      grown.set(this.buffer.subarray(0, at));
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.view.setUint16(at, value, true);
  }

  u32(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`${value} is no unsigned 32-bit number`);
    }
    const at = this.reserve(4);
    this.view.setUint32(at, value, true);
  }

  u64(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    const at = this.reserve(value.length);
    this.buffer.set(value, at);
  }

  str(value: string): void {
    if (value.includes("\0")) throw new RangeError("a NUL byte inside a string");
    this.bytes(bytesOfName(value));
    this.buffer[this.reserve(1)] = 0;
  }

  patch(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  take(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

function writeField(out: Writer, type: FieldType, value: unknown): void {
  if (type === "u32") out.u32(value as number);
  else if (type === "u64" || type === "i64") out.u64(value as bigint);
  else if (type === "str") out.str(value as string);
  else if (type === "bytes") out.bytes(value as Uint8Array);
  else {
    const list = value as readonly unknown[];
    out.u32(list.length);
    const item: FieldType = type === "strs" ? "str" : type === "u32s" ? "u32" : "u64";
    for (const element of list) writeField(out, item, element);
  }
}

function writeRecord(out: Writer, family: Family, record: { readonly name: string }): void {
  const recordKind = family[record.name];
  if (recordKind === undefined) throw new RangeError(`no record is called ${record.name}`);
  const start = out.length;
  out.u32(0);
  out.u16(recordKind.code);
  out.u16(0);
  const values = record as unknown as Record<string, unknown>;
  for (const [field, type] of fieldsOf(recordKind)) writeField(out, type, values[field]);
  out.patch(start, out.length - start - HEADER);
}

/** Encodes one or more records of a family, one after the other. Throws RangeError for a value that does not fit. */
export function encodeRecords<F extends Family>(
  family: F,
  ...records: readonly NamedRecord<F>[]
): Uint8Array {
  const out = new Writer();
  for (const record of records) writeRecord(out, family, record);
  return out.take();
}

/** Reads fields from one record's body. */
class Reader {
  private readonly view: DataView;
  private at = 0;
  constructor(private readonly body: Uint8Array) {
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  }

  field(type: FieldType): unknown {
    switch (type) {
      case "u32":
        return this.u32();
      case "u64":
      case "i64":
        this.at += 8;
        return type === "u64"
          ? this.view.getBigUint64(this.at - 8, true)
          : this.view.getBigInt64(this.at - 8, true);
      case "str": {
        const text = decoder.decode(this.bytes());
        this.at += 1;
        return text;
      }
      case "bytes":
        return this.bytes().slice();
    }
    const item: FieldType = type === "strs" ? "str" : type === "u32s" ? "u32" : "u64";
    return Array.from({ length: this.u32() }, () => this.field(item));
  }

  private u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  private bytes(): Uint8Array {
    const length = this.u32();
    if (this.at + length > this.body.length) throw new RangeError("a record is cut short");
    this.at += length;
    return this.body.subarray(this.at - length, this.at);
  }
}

/** Splits a byte stream into the records of one family, however the bytes are cut. */
export class RecordDecoder<F extends Family> {
  private pending = new Uint8Array(0);
  private readonly byCode: ReadonlyMap<number, string>;

  constructor(private readonly family: F) {
    this.byCode = namesOf(family);
  }

  /** Adds bytes and yields each whole record. `rest()` gives what follows the last one. */
  *push(chunk: Uint8Array): Generator<NamedRecord<F>> {
    if (this.pending.length === 0) this.pending = new Uint8Array(chunk);
    else {
      const joined = new Uint8Array(this.pending.length + chunk.length);
      joined.set(this.pending);
      joined.set(chunk, this.pending.length);
      this.pending = joined;
    }
    while (this.pending.length >= HEADER) {
      const view = new DataView(this.pending.buffer, this.pending.byteOffset);
      const length = view.getUint32(0, true);
      if (this.pending.length < HEADER + length) return;
      const body = this.pending.subarray(HEADER, HEADER + length);
      const record = this.decode(view.getUint16(4, true), body);
      this.pending = this.pending.subarray(HEADER + length);
      yield record;
    }
  }

  /** The bytes after the last whole record; they are given once (a stream that becomes raw after a frame). */
  rest(): Uint8Array {
    const rest = this.pending;
    this.pending = new Uint8Array(0);
    return rest;
  }

  private decode(code: number, body: Uint8Array): NamedRecord<F> {
    const name = this.byCode.get(code);
    const recordKind = name === undefined ? undefined : this.family[name];
    if (recordKind === undefined) throw new RangeError(`no record has the code ${code}`);
    const reader = new Reader(body);
    const record: Record<string, unknown> = { name };
    for (const [field, type] of fieldsOf(recordKind)) record[field] = reader.field(type);
    return record as NamedRecord<F>;
  }
}
