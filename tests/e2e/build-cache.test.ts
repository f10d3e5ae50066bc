/** The cache of builds: what it takes, and taking it back. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Builder } from "../build-conformance/builders.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const builder = new Builder(daemon.socket);

interface Row {
  readonly ID: string;
  readonly Parents: readonly string[];
  readonly Type: string;
  readonly Description: string;
  readonly InUse: boolean;
  readonly Shared: boolean;
  readonly Size: number;
}

async function rows(): Promise<Row[]> {
  const { text } = await daemon.api("GET", "/system/df?type=build-cache");
  return (JSON.parse(text) as { BuildCache: Row[] }).BuildCache;
}

async function prune(query: Readonly<Record<string, string>>) {
  const { status, text } = await daemon.api("POST", `/build/prune?${new URLSearchParams(query)}`);
  const answer = JSON.parse(text) as {
    CachesDeleted: string[];
    SpaceReclaimed: number;
    message?: string;
  };
  return { status, ...answer };
}

/** What layers and blobs take, by the disk itself. */
function bytes(): number {
  const paths = readdirSync(`${daemon.directory}/data`)
    .map((name) => `${daemon.directory}/data/${name}`)
    .filter((path) => ["overlay", "content", "build", "vfs"].some((name) => path.includes(name)));
  const { stdout } = Bun.spawnSync(["du", "-sk", ...paths]);
  return stdout
    .toString()
    .trim()
    .split("\n")
    .reduce((sum, line) => sum + Number(line.split("\t")[0]) * 1024, 0);
}

const mib = (file: string) => `dd if=/dev/urandom of=${file} bs=1M count=1 2>/dev/null`;
const dockerfile = `FROM busybox
RUN ${mib("/one")}
RUN --mount=type=cache,target=/c,id=kept ${mib("/c/two")}; echo > /made
RUN ${mib("/three")}
`;

async function build(text: string, tag = ""): Promise<void> {
  const built = await builder.build({ dockerfile: text, query: tag === "" ? {} : { t: tag } });
  expect(built.error).toBeUndefined();
}

test("what an image has, too, is shared; it goes with --all alone, and its layers stay", async () => {
  await build(dockerfile, "used");
  const found = await rows();
  const steps = found.filter(({ Type }) => Type === "regular");
  expect(steps.map(({ Shared, InUse }) => [Shared, InUse])).toEqual(Array(3).fill([true, false]));
  expect(steps[1]?.Parents).toEqual([steps[0]?.ID ?? ""]);
  const [mount] = found.filter(({ Type }) => Type === "exec.cachemount");
  expect(mount?.Size).toBeGreaterThanOrEqual(2 ** 20);
  const listed = await daemon.berth("system", "df", "-v");
  expect(listed.out).toContain("exec.cachemount");
  const wanted = await prune({ "dry-run": "1" });
  expect(wanted.CachesDeleted).toEqual([mount?.ID ?? ""]);
  expect((await rows()).length).toBe(4);
  const before = bytes();
  const done = await prune({});
  expect(done.SpaceReclaimed).toBe(wanted.SpaceReclaimed);
  expect(Math.abs(before - bytes() - done.SpaceReclaimed)).toBeLessThan(64 * 1024);
  expect((await rows()).map(({ Type }) => Type)).toEqual(Array(3).fill("regular"));
  const all = await daemon.docker("builder", "prune", "-af");
  expect([all.status, await rows()]).toEqual([0, []]);
  expect((await daemon.berth("run", "--rm", "used", "ls", "/one", "/three")).status).toBe(0);
  await daemon.berth("rmi", "used");
});

test("the bytes that come back are those of the disk: layers and blobs that nothing else needs", async () => {
  await build(dockerfile, "goes");
  const before = bytes();
  await daemon.berth("rmi", "goes");
  // Builds may want them again.
  expect(before - bytes()).toBeLessThan(64 * 1024);
  expect((await rows()).every(({ Shared }) => !Shared)).toBe(true);
  const wanted = await prune({ all: "1", "dry-run": "1" });
  const done = await prune({ all: "1" });
  expect(done.SpaceReclaimed).toBe(wanted.SpaceReclaimed);
  expect(done.SpaceReclaimed).toBeGreaterThan(5 * 2 ** 20);
  expect(Math.abs(before - bytes() - done.SpaceReclaimed)).toBeLessThan(128 * 1024);
  expect(await rows()).toEqual([]);
  expect(existsSync(`${daemon.directory}/data/build/mounts`)).toBe(true);
  expect(readdirSync(`${daemon.directory}/data/build/mounts`)).toEqual([]);
});

