import { expect, test } from "bun:test";
import { ownerMaps, parseHostUser, swapped } from "./id-maps.ts";

/** What an id becomes. */
function seen(maps: ReturnType<typeof swapped>, id: number): number | undefined {
  const part = maps.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return part && part.hostID + id - part.containerID;
}

test("two ids change places and every other stays, to the last", () => {
  for (const [one, other] of [
    [1000, 0],
    [0, 1],
    [1, 0],
    [5, 4294967294],
    [4294967293, 4294967294],
  ] as const) {
    const maps = swapped(one, other);
    expect(seen(maps, one)).toBe(other);
    expect(seen(maps, other)).toBe(one);
    for (const id of [0, 1, 2, 999, 1001, 4294967293, 4294967294])
      if (id !== one && id !== other) expect(seen(maps, id)).toBe(id);
    expect(seen(maps, 4294967295)).toBeUndefined();
    expect(maps.reduce((sum, { size }) => sum + size, 0)).toBe(2 ** 32 - 1);
  }
});

test("a user who is the container's needs no maps; one who shares the group needs that of users alone", () => {
  expect(ownerMaps({ uid: 7, gid: 8 }, { uid: 7, gid: 8 })).toEqual({});
  const { gidMappings } = ownerMaps({ uid: 7, gid: 8 }, { uid: 0, gid: 8 });
  expect(gidMappings).toEqual([{ containerID: 0, hostID: 0, size: 4294967295 }]);
  expect(parseHostUser("1000:100")).toEqual({ uid: 1000, gid: 100 });
  for (const text of ["", "1000", "a:b", "-1:0", "4294967295:0", "1:2:3"])
    expect(() => parseHostUser(text)).toThrow("is no UID:GID");
});
