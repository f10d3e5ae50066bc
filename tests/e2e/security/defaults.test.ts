/** What docs/security.md says that a container has by default, it has: measured from inside of one. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildProbe, defaultsOf } from "../../../tools/defaults.ts";
import { daemonOfFile } from "../../kits/daemon.ts";

const daemon = daemonOfFile();
const directory = buildProbe();
afterAll(() => rmSync(directory, { recursive: true }));
const page = readFileSync(join(import.meta.dir, "../../../docs/security.md"), "utf8");

/** The table's rows that are measured: berth's column by their first. */
function told(): Map<string, string> {
  const [, table = ""] = page.split("<!-- measured by tools/defaults.ts -->");
  const rows = table.split("\n\n")[1]?.split("\n").slice(2) ?? [];
  return new Map(
    rows.map((row) => {
      const [, name = "", berth = ""] = row.split("|").map((cell) => cell.trim());
      return [name, berth];
    }),
  );
}

test("berth's column of the table of defaults is what a container has", async () => {
  const mount = ["-v", `${directory}:/probe:ro`];
  const { out, status } = await daemon.berth("run", "--rm", ...mount, "busybox", "/probe/probe");
  expect(status).toBe(0);
  const seen = defaultsOf(out);
  const rows = told();
  expect(rows.size).toBeGreaterThan(12);
  // Of what a kernel lacks a container is refused more: those are not told.
  const host = ["system calls that answer EPERM or ENOSYS, of 470", "masked", "read-only"];
  for (const [name, text] of rows)
    if (!host.includes(name)) expect([name, text]).toEqual([name, seen[name] ?? ""]);
  // On the host that it was measured on 176: a filter that lets everything by would be seen.
  expect(Number(seen["system calls that answer EPERM or ENOSYS, of 470"])).toBeGreaterThan(100);
  // What there is to mask differs from kernel to kernel.
  for (const field of ["masked", "read-only"])
    for (const path of (seen[field] ?? "").split(" ")) expect(rows.get(field)).toContain(path);
  expect(seen.masked).toContain("/proc/keys");
  expect(seen["read-only"]).toContain("/proc/sys");
});

test("a port that names no address is published on every one of both families", async () => {
  await daemon.berth("run", "-d", "--name", "pub", "-p", "80", "busybox", "sleep", "1000");
  const { out } = await daemon.berth("port", "pub");
  expect(out).toMatch(/^80\/tcp -> 0\.0\.0\.0:\d+\n80\/tcp -> \[::\]:\d+\n$/);
  await daemon.berth("rm", "-f", "pub");
});
