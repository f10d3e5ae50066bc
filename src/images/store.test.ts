/** Loading, importing, naming and removing, with archives made by GNU tar; hostile ones among them. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { idleKernel } from "../../tests/kits/idle-kernel.ts";
import type { ByteStream } from "../base/compression.ts";
import { openDriver, type SnapshotDriver } from "../storage/index.ts";
import type { ImageUsers } from "./removal.ts";
import { ImageStore } from "./store.ts";

let dir: string;
let store: ImageStore;
let driver: SnapshotDriver;
const noUsers: ImageUsers = { of: () => [], chains: new Set() };
const marks: string[] = [];
/** Whiteouts are noted instead of made: this suite needs no rights for them. */
const kernel = {
  ...idleKernel,
  mknod: async (path: string, mode: number) => {
    // By a descriptor of its directory: the name of that is what counts.
    const place = `${realpathSync(dirname(path))}/${basename(path)}`;
    marks.push(`${place.slice(place.indexOf("/new/"))} ${mode.toString(8)}`);
  },
  setXattr: async (_path: string, name: string) => {
    marks.push(name);
  },
};

beforeEach(async () => {
  dir = mkdtempSync("/tmp/berth-images-");
  marks.length = 0;
  driver = await openDriver("overlay2", `${dir}/overlay2`, kernel);
  store = new ImageStore({ root: `${dir}/content`, db: new Database(":memory:"), driver });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function* stream(bytes: Uint8Array, size = 1000): ByteStream {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A tar by python, whose tarfile writes whatever it is told. */
function tar(script: string): Uint8Array {
  const code = `
import tarfile, io, sys
out = io.BytesIO()
t = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT)
def add(name, data=b'', type=tarfile.REGTYPE, link='', mode=0o644, uid=0, gid=0, mtime=0, pax={}):
    i = tarfile.TarInfo(name); i.size = len(data); i.type = type; i.linkname = link; i.mode = mode
    i.uid = uid; i.gid = gid; i.mtime = mtime; i.pax_headers = pax
    t.addfile(i, io.BytesIO(data))
DIR, LINK, SYM, FIFO, CHR = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE
${script}
t.close()
sys.stdout.buffer.write(out.getvalue())
`;
  const done = Bun.spawnSync(["python3", "-c", code]);
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  return new Uint8Array(done.stdout);
}

const digest = (data: Uint8Array | string) =>
  new Bun.CryptoHasher("sha256").update(data).digest("hex");

/** A docker-archive of layers, each a tar. */
function dockerArchive(
  layers: readonly Uint8Array[],
  name: string | undefined,
  change = (config: object) => config,
): Uint8Array {
  const work = `${dir}/archive`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const config = JSON.stringify(
    change({
      architecture: "amd64",
      os: "linux",
      created: "2026-01-02T03:04:05Z",
      config: { Cmd: ["x"], Labels: { a: "b" } },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${digest(layer)}`) },
      history: [{ created_by: "test" }],
    }),
  );
  writeFileSync(`${work}/${digest(config)}.json`, config);
  for (const [index, layer] of layers.entries()) writeFileSync(`${work}/${index}.tar`, layer);
  writeFileSync(
    `${work}/manifest.json`,
    JSON.stringify([
      {
        Config: `${digest(config)}.json`,
        RepoTags: name ? [name] : null,
        Layers: layers.map((_, index) => `${index}.tar`),
      },
    ]),
  );
  return new Uint8Array(Bun.spawnSync(["tar", "-C", work, "-c", "."]).stdout);
}

const simple = () =>
  tar(
    "add('etc', type=DIR, mode=0o755)\nadd('etc/file', b'content', mode=0o4711, uid=7, gid=8, mtime=1.25)",
  );

test("a docker archive is loaded whatever its compression, and once", async () => {
  const archive = dockerArchive([simple()], "app:1");
  for (const bytes of [archive, gzipSync(archive), zstdCompressSync(archive)]) {
    const [loaded] = await store.load(stream(new Uint8Array(bytes)));
    expect(loaded?.names).toEqual(["app:1"]);
  }
  expect(store.count()).toBe(1);
  const image = store.resolve("app:1");
  expect(image.document.config?.Cmd).toEqual(["x"]);
  expect(image.size).toBe(7);
  const layer = `${dir}/overlay2/layers/${image.chain[0]?.slice(7)}`;
  const info = statSync(`${layer}/etc/file`);
  expect([info.mode & 0o7777, info.uid, info.gid, info.mtimeMs]).toEqual([0o4711, 7, 8, 1250]);
  expect(store.resolve(image.id.slice(7, 19)).id).toBe(image.id);
  expect(readdirSync(`${dir}/content/ingest`)).toEqual([]);
});

test("an OCI layout is loaded by its index", async () => {
  const layer = gzipSync(simple());
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [`sha256:${digest(simple())}`] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: { digest: `sha256:${digest(config)}`, size: config.length },
    layers: [{ digest: `sha256:${digest(layer)}`, size: layer.length }],
  });
  mkdirSync(`${dir}/oci/blobs/sha256`, { recursive: true });
  for (const data of [layer, config, manifest])
    writeFileSync(`${dir}/oci/blobs/sha256/${digest(data)}`, data);
  writeFileSync(`${dir}/oci/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    `${dir}/oci/index.json`,
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: `sha256:${digest(manifest)}`,
          size: manifest.length,
          annotations: { "org.opencontainers.image.ref.name": "oci:2" },
        },
      ],
    }),
  );
  const pack = () => new Uint8Array(Bun.spawnSync(["tar", "-C", `${dir}/oci`, "-c", "."]).stdout);
  expect((await store.load(stream(pack())))[0]?.names).toEqual(["oci:2"]);
  expect(store.resolve(`oci@sha256:${digest(manifest)}`).tags).toEqual(["oci:2"]);
  writeFileSync(`${dir}/oci/blobs/sha256/${digest(config)}`, config.replace("amd64", "amd65"));
  expect(store.load(stream(pack()))).rejects.toThrow("it is damaged");
});

