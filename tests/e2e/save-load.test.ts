/** Images saved, and loaded again elsewhere: the same bytes each time, the same ids, digests and names. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { filesOf } from "../clients/tars.ts";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { dockerArchive, ociArchive } from "../kits/image-archives.ts";

const daemon = daemonOfFile();
const base = { "etc/hello": "hello\n".repeat(100) };
const steps = [
  { created_by: "COPY hello" },
  { created_by: "ENV A=b", empty_layer: true },
  { created_by: "COPY world" },
];
const old = dockerArchive({
  names: ["old:1", "old:two", "localhost:5000/a/old:x"],
  layers: [base, { "etc/world": "world" }],
  steps,
});
const oci = ociArchive({
  names: ["docker.io/library/layout:1"],
  layers: [base, { "etc/other": "other" }],
  steps,
});
const nameless = dockerArchive({ names: [], layers: [base], steps: steps.slice(0, 1) });

async function loadAll(to: TestDaemon): Promise<void> {
  for (const { bytes } of [old, oci, nameless])
    expect((await to.berthWith({ stdin: bytes }, "load", "-q")).status).toBe(0);
}

const digestOf = (bytes: Uint8Array | string) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test("an archive is the same each time, by both command lines, and its blobs are what they are called", async () => {
  await loadAll(daemon);
  const path = `${daemon.directory}/saved.tar`;
  const names = ["old:1", "old:two", "layout:1", nameless.id.slice(7, 19)];
  expect(await daemon.berth("save", "-o", path, ...names)).toEqual({ status: 0, out: "", err: "" });
  const saved = readFileSync(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const again = `${daemon.directory}/again.tar`;
  expect((await daemon.docker("save", "-o", again, ...names)).status).toBe(0);
  expect(readFileSync(again).equals(saved)).toBe(true);
  const files = filesOf(saved);
  const index = JSON.parse(files["index.json"] ?? "");
  expect(index.manifests.map((one: { digest: string }) => one.digest)).toContain(oci.digest);
  const manifest = JSON.parse(files["manifest.json"] ?? "");
  expect(manifest.map((one: { RepoTags: unknown }) => one.RepoTags)).toEqual([
    ["old:1", "old:two"],
    ["layout:1"],
    null,
  ]);
  expect(manifest[0].Config).toBe(`blobs/sha256/${old.id.slice(7)}`);
  expect(Object.keys(JSON.parse(files.repositories ?? ""))).toEqual(["old", "layout"]);
  const blobs = Bun.spawnSync(["tar", "-t", "-f", path]).stdout.toString().split("\n");
  for (const name of blobs.filter((one) => /^blobs\/sha256\/.+/.test(one))) {
    const bytes = Bun.spawnSync(["tar", "-x", "-O", "-f", path, name]).stdout;
    expect(digestOf(bytes)).toBe(`sha256:${name.slice("blobs/sha256/".length)}`);
  }
});

test("a repository alone means all its tags; what an image is called elsewhere does not come along", async () => {
  const saved = `${daemon.directory}/all.tar`;
  await daemon.berth("save", "-o", saved, "old");
  const manifest = JSON.parse(filesOf(readFileSync(saved))["manifest.json"] ?? "");
  expect(manifest[0].RepoTags).toEqual(["old:1", "old:two"]);
});

test("loaded elsewhere, ids, digests, sizes and names are the same, and it runs", async () => {
  const root = `${daemon.directory}/root`;
  Bun.spawnSync(["mkdir", "-p", `${root}/bin`]);
  Bun.spawnSync(["cp", "/bin/busybox", `${root}/bin/busybox`]);
  const tar = new Uint8Array(Bun.spawnSync(["tar", "-C", root, "-c", "."]).stdout);
  await daemon.berthWith(
    { stdin: tar },
    "import",
    "-c",
    "CMD /bin/busybox echo ran",
    "-",
    "runs:1",
  );
  const saved = `${daemon.directory}/moved.tar`;
  const names = ["old", "layout", nameless.id, "runs:1"];
  expect((await daemon.berth("save", "-o", saved, ...names)).status).toBe(0);
  const other = await new TestDaemon().start();
  try {
    const loaded = await other.docker("load", "-i", saved);
    expect(loaded.out.split("\n").toSorted()).toEqual([
      "",
      `Loaded image ID: ${nameless.id}`,
      "Loaded image: layout:1",
      "Loaded image: old:1",
      "Loaded image: old:two",
      "Loaded image: runs:1",
    ]);
    const format = "{{.Id}} {{.RepoDigests}} {{.Size}} {{.RootFS.Layers}} {{json .Config}}";
    for (const name of ["old:1", "old:two", "layout:1", nameless.id, "runs:1"]) {
      const here = await daemon.berth("image", "inspect", "-f", format, name);
      const there = await other.berth("image", "inspect", "-f", format, name);
      expect(there).toEqual(here);
    }
    const list = ["images", "--digests", "--no-trunc", "--format", "{{.Repository}} {{.Digest}}"];
    expect((await other.berth(...list, "layout")).out).toBe(`layout ${oci.digest}\n`);
    expect((await other.berth(...list, "old")).out).toBe("old <none>\nold <none>\n");
    expect((await other.berth("history", "-q", "old:1")).status).toBe(0);
    // Its bytes are the same again.
    const back = `${daemon.directory}/back.tar`;
    await other.berth("save", "-o", back, ...names);
    expect(digestOf(readFileSync(back))).toBe(digestOf(readFileSync(saved)));
  } finally {
    await other.destroy();
  }
});

test("a load tells of each layer that is new, of names that move, and refuses another platform", async () => {
  const path = `${daemon.directory}/moving.tar`;
  const load = async (bytes: Uint8Array, query = "") => {
    writeFileSync(path, bytes);
    const body = Bun.file(path);
    const url = `http://x/v1.51/images/load${query}`;
    const response = await fetch(url, { method: "POST", body, unix: daemon.socket });
    const lines = (await response.text()).split("\r\n").filter(Boolean);
    return { status: response.status, steps: lines.map((line) => JSON.parse(line)) };
  };
  const moving = (text: string) =>
    dockerArchive({ names: ["moving:1"], layers: [{ file: text }], steps: steps.slice(0, 1) });
  const [first, second] = [moving("first"), moving("second")];
  const fresh = await load(first.bytes);
  expect(fresh.steps.map(({ status, stream }) => status ?? stream)).toEqual([
    "Loading layer",
    "Loading layer",
    "Loaded image: moving:1\n",
  ]);
  const { current, total } = fresh.steps[1].progressDetail;
  expect([current > 0, current]).toEqual([true, total]);
  // What is there is not told of; a name that another image had is.
  expect((await load(first.bytes)).steps).toEqual([{ stream: "Loaded image: moving:1\n" }]);
  expect((await load(second.bytes, "?quiet=1")).steps).toEqual([
    {
      stream: `The image moving:1 already exists, renaming the old one with ID ${first.id} to empty string\n`,
    },
    { stream: "Loaded image: moving:1\n" },
  ]);
  expect(await daemon.inspect(first.id, "{{.RepoTags}}")).toBe("[]");
  for (const kind of ["docker", "berth"] as const) {
    const other = await daemon[kind]("load", "--platform", "linux/s390x", "-i", path);
    expect([other.status, other.err]).toEqual([1, expect.stringContaining("wanted linux/s390x")]);
  }
  const fits = await daemon.berth("load", "--platform", "linux/amd64", "-i", path);
  expect(fits.out).toBe("Loaded image: moving:1\n");
  expect((await daemon.berth("load", "-i", "/tmp")).err).toBe("read /tmp: is a directory\n");
});

test("what cannot be saved is refused in Docker's words, and no file is begun", async () => {
  const path = `${daemon.directory}/none.tar`;
  const refusals: [string[], string][] = [
    [["nothing", "-o", path], "Error response from daemon: No such image: nothing:latest\n"],
    [
      ["-o", "/no-such-place/x.tar", "old"],
      "failed to save image: invalid output path: stat /no-such-place: no such file or directory\n",
    ],
    [["-o", "/tmp", "old"], "failed to save image: cannot write to a directory\n"],
    [["a b", "-o", path], "Error response from daemon: invalid reference format\n"],
    [
      ["--platform", "linux/s390x", "old:1", "-o", path],
      "Error response from daemon: image with reference docker.io/library/old:1 was found but does not match the specified platform: wanted linux/s390x, actual: linux/amd64\n",
    ],
    [
      ["--platform", "a/b/c/d", "old:1", "-o", path],
      'invalid platform: "a/b/c/d": cannot parse platform specifier: invalid argument\n',
    ],
  ];
  for (const [args, err] of refusals) {
    const done = await daemon.berth("save", ...args);
    expect(done).toEqual({ status: 1, out: "", err });
    expect(await daemon.docker("save", ...args)).toEqual(done);
  }
  expect(existsSync(path)).toBe(false);
  const terminal = daemon.onTerminal("save", "old");
  await terminal.see("cowardly refusing to save to a terminal. Use the -o flag or redirect");
});

test("an image that is removed while it is saved comes out whole", async () => {
  const response = await fetch("http://x/v1.51/images/get?names=old&names=layout:1", {
    unix: daemon.socket,
  });
  expect(response.headers.get("content-type")).toBe("application/x-tar");
  const whole = `${daemon.directory}/whole.tar`;
  await daemon.berth("save", "-o", whole, "old", "layout:1");
  await daemon.berth("rmi", "-f", old.id, oci.id);
  const bytes = new Uint8Array(await response.arrayBuffer());
  expect(digestOf(bytes)).toBe(digestOf(readFileSync(whole)));
  const loaded = await daemon.berthWith({ stdin: bytes }, "load");
  expect(loaded.out).toContain("Loaded image: old:two\n");
});
