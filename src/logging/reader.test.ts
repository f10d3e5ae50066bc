import { afterAll, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { gzipHead } from "./gzip-note.ts";
import { type LogQuery, readLogs } from "./reader.ts";
import { parseRecord, salvageRecords } from "./record.ts";

const work = mkdtempSync("/tmp/berth-reader-");
afterAll(() => rmSync(work, { recursive: true, force: true }));
let made = 0;
const newPath = () => `${work}/${made++}-json.log`;

/** Record number n: its time follows from it. */
const record = (n: number, more = "") =>
  `{"log":"n${n}\\n","stream":"stdout"${more},"time":"2026-01-01T00:${String(Math.floor(n / 60)).padStart(2, "0")}:${String(n % 60).padStart(2, "0")}.5Z"}\n`;
const records = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => record(from + i)).join("");
const names = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `n${from + i}`);

const ended = { running: () => false, exited: () => new Promise(() => {}) };
const everything = { stdout: true, stderr: true, follow: false, since: "", until: "", tail: -1 };

async function read(path: string, query: Partial<LogQuery> = {}) {
  const seen: string[] = [];
  let damage = 0;
  const damaged = (places: number) => {
    damage = places;
  };
  const never = new AbortController().signal;
  for await (const { text } of readLogs(path, { ...everything, damaged, ...query }, ended, never))
    seen.push(text.trimEnd());
  return { seen, damage };
}

/** Compresses a rotated file as the daemon has it done. */
function compress(path: string, lastTime?: string): void {
  const plain = new Uint8Array(readFileSync(path));
  const trailer = new Uint8Array(8);
  new DataView(trailer.buffer).setUint32(0, crc32(plain), true);
  new DataView(trailer.buffer).setUint32(4, plain.length, true);
  const note = { inode: statSync(path).ino, ...(lastTime === undefined ? {} : { lastTime }) };
  writeFileSync(`${path}.tmp`, Buffer.concat([gzipHead(note), deflateRawSync(plain), trailer]));
  renameSync(`${path}.tmp`, `${path}.gz`);
  unlinkSync(path);
}

function threeFiles(): string {
  const path = newPath();
  writeFileSync(`${path}.2`, records(0, 100));
  writeFileSync(`${path}.1`, records(100, 200));
  writeFileSync(path, records(200, 300));
  return path;
}

test("compressed and plain files are read as one log: whole, from the end, and by time", async () => {
  const path = threeFiles();
  compress(`${path}.2`, "2026-01-01T00:01:39.5Z");
  compress(`${path}.1`, "2026-01-01T00:03:19.5Z");
  expect(await read(path)).toEqual({ seen: names(0, 300), damage: 0 });
  for (const tail of [0, 1, 100, 101, 150, 200, 250, 300, 400])
    expect((await read(path, { tail })).seen).toEqual(names(Math.max(0, 300 - tail), 300));
  expect((await read(path, { since: "2026-01-01T00:02:00Z" })).seen).toEqual(names(120, 300));
  expect((await read(path, { until: "2026-01-01T00:00:10Z" })).seen).toEqual(names(0, 10));
  // Nobody but gzip is needed to read them.
  const { stdout } = Bun.spawnSync(["gzip", "-dc", `${path}.1.gz`]);
  expect(stdout.toString()).toBe(records(100, 200));
});

test("a log that grows while it is read ends where it ended at the beginning, unless it is followed", async () => {
  const path = newPath();
  writeFileSync(path, records(0, 3));
  const read = async (tail: number) => {
    const seen: string[] = [];
    const reading = readLogs(path, { ...everything, tail }, ended, new AbortController().signal);
    const grow = () => {
      appendFileSync(path, record(9));
      return reading.next();
    };
    const first = reading.next();
    let next = grow();
    for (let { value } = await first; value !== undefined && seen.length < 20; ) {
      seen.push(value.text.trimEnd());
      ({ value } = await next);
      next = grow();
    }
    return seen;
  };
  expect(await read(-1)).toEqual(["n0", "n1", "n2"]);
  writeFileSync(path, records(0, 3));
  expect(await read(1)).toEqual(["n2"]);
  expect(await read(0)).toEqual([]);
});

