/**
 * The truth about the disk: what system df says is what du says, what a prune says that it gives back is given back, and a
 * dry run says beforehand what a prune says afterwards, in the words of the stock command line.
 */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const root = `${daemon.directory}/data`;

const berth = (...args: string[]) => daemon.berth(...args);
const docker = (...args: string[]) => daemon.docker(...args);

/** What du says, once nothing is being deleted any more and the database's log has a size that stays. */
async function du(): Promise<number> {
  const deleting = () =>
    ["trash", "overlay2/trash", "overlay2/new"].flatMap((path) => readdirSync(`${root}/${path}`));
  for (let tries = 0; deleting().length > 0 && tries < 500; tries++) await Bun.sleep(10);
  const { stdout } = Bun.spawnSync(["du", "-s", "--block-size=1", root]);
  return Number(stdout.toString().split("\t")[0]);
}

interface Part {
  readonly Kind: string;
  readonly Bytes: number;
  readonly Orphaned: number;
}

async function usage(): Promise<{ bytes: number; parts: Map<string, Part> }> {
  const { Berth } = JSON.parse((await daemon.api("GET", "/system/df?disk=1")).text);
  const { Bytes, Parts } = Berth.DataRoot as { Bytes: number; Parts: Part[] };
  return { bytes: Bytes, parts: new Map(Parts.map((part) => [part.Kind, part])) };
}

async function expectTruth(): Promise<Map<string, Part>> {
  const before = await du();
  const { bytes, parts } = await usage();
  expect(Math.abs(bytes - before)).toBeLessThan(before / 100);
  expect([...parts.values()].filter(({ Orphaned }) => Orphaned > 0)).toEqual([]);
  return parts;
}

test("df counts every byte that du counts, whatever has been done, and a record explains each", async () => {
  await expectTruth();
  const write =
    "head -c 3000000 /dev/urandom > /vol/f; head -c 1000000 /dev/urandom > /g; ln /g /h; seq 20000";
  await docker(
    "run",
    "--name",
    "one",
    "-v",
    "named:/vol",
    "-v",
    "/anon",
    "busybox",
    "sh",
    "-c",
    write,
  );
  await docker("commit", "one", "two");
  const sparse =
    "dd if=/dev/zero of=/s bs=1 count=1 seek=100M 2>/dev/null; mkdir -p /a/b/c; i=0; while [ $i -lt 300 ]; do echo x > /a/$i; i=$((i+1)); done";
  await docker("run", "--name", "two", "two", "sh", "-c", sparse);
  await docker("run", "-d", "--name", "runs", "two", "sleep", "1000");
  const parts = await expectTruth();
  for (const kind of ["layers", "blobs", "writable", "logs", "volumes", "database"])
    expect([kind, (parts.get(kind)?.Bytes ?? 0) > 0]).toEqual([kind, true]);
  expect(parts.get("volumes")?.Bytes).toBeGreaterThan(3_000_000);
  expect(parts.get("volumes")?.Bytes).toBeLessThan(3_100_000);
  expect(parts.get("unknown")?.Bytes).toBe(0);
});

