/**
 * What every storage driver must do, whatever it keeps: one suite, run on each. It looks at what a container sees, by the
 * mount that the driver asks for.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  type Dirent,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ByteStream } from "../../src/base/compression.ts";
import type { TarEntry } from "../../src/base/tar.ts";
import { tarEnd, tarHeader, tarPadding } from "../../src/base/tar-writer.ts";
import { type Kernel, startKernel } from "../../src/kernel/index.ts";
import { overlayParams } from "../../src/runtime/index.ts";
import {
  type ContainerLayer,
  type DriverName,
  openDriver,
  type SnapshotDriver,
} from "../../src/storage/index.ts";

/** Where a driver is tried. */
export interface SuitePlace {
  readonly path: string;
  /** Leaves only so many bytes free; gives what makes room again. Not every place can. */
  fill?(leave: number): () => void;
  remove(): void;
}

/** An entry of an archive; what is left out is plain. */
export type Entry = Partial<TarEntry> & {
  readonly path: string;
  readonly data?: string | Uint8Array;
};

const plain = { uid: 0, gid: 0, mtime: 1_000_000_000, linkPath: "", major: 0, minor: 0 };
/** struct vfs_ns_cap_data of revision 2: cap_net_raw, permitted and effective. */
const capability = Uint8Array.from([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const longName = "n".repeat(255);
const deep = Array.from({ length: 30 }, (_, level) => `directory-at-level-${level}`).join("/");
const big = new Uint8Array(3_000_017).map((_, at) => (at * 7919) >> 5);
const many = Array.from({ length: 700 }, (_, at) => `many/a-name-that-takes-some-room-${at}`);

/** An archive of entries. */
export function archive(entries: readonly Entry[]): Uint8Array {
  const pieces = entries.flatMap(({ data = "", ...entry }) => {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const type = entry.type ?? (entry.path.endsWith("/") ? "directory" : "file");
    const mode = type === "directory" ? 0o755 : 0o644;
    const whole = { ...plain, mode, xattrs: new Map(), ...entry, type, size: bytes.length };
    return [tarHeader(whole, true), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...pieces, tarEnd()]);
}

const base = archive([
  { path: "./", mode: 0o755 },
  { path: "bin/", mode: 0o755 },
  { path: "bin/tool", data: "#!tool", mode: 0o4755, uid: 1, gid: 2, mtime: 1234567890.25 },
  { path: "bin/same", type: "hardlink", linkPath: "bin/tool" },
  { path: "bin/link", type: "symlink", linkPath: "tool", uid: 5 },
  { path: "bin/gone", data: "x" },
  { path: "nodes/", mode: 0o1777, gid: 7, mtime: 1111111111 },
  { path: "nodes/null", type: "char", major: 1, minor: 3, mode: 0o666 },
  { path: "nodes/far", type: "block", major: 259, minor: 70000, mode: 0o600 },
  { path: "nodes/pipe", type: "fifo", mode: 0o622 },
  { path: "caps", data: "c", xattrs: new Map([["security.capability", capability]]) },
  { path: "note", data: "n", xattrs: new Map([["user.note", new Uint8Array([0, 255, 10])]]) },
  { path: "empty" },
  { path: "big", data: big },
  { path: longName, data: "long" },
  { path: `${deep}/file`, data: "deep" },
  { path: "with space + ümlaut", data: "u" },
  { path: "-dash", data: "-" },
  { path: "+plus", data: "+" },
  { path: "directory/below", data: "b" },
  { path: "opaque/below", data: "b" },
  { path: "merged/below", data: "b" },
  { path: "replaced/below", data: "b" },
  { path: "turned", data: "a file" },
  { path: "flat/inside", data: "in a directory" },
  { path: "usr/lib/", mode: 0o755 },
  { path: "lib", type: "symlink", linkPath: "usr/lib" },
  { path: "lib/through", data: "through a link of the same layer" },
  ...many.map((path) => ({ path, data: path })),
]);
const second = archive([
  { path: "bin/.wh.gone" },
  { path: ".wh.directory" },
  { path: "opaque/" },
  { path: "opaque/.wh..wh..opq" },
  { path: "opaque/above", data: "a" },
  { path: ".wh.replaced" },
  { path: "replaced/", mode: 0o755 },
  { path: "replaced/above", data: "a" },
  { path: "merged/", mode: 0o700 },
  { path: "merged/above", data: "a" },
  { path: "turned/", mode: 0o711 },
  { path: "turned/inside", data: "i" },
  { path: "flat", data: "a file now" },
  { path: "bin/tool", data: "newer", mode: 0o755 },
]);

async function* stream(bytes: Uint8Array): ByteStream {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

async function gather(source: ByteStream): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

const digest = (bytes: Uint8Array) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

/** Everything below a directory, as lines that do not depend on the file system. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const walk = (below: string) => {
    for (const { name } of readdirSync(`${root}/${below}`, { withFileTypes: true }) as Dirent[]) {
      const path = `${below}${name}`;
      const info = lstatSync(`${root}/${path}`);
      const what = info.isSymbolicLink()
        ? `-> ${readlinkSync(`${root}/${path}`)}`
        : info.isFile()
          ? `${info.size} ${info.nlink} ${digest(readFileSync(`${root}/${path}`)).slice(7, 15)}`
          : info.isDirectory()
            ? ""
            : `rdev ${info.rdev}`;
      lines.push(`${path} ${info.mode.toString(8)} ${info.uid}:${info.gid} ${what}`.trim());
      if (info.isDirectory()) walk(`${path}/`);
    }
  };
  walk("");
  return lines.sort();
}

/** A driver on a place, with a kernel of its own. */
export class Bench {
  private readonly handles: number[] = [];
  private constructor(
    readonly root: string,
    readonly driver: SnapshotDriver,
    readonly kernel: Kernel,
  ) {}

  static async open(name: DriverName, place: SuitePlace): Promise<Bench> {
    const kernel = await startKernel({
      helperPath: join(import.meta.dir, "../../dist/parts/berth-helper"),
      shimPath: "/bin/true",
      socketPath: `${place.path}/helper.sock`,
    });
    const root = `${place.path}/${name}`;
    return new Bench(root, await openDriver(name, root, kernel), kernel);
  }

  apply(chain: readonly string[], tar: Uint8Array, diffId?: string) {
    const [parent, chainId = ""] = [chain.at(-2), chain.at(-1)];
    return this.driver.applyLayer({
      chainId,
      tar: stream(tar),
      ...(parent === undefined ? {} : { parent }),
      ...(diffId === undefined ? {} : { diffId }),
    });
  }

  /** Mounts a container's root where nobody else sees it; gives a path. */
  async mount(container: ContainerLayer): Promise<string> {
    const mount = this.driver.mountOf(container);
    if (mount.kind === "bind") return mount.path;
    const merged = { volatile: false, ...mount, kind: "overlay" } as const;
    const handle = await this.kernel.mountDetached("overlay", overlayParams(merged, true));
    this.handles.push(handle);
    return `/proc/${this.kernel.pid}/fd/${handle}/.`;
  }

  async close(): Promise<void> {
    await Promise.all(this.handles.splice(0).map((handle) => this.kernel.close(handle)));
    await this.driver.settled();
    await this.kernel.stop();
  }
}

const chain = [digest(new Uint8Array([1])), digest(new Uint8Array([2]))];
const container = (id: string, on: readonly string[] = chain): ContainerLayer => ({
  id,
  chain: on,
  volatile: false,
});

/** Runs the suite for a driver. `place` makes a directory that the driver works on; `skipped`: why that cannot be. */
export function storageSuite(
  driver: DriverName,
  where: string,
  place: () => SuitePlace,
  skipped?: string,
): void {
  const title = `${driver} on ${where}${skipped === undefined ? "" : ` (skipped: ${skipped})`}`;
  describe.skipIf(skipped !== undefined)(title, () => {
    let here: SuitePlace;
    let bench: Bench;
    beforeAll(async () => {
      here = place();
      bench = await Bench.open(driver, here);
      await bench.apply(chain.slice(0, 1), base, digest(base));
      await bench.apply(chain, second, digest(second));
    });
    afterAll(async () => {
      await bench.close();
      here.remove();
    });
    for (const part of [layers, layersTogether, changes, reading, refusals, safety])
      part(() => bench);
    room(
      () => bench,
      () => here,
    );
    if (driver === "btrfs") nested(() => bench);
    test("a new process finds everything, and throws away what was half-made", async () => {
      await bench.driver.prepare(container("kept"));
      const before = describeTree(await bench.mount(container("kept")));
      await bench.close();
      for (const name of ["new/1-1/some", "trash/1-2/deep/er"])
        mkdirSync(`${bench.root}/${name}`, { recursive: true });
      writeFileSync(`${bench.root}/new/1-9`, "half an image");
      bench = await Bench.open(driver, here);
      bench.driver.sweep();
      await bench.driver.settled();
      expect(readdirSync(`${bench.root}/new`)).toEqual([]);
      expect(readdirSync(`${bench.root}/trash`)).toEqual([]);
      expect(bench.driver.layers().sort()).toEqual([...chain].sort());
      expect(chain.map((one) => bench.driver.hasLayer(one))).toEqual([true, true]);
      expect(bench.driver.containers()).toContain("kept");
      expect(describeTree(await bench.mount(container("kept")))).toEqual(before);
    });
    test("what is removed is gone from the disk", async () => {
      await bench.close();
      bench = await Bench.open(driver, here);
      for (const id of bench.driver.containers()) bench.driver.remove(id);
      for (const one of bench.driver.layers()) bench.driver.removeLayer(one);
      bench.driver.remove("never-was");
      bench.driver.removeLayer(chain[0] ?? "");
      await bench.driver.settled();
      expect(bench.driver.hasLayer(chain[0] ?? "")).toBe(false);
      for (const name of ["layers", "containers", "new", "trash"])
        expect(readdirSync(`${bench.root}/${name}`)).toEqual([]);
    });
  });
}

function room(bench: () => Bench, place: () => SuitePlace): void {
  test("a layer that finds no room is refused with a reason, and nothing of it stays", async () => {
    if (place().fill === undefined) return;
    const tar = archive([{ path: "large/file", data: new Uint8Array(48 << 20) }]);
    const makeRoom = place().fill?.(16 << 20);
    await expect(bench().apply(refused, tar)).rejects.toThrow(
      /cannot unpack "large\/file": .*(ENOSPC|no space)/i,
    );
    await expectNothing(bench());
    makeRoom?.();
    await bench().apply(refused, tar);
    bench().driver.removeLayer(refused[0] ?? "");
  });
}

function nested(bench: () => Bench): void {
  test("what a container has made of its tree hinders no removal", async () => {
    await bench().driver.prepare(container("nests"));
    const root = await bench().mount(container("nests"));
    await bench().kernel.makeSubvolume(`${root}/nested`);
    writeFileSync(`${root}/nested/file`, "x");
    await bench().kernel.makeSubvolume(`${root}/nested/deeper`, root);
    bench().driver.remove("nests");
    await bench().driver.settled();
    expect(readdirSync(`${bench().root}/trash`)).toEqual([]);
  });
}

function layers(bench: () => Bench): void {
  test("a container sees its layers merged, with everything that the archives say", async () => {
    await bench().driver.prepare(container("seen"));
    const root = await bench().mount(container("seen"));
    const lines = describeTree(root);
    const line = (path: string) => lines.find((one) => one.startsWith(`${path} `));
    const text = (path: string) => readFileSync(`${root}/${path}`, "utf8");
    expect(line("bin/tool")).toStartWith("bin/tool 100755 0:0 5 ");
    expect(text("bin/tool")).toBe("newer");
    expect(text("bin/same")).toBe("#!tool");
    expect(line("bin/same")).toStartWith("bin/same 104755 1:2 6 ");
    expect(line("bin/link")).toBe("bin/link 120777 5:0 -> tool");
    expect(line("nodes")).toBe("nodes 41777 0:7");
    expect(line("nodes/null")).toBe(`nodes/null 20666 0:0 rdev ${(1 << 8) | 3}`);
    expect(line("nodes/far")).toStartWith("nodes/far 60600 0:0 rdev ");
    expect(line("nodes/pipe")).toStartWith("nodes/pipe 10622 0:0");
    expect(readFileSync(`${root}/big`).equals(big)).toBe(true);
    expect(text(longName) + text(`${deep}/file`) + text("with space + ümlaut")).toBe("longdeepu");
    expect(text("-dash") + text("+plus") + text("empty")).toBe("-+");
    expect(text("usr/lib/through")).toBe("through a link of the same layer");
    for (const path of ["bin/gone", "directory", "opaque/below", "flat/inside"])
      expect([path, existsSync(`${root}/${path}`)]).toEqual([path, false]);
    expect(readdirSync(`${root}/opaque`)).toEqual(["above"]);
    expect(readdirSync(`${root}/replaced`)).toEqual(["above"]);
    expect(readdirSync(`${root}/merged`).sort()).toEqual(["above", "below"]);
    expect(line("merged")).toBe("merged 40700 0:0");
    expect(line("turned")).toBe("turned 40711 0:0");
    expect(text("flat")).toBe("a file now");
    expect(many.map(text)).toEqual(many);
    expect(readdirSync(`${root}/many`).length).toBe(many.length);
    expect(lines.filter((one) => one.includes(".wh."))).toEqual([]);
    expect(line(".dockerenv")).toStartWith(".dockerenv 100644 0:0 0 ");
  });

  test("times are kept to the nanosecond, links and attributes too", async () => {
    await bench().driver.prepare(container("exact", chain.slice(0, 1)));
    const root = await bench().mount(container("exact", chain.slice(0, 1)));
    const tool = lstatSync(`${root}/bin/tool`);
    expect([tool.mtimeMs, tool.nlink]).toEqual([1234567890250, 2]);
    expect(tool.ino).toBe(lstatSync(`${root}/bin/same`).ino);
    expect(lstatSync(`${root}/nodes`).mtimeMs).toBe(1111111111000);
    expect(lstatSync(`${root}/bin/link`).mtimeMs).toBe(1_000_000_000_000);
    const { kernel } = bench();
    expect([...(await kernel.xattrs(`${root}/caps`))]).toEqual([
      ["security.capability", capability],
    ]);
    expect([...(await kernel.xattrs(`${root}/note`))]).toEqual([
      ["user.note", new Uint8Array([0, 255, 10])],
    ]);
    const nodes = [lstatSync(`${root}/nodes/far`).rdev, lstatSync(`${root}/nodes/null`).rdev];
    const minor = (rdev: number) => (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
    expect(nodes.map((rdev) => [(rdev >> 8) & 0xfff, minor(rdev)])).toEqual([
      [259, 70000],
      [1, 3],
    ]);
  });
}

function layersTogether(bench: () => Bench): void {
  test("130 layers, more than the others allow, are as good as one", async () => {
    const ids: string[] = [];
    for (let at = 0; at < 130; at++) {
      ids.push(digest(new Uint8Array([9, at])));
      await bench().apply(ids.slice(-2), archive([{ path: `f${at}`, data: String(at) }]));
    }
    await bench().driver.prepare(container("tall", ids));
    const root = await bench().mount(container("tall", ids));
    expect(readdirSync(root).filter((name) => /^f\d+$/.test(name)).length).toBe(130);
    expect(readFileSync(`${root}/f0`, "utf8")).toBe("0");
    await bench().kernel.xattrs(root);
    bench().driver.remove("tall");
    for (const one of ids.reverse()) bench().driver.removeLayer(one);
  });

  test("the same layer twice at once is stored once", async () => {
    const id = digest(new Uint8Array([7]));
    const tar = archive([{ path: "once", data: "1" }]);
    const both = await Promise.all([bench().apply([id], tar), bench().apply([id], tar)]);
    expect(both.map(({ diffId }) => diffId)).toEqual([digest(tar), digest(tar)]);
    const staged = await bench().driver.stageLayer({ tar: stream(tar) });
    expect(staged).toMatchObject({ diffId: digest(tar), size: 1 });
    expect(bench().driver.hasLayer(digest(tar))).toBe(false);
    await staged.commit(digest(tar));
    expect(bench().driver.hasLayer(digest(tar))).toBe(true);
    for (const one of [id, digest(tar)]) bench().driver.removeLayer(one);
  });
}

/** What a program in a container might do. */
function change(root: string): void {
  const script = [
    "echo new > made",
    "mkdir -p dir/in && echo x > dir/in/x && ln dir/in/x dir/in/y",
    "rm bin/same && rm -r merged",
    "mkdir merged && echo own > merged/own",
    "echo more >> note",
    "ln -s ../made dir/link && mkfifo dir/pipe",
    "chmod 600 empty",
    "chown 12:34 dir/in",
    "dd if=/dev/zero of=dir/zeros bs=1000 count=100 status=none",
  ].join(" && ");
  const done = Bun.spawnSync(["sh", "-ec", script], { cwd: root });
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
}

const one = container("changes");

function changes(bench: () => Bench): void {
  test("what a container writes is its own, and is told as changes", async () => {
    const { driver } = bench();
    await driver.prepare(one);
    await driver.prepare(container("other"));
    expect(driver.usage(one).bytes).toBe(0);
    const [root, other] = [await bench().mount(one), await bench().mount(container("other"))];
    const before = describeTree(other);
    change(root);
    expect(describeTree(other)).toEqual(before);
    const told: string[] = [];
    for await (const { kind, path } of driver.changes(one))
      told.push(`${kind[0]?.toUpperCase()} ${path}`);
    expect(told.sort()).toEqual(
      [
        ...["M bin", "D bin/same", "M merged", "D merged/above", "D merged/below", "A merged/own"],
        ...["A made", "A dir", "A dir/in", "A dir/in/x", "A dir/in/y", "A dir/link", "A dir/pipe"],
        ...["A dir/zeros", "M note", "M empty"],
      ].sort(),
    );
    // The new files, and the two that were changed.
    expect(driver.usage(one).bytes).toBe(4 + 2 + 4 + 6 + 100_000);
  });

  test("a commit of the changes is the container again", async () => {
    const { driver } = bench();
    const layer = await gather(driver.packChanges(one));
    const next = [...chain, digest(layer)];
    expect((await bench().apply(next, layer, digest(layer))).diffId).toBe(digest(layer));
    await driver.prepare(container("committed", next));
    const was = describeTree(await bench().mount(one));
    expect(describeTree(await bench().mount(container("committed", next)))).toEqual(was);
    driver.remove("committed");
    driver.removeLayer(digest(layer));
  });
}

function reading(bench: () => Bench): void {
  test("it is exported, looked into and read without being mounted", async () => {
    const { driver } = bench();
    const tar = await gather(driver.packTree(one));
    const listed = Bun.spawnSync(["tar", "-tf", "-"], { stdin: tar }).stdout.toString().split("\n");
    const seen = describeTree(await bench().mount(one)).length;
    expect(listed.filter((line) => line !== "").length).toBe(seen);
    const read = async (path: string, max = 100) => {
      const bytes = await driver.readFile(one, path, max);
      return bytes && new TextDecoder().decode(bytes);
    };
    expect(await read("/dir/link")).toBe("new\n");
    expect(await read("../../../../../lib/through")).toBe("through a link of the same layer");
    expect(await read("lib/through", 5)).toBeUndefined();
    // Gone with a directory that was replaced; and what would block whoever opens it.
    for (const path of ["merged/below", "opaque/below", "nodes/pipe", "lib"])
      expect([path, await read(path)]).toEqual([path, undefined]);
    const found = await driver.view(one, []).find("/lib", true);
    expect(found?.path).toBe("/usr/lib");
    if (found === undefined) throw new Error("not found");
    const packed = await gather(driver.packFound(found, "libs"));
    found.close();
    const names = Bun.spawnSync(["tar", "-tf", "-"], { stdin: packed }).stdout.toString();
    expect(names).toBe("libs/\nlibs/through\n");
    expect(await driver.view(one, []).find("/bin/same", true)).toBeUndefined();
  });

  test("an image alone is directories, without what the engine adds", async () => {
    const roots = bench().driver.layerDirectories(chain);
    const names = new Set(roots.flatMap((path) => readdirSync(path)));
    expect(names.has("opaque")).toBe(true);
    const top = roots.map((path) => `${path}/opaque/above`).filter(existsSync);
    expect(top.length).toBe(1);
  });
}

const refused = [digest(new Uint8Array([8]))];

async function expectNothing({ driver, root }: Bench): Promise<void> {
  await driver.settled();
  expect([driver.hasLayer(refused[0] ?? ""), readdirSync(`${root}/new`)]).toEqual([false, []]);
}

/** What is refused: its name, the archive, the digest that it is said to have, and the words. */
const refusedArchives = [
  ["a damaged layer", archive([{ path: "a" }]), digest(base), /it is damaged/],
  ["an archive that is cut off", base.subarray(0, 3_000_000), undefined, /is damaged: /],
  [
    "an entry below a file",
    archive([{ path: "f", data: "x" }, { path: "f/g" }]),
    undefined,
    /entry "f\/g" is refused/,
  ],
  [
    "a hard link out of the layer",
    archive([{ path: "h", type: "hardlink", linkPath: "../../../etc/passwd" }]),
    undefined,
    /entry "h" is refused/,
  ],
  ["a name that is too long", archive([{ path: "n".repeat(256) }]), undefined, /name is too long/],
  [
    "links in a circle",
    archive([
      { path: "a", type: "symlink", linkPath: "b" },
      { path: "b", type: "symlink", linkPath: "a" },
      { path: "a/x" },
    ]),
    undefined,
    /entry "a\/x" is refused/,
  ],
] as const;

function refusals(bench: () => Bench): void {
  test.each(refusedArchives)(
    "%s is refused by name, and nothing of it stays",
    async (_, tar, diffId, words) => {
      await expect(bench().apply(refused, tar, diffId)).rejects.toThrow(words);
      await expectNothing(bench());
    },
  );
}

function safety(bench: () => Bench): void {
  test("an archive's links and marks stay inside, and no mark of the engine's is taken", async () => {
    const tar = archive([
      { path: "up", type: "symlink", linkPath: "../../../../../../tmp" },
      { path: "up/inside", data: "i" },
      { path: "../../climbed", data: "c" },
      { path: "/absolute", data: "a" },
      {
        path: "marked/",
        xattrs: new Map([["trusted.overlay.opaque", new TextEncoder().encode("y")]]),
      },
    ]);
    await bench().apply(refused, tar);
    await bench().driver.prepare(container("inside", refused));
    const root = await bench().mount(container("inside", refused));
    expect(readFileSync(`${root}/tmp/inside`, "utf8")).toBe("i");
    expect(readFileSync(`${root}/climbed`, "utf8")).toBe("c");
    expect(readFileSync(`${root}/absolute`, "utf8")).toBe("a");
    expect(existsSync("/tmp/inside")).toBe(false);
    const layer = bench().driver.layerDirectories(refused)[0] ?? "";
    expect([...(await bench().kernel.xattrs(`${layer}/marked`))]).toEqual([]);
    bench().driver.remove("inside");
    bench().driver.removeLayer(refused[0] ?? "");
  });

  test("a file in the place of a directory of the driver's is an error, not a loss", async () => {
    const blocked = `${bench().root}/containers/blocked`;
    closeSync(openSync(blocked, "w"));
    await expect(bench().driver.prepare(container("blocked"))).rejects.toThrow();
    await expectNothing(bench());
    rmSync(blocked);
  });
}
