/** What C reads of the wire's records, whatever the bytes are: a harness is made from wire.h and run under sanitizers. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const scratch = mkdtempSync("/tmp/bt-wire-");
afterAll(() => rmSync(scratch, { recursive: true }));
const header = join(import.meta.dir, "../../native/wire.h");

/** Touches everything that a record's fields lead to. */
function touching(body: string): string {
  return [...body.matchAll(/out->(\w+) = wire_get_(\w+)\(/g)]
    .map(([, name = "", kind = ""]) => {
      if (kind === "str") return `if (op.${name}) sum += strlen(op.${name});`;
      if (kind === "bytes")
        return `for (uint32_t i = 0; i < op.${name}.length; i++) sum += op.${name}.data[i];`;
      const [, item] = /^(str|u32|u64)s$/.exec(kind) ?? [];
      if (item === undefined) return `sum += (size_t)op.${name};`;
      const next = `wire_next_${item}(&op.${name})`;
      const use = item === "str" ? `strlen(${next})` : `(size_t)${next}`;
      return `for (uint32_t n = op.${name}.count; n > 0; n--) sum += ${use};`;
    })
    .join("\n      ");
}

/** A program that gives each reader ARGV[1] records of bytes that are nearly right, each in memory of just its length. */
function harness(text: string): { readers: number; source: string } {
  const readers = [...text.matchAll(/bool (\w+)_read\(struct (\w+) \*out[^{]*\{([\s\S]*?)\n\}/g)];
  const cases = readers.map(
    ([, name, kind, body = ""], at) => `    case ${at}: {
      struct ${kind} op;
      memset(&op, 0, sizeof op);
      if (!${name}_read(&op, data, length)) return sum;
      read++;
      ${touching(body)}
      return sum;
    }`,
  );
  const source = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "${header}"
static uint64_t state = 20261126;
static size_t read;
static uint32_t next(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(state >> 33);
}
static size_t use(int which, const uint8_t *data, size_t length) {
  size_t sum = 0;
  switch (which) {
${cases.join("\n")}
  }
  return sum;
}
/* Numbers that are lengths, small or wrong, and texts with and without their NUL. */
static size_t fill(uint8_t *data, size_t size) {
  size_t at = 0, want = next() % size;
  while (at + 16 < want) {
    static const uint32_t odd[] = {0, 1, 2, 3, 7, 8, 64, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint32_t kind = next() % 4, number = next() % 12;
    if (kind == 0) number = odd[next() % (sizeof odd / sizeof *odd)];
    memcpy(data + at, &number, 4);
    at += 4;
    if (kind < 2) continue;
    for (uint32_t i = 0; i < number && at + 16 < want; i++) data[at++] = (uint8_t)(next() % 255 + 1);
    data[at++] = next() % 8 ? 0 : 1;
  }
  return at;
}
int main(int argc, char **argv) {
  static uint8_t draft[4096];
  size_t sum = 0;
  for (long round = argc > 1 ? atol(argv[1]) : 1; round > 0; round--) {
    for (int which = 0; which < ${readers.length}; which++) {
      size_t whole = fill(draft, next() % 8 ? 160 : sizeof draft);
      /* A record ends where its fields do: each length is tried, so that one of them may be right. */
      for (size_t length = whole; length > 0 && whole - length < 160; length--) {
        uint8_t *exact = malloc(length);
        memcpy(exact, draft, length);
        sum += use(which, exact, length);
        free(exact);
      }
    }
  }
  printf("%zu records read, %zu\\n", read, sum);
  return 0;
}
`;
  return { readers: readers.length, source };
}

test("no record of the wire is read beyond its end, whatever is in it", async () => {
  const { readers, source } = harness(await Bun.file(header).text());
  expect(readers).toBeGreaterThan(40);
  writeFileSync(`${scratch}/fuzz.c`, source);
  const flags = ["-std=gnu17", "-O1", "-g", "-D_GNU_SOURCE", "-fsanitize=address,undefined"];
  const built = Bun.spawnSync([
    "gcc",
    ...flags,
    "-fno-sanitize-recover=all",
    "-o",
    `${scratch}/fuzz`,
    `${scratch}/fuzz.c`,
  ]);
  expect([built.exitCode, built.stderr.toString()]).toEqual([0, ""]);
  const run = Bun.spawnSync([`${scratch}/fuzz`, process.env.BERTH_WIRE_ROUNDS ?? "60"]);
  expect([run.exitCode, run.stderr.toString()]).toEqual([0, ""]);
  // Enough of them are right, so that what they lead to has been looked at.
  expect(Number(/^\d+/.exec(run.stdout.toString())?.[0])).toBeGreaterThan(1000);
}, 600_000);
