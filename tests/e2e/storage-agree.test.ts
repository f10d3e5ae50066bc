/**
 * What an archive's paths, links and marks mean is the same for a driver that makes files of them and for one that writes
 * an image: random archives, hostile ones among them.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import fc from "fast-check";
import { archive, Bench, describeTree, type Entry } from "../kits/storage-suite.ts";

const place = {
  path: mkdtempSync("/tmp/ba-"),
  remove: () => rmSync(place.path, { recursive: true }),
};
const other = { ...place, path: `${place.path}/.` };
let files: Bench;
let image: Bench;
beforeAll(async () => {
  files = await Bench.open("overlay2", place);
  image = await Bench.open("erofs", other);
});
afterAll(async () => {
  await files.close();
  await image.close();
  place.remove();
});

const name = fc.constantFrom("a", "b", "c", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", "ü");
const path = fc
  .tuple(fc.boolean(), fc.array(name, { minLength: 1, maxLength: 4 }))
  .map(([absolute, names]) => (absolute ? "/" : "") + names.join("/"));
const mode = fc.constantFrom(0o644, 0o755, 0o4711, 0o1777, 0);
const owner = fc.constantFrom(0, 1, 65534, 1_000_000);
const entry: fc.Arbitrary<Entry> = fc
  .record({
    path,
    type: fc.constantFrom("file", "directory", "symlink", "hardlink", "char", "fifo"),
    linkPath: path,
    mode,
    uid: owner,
    gid: owner,
    mtime: fc.constantFrom(0, 1, 1_000_000_000, 1_000_000_000.5),
    size: fc.constantFrom(0, 1, 2047, 2048, 2049, 4096, 5000),
    fill: fc.constantFrom("x", "y"),
  })
  .map(({ fill, size, ...one }) => {
    const isLink = one.type === "symlink" || one.type === "hardlink";
    return {
      ...one,
      // Bits that mean nothing on what is neither file nor directory, and that a change of owner takes away.
      mode: one.type === "file" || one.type === "directory" ? one.mode : one.mode & 0o777,
      linkPath: isLink ? one.linkPath : "",
      major: one.type === "char" ? 1 : 0,
      minor: one.type === "char" ? 3 : 0,
      data: one.type === "file" ? fill.repeat(size) : "",
    };
  });

let count = 0;

/** What becomes of an archive: its tree, or the entry that is refused. */
async function outcome(bench: Bench, tar: Uint8Array): Promise<string[]> {
  const id = `sha256:${(++count).toString(16).padStart(64, "0")}`;
  try {
    await bench.apply([id], tar);
  } catch (error) {
    const [entryPath] = /archive entry "(?:[^"\\]|\\.)*"/.exec(String(error)) ?? [];
    return [`refused: ${entryPath ?? error}`];
  }
  const [root = ""] = bench.driver.layerDirectories([id]);
  const lines = await Promise.all(
    describeTree(root).map(async (line) => {
      const [at = ""] = line.split(" ");
      const marks = await bench.kernel.xattrs(`${root}/${at}`);
      return [line, ...marks.keys()].join(" ");
    }),
  );
  bench.driver.removeLayer(id);
  return lines;
}

test("files and images agree", async () => {
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 8 }), async (entries) => {
      const tar = archive(entries);
      const [made, written] = [await outcome(files, tar), await outcome(image, tar)];
      expect(written).toEqual(made);
      if (made[0]?.startsWith("refused")) refusals++;
    }),
    { numRuns: 400 },
  );
  // Neither all nor none of them mean something.
  expect(refusals).toBeGreaterThan(10);
  expect(refusals).toBeLessThan(390);
}, 120_000);

test("files with holes agree, and holes take no room", async () => {
  const made = Bun.spawnSync(
    [
      "sh",
      "-ec",
      "truncate -s 40M h; echo begin | dd of=h conv=notrunc status=none; echo middle | dd of=h bs=1M seek=20 conv=notrunc status=none; truncate -s 1000 small; tar -Scf - h small",
    ],
    { cwd: place.path },
  );
  expect([made.exitCode, made.stdout.length < 100_000]).toEqual([0, true]);
  const tar = new Uint8Array(made.stdout);
  const id = `sha256:${"f".repeat(64)}`;
  for (const bench of [files, image]) await bench.apply([id], tar);
  const trees = [files, image].map((bench) => bench.driver.layerDirectories([id])[0] ?? "");
  const [fromFiles, fromImage] = trees.map(describeTree);
  expect(fromImage).toEqual(fromFiles);
  expect(fromImage?.[0]).toStartWith("h 100644 0:0 41943040 1 ");
  const layer = statSync(`${image.root}/layers/${"f".repeat(64)}`);
  expect(layer.size).toBeGreaterThan(40 << 20);
  expect(layer.blocks * 512).toBeLessThan(1 << 20);
  for (const bench of [files, image]) bench.driver.removeLayer(id);
});
