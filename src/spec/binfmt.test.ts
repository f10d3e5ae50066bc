import { expect, test } from "bun:test";
import { emulationOf } from "./binfmt.ts";

const qemu = (magic: string, mask: string, flags: string, first = "enabled") =>
  `${first}\ninterpreter /usr/bin/qemu-static\nflags: ${flags}\noffset 0\nmagic ${magic}\nmask ${mask}\n`;
// As Debian's qemu-user-static registers them.
const arm64 = "7f454c460201010000000000000000000200b700";
const armMask = "ffffffffffffff00fffffffffffffffffeffffff";
const s390x = "7f454c4602020100000000000000000000020016";
const s390xMask = "ffffffffffffff00fffffffffffffffffffeffff";
const handlers = [
  "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n",
  qemu(arm64, armMask, "POCF"),
  qemu(s390x, s390xMask, "F"),
];

test("a handler takes the programs of its processor alone", () => {
  expect(emulationOf("arm64", handlers)).toBe("runs");
  expect(emulationOf("s390x", handlers)).toBe("runs");
  for (const other of ["arm", "riscv64", "ppc64le", "amd64", "unheard-of"])
    expect([other, emulationOf(other, handlers)]).toEqual([other, "nothing"]);
});

test("one that is off counts for nothing, and one without F needs its interpreter inside", () => {
  expect(emulationOf("arm64", [qemu(arm64, armMask, "F", "disabled")])).toBe("nothing");
  expect(emulationOf("arm64", [qemu(arm64, armMask, "OC")])).toBe("without-flag-F");
  expect(emulationOf("arm64", ["", "enabled\nflags: F\nmagic \n"])).toBe("nothing");
});