test("whiteouts become overlay's marks, and files of the engine's are never taken from an archive", async () => {
  const upper = tar(
    "add('etc/.wh.file')\nadd('var/.wh..wh..opq')\nadd('x', b'', pax={'SCHILY.xattr.trusted.overlay.opaque': 'y', 'SCHILY.xattr.user.a': 'b'})",
  );
  await store.load(stream(dockerArchive([simple(), upper], "white:1")));
  expect(marks.map((mark) => mark.replace(/\/new\/[^/]+/, ""))).toEqual([
    "/etc/file 20000",
    "trusted.overlay.opaque",
    "user.a",
  ]);
});

test("hostile archives are contained, or refused with the entry's name; nothing stays", async () => {
  const before = readFileSync("/etc/passwd", "utf8");
  const contained = tar(
    "add('../../../../../../../../tmp/berth-escape', b'x')\nadd('/tmp/berth-absolute', b'x')\nadd('evil', type=SYM, link='/etc')\nadd('evil/passwd', b'pwned')\nadd('up', type=SYM, link='../../../../..')\nadd('up/tmp/berth-up', b'x')",
  );
  await store.load(stream(dockerArchive([contained], "contained:1")));
  for (const name of ["berth-escape", "berth-absolute", "berth-up"])
    expect(existsSync(`/tmp/${name}`)).toBe(false);
  expect(readFileSync("/etc/passwd", "utf8")).toBe(before);
  const layer = `${dir}/overlay2/layers/${store.resolve("contained:1").chain[0]?.slice(7)}`;
  expect(readFileSync(`${layer}/etc/passwd`, "utf8")).toBe("pwned");
  expect(readlinkSync(`${layer}/evil`)).toBe("/etc");
  for (const [script, message] of [
    ["add('a', type=LINK, link='../../../../etc/shadow')", '"a" is refused'],
    [
      "add('a', type=SYM, link='b')\nadd('b', type=SYM, link='a')\nadd('a/x', b'')",
      '"a/x" is refused: too many levels',
    ],
    ["add('f', b'')\nadd('f/x', b'')", '"f/x" is refused'],
    [`add('${"n".repeat(300)}', b'')`, "its name is too long"],
  ] as const) {
    const archive = dockerArchive([tar(script)], "bad:1");
    // Bun's own `rejects` waits in a loop of its own, in which threads are not heard.
    const why = await store.load(stream(archive)).then(
      () => "loaded",
      (reason: Error) => reason.message,
    );
    expect(why).toContain(message);
  }
  expect(() => store.resolve("bad:1")).toThrow("No such image: bad:1");
  expect(readdirSync(`${dir}/overlay2/new`)).toEqual([]);
  expect(readdirSync(`${dir}/content/ingest`)).toEqual([]);
});

