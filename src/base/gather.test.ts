/** Joined pieces are the same bytes. */
import { expect, test } from "bun:test";
import { gathered } from "./gather.ts";

async function lengths(sizes: readonly number[]): Promise<{ lengths: number[]; bytes: Buffer }> {
  const pieces: Uint8Array[] = [];
  async function* source() {
    for (const [index, size] of sizes.entries()) yield new Uint8Array(size).fill(index);
  }
  for await (const piece of gathered(source())) pieces.push(piece);
  return { lengths: pieces.map(({ length }) => length), bytes: Buffer.concat(pieces) };
}

test("small pieces are joined, large ones go through, nothing is lost at the end", async () => {
  const found = await lengths([1, 2, 70_000, 100_000, 0, 65_535, 1, 5]);
  expect(found.lengths).toEqual([70_003, 100_000, 65_536, 5]);
  const whole = [1, 2, 70_000, 100_000, 0, 65_535, 1, 5].map((n, i) => Buffer.alloc(n, i));
  expect(found.bytes.equals(Buffer.concat(whole))).toBe(true);
  expect((await lengths([])).lengths).toEqual([]);
});