test("filters, and how much stays", async () => {
  await build(dockerfile);
  await prune({ filters: JSON.stringify({ type: ["exec.cachemount"] }) });
  await daemon.api("POST", "/images/prune");
  const [first, second, third] = await rows();
  const by = async (filters: object, more: Readonly<Record<string, string>> = {}) =>
    (await prune({ all: "1", "dry-run": "1", filters: JSON.stringify(filters), ...more }))
      .CachesDeleted;
  expect(await by({ id: [first?.ID.slice(0, 12)] })).toEqual([first?.ID ?? ""]);
  expect(await by({ parent: [first?.ID] })).toEqual([second?.ID ?? ""]);
  expect(await by({ description: [third?.Description] })).toEqual([third?.ID ?? ""]);
  expect(await by({ until: ["1h"] })).toEqual([]);
  expect(await by({ inuse: { true: true } })).toEqual([]);
  expect(await by({ shared: { true: true } })).toEqual([]);
  expect(await by({}, { "reserved-space": String(1.5 * 2 ** 20) })).toHaveLength(1);
  expect(await by({}, { "max-used-space": String(10 * 2 ** 20) })).toEqual([]);
  const wrong = await prune({ filters: JSON.stringify({ colour: ["red"] }) });
  expect([wrong.status, wrong.message]).toEqual([400, "invalid filter 'colour'"]);
  const text = await daemon.berth("builder", "prune", "-af", "--keep-storage", "1500k");
  expect(text.out).toContain(`Deleted build cache objects:\n${first?.ID}\n`);
  expect((await rows()).map(({ ID }) => ID)).toEqual([second?.ID ?? "", third?.ID ?? ""]);
});

test("what was pruned is done again; what stayed is not", async () => {
  await prune({ all: "1" });
  const two = "FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n";
  await build(two);
  const last = (await rows()).find(({ Description }) => Description.endsWith("/b"));
  await daemon.api("POST", "/images/prune");
  await prune({ all: "1", filters: JSON.stringify({ id: [last?.ID] }) });
  expect((await builder.build({ dockerfile: two })).hits).toEqual([true, false]);
});

test("a result that takes another's place leaves nothing of that behind", async () => {
  const text = `FROM busybox\nRUN ${mib("/other")}\n`;
  for (const nocache of ["0", "1"]) {
    const built = await builder.build({ dockerfile: text, query: { nocache } });
    expect(built.error).toBeUndefined();
    await daemon.berth("image", "prune", "-f");
  }
  const check = await daemon.berth("system", "check");
  expect(check.out).toBe("Everything is as it should be.\n");
});

test("a directory that a build uses is not taken from under it", async () => {
  await prune({ all: "1" });
  const child = builder.build({
    dockerfile:
      "FROM busybox\nRUN --mount=type=cache,target=/c touch /c/begun; while [ ! -e /c/go ]; do sleep 0.05; done; ls /c > /l\n",
  });
  const mounts = `${daemon.directory}/data/build/mounts`;
  const begun = () => readdirSync(mounts).find((name) => existsSync(`${mounts}/${name}/begun`));
  while (begun() === undefined) await Bun.sleep(10);
  expect((await rows()).map(({ InUse }) => InUse)).toEqual([true]);
  expect((await prune({ all: "1" })).CachesDeleted).toEqual([]);
  await Bun.write(`${mounts}/${begun()}/go`, "");
  expect((await child).error).toBeUndefined();
});

test("a context that is kept is a row, goes when it is pruned, and not while a build has it", async () => {
  await prune({ all: "1" });
  const directory = scratchDirectory("context-");
  const kept = () => readdirSync(`${daemon.directory}/data/build/kept`);
  const context = async () => (await rows()).filter(({ Type }) => Type === "source.local");
  try {
    mkdirSync(`${directory}/many`);
    for (let at = 0; at < 50; at++)
      writeFileSync(`${directory}/many/${at}`, new Uint8Array(50_000).fill(at));
    writeFileSync(`${directory}/Dockerfile`, "FROM scratch\nCOPY many /many\n");
    expect((await daemon.berth("build", directory)).status).toBe(0);
    const [row, ...more] = await context();
    expect([row?.Description, more]).toEqual(["local source for context", []]);
    expect(row?.Size).toBeGreaterThan(50 * 50_000);
    expect(row?.Size).toBeLessThan(50 * 60_000);
    expect((await daemon.docker("system", "df", "-v")).out).toContain("source.local");
    const before = bytes();
    const only = { filters: JSON.stringify({ type: ["source.local"] }) };
    expect((await prune({ ...only, "dry-run": "1" })).CachesDeleted).toEqual(kept());
    const done = await prune(only);
    expect(done.CachesDeleted).toEqual([row?.ID ?? ""]);
    expect(Math.abs(before - bytes() - done.SpaceReclaimed)).toBeLessThan(64 * 1024);
    expect([await context(), kept()]).toEqual([[], []]);
    const go = "while [ ! -e /c/go ]; do sleep 0.05; done";
    writeFileSync(
      `${directory}/Dockerfile`,
      `FROM busybox\nRUN --mount=type=cache,target=/c touch /c/begun; ${go}\nCOPY many /many\n`,
    );
    const building = daemon.berth("build", "-t", "held", directory);
    const mounts = `${daemon.directory}/data/build/mounts`;
    const begun = () => readdirSync(mounts).find((name) => existsSync(`${mounts}/${name}/begun`));
    while (begun() === undefined) await Bun.sleep(10);
    expect((await context()).map(({ InUse }) => InUse)).toEqual([true]);
    expect((await prune({ ...only, all: "1" })).CachesDeleted).toEqual([]);
    writeFileSync(`${mounts}/${begun()}/go`, "");
    expect((await building).status).toBe(0);
    expect((await daemon.berth("run", "--rm", "held", "ls", "/many")).out.split("\n").length).toBe(
      51,
    );
  } finally {
    rmSync(directory, { recursive: true });
    await daemon.berth("rmi", "held");
  }
});
