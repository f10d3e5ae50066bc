/** A layer's archive as an image holds what the same archive unpacks to, or both refuse it. */
import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import fc from "fast-check";
import { valueOrFault } from "../../tests/kits/fuzz.ts";
import { TarReader } from "../base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import { extractLayer } from "../tree/index.ts";
import { writeErofsLayer } from "./erofs-layer.ts";

const dir = mkdtempSync("/tmp/berth-layer-");
afterAll(() => rmSync(dir, { recursive: true }));
const noFsck = Bun.which("fsck.erofs") === null;
const kernel = { mknod: async () => {}, setXattr: async () => {}, xattrs: async () => new Map() };
const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

const names = fc.constantFrom("a", "b", "c", "..", ".", "l");
const paths = fc.array(names, { minLength: 1, maxLength: 4 }).map((list) => list.join("/"));
const entries = fc.array(
  fc.record({
    path: fc.oneof(
      paths,
      paths.map((path) => `/${path}/`),
    ),
    type: fc.constantFrom("file" as const, "file", "directory", "symlink", "hardlink"),
    linkPath: fc.oneof(
      paths,
      paths.map((path) => `/${path}`),
    ),
    text: fc.constantFrom("", "x", "y".repeat(5000)),
    mode: fc.constantFrom(0o644, 0o755, 0o4711, 0o700),
  }),
  { maxLength: 14 },
);

type Entry = typeof entries extends fc.Arbitrary<readonly (infer T)[]> ? T : never;

/** The archive of these entries, cut where a number between 0 and 1 says, in most cases not at all. */
function archive(list: readonly Entry[], cut: number): Uint8Array {
  const parts = list.flatMap(({ path, type, linkPath, text, mode }) => {
    const data = type === "file" ? text : "";
    const linked = type === "symlink" || type === "hardlink" ? linkPath : "";
    const about = { ...own, path, type, mode, mtime: 1_000_000_000, major: 0, minor: 0 };
    const header = tarHeader({ ...about, linkPath: linked, size: data.length, xattrs: new Map() });
    return [header, Buffer.from(data), tarPadding(data.length)];
  });
  const whole = Buffer.concat([...parts, tarEnd()]);
  return cut < 0.8 ? whole : whole.subarray(0, Math.floor(((cut - 0.8) / 0.2) * whole.length));
}

async function* pieces(bytes: Uint8Array) {
  yield bytes;
}

/** What is in a tree: each path with its kind, rights and content. */
function contents(root: string, below = ""): Record<string, unknown> {
  return Object.fromEntries(
    readdirSync(`${root}/${below}`).flatMap((name): [string, unknown][] => {
      const path = below === "" ? name : `${below}/${name}`;
      const about = lstatSync(`${root}/${path}`);
      if (about.isSymbolicLink()) return [[path, `→ ${readlinkSync(`${root}/${path}`)}`]];
      const mode = (about.mode & 0o7777).toString(8);
      if (!about.isDirectory()) return [[path, [mode, readFileSync(`${root}/${path}`, "latin1")]]];
      return [[path, mode], ...Object.entries(contents(root, path))];
    }),
  );
}

async function unpacked(bytes: Uint8Array, to: string): Promise<boolean> {
  mkdirSync(to);
  const root = openSync(to, "r");
  const read = () => extractLayer(new TarReader(pieces(bytes)), root, kernel, "overlay");
  const size = await valueOrFault(read);
  closeSync(root);
  return size !== undefined;
}

test.skipIf(noFsck)(
  "an image holds what its archive unpacks to, whatever the archive is",
  async () => {
    let [at, both] = [0, 0];
    const cases = fc.tuple(entries, fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(cases, async ([list, cut]) => {
        const bytes = archive(list, cut);
        const base = `${dir}/${at++}`;
        const done = await unpacked(bytes, `${base}.tree`);
        const write = () => writeErofsLayer(new TarReader(pieces(bytes)), `${base}.image`);
        const size = await valueOrFault(write);
        expect(size !== undefined).toBe(done);
        if (done) {
          both++;
          // Owners that are given last would take setuid away again.
          const kept = ["--no-preserve-owner", "--preserve-perms"];
          const argv = ["fsck.erofs", `--extract=${base}.out`, ...kept, `${base}.image`];
          const out = Bun.spawnSync(argv);
          expect([out.exitCode, out.stderr.toString()]).toEqual([0, ""]);
          if (!existsSync(`${base}.out`)) mkdirSync(`${base}.out`);
          expect(contents(`${base}.out`)).toEqual(contents(`${base}.tree`));
        }
        for (const one of ["tree", "image", "out"])
          rmSync(`${base}.${one}`, { recursive: true, force: true });
      }),
      { numRuns: Number(process.env.BERTH_FUZZ ?? 150), seed: 5 },
    );
    expect(both).toBeGreaterThan(20);
  },
  120_000,
);
