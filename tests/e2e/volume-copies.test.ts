/** What volumes hold, exported, imported, snapshotted and cloned: whole, of one moment, or not at all. */
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const scratch = scratchDirectory("bt-volume-copies-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function ok(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(err, args.join(" ")).toBe("");
  expect(status).toBe(0);
  return out.trim();
}

const shell = (volume: string, script: string) =>
  ok("run", "--rm", "-v", `${volume}:/v`, "busybox", "sh", "-c", script);
const volumesDirectory = () => `${daemon.directory}/data/volumes`;

/** Everything that a tree says of itself. */
const describe =
  "cd /v; find . | sort | xargs stat -c '%n %F %a %u:%g %s %Y'; cat f sparse | md5sum; readlink l";
const making = [
  "cd /v; echo hello > f; mkdir -m 1777 d; chown 70:71 d; ln f d/hard; ln -s ../../etc/passwd l",
  "mkfifo p; mknod c c 1 3; echo x > s; chmod 4755 s; truncate -s 3000000 sparse; echo end >> sparse",
  "touch -d '1961-04-12 06:07:00' f; touch -d '2001-02-03 04:05:06' d; chown 999:998 .; chmod 750 .",
].join("; ");

test("an archive of a volume, and a volume of an archive, have everything: owners, times, links, devices, the root itself", async () => {
  // In a user namespace of its own nobody makes a device.
  await ok("run", "--rm", "--userns=host", "-v", "origin:/v", "busybox", "sh", "-c", making);
  const before = await shell("origin", describe);
  expect(before).toContain(". directory 750 999:998");
  await ok("volume", "export", "-o", `${scratch}/origin.tar`, "origin");
  const listed = Bun.spawnSync(["tar", "-tvf", `${scratch}/origin.tar`]).stdout.toString();
  expect(listed).toMatch(/^drwxr-x--- 999\/998 .* \.\/$/m);
  expect(listed).toMatch(/1961-04-12 .*\.\/(f|d\/hard)$/m);
  expect(await ok("volume", "import", "--label", "a=b", "again", `${scratch}/origin.tar`)).toBe(
    "again",
  );
  expect(await shell("again", describe)).toBe(before);
  expect(await ok("volume", "inspect", "again", "--format", "{{.Labels}}")).toBe("map[a:b]");
  Bun.spawnSync(["gzip", "-k", `${scratch}/origin.tar`]);
  await ok("volume", "create", "empty");
  await ok("volume", "import", "empty", `${scratch}/origin.tar.gz`);
  expect(await shell("empty", describe)).toBe(before);
  const full = await daemon.berth("volume", "import", "empty", `${scratch}/origin.tar`);
  expect(full.err).toContain("import empty: the volume is there and not empty");
  expect(await ok("volume", "clone", "origin", "twin")).toBe("twin");
  expect(await shell("twin", describe)).toBe(before);
  const taken = await daemon.berth("volume", "clone", "origin", "twin");
  expect(taken.err).toContain("create twin: there is a volume of that name");
  const name = await ok("volume", "snapshot", "--label", "why=test", "origin");
  expect(name).toMatch(/^origin-\d{8}T\d{6}$/);
  expect(await shell(name, describe)).toBe(before);
  expect(await ok("volume", "inspect", name, "--format", "{{.Labels}}")).toBe(
    "map[berth.snapshot-of:origin why:test]",
  );
  expect((await daemon.berth("volume", "clone", "nosuch", "x1")).err).toContain(
    "get nosuch: no such volume",
  );
});

test("what is copied while a container writes is of one moment: its writer stands still meanwhile, and then goes on", async () => {
  // Two files that are written one after the other: of one moment the second is never ahead, nor more than one behind.
  const script =
    "i=0; while :; do i=$((i+1)); echo $i > /v/first.new; mv /v/first.new /v/first; echo $i > /v/second.new; mv /v/second.new /v/second; done";
  await ok(
    "run",
    "-d",
    "--name",
    "writer",
    "-v",
    "busy:/v",
    "busybox",
    "sh",
    "-c",
    `mkdir /v/many; for n in $(seq 300); do echo $n > /v/many/$n; done; ${script}`,
  );
  const path = `${volumesDirectory()}/busy/_data`;
  while (!readdirSync(path).includes("second")) await Bun.sleep(10);
  const count = () => Number(readFileSync(`${path}/first`, "utf8"));
  await ok("volume", "cp", "-q", "busy:/", `${scratch}/of-one-moment`);
  const local = (name: string) => Number(readFileSync(`${scratch}/of-one-moment/${name}`, "utf8"));
  expect([0, 1]).toContain(local("first") - local("second"));
  expect(readdirSync(`${scratch}/of-one-moment/many`)).toHaveLength(300);
  for (let round = 0; round < 3; round++) {
    const copy = `moment${round}`;
    // So many files are copied twice, while their writer goes on and while it stands still.
    if (round === 2)
      await ok(
        "exec",
        "writer",
        "sh",
        "-c",
        "for n in $(seq 301 1200); do echo $n > /v/many/$n; done",
      );
    if (round !== 1) await ok("volume", "snapshot", "busy", copy);
    else {
      await ok("volume", "export", "-o", `${scratch}/busy.tar`, "busy");
      await ok("volume", "import", copy, `${scratch}/busy.tar`);
    }
    const [first, second, files] = (await shell(copy, "cat /v/first /v/second; ls /v/many | wc -l"))
      .split("\n")
      .map(Number);
    expect([0, 1]).toContain((first ?? 0) - (second ?? 0));
    expect(files).toBe(round < 2 ? 300 : 1200);
    const now = count();
    for (const end = Date.now() + 10_000; count() === now && Date.now() < end; ) await Bun.sleep(5);
    expect(count()).toBeGreaterThan(now);
  }
  expect(await daemon.inspect("writer", "{{.State.Status}}")).toBe("running");
  // Who is paused stays so.
  await ok("pause", "writer");
  await ok("volume", "snapshot", "busy", "quiet");
  expect(await daemon.inspect("writer", "{{.State.Status}}")).toBe("paused");
  const still = count();
  await Bun.sleep(100);
  expect(count()).toBe(still);
  await ok("rm", "-f", "writer");
}, 180_000);

