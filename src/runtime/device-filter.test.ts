/** The device filter's program, and what the kernel makes of it, in a version-2 cgroup. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { helperOfFile } from "../../tests/kits/helper.ts";
import type { OciDeviceRule } from "../spec/oci-runtime.ts";
import { deviceFilter } from "./device-filter.ts";

const helper = helperOfFile();
const mount = readFileSync("/proc/self/mountinfo", "utf8")
  .split("\n")
  .find((line) => line.includes(" - cgroup2 "))
  ?.split(" ")[4];
let counter = 0;

/** Which of some shell commands work in a cgroup with these rules. */
async function outcome(rules: readonly OciDeviceRule[], commands: readonly string[]) {
  const cgroup = `${mount}/berth-devices-${process.pid}-${++counter}`;
  mkdirSync(cgroup);
  try {
    const program = deviceFilter(rules);
    if (program !== undefined) await helper.kernel.filterDevices(cgroup, program);
    return commands.map((command) => {
      const script = `echo 0 > ${cgroup}/cgroup.procs && cd ${helper.directory} && ${command}`;
      return Bun.spawnSync(["sh", "-c", script], { stderr: "ignore" }).exitCode === 0;
    });
  } finally {
    rmdirSync(cgroup);
  }
}

const all: OciDeviceRule = { allow: false, type: "a", access: "rwm" };
const read = "head -c 1 /dev/zero >out";
const write = "echo x 2>out >/dev/zero";
const readNull = "cat /dev/null >out";
const make = "rm -f node; mknod node c 1 5";

test.if(mount !== undefined)("the last rule that applies decides", async () => {
  const commands = [read, write, readNull, make];
  const zero = (allow: boolean, access: string): OciDeviceRule => ({
    allow,
    type: "c",
    major: 1,
    minor: 5,
    access,
  });
  expect(await outcome([], commands)).toEqual([false, false, false, false]);
  expect(await outcome([all, zero(true, "r")], commands)).toEqual([true, false, false, false]);
  expect(await outcome([all, zero(true, "rw")], commands)).toEqual([true, true, false, false]);
  const any: OciDeviceRule = { allow: true, type: "c", access: "m" };
  expect(await outcome([all, any], commands)).toEqual([false, false, false, true]);
  const open: OciDeviceRule = { allow: true, type: "a", access: "rwm" };
  expect(await outcome([all, open], commands)).toEqual([true, true, true, true]);
  expect(await outcome([open, zero(false, "w")], commands)).toEqual([true, false, true, true]);
  expect(await outcome([all, { allow: true, type: "b", access: "rwm" }], commands)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

test("no program is made where everything is allowed", () => {
  expect(deviceFilter([{ allow: true, type: "a", access: "rwm" }])).toBeUndefined();
  expect(deviceFilter([])?.length).toBe(8 * 8);
});