test("what nothing explains is called so", async () => {
  await Bun.write(`${root}/content/blobs/sha256/${"0".repeat(64)}`, new Uint8Array(100_000));
  await Bun.write(`${root}/mine/file`, new Uint8Array(50_000));
  const { parts } = await usage();
  expect(parts.get("blobs")?.Orphaned).toBeGreaterThanOrEqual(100_000);
  expect(parts.get("unknown")?.Orphaned).toBeGreaterThanOrEqual(50_000);
  const { out } = await berth("system", "df", "-v");
  expect(out).toMatch(/^content store +\d+ +[\d.]+MB +1\d\d\.\d+kB$/m);
  expect(out).toMatch(/^not berth's +\d+ +5[\d.]*kB +5[\d.]*kB$/m);
  Bun.spawnSync(["rm", "-r", `${root}/mine`, `${root}/content/blobs/sha256/${"0".repeat(64)}`]);
});

test("df speaks as the stock command line does", async () => {
  for (const args of [[], ["--format", "json"], ["--format", "{{.Type}} {{.Reclaimable}}"]]) {
    const [ours, theirs] = await Promise.all(
      [berth, docker].map((cli) => cli("system", "df", ...args)),
    );
    expect(ours?.out).toBe(theirs?.out ?? "");
    expect(ours?.out).toContain("Local Volumes");
  }
  const withoutTimes = (text: string) =>
    text.replace(/(About |Less than )?(a|an|\d+) \w+( ago)?|Up .*? {2,}/g, "T").replace(/ +/g, " ");
  const ours = (await berth("system", "df", "-v")).out.split("\nData root")[0] ?? "";
  expect(withoutTimes(ours)).toBe(withoutTimes((await docker("system", "df", "-v")).out));
});

test("prunes ask as the stock command line does, and do nothing when the answer is no", async () => {
  const asked = [
    ...[
      "system prune",
      "system prune -a --volumes",
      "system prune --filter until=1h --filter label=x",
    ],
    ...[
      "system prune --volumes --filter until=1h",
      "volume prune -a --filter all=1",
      "image prune -a",
    ],
    ...["image prune", "container prune", "volume prune", "volume prune -a", "network prune"],
  ];
  for (const line of asked) {
    const words = line.split(" ");
    const [ours, theirs] = await Promise.all([
      daemon.berthWith({ stdin: "n\n" }, ...words),
      daemon.dockerWith({ stdin: "n\n" }, ...words),
    ]);
    expect([line, ours]).toEqual([line, theirs]);
  }
  const { out } = await daemon.berthWith({ stdin: "n\n" }, "builder", "prune", "-a");
  expect(out).toBe(
    "WARNING! This will remove all build cache. Are you sure you want to continue? [y/N] ",
  );
  expect((await docker("ps", "-aq")).out.trim().split("\n")).toHaveLength(3);
});

/** A dry run's text as that of what was done. */
const asDone = (text: string) =>
  text
    .replaceAll("Would delete", "Deleted")
    .replace("space that would be reclaimed", "reclaimed space");

test("a dry run tells what a prune then does, and what that says to have given back is back", async () => {
  await docker("run", "-d", "--name", "keeps", "-v", "/kept", "busybox", "sleep", "1000");
  const dry = await berth("system", "prune", "-a", "--volumes", "--dry-run");
  expect(dry.status).toBe(0);
  const before = await expectTruth().then(du);
  const { text } = await daemon.api("POST", "/images/prune?dry-run=1");
  expect(JSON.parse(text).SpaceReclaimed).toBe(0);
  await docker("rm", "-f", "runs");
  const again = await berth("system", "prune", "-a", "--volumes", "--dry-run");
  const done = await berth("system", "prune", "-a", "--volumes", "-f");
  expect(asDone(again.out)).toBe(done.out);
  expect(done.out).toMatch(/Deleted Containers:\n[0-9a-f]{64}\n[0-9a-f]{64}\n/);
  expect(done.out).toMatch(/Deleted Volumes:\n([0-9a-f]{64}\n){3}\n/);
  expect(done.out).toMatch(/untagged: two:latest\ndeleted: sha256:/);
  const said = /reclaimed space: ([\d.]+)MB/.exec(done.out)?.[1];
  const given = (before - (await du())) / 1e6;
  expect(Math.abs(given - Number(said))).toBeLessThan(0.3);
  await expectTruth();
  expect((await docker("volume", "ls", "-q")).out.split("\n")).toContain("named");
});

test("a client of an API before 1.42 prunes every volume, a newer one those without a name", async () => {
  const names = async () => (await docker("volume", "ls", "-q", "--filter", "dangling=true")).out;
  const prune = (version: string, query = "") =>
    daemon.api("POST", `/v${version}/volumes/prune${query}`);
  expect(JSON.parse((await prune("1.42")).text).VolumesDeleted).toEqual([]);
  expect(JSON.parse((await prune("1.41", "?dry-run=1")).text).VolumesDeleted).toEqual(["named"]);
  expect(await names()).toBe("named\n");
  const none = encodeURIComponent(JSON.stringify({ label: ["no"] }));
  expect(JSON.parse((await prune("1.41", `?filters=${none}`)).text).VolumesDeleted).toEqual([]);
  const old = JSON.parse((await prune("1.41")).text);
  expect(old.VolumesDeleted).toEqual(["named"]);
  expect(old.SpaceReclaimed).toBeGreaterThanOrEqual(3_000_000);
  expect(await names()).toBe("");
  const until = encodeURIComponent(JSON.stringify({ until: ["1h"] }));
  expect((await prune("1.51", `?filters=${until}`)).status).toBe(400);
});

test("contents that lie in layers more than once are found, hard links and empty files are not", async () => {
  const write =
    "mkdir /a /b; head -c 200000 /dev/urandom > /a/x; cp /a/x /b/y; ln /b/y /b/z; : > /a/0; : > /b/0; head -c 200000 /dev/urandom > /b/other";
  await docker("run", "--name", "dup", "busybox", "sh", "-c", write);
  await docker("commit", "dup", "dup:1");
  await docker("run", "--name", "again", "dup:1", "cp", "/a/x", "/c");
  await docker("commit", "again", "dup:2");
  const { text } = await daemon.api("GET", "/system/df?duplicates=1&type=volume");
  const { Files, Bytes, Wasted, Worst } = JSON.parse(text).Berth.Duplicates;
  const [worst] = Worst;
  expect(worst).toMatchObject({ Size: 200_000, Count: 3, Wasted: 400_000 });
  expect(worst.Places.map(({ Path }: { Path: string }) => Path).sort()).toEqual([
    "a/x",
    "b/y",
    "c",
  ]);
  expect(Wasted).toBeGreaterThanOrEqual(400_000);
  expect(Wasted).toBeLessThan(500_000);
  expect(Bytes).toBeGreaterThan(2_000_000);
  expect(Files).toBeGreaterThan(4);
  const { out } = await berth("system", "df", "--duplicates");
  expect(out).toMatch(/contents that are there more than once: 4\d\d[\d.]*kB \(\d+%\)\n/);
  expect(out).toMatch(/^400kB +3 +200kB +[0-9a-f]{12} +\/(a\/x|b\/y|c)$/m);
  await docker("rm", "dup", "again");
  await docker("rmi", "dup:2", "dup:1");
});

test("who uses a volume is known after a kill: a prune of all volumes takes none that a container has", async () => {
  const volumesLeft = async () =>
    (await docker("volume", "ls", "-q")).out.split("\n").filter(Boolean).sort();
  const before = await volumesLeft();
  await docker("create", "--name", "holds", "-v", "held:/v", "-v", "/anonymous", "busybox", "true");
  await docker("volume", "create", "free");
  await daemon.kill();
  await daemon.start();
  const done = await docker("volume", "prune", "-a", "-f");
  expect(done.out).toMatch(/^Deleted Volumes:\nfree\n\n/);
  const left = await volumesLeft();
  expect(left).toHaveLength(before.length + 2);
  await docker("rm", "-v", "holds");
  expect(await volumesLeft()).toEqual([...before, "held"].sort());
  await docker("volume", "rm", "held");
});
