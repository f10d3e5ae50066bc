/** Mounts as requests word them: whatever is asked for is a mount with plain places, or refused. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import type { HostConfig, Mount } from "../spec/engine-api.ts";
import { inheritedMounts, parseBind, type WantedMount, wantedMounts } from "./mount-wishes.ts";

/** What holds of every mount, whoever has asked for it. */
function expectPlain({ target, source, type, subpath = "", options = [] }: WantedMount): void {
  expect(target).toStartWith("/");
  expect(target).not.toBe("/");
  expect(target.split("/")).not.toContain("..");
  expect(target.split("/").slice(1)).not.toContain("");
  expect(target.startsWith("/proc/sys")).toBe(target.startsWith("/proc/sys/"));
  expect(`${target}${source}${subpath}`).not.toContain("\0");
  if (type === "bind") expect(source).toStartWith("/");
  else expect(source).toBe("");
  expect(subpath).not.toStartWith("/");
  expect(subpath.split("/")).not.toContain("..");
  for (const option of options) expect(option).toMatch(/^[a-zA-Z0-9_=%]+$/);
}

const binds = [
  ...["/etc:/x", "/etc:/x:ro,z,rslave", "name:/x", "name:/x:nocopy,ro", "/x", "/a/../b:/c//d/./e"],
  ...[
    "name:/proc/sys",
    "/tmp:/proc/self",
    "x:/..",
    "a:b:c:d",
    ":/x",
    "name:x",
    "C:\\x:/y",
    "/a\\:b:/c",
  ],
];

test("a bind of any text is a mount with plain places, or a fault", async () => {
  await checkAll(damagedText(binds), async (text) => {
    const mount = await valueOrFault(() => parseBind(text));
    if (mount !== undefined) expectPlain(mount);
  });
});

const options = [
  "size=1m,mode=1770",
  "ro,exec,uid=5",
  "",
  "nr_inodes=5k,noatime",
  "size=50%",
  "mode=9",
  "lowerdir=/etc",
];

test("options of a tmpfs are those that a tmpfs has, or a fault", async () => {
  const places = ["/t", "/run/lock", "t", "/", "/proc"];
  await checkAll(fc.tuple(damagedText(places), damagedText(options)), async ([place, text]) => {
    const asked = Object.fromEntries([[place, text]]);
    const mounts = await valueOrFault(() => wantedMounts({}, { Tmpfs: asked }));
    for (const mount of mounts ?? []) expectPlain(mount);
  });
});

const texts = fc.oneof(
  fc.constantFrom(
    "",
    "/",
    "..",
    "/x",
    "../x",
    "/x/../../y",
    "name",
    "/proc/1",
    "a\0b",
    "constructor",
    "__proto__",
  ),
  damagedText(["/some/where", "name", "rshared", "sub/path", "match-user", "10:20"]),
);
const flags = fc.option(fc.boolean(), { nil: undefined });
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

/** Mounts whose fields have the types that the API lets through, and any value. */
const mounts: fc.Arbitrary<Mount> = fc.record({
  Type: maybe(fc.oneof(fc.constantFrom("bind", "volume", "tmpfs", "image"), texts)),
  Source: maybe(texts),
  Target: maybe(texts),
  ReadOnly: flags,
  BindOptions: maybe(
    fc.record({
      ...{ Propagation: maybe(texts), NonRecursive: flags, CreateMountpoint: flags },
      ...{ ReadOnlyNonRecursive: flags, ReadOnlyForceRecursive: flags },
      Berth: maybe(fc.record({ IdMap: fc.constant("match-user" as const), User: maybe(texts) })),
    }),
  ),
  VolumeOptions: maybe(
    fc.record({
      ...{ NoCopy: flags, Subpath: maybe(texts) },
      DriverConfig: maybe(
        fc.record({ Name: maybe(texts), Options: maybe(fc.dictionary(texts, texts)) }),
      ),
    }),
  ),
  ImageOptions: maybe(fc.record({ Subpath: maybe(texts) })),
  TmpfsOptions: maybe(
    fc.record({
      ...{ SizeBytes: maybe(fc.integer()), Mode: maybe(fc.integer()) },
      Options: maybe(fc.array(fc.array(texts, { maxLength: 3 }), { maxLength: 3 })),
    }),
  ),
}) as fc.Arbitrary<Mount>;

test("mounts with any values in their fields are mounts with plain places, or a fault", async () => {
  await checkAll(fc.array(mounts, { maxLength: 3 }), async (list) => {
    const made = await valueOrFault(() => wantedMounts({}, { Mounts: list } as HostConfig));
    for (const mount of made ?? []) expectPlain(mount);
    const places = (made ?? []).map(({ target }) => target);
    expect(new Set(places).size).toBe(places.length);
  });
});

test("names that every object has are no types of mounts", async () => {
  for (const Type of ["constructor", "toString", "__proto__", "hasOwnProperty", "valueOf"])
    expect(() =>
      wantedMounts({}, { Mounts: [{ Type, Target: "/x" } as unknown as Mount] }),
    ).toThrow(`invalid mount config for type "${Type}": mount type unknown`);
});

test("what is taken over from others is plain, whatever names them", async () => {
  const theirs = wantedMounts({}, { Binds: ["/etc:/x", "name:/y:ro"], Tmpfs: { "/t": "" } });
  const records = theirs.map(({ volumeName, makeSource: _made, ...mount }) => ({
    ...mount,
    ...(volumeName === undefined ? {} : { volume: volumeName }),
  }));
  await checkAll(
    damagedText(["one", "one:ro", "one:rw", ":", "one:z", "one:ro:ro"]),
    async (text) => {
      const taken = await valueOrFault(() => inheritedMounts([text], () => records));
      for (const mount of taken ?? []) expectPlain(mount);
    },
  );
});
