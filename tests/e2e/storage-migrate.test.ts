/** A data root and its storage driver: remembered, refused, and moved from one to another, whoever is killed meanwhile. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { fileSystemMissing, TestFileSystem } from "../kits/file-system.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
/** What a test that fails would leave. */
const daemons = new Set<TestDaemon>();
const places = new Set<{ remove(): void }>();
afterAll(async () => {
  for (const daemon of daemons) await daemon.destroy();
  for (const place of places) place.remove();
  expect(await settledLeftover(before)).toEqual([]);
});

/** Starts a daemon that is stopped at the end, if not before. */
async function begin(...flags: string[]): Promise<TestDaemon> {
  const daemon = new TestDaemon(flags);
  daemons.add(daemon);
  return daemon.start();
}

/** Ends a daemon and keeps its data root, which is elsewhere. */
async function end(daemon: TestDaemon): Promise<void> {
  await daemon.stop();
  rmSync(daemon.directory, { recursive: true });
  daemons.delete(daemon);
}

async function destroy(daemon: TestDaemon): Promise<void> {
  await daemon.destroy();
  daemons.delete(daemon);
}

/** What a container does to its files, and what shows that it was kept. */
const work = [
  "echo written > /etc/written && rm /etc/group && rm -r /home && mkdir /home && echo own > /home/own",
  "mkdir -p /w/d && echo x > /w/x && ln /w/x /w/y && ln -s x /w/l && mkfifo /w/p && chmod 4750 /w/x",
  // The same size and time as before, so that only its content tells.
  "touch -r /etc/passwd /tmp/t && sed -i s/root:x/root:y/ /etc/passwd && touch -r /tmp/t /etc/passwd && rm /tmp/t",
].join(" && ");
const look =
  "cat /etc/written /home/own /w/y; ls /etc/group; ls /home; stat -c '%a %h %F' /w/x /w/p; readlink /w/l";

/** Makes an image of several layers and two containers that have written. */
async function fill(daemon: TestDaemon): Promise<void> {
  const steps = [
    [
      "run",
      "--name",
      "first",
      "busybox",
      "sh",
      "-c",
      "mkdir /data && echo 1 > /data/one && rm /etc/shadow",
    ],
    ["commit", "first", "layered:1"],
    [
      "run",
      "--name",
      "second",
      "layered:1",
      "sh",
      "-c",
      "rm -r /data && mkdir /data && echo 2 > /data/two",
    ],
    ["commit", "second", "layered:2"],
    ["rm", "first"],
    ["run", "--name", "worked", "layered:2", "sh", "-c", `${work} && sh -c "${look}"`],
    ["create", "--name", "fresh", "layered:2", "ls", "/data", "/etc/shadow"],
  ];
  for (const step of steps) {
    const done = await daemon.berth(...step);
    if (done.status !== 0 && step[0] !== "run") throw new Error(`${step.join(" ")}: ${done.err}`);
  }
}

/** Everything that must be the same before and after. */
async function seen(daemon: TestDaemon): Promise<Record<string, string>> {
  // Whole copies are compared by size and time, as dockerd does: that change they do not tell, but keep.
  const told = (await daemon.berth("diff", "worked")).out.split("\n");
  const diff = told.filter((line) => line !== "C /etc/passwd").sort();
  const { out: passwd } = await daemon.berth("cp", "worked:/etc/passwd", "-");
  const fresh = await daemon.berth("start", "-a", "fresh");
  await daemon.berth("commit", "worked", "probe");
  const worked = await daemon.berth("run", "--rm", "probe", "sh", "-c", look);
  await daemon.berth("rmi", "probe");
  const images = await daemon.berth("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}");
  const all = await daemon.berth("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}");
  const base = await daemon.berth("run", "--rm", "layered:1", "cat", "/data/one");
  return {
    ...{
      diff: diff.join("\n"),
      passwd: passwd.slice(512),
      fresh: fresh.out + fresh.err,
      worked: worked.out,
      base: base.out,
    },
    ...{ images: images.out, all: all.out },
  };
}

