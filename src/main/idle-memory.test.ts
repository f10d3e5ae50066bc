import { expect, test } from "bun:test";
import { programRanges } from "./idle-memory.ts";

test("only the program's executable, read-only mappings are given back", () => {
  const maps = [
    "00200000-01a39000 r--p 00000000 fe:00 1234                               /opt/berth",
    "01a40000-0684a000 r-xp 01840000 fe:00 1234                               /opt/berth",
    "06867000-071b8000 rw-p 06657000 fe:00 1234                               /opt/berth",
    "7f81460f1000-7f81860f1000 rwxp 00000000 00:00 0 ",
    "7f818645c000-7f81865b2000 r-xp 00026000 fe:00 99                         /usr/lib/libc.so.6",
    "",
  ].join("\n");
  expect(programRanges(maps, "/opt/berth")).toEqual([{ start: 0x1a40000n, length: 0x4e0a000n }]);
});
