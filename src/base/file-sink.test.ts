import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { type Arrival, ArrivingFile } from "./arriving-file.ts";
import { FileSink } from "./file-sink.ts";

const dir = mkdtempSync("/tmp/berth-sink-");
afterAll(() => rmSync(dir, { recursive: true }));

const sizes = [1, 700, 65_536, 1 << 20, (1 << 20) + 1, 3_000_000];

/** A piece that looks like no other. */
function piece(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 7 + (at >> 8)) & 0xff);
}

test("what is written is in the file, whatever the pieces and their pace", async () => {
  for (const pause of [false, true])
    for (const size of sizes) {
      const path = `${dir}/${size}-${pause}`;
      const sink = new FileSink(openSync(path, "wx"));
      const pieces = Array.from({ length: 40 }, (_, index) => piece(size % 100_003, index));
      for (const one of pieces) {
        const own = Uint8Array.from(one);
        await sink.write(own);
        // The piece is the caller's again.
        own.fill(0);
        if (pause) await Bun.sleep(1);
      }
      const digest = await sink.finish();
      await sink.close();
      const whole = Buffer.concat(pieces);
      expect(readFileSync(path).equals(whole)).toBe(true);
      expect(digest).toBe(`sha256:${new Bun.CryptoHasher("sha256").update(whole).digest("hex")}`);
      expect(sink.size).toBe(whole.length);
    }
});

test("whoever reads along is told only of what is there", async () => {
  const path = `${dir}/along`;
  const file = new ArrivingFile(path);
  const sink = new FileSink(openSync(path, "wx"), file);
  const seen: Arrival[] = [];
  file.follow((state) => {
    seen.push(state);
    expect(readFileSync(path).length).toBeGreaterThanOrEqual(state.size);
  });
  for (let index = 0; index < 50; index++) await sink.write(piece(100_000, index));
  file.finish(await sink.finish());
  await sink.close();
  expect(seen.at(0)).toEqual({ size: 0, whole: false });
  expect(seen.at(-1)).toEqual({ size: 5_000_000, whole: true });
});

test("what has come is in the file soon, also when nothing follows", async () => {
  for (let round = 0; round < 20; round++) {
    const path = `${dir}/silent-${round}`;
    const sink = new FileSink(openSync(path, "wx"));
    // The second is taken while the first is being written.
    await sink.write(piece(600_000, 1));
    await sink.write(piece(300_000, 2));
    for (let tries = 0; readFileSync(path).length < 900_000 && tries < 200; tries++)
      await Bun.sleep(5);
    expect(readFileSync(path).length).toBe(900_000);
    await sink.close();
  }
});

test("a disk that takes no more is told of", async () => {
  const sink = new FileSink(openSync("/dev/full", "w"));
  const all = async () => {
    for (let index = 0; index < 5; index++) await sink.write(piece(1 << 20, index));
    await sink.finish();
  };
  await expect(all()).rejects.toThrow("ENOSPC");
  await sink.close();
});