test("files that dockerd compressed, both forms of one file, and numbers that are missing", async () => {
  const path = newPath();
  writeFileSync(`${path}.4.gz`, gzipSync(records(0, 10)));
  writeFileSync(`${path}.2`, records(10, 20));
  writeFileSync(`${path}.2.gz`, gzipSync(records(10, 20)));
  writeFileSync(path, records(20, 30));
  writeFileSync(`${path}.77-1.tmp`, "half");
  expect(await read(path)).toEqual({ seen: names(0, 30), damage: 0 });
});

test("a compressed file that is cut short gives what there is of it, and that is told", async () => {
  const path = threeFiles();
  const whole = gzipSync(records(0, 100));
  unlinkSync(`${path}.2`);
  writeFileSync(`${path}.2.gz`, whole.subarray(0, whole.length - 40));
  const { seen, damage } = await read(path);
  expect(seen.slice(-200)).toEqual(names(100, 300));
  expect(damage).toBe(1);
});

test("whoever follows comes through rotation and compression without losing or repeating", async () => {
  const path = newPath();
  writeFileSync(path, "");
  const life = { running: () => true, exited: () => new Promise(() => {}) };
  const stop = new AbortController();
  const seen: string[] = [];
  let lost = 0;
  const query = { ...everything, follow: true, lost: () => lost++ };
  const reading = (async () => {
    for await (const { text } of readLogs(path, query, life, stop.signal)) {
      seen.push(text.trimEnd());
      if (seen.length === 500) stop.abort();
    }
  })();
  for (let i = 0; i < 50; i++) {
    appendFileSync(path, records(i * 10, i * 10 + 10));
    if (i % 3 === 0) await Bun.sleep(1);
    if (i === 49) break;
    for (let n = 48; n > 0; n--)
      for (const form of ["", ".gz"])
        try {
          renameSync(`${path}.${n}${form}`, `${path}.${n + 1}${form}`);
        } catch {
          // There is none such.
        }
    renameSync(path, `${path}.1`);
    writeFileSync(path, "");
    compress(`${path}.1`);
  }
  await reading;
  expect(seen).toEqual(names(0, 500));
  expect(lost).toBe(0);
});

test("after a gap of zeros and after half a record reading goes on with the next whole one", async () => {
  const path = newPath();
  const half = record(1).slice(0, 20);
  const gap = "\0".repeat(5000);
  writeFileSync(
    path,
    `${record(0)}${half}${record(2)}${gap}${record(3)}${record(4).trimEnd()}${gap}\n${gap}\n${record(5)}`,
  );
  expect(await read(path)).toEqual({ seen: ["n0", "n2", "n3", "n4", "n5"], damage: 4 });
  const large = newPath();
  writeFileSync(large, `${record(0)}${"\0".repeat(3_000_000)}${record(1)}${record(2)}{"log":"to`);
  expect(await read(large)).toEqual({ seen: ["n0", "n1", "n2"], damage: 2 });
});

test("what looks like a record's beginning in its attributes or text is none", () => {
  const attributes = record(1, ',"attrs":{"log":"x","z":"{\\"log\\":\\"y"}').trimEnd();
  expect(parseRecord(attributes)?.attributes).toEqual({ log: "x", z: '{"log":"y' });
  const damaged = `{"log":"ha${attributes}{"log":"tor${record(2).trimEnd()}`;
  expect(salvageRecords(damaged).map(({ text }) => text)).toEqual(["n1\n", "n2\n"]);
  expect(salvageRecords('{"log":"'.repeat(10_000))).toEqual([]);
});