test("damaged archives are refused with a reason", async () => {
  const good = dockerArchive([simple()], "x:1");
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "empty"],
    [new TextEncoder().encode("x".repeat(5000)), "no tar archive"],
    [good.subarray(0, good.length - 12_000), "in the middle of an entry"],
    [gzipSync(good).subarray(0, 200), "damaged or cut short"],
    [simple(), "neither manifest.json nor index.json"],
    [new Uint8Array([0x42, 0x5a, 0x68, 0x39, 1, 2, 3]), "bzip2"],
    [
      dockerArchive([simple()], "x:1", (config) => ({
        ...config,
        rootfs: { diff_ids: ["sha256:../../x"] },
      })),
      "no digest",
    ],
    [
      dockerArchive([simple()], "x:1", (config) => ({
        ...config,
        rootfs: { diff_ids: [`sha256:${"0".repeat(64)}`] },
      })),
      "it is damaged",
    ],
    [
      dockerArchive([simple()], "x:1", (config) => ({ ...config, config: { Env: 5 } })),
      "config.Env",
    ],
    [dockerArchive([simple()], "Bad Name"), "invalid reference format"],
  ];
  for (const [bytes, message] of cases) {
    const error = await store.load(stream(bytes)).then(
      () => "loaded",
      (reason: Error) => reason.message,
    );
    expect(error).toContain(message);
  }
  expect(store.count()).toBe(0);
});

test("removing a name keeps the image while it has another; the last takes blobs and layers along", async () => {
  await store.load(stream(dockerArchive([simple()], "one:1")));
  store.tag("one:1", "two:2");
  const image = store.resolve("two:2");
  expect(() => store.remove({ name: image.id, force: false }, noUsers)).toThrow(
    "multiple repositories",
  );
  expect(store.remove({ name: "one:1", force: false }, noUsers)).toEqual([{ Untagged: "one:1" }]);
  const used: ImageUsers = {
    of: () => [{ id: "c".repeat(64), running: false }],
    chains: new Set(image.chain),
  };
  expect(() => store.remove({ name: "two:2", force: false }, used)).toThrow(
    /must force.* - container cccccccccccc is using its referenced image/,
  );
  const layer = `${dir}/overlay2/layers/${image.chain[0]?.slice(7)}`;
  store.remove({ name: "two:2", force: true }, used);
  expect(lstatSync(layer).isDirectory()).toBe(true);
  store.upkeep.sweep(new Set());
  expect(existsSync(layer)).toBe(false);
  expect(readdirSync(`${dir}/content/blobs/sha256`)).toEqual([]);
  symlinkSync("x", `${dir}/content/ingest/left`);
  store.upkeep.sweep(new Set());
  expect(readdirSync(`${dir}/content/ingest`)).toEqual([]);
});

test("a layer with holes is loaded with them", async () => {
  const from = `${dir}/holes`;
  mkdirSync(from);
  writeFileSync(`${from}/disk`, "begin");
  truncateSync(`${from}/disk`, 50_000_000);
  const layer = new Uint8Array(Bun.spawnSync(["tar", "-C", from, "-S", "-c", "disk"]).stdout);
  expect(layer.length).toBeLessThan(100_000);
  const [loaded] = await store.load(stream(dockerArchive([layer], "holes:1")));
  const [chain] = store.resolve(loaded?.id ?? "").chain;
  const info = statSync(`${dir}/overlay2/layers/${chain?.slice(7)}/disk`);
  expect(info.size).toBe(50_000_000);
  expect(info.blocks * 512).toBeLessThan(1_000_000);
});