function migrate(dataRoot: string, to: string) {
  return Bun.spawn(["dist/berth", "system", "migrate", "--to", to, "--data-root", dataRoot], {
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function ended(
  child: ReturnType<typeof migrate>,
): Promise<{ status: number; out: string; err: string }> {
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

test("a data root keeps its driver; another is refused until it is moved", async () => {
  const daemon = await begin("--storage-driver", "vfs");
  const dataRoot = `${daemon.directory}/data`;
  await daemon.berth("create", "--name", "held", "busybox");
  // A daemon that runs is not disturbed.
  const busy = await ended(migrate(dataRoot, "overlay2"));
  expect([busy.status, busy.err]).toEqual([1, expect.stringContaining("a berth daemon uses")]);
  await daemon.stop();
  const start = (...flags: string[]) =>
    Bun.spawnSync([
      ...["dist/berth", "daemon", "--data-root", dataRoot, "--exec-root", `${daemon.directory}/x`],
      ...["-H", `unix://${daemon.directory}/x/s`, ...flags],
    ]);
  const refused = start("-s", "overlay2");
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr.toString()).toContain(
    'has images and containers of the storage driver vfs, not overlay2: move them with "berth system migrate --to overlay2"',
  );
  for (const [name, instead] of [
    ["devicemapper", /not supported any more: use overlay2 .* or btrfs/],
    ["aufs", /not supported any more: use overlay2/],
    ["zfs", /not supported any more: use overlay2/],
    [
      "nonsense",
      /unknown storage driver "nonsense": there are overlay2, erofs, btrfs, fuse-overlayfs, vfs/,
    ],
    ["btrfs", /(works? here|of the storage driver vfs)/],
  ] as const) {
    const done = start("-s", name);
    expect([name, done.exitCode]).toEqual([name, 1]);
    expect(done.stderr.toString()).toMatch(instead);
  }
  // Without the flag it is still vfs.
  const again = await begin("--data-root", dataRoot);
  expect((await again.berth("info", "-f", "{{.Driver}}")).out).toBe("vfs\n");
  expect((await again.berth("ps", "-aq")).out).not.toBe("");
  await destroy(again);
  rmSync(daemon.directory, { recursive: true });
  daemons.delete(daemon);
});

const btrfs = fileSystemMissing("btrfs");
const routes = [
  ["overlay2", "vfs"],
  ["vfs", "erofs"],
  ["erofs", "overlay2"],
  ...(btrfs === undefined
    ? ([
        ["overlay2", "btrfs"],
        ["btrfs", "erofs"],
      ] as const)
    : []),
] as const;

/** A data root that every driver works on, where that can be made. */
function place(): { path: string; remove(): void } {
  if (btrfs === undefined) return new TestFileSystem("btrfs");
  const path = scratchDirectory("migrate-");
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

test.each(routes)("from %s to %s everything comes along", async (from, to) => {
  const fs = place();
  places.add(fs);
  const dataRoot = `${fs.path}/data`;
  let daemon = await begin("--data-root", dataRoot, "-s", from);
  await fill(daemon);
  const was = await seen(daemon);
  expect(was.worked).toBe("written\nown\nx\nown\n4750 2 regular file\n644 1 fifo\nx\n");
  // What is running cannot be moved, even though its daemon has gone.
  await daemon.berth("run", "-d", "--name", "running", "busybox", "sleep", "1000");
  await daemon.stop();
  const running = await ended(migrate(dataRoot, to));
  expect([running.status, running.err]).toEqual([
    1,
    expect.stringContaining("are running: running"),
  ]);
  await daemon.start();
  await daemon.berth("rm", "-f", "running");
  await daemon.stop();
  const moved = await ended(migrate(dataRoot, to));
  expect([moved.status, moved.err]).toEqual([0, ""]);
  expect(moved.out).toContain(`moved to ${to}`);
  expect(existsSync(`${dataRoot}/${from}`)).toBe(false);
  expect(JSON.parse(readFileSync(`${dataRoot}/storage.json`, "utf8"))).toEqual({ driver: to });
  rmSync(daemon.directory, { recursive: true });
  daemons.delete(daemon);
  daemon = await begin("--data-root", dataRoot);
  expect((await daemon.berth("info", "-f", "{{.Driver}}")).out).toBe(`${to}\n`);
  expect(await seen(daemon)).toEqual(was);
  expect(was.passwd).toStartWith("root:y:");
  await destroy(daemon);
  const nothing = await ended(migrate(dataRoot, to));
  expect(nothing.out).toContain("nothing to move");
  fs.remove();
  places.delete(fs);
});

test("a migration that is killed anywhere leaves the old or the new driver's data whole", async () => {
  const directory = scratchDirectory("killed-");
  const dataRoot = `${directory}/data`;
  places.add({ remove: () => rmSync(directory, { recursive: true, force: true }) });
  let daemon = await begin("--data-root", dataRoot, "-s", "overlay2");
  await fill(daemon);
  const was = await seen(daemon);
  await end(daemon);
  const drivers = new Set<string>();
  let [from, to] = ["overlay2", "erofs"];
  for (let round = 0; round < 14; round++) {
    const child = migrate(dataRoot, to);
    // After so many lines of its progress, and a little more: somewhere else each time.
    let lines = 0;
    for await (const chunk of child.stdout) {
      lines += new TextDecoder().decode(chunk).split("\n").length - 1;
      if (lines >= round) break;
    }
    await Bun.sleep(round % 3);
    child.kill("SIGKILL");
    await child.exited;
    if (round % 3 === 0) continue; // The next attempt goes on where this one ended.
    daemon = await begin("--data-root", dataRoot);
    const driver = (await daemon.berth("info", "-f", "{{.Driver}}")).out.trim();
    drivers.add(driver);
    expect([from, to]).toContain(driver);
    expect(await seen(daemon)).toEqual(was);
    const usage = (await daemon.berth("system", "df", "-v")).out;
    expect(usage).not.toMatch(/unknown/i);
    await end(daemon);
    for (const other of ["overlay2", "erofs"])
      expect([other, existsSync(`${dataRoot}/${other}`)]).toEqual([other, other === driver]);
    if (driver === to) [from, to] = [to, from];
  }
  expect((await ended(migrate(dataRoot, to))).status).toBe(0);
  daemon = await begin("--data-root", dataRoot);
  expect(await seen(daemon)).toEqual(was);
  expect(drivers.size).toBe(2);
  await destroy(daemon);
});

test("a damaged note is told of, and what it should say", async () => {
  const daemon = await begin();
  await daemon.berth("create", "--name", "held", "busybox");
  await daemon.stop();
  const note = `${daemon.directory}/data/storage.json`;
  const good = readFileSync(note, "utf8");
  writeFileSync(note, "{");
  expect(daemon.start()).rejects.toThrow(/storage.json is damaged: write/);
  await daemon.start().catch(() => {});
  writeFileSync(note, good);
  await daemon.start();
  expect((await daemon.berth("ps", "-aq")).out).not.toBe("");
  await destroy(daemon);
});
