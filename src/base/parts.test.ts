import { expect, test } from "bun:test";
import { joinParts, PartsReader } from "./parts.ts";

async function* pieces(...texts: readonly string[]) {
  for (const text of texts) yield new TextEncoder().encode(text);
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const found: Uint8Array[] = [];
  for await (const piece of stream) found.push(piece);
  return Buffer.concat(found).toString();
}

/** The same bytes in pieces of one length. */
async function* cut(stream: AsyncIterable<Uint8Array>, length: number) {
  const all = Buffer.from(await new Response(stream as never).arrayBuffer());
  for (let at = 0; at < all.length; at += length) yield all.subarray(at, at + length);
}

test("streams come out as they went in, however the whole is cut, and one that nobody reads to its end too", async () => {
  for (const length of [1, 3, 1000]) {
    const joined = joinParts([pieces("one", "", "two"), pieces(), pieces("three", "four")]);
    const reader = new PartsReader(cut(joined, length));
    expect(await text(await reader.next())).toBe("onetwo");
    expect(await text(await reader.next())).toBe("");
    expect(await text(await reader.next())).toBe("threefour");
  }
  const reader = new PartsReader(joinParts([pieces("one", "two"), pieces("three")]));
  for await (const _ of await reader.next()) break;
  expect(await text(await reader.next())).toBe("three");
});

test("what ends in the middle, or has a piece of any length, is refused", async () => {
  const joined = Buffer.from(await new Response(joinParts([pieces("one")]) as never).arrayBuffer());
  for (let length = 0; length < joined.length; length++) {
    const reader = new PartsReader(
      pieces(...[...joined.subarray(0, length)].map((one) => String.fromCharCode(one))),
    );
    const why = await reader
      .next()
      .then(text)
      .catch((error) => error.message);
    expect(why).toBe("what was sent ends in the middle");
  }
  async function* huge() {
    yield new Uint8Array([255, 255, 255, 255]);
  }
  const why = await new PartsReader(huge())
    .next()
    .then(text)
    .catch((error) => error.message);
  expect(why).toContain("too long");
});