test("what is broken off leaves nothing: archives that are cut off or none, clients that go, a daemon that is killed", async () => {
  const names = () => readdirSync(volumesDirectory()).sort();
  await shell("large", "dd if=/dev/zero of=/v/zeros bs=1M count=60 2>/dev/null");
  const before = names();
  await ok("volume", "export", "-o", `${scratch}/large.tar`, "large");
  const whole = readFileSync(`${scratch}/large.tar`);
  const noise = Buffer.from("no archive at all, whatever else it may be");
  for (const content of [whole.subarray(0, whole.length / 2), noise]) {
    writeFileSync(`${scratch}/bad`, content);
    const bad = await daemon.berth("volume", "import", "broken", `${scratch}/bad`);
    expect(bad.status).toBe(1);
    expect(bad.err).toContain("Error response from daemon: ");
    expect(names()).toEqual(before);
    await ok("volume", "create", "hollow");
    expect((await daemon.berth("volume", "import", "hollow", `${scratch}/bad`)).status).toBe(1);
    expect(readdirSync(`${volumesDirectory()}/hollow/_data`)).toEqual([]);
    await ok("volume", "rm", "hollow");
  }
  // The command is killed while it sends.
  const sent = daemon.socket;
  const half = (async function* () {
    yield whole.subarray(0, 1 << 20);
    await Bun.sleep(60_000);
  })();
  const gone = new AbortController();
  const request = fetch("http://x/berth/volumes/half/import", {
    ...{ unix: sent, method: "POST", body: half, signal: gone.signal },
  }).catch(() => {});
  while (names().length === before.length) await Bun.sleep(5);
  gone.abort();
  await request;
  for (const end = Date.now() + 10_000; names().length > before.length && Date.now() < end; )
    await Bun.sleep(10);
  expect(names()).toEqual(before);
  // The daemon is killed while it copies, and while it has everything but the name.
  const dies = daemon.berth("volume", "clone", "large", "never");
  while (names().length === before.length) await Bun.sleep(1);
  await daemon.kill();
  await dies;
  await daemon.start();
  expect(names().filter((name) => name.startsWith("."))).toEqual([]);
  const there = (await ok("volume", "ls", "-q")).split("\n");
  expect(names()).toEqual(there.sort());
});

test("volume cp goes in and out without a container, follows no link out of the volume, and says what is not there", async () => {
  await shell(
    "files",
    "mkdir -p /v/a/b; echo one > /v/a/b/one; ln -s /etc/hostname /v/out; ln -s a/b /v/in; chown 5:6 /v/a/b/one",
  );
  const local = `${scratch}/cp`;
  await ok("volume", "cp", "-q", "files:/a", local);
  expect(readFileSync(`${local}/b/one`, "utf8")).toBe("one\n");
  const archive = Bun.spawnSync(["tar", "-tvf", "-"], {
    stdin: Buffer.from((await daemon.berth("volume", "cp", "files:/in/one", "-")).out),
  });
  expect(archive.stdout.toString()).toMatch(/^-rw-r--r-- 5\/6 +4 .* one$/m);
  const outside = await daemon.berth("volume", "cp", "-q", "-L", "files:/out", `${scratch}/out`);
  expect(outside.err).toContain("Could not find the file /etc/hostname in volume files");
  writeFileSync(`${scratch}/two`, "two");
  await ok("volume", "cp", "-q", `${scratch}/two`, "files:/in/");
  expect(await shell("files", "cat /v/a/b/two")).toBe("two");
  expect(
    (await daemon.berth("volume", "cp", "-q", `${scratch}/two`, "files:/no/where/")).status,
  ).not.toBe(0);
  expect((await daemon.berth("volume", "cp", "nosuch:/x", "-")).err).toContain(
    "get nosuch: no such volume",
  );
  expect((await daemon.berth("volume", "cp", "files:/a", "origin:/a")).err).toContain(
    "copying between volumes is not supported",
  );
  expect(readdirSync(volumesDirectory()).filter((name) => name.startsWith("."))).toEqual([]);
});
