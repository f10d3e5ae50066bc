import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Cgroups } from "../../runtime/index.ts";
import { delegateCgroups } from "./delegate.ts";

test("version 2: sets of processors that are empty stay so, and the root need have none", async () => {
  const root = mkdtempSync("/tmp/delegate-");
  // As it is where an engine has been before: only the root of version 2 has no such file.
  mkdirSync(`${root}/berth`);
  writeFileSync(`${root}/berth/cpuset.cpus`, "\n");
  const cgroups = Cgroups.detect(undefined, `30 20 0:26 / ${root} rw - cgroup2 cgroup2 rw`);
  const user = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const filtered: string[] = [];
  const made = await delegateCgroups(
    "/berth",
    user,
    [],
    async (directory) => void filtered.push(directory),
    cgroups,
  );
  expect(made).toEqual([`${root}/berth/daemon`, `${root}/berth`]);
  expect(filtered).toEqual([`${root}/berth`]);
  expect(readFileSync(`${root}/berth/cpuset.cpus`, "utf8")).toBe("\n");
  rmSync(root, { recursive: true });
});
