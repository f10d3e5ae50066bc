import { expect, test } from "bun:test";
import { swapped } from "./id-maps.ts";
import {
  composed,
  defaultPool,
  freeIds,
  hostIdOf,
  ownersThrough,
  poolOf,
  RANGE,
  rangeIds,
  remapIds,
} from "./user-ids.ts";

const none = { uids: [], gids: [] };

test("the pool is berth's own ranges, or those that nobody has", () => {
  const whole = poolOf(none);
  expect(whole).toHaveLength(defaultPool.count / RANGE);
  expect(whole[0]).toEqual([0x70000000, 0x70000000]);
  // Somebody has an id in the middle of the first range, and the ids from the third on.
  const uids = [{ owner: "ada", start: 0x70000005, count: 1 }];
  const gids = [{ owner: "ada", start: 0x70020000, count: 0x0ffe0000 }];
  expect(poolOf({ uids, gids })).toEqual([[0x70010000, 0x70010000]]);
  const own = {
    uids: [{ owner: "berth", start: 1000, count: 3 * RANGE - 1 }],
    gids: [
      { owner: "berth", start: 5000, count: RANGE },
      { owner: "berth", start: 900000, count: RANGE },
      { owner: "berth", start: 2000000, count: RANGE },
    ],
  };
  expect(poolOf(own)).toEqual([
    [1000, 5000],
    [1000 + RANGE, 900000],
  ]);
});

test("a range is given to one alone, and when there is none left that is said", () => {
  const pool = [
    [100_000, 200_000],
    [300_000, 400_000],
  ] as const;
  const [first, second] = pool.map(rangeIds);
  if (first === undefined || second === undefined) throw new Error("the pool has two");
  expect(freeIds(pool, [], () => 0.6)).toEqual(second);
  expect(freeIds(pool, [second], () => 0.6)).toEqual(first);
  expect(() => freeIds(pool, [first, second])).toThrow("all 2 ranges of ids");
  expect(() => freeIds([], [])).toThrow("all 0 ranges of ids");
});

test("what lies across somebody's ids is not given, wherever those begin, by users or by groups", () => {
  const pool = [
    [100_000, 200_000],
    [300_000, 400_000],
  ] as const;
  // /etc/subuid has changed since that container started.
  const shifted = rangeIds([300_000 + RANGE - 1, 900_000]);
  expect(freeIds(pool, [shifted], () => 0.6)).toEqual(rangeIds([100_000, 200_000]));
  // A remap of the pool's own ids has all of them.
  const all = (hostID: number) => [{ containerID: 0, hostID, size: 300_000 }];
  expect(() => freeIds(pool, [{ uidMap: all(90_000), gidMap: all(900_000) }])).toThrow("all 2");
  const groups = { uidMap: all(900_000), gidMap: [...all(1_000_000), ...all(200_001)] };
  expect(() => freeIds(pool, [groups])).toThrow("all 2");
});

test("a remap has a user's ranges one after the other", () => {
  const files = {
    uids: [
      { owner: "ada", start: 10, count: 5 },
      { owner: "other", start: 50, count: 5 },
      { owner: "1000", start: 100, count: 2 },
    ],
    gids: [{ owner: "staff", start: 7, count: 1 }],
  };
  const ids = remapIds(files, ["ada", "1000"], ["staff"]);
  expect(ids.uidMap).toEqual([
    { containerID: 0, hostID: 10, size: 5 },
    { containerID: 5, hostID: 100, size: 2 },
  ]);
  expect([0, 4, 5, 6, 7].map((id) => hostIdOf(ids.uidMap, id))).toEqual([
    10,
    14,
    100,
    101,
    undefined,
  ]);
  expect(() => remapIds(files, ["ada"], ["ada"])).toThrow('no subgid ranges found for group "ada"');
  expect(() => remapIds(files, ["eve"], ["staff"])).toThrow(
    'no subuid ranges found for user "eve"',
  );
});

test("owners are seen as the container's, and the host's root has a number there, too", () => {
  const ids = rangeIds([1000000, 2000000]);
  const { uidMap, gidMap } = ownersThrough(ids);
  expect(hostIdOf(uidMap, 5)).toBe(1000005);
  expect(hostIdOf(gidMap, 5)).toBe(2000005);
  expect(uidMap.find(({ hostID }) => hostID === 0)?.size).toBe(1);
  // The host's root is nobody's in the container.
  expect(ids.uidMap.some(({ hostID }) => hostID === 0)).toBe(false);
});

test("two maps one behind the other", () => {
  const seen = composed(swapped(1000, 0), rangeIds([1000000, 0]).uidMap);
  expect([0, 1, 999, 1000, 1001, 65535, 65536].map((id) => hostIdOf(seen, id))).toEqual([
    1001000,
    1000001,
    1000999,
    1000000,
    1001001,
    1065535,
    undefined,
  ]);
});
