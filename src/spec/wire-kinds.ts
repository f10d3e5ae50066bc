/**
 * What a record of the wire is: its number, its fields, and their values in TypeScript.
 */

/** The type of one field of a record. */
export type FieldType = "u32" | "u64" | "i64" | "str" | "bytes" | "strs" | "u32s" | "u64s";

/** A kind of record: its number on the wire, what it means, and its fields in order. */
export interface RecordKind {
  readonly code: number;
  readonly doc: string;
  readonly fields: Readonly<Record<string, FieldType>>;
}

/** A kind of record, with its fields' types kept. */
export const kind = <const F extends Readonly<Record<string, FieldType>>>(
  code: number,
  doc: string,
  fields: F,
) => ({ code, doc, fields });

type FieldValue<T extends FieldType> = T extends "u32"
  ? number
  : T extends "u64" | "i64"
    ? bigint
    : T extends "str"
      ? string
      : T extends "bytes"
        ? Uint8Array
        : T extends "strs"
          ? readonly string[]
          : T extends "u32s"
            ? readonly number[]
            : readonly bigint[];

/** The values of a record of kind K. */
export type RecordOf<K extends RecordKind> = {
  readonly [F in keyof K["fields"]]: FieldValue<K["fields"][F]>;
};

/** Every record of a family, discriminated by its name. */
export type NamedRecord<Family extends Readonly<Record<string, RecordKind>>> = {
  [N in keyof Family & string]: { readonly name: N } & RecordOf<Family[N]>;
}[keyof Family & string];
