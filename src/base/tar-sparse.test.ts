/** Files with holes, as GNU tar writes them. */
import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { TarReader } from "./tar.ts";
import { checkRuns, runsOf } from "./tar-sparse.ts";

const dir = mkdtempSync("/tmp/berth-sparse-");
afterAll(() => rmSync(dir, { recursive: true }));

/** A file of `runs` pieces of data with holes between them and at the end. */
function sparseFile(runs: number): Buffer {
  const fd = openSync(`${dir}/file`, "w");
  for (let index = 0; index < runs; index++)
    writeSync(fd, `data ${index}`.repeat(900), index * 65_536 + (index % 2 ? 8192 : 0));
  ftruncateSync(fd, runs * 65_536 + 1_000_000);
  closeSync(fd);
  return readFileSync(`${dir}/file`);
}

async function* stream(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test.each(["gnu", "posix --sparse-version=0.1", "posix --sparse-version=1.0"])(
  "%s: data comes back where it was",
  async (format) => {
    for (const runs of [0, 1, 5, 70]) {
      const whole = sparseFile(runs);
      const argv = `tar -C ${dir} --format=${format} -S -c file /etc/hostname`.split(" ");
      const archive = Bun.spawnSync(argv).stdout;
      expect(archive.length).toBeLessThan(whole.length);
      for (const size of [500, 100_000]) {
        const reader = new TarReader(stream(archive, size));
        const entry = await reader.next();
        expect(entry).toMatchObject({ path: "file", type: "file", size: whole.length });
        const pieces: Uint8Array[] = [];
        for await (const piece of reader.data()) pieces.push(Uint8Array.from(piece));
        expect(Buffer.concat(pieces).equals(whole)).toBe(true);
        const next = await reader.next();
        expect(next?.path).toBe("etc/hostname");
        expect(await reader.next()).toBeUndefined();
      }
    }
  },
);

test("a map that does not fit is refused", () => {
  const fits = [{ offset: 10, length: 5 }];
  expect(() => checkRuns(fits, 15, 5)).not.toThrow();
  expect(() => checkRuns(fits, 14, 5)).toThrow("does not fit");
  expect(() => checkRuns(fits, 15, 6)).toThrow("does not fit");
  expect(() => checkRuns([...fits, { offset: 14, length: 1 }], 99, 6)).toThrow("out of order");
  expect(() => runsOf(["1", "2", "3"])).toThrow("no list");
  expect(() => runsOf(["-1", "2"])).toThrow("no list");
});
