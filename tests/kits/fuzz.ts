/**
 * Hostile input for parsers. Each parser gives a value or throws a Fault, for whatever it is given, and soon.
 *
 * The same inputs come at each run; `BERTH_FUZZ=20000` tries so many others instead.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { Fault } from "../../src/base/errors.ts";

const wanted = Number(process.env.BERTH_FUZZ ?? 0);
const runs = wanted > 0 ? { numRuns: wanted } : { numRuns: 300, seed: 5 };

/** Checks a property as often as this run wants it. */
export async function checkAll<T>(
  inputs: fc.Arbitrary<T>,
  property: (input: T) => unknown,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(inputs, async (input) => {
      await property(input);
    }),
    runs,
  );
}

/** What a parser makes of its input: a value, or undefined for a Fault. Whatever else it throws fails the test. */
export async function valueOrFault<T>(parse: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await parse();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    expect(error.message.length).toBeLessThan(20_000);
    return undefined;
  }
}

interface Change {
  readonly kind: "flip" | "cut" | "drop" | "repeat" | "insert";
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

function changed(data: Uint8Array, { kind, at, length, bytes }: Change): Uint8Array {
  const place = Math.floor(at * data.length);
  const [before, after] = [data.subarray(0, place), data.subarray(place)];
  if (kind === "cut") return before;
  if (kind === "drop") return Buffer.concat([before, after.subarray(length)]);
  if (kind === "repeat") return Buffer.concat([before, after.subarray(0, length), after]);
  if (kind === "insert") return Buffer.concat([before, bytes, after]);
  return Buffer.concat([before, bytes, after.subarray(bytes.length)]);
}

const changes: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("flip" as const, "flip", "cut", "drop", "repeat", "insert"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 1, max: 600 }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }),
});

/** Well-formed inputs with a few changes, and pure noise now and then. */
export function damaged(corpus: readonly (Uint8Array | string)[]): fc.Arbitrary<Uint8Array> {
  const seeds = corpus.map((one) => (typeof one === "string" ? Buffer.from(one) : one));
  return fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.constantFrom(...seeds), fc.array(changes, { maxLength: 4 }))
        .map(([seed, list]) => list.reduce(changed, seed as Uint8Array)),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2000 }) },
  );
}

/** The same as text. */
export function damagedText(corpus: readonly string[]): fc.Arbitrary<string> {
  return damaged(corpus).map((bytes) => Buffer.from(bytes).toString("latin1"));
}

/** JSON values in which some of the leaves of a well-formed one are something else, or are gone. */
export function damagedJson(corpus: readonly unknown[]): fc.Arbitrary<unknown> {
  const odd = fc.oneof(
    fc.constantFrom<unknown>(null, "", 0, -1, 1e300, "__proto__", [], {}, [[]], true, "\u0000"),
    fc.jsonValue({ maxDepth: 2 }),
  );
  return fc
    .tuple(fc.constantFrom(...corpus), fc.array(fc.tuple(fc.nat(60), odd, fc.boolean())))
    .map(([value, edits]) =>
      edits.reduce<unknown>((now, [place, what, gone]) => edited(now, place, what, gone), value),
    );
}

/** Puts something else, or nothing, at the n-th place of a JSON value. */
function edited(value: unknown, place: number, what: unknown, gone: boolean): unknown {
  let left = place;
  const walk = (at: unknown): unknown => {
    if (left-- === 0) return gone ? undefined : what;
    if (Array.isArray(at)) return at.map(walk);
    if (typeof at !== "object" || at === null) return at;
    return Object.fromEntries(Object.entries(at).map(([key, one]) => [key, walk(one)]));
  };
  return walk(value);
}
