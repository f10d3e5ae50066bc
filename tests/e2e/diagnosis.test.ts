/** A program that cannot be run: the message says why, at the start and in an exec. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const work = scratchDirectory("bt-why-");

beforeAll(async () => {
  const foreign = Buffer.alloc(64);
  foreign.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  foreign.writeUInt16LE(2, 16);
  foreign.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18);
  writeFileSync(`${work}/foreign`, foreign);
  writeFileSync(`${work}/bash-script`, "#!/bin/no-such-bash -e\ntrue\n");
  writeFileSync(`${work}/windows`, "#!/bin/sh\r\ntrue\r\n");
  writeFileSync(`${work}/text`, "just words\n");
  writeFileSync(`${work}/empty`, "");
  copyFileSync("/usr/bin/env", `${work}/dynamic`);
  for (const name of ["foreign", "bash-script", "windows", "text", "empty", "dynamic"])
    chmodSync(`${work}/${name}`, 0o755);
  writeFileSync(`${work}/plain`, "#!/bin/sh\n");
  chmodSync(`${work}/plain`, 0o644);
  await daemon.berth("run", "-d", "--name", "host", "-v", `${work}:/w`, "busybox", "sleep", "1000");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

test.each([
  ["foreign", 127, /it is built for (arm64|amd64), and this host is/],
  ["bash-script", 127, /its interpreter \/bin\/no-such-bash is not in the container/],
  ["windows", 127, /carriage return .*dos2unix/],
  ["text", 127, /neither a program nor a script/],
  ["empty", 127, /the file is empty/],
  ["dynamic", 127, /its loader \/lib\S*ld-linux\S* is not in the container/],
  ["plain", 126, /not executable: chmod \+x/],
])("%s", async (name, status, words) => {
  for (const client of ["berth", "docker"] as const) {
    const run = await daemon[client]("run", "--rm", "-v", `${work}:/w`, "busybox", `/w/${name}`);
    expect([run.status, run.err]).toEqual([status, expect.stringMatching(words)]);
    const exec = await daemon[client]("exec", "host", `/w/${name}`);
    expect([exec.status, exec.out]).toEqual([status, expect.stringMatching(words)]);
  }
});

test("a program that is found by PATH is looked at too; one that is nowhere is only not found", async () => {
  const path = ["-e", "PATH=/bin:/w", "-v", `${work}:/w`];
  const found = await daemon.docker("run", "--rm", ...path, "busybox", "windows");
  expect([found.status, found.err]).toEqual([
    127,
    expect.stringContaining("/w/windows is there, but"),
  ]);
  const none = await daemon.docker("run", "--rm", ...path, "busybox", "nowhere");
  expect([none.status, none.err]).toEqual([
    127,
    expect.stringContaining("executable file not found in $PATH"),
  ]);
});
