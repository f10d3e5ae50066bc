import { expect, test } from "bun:test";
import { type TarEntry, TarReader } from "./tar.ts";
import { tarEnd, tarHeader, tarPadding } from "./tar-writer.ts";

const plain: TarEntry = {
  path: "a/file",
  type: "file",
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  size: 5,
  mtime: 1_700_000_000,
  linkPath: "",
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

async function readBack(entries: readonly TarEntry[]): Promise<TarEntry[]> {
  const chunks = entries.flatMap((entry) => [
    tarHeader(entry),
    new Uint8Array(Math.min(entry.size, 5)),
    tarPadding(entry.size),
  ]);
  const reader = new TarReader(
    (async function* () {
      yield Buffer.concat([...chunks, tarEnd()]);
    })(),
  );
  const out: TarEntry[] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next())
    out.push(entry);
  return out;
}

test("what is written is read back, whatever its length and letters", async () => {
  const entries: TarEntry[] = [
    plain,
    { ...plain, path: `${"d".repeat(90)}/${"f".repeat(90)}`, uid: 3_000_000, size: 0 },
    { ...plain, path: "ümlaut", size: 0, xattrs: new Map([["user.x", new Uint8Array([0, 255])]]) },
    { ...plain, path: "link", type: "symlink", linkPath: "../".repeat(60), size: 0 },
    { ...plain, path: "hard", type: "hardlink", linkPath: "a/file", size: 0 },
    { ...plain, path: "node", type: "char", major: 1, minor: 5, size: 0 },
    { ...plain, path: "dir/", type: "directory", size: 0 },
  ];
  expect(await readBack(entries)).toEqual(entries);
});

test("GNU tar reads it too", async () => {
  const archive = Buffer.concat([
    tarHeader({ ...plain, path: `${"long".repeat(40)}.txt` }),
    new TextEncoder().encode("hello"),
    tarPadding(5),
    tarEnd(),
  ]);
  const listed = Bun.spawnSync(["tar", "-tvf", "-"], { stdin: archive });
  expect(listed.stderr.toString()).toBe("");
  expect(listed.stdout.toString()).toMatch(/^-rwsr-xr-x 1000\/100 +5 .*(long){40}\.txt\n$/);
});
