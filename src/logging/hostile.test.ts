/** Lines of a log that somebody or something has damaged: whole records are found again, others are nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText } from "../../tests/kits/fuzz.ts";
import { parseRecord, salvageRecords } from "./record.ts";

const time = "2026-11-26T10:00:00.000000001Z";
const record = (log: string, stream = "stdout") => JSON.stringify({ log, stream, time });

test("a damaged line is a record, or none", async () => {
  await checkAll(damagedText([record("hello\n"), record('"}{"log":"', "stderr")]), (line) => {
    const entries = [parseRecord(line), ...salvageRecords(line)];
    for (const entry of entries)
      if (entry !== undefined) {
        expect(["stdout", "stderr"]).toContain(entry.stream);
        expect(entry.text).toBeString();
        expect(entry.time).toBeString();
      }
  });
});

test("whole records on one line with gaps and halves between them are all found", async () => {
  const texts = fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 6 });
  await checkAll(fc.tuple(texts, fc.boolean()), ([list, torn]) => {
    const half = torn ? record("torn").slice(0, 14) : "";
    const line = list.map((text) => record(text)).join(`${half}\0\0\0`);
    const found = salvageRecords(line).map(({ text }) => text);
    // The last stands behind whatever was torn.
    expect(found.at(-1)).toBe(list.at(-1) as string);
    if (!torn) expect(found).toEqual(list);
  });
});
