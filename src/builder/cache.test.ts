import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BuildCache } from "./cache.ts";
import type { Snapshot } from "./ports.ts";

const ids = fc.array(fc.constantFrom("a", "b", "c", "d", "e"), { maxLength: 4 });
const keys = fc.constantFrom("one", "two", "three", "four");
const change = fc.record({
  key: keys,
  chain: fc.option(ids, { nil: undefined }),
  blobs: ids,
  without: fc.array(keys, { maxLength: 2 }),
});

test("what entries need is counted as though it were read anew, whatever comes, goes and takes others' places", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), fc.boolean(), (changes, early) => {
      const db = new Database(":memory:");
      const cache = new BuildCache(db);
      if (early) cache.needed();
      for (const { key, chain, blobs, without } of changes) {
        if (chain === undefined) cache.remove(key);
        else {
          const snapshot: Snapshot = { diffIds: chain, chain, blobs, size: 0 };
          cache.put({ key, snapshot, created: "", description: "", size: 0 });
        }
        const read = () => {
          const { blobs: found, chains } = new BuildCache(db).needed();
          return { blobs: found.toSorted(), chains: chains.toSorted() };
        };
        const { blobs: counted, chains } = cache.needed();
        expect({ blobs: counted.toSorted(), chains: chains.toSorted() }).toEqual(read());
        for (const id of ["a", "e"])
          expect(cache.needsKey(id)).toBe(counted.includes(id) || chains.includes(id));
        const left = cache.without(new Set(without), () => cache.needed());
        const rows = cache.all().filter((entry) => !without.some((key) => key === entry.key));
        expect(new Set(left.blobs)).toEqual(new Set(rows.flatMap((row) => row.snapshot.blobs)));
      }
    }),
    { numRuns: 100 },
  );
});
