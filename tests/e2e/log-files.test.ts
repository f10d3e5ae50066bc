/** The json-file log as Docker writes it and as other programs read it. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const options = (given: Record<string, string>) =>
  Object.entries(given).flatMap(([name, value]) => ["--log-opt", `${name}=${value}`]);

test("attributes stand in each record as dockerd writes them, and --details shows those of the record", async () => {
  const asked = { labels: "who", "labels-regex": "^w", env: "V,W", tag: "{{.Name}}/x" };
  const run = ["run", "--name", "attrs", "-l", "who=me", "-l", 'w"o=<x>&é (!)', "-e", "V=7"];
  const script = "echo one; echo two >&2; printf part";
  await daemon.docker(...run, ...["-e", "W=a b", ...options(asked), "busybox", "sh", "-c", script]);
  const path = await daemon.inspect("attrs", "{{.LogPath}}");
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const attributes = (name: string) =>
    `"attrs":{"V":"7","W":"a b","tag":"${name}/x","w\\"o":"\\u003cx\\u003e\\u0026é (!)","who":"me"}`;
  const time = '"time":"[0-9T:.-]+Z"}';
  const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  for (const [log, stream] of [
    ["one\\n", "stdout"],
    ["two\\n", "stderr"],
    ["part", "stdout"],
  ]) {
    const begin = `{"log":"${log}","stream":"${stream}",${attributes("attrs")},`;
    expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^${escaped(begin)}${time}$`)));
  }
  const details = (name: string) =>
    `V=7,W=a+b,tag=${name}%2Fx,w%22o=%3Cx%3E%26%C3%A9+%28%21%29,who=me`;
  for (const client of ["docker", "berth"] as const)
    expect(await daemon[client]("logs", "--details", "attrs")).toEqual({
      status: 0,
      out: `${details("attrs")} one\n${details("attrs")} part`,
      err: `${details("attrs")} two\n`,
    });
  // A new name is in what is written after it only.
  await daemon.docker("rename", "attrs", "other");
  await daemon.docker("start", "-a", "other");
  const { out } = await daemon.docker("logs", "--details", "other");
  expect(out).toContain(`${details("attrs")} one\n`);
  expect(out).toEndWith(`${details("other")} part`);
  expect((await daemon.docker("logs", "other")).out).toBe("one\npartone\npart");
  await daemon.berth("rm", "other");
});

test("attributes fill a record to the bound, and beyond it the container is refused", async () => {
  const asked = (size: number) => {
    const flags = Array.from({ length: size }, (_, i) => ["-l", `l${i}=${"x".repeat(60_000)}`]);
    return [...flags.flat(), ...options({ "labels-regex": "^l" }), "busybox", "echo", "hi"];
  };
  expect((await daemon.berth("run", "--name", "full", ...asked(4))).out).toBe("hi\n");
  const path = await daemon.inspect("full", "{{.LogPath}}");
  const [line = ""] = readFileSync(path, "utf8").split("\n");
  expect(JSON.parse(line)).toMatchObject({ log: "hi\n", attrs: { l3: "x".repeat(60_000) } });
  expect((await daemon.berth("logs", "full")).out).toBe("hi\n");
  const refused = await daemon.berth("create", "--name", "over", ...asked(5));
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("262144 is the most")]);
  await daemon.berth("rm", "full");
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await holds()); await Bun.sleep(20))
    if (Date.now() > end) throw new Error("it does not come");
}

/** The names of a log's files after its own, sorted. */
function filesOf(path: string): string[] {
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(basename(path)))
    .map((name) => name.slice(basename(path).length))
    .sort();
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i}`);
const count = (to: number) => `i=0; while [ $i -lt ${to} ]; do echo line $i; i=$((i+1)); done`;
const small = { "max-size": "20k", "max-file": "5", compress: "true" };

test("rotated files are compressed, and read like any others, also by who follows", async () => {
  const script = `${count(3000)}; while [ ! -e /end ]; do usleep 10000; done`;
  const flags = options({ ...small, "max-file": "40" });
  await daemon.docker("run", "-d", "--name", "zip", ...flags, "busybox", "sh", "-c", script);
  const following = daemon.docker("logs", "-f", "zip");
  const path = await daemon.inspect("zip", "{{.LogPath}}");
  // Also while it runs: its shim puts them in their place.
  const plain = () => filesOf(path).filter((name) => /^\.\d+$/.test(name));
  await until(() => filesOf(path).length > 8 && plain().length === 0);
  expect(filesOf(path).filter((name) => name !== "" && !/^\.\d+\.gz$/.test(name))).toEqual([]);
  expect((await daemon.docker("logs", "zip")).out.trimEnd().split("\n")).toEqual(lines(0, 3000));
  await daemon.docker("exec", "zip", "touch", "/end");
  expect((await following).out.trimEnd().split("\n")).toEqual(lines(0, 3000));
  const { out } = await daemon.docker("logs", "--tail", "2000", "zip");
  expect(out.trimEnd().split("\n")).toEqual(lines(1000, 3000));
  const [, stamp = ""] =
    /^(\S+) line 1500$/m.exec((await daemon.docker("logs", "-t", "zip")).out) ?? [];
  const since = (await daemon.docker("logs", "--since", stamp, "zip")).out;
  expect(since).toContain("line 1500\n");
  expect(since).toEndWith("line 2999\n");
  expect(since.length).toBeLessThan(3000 * 10);
  // Any other program reads them as well.
  const gzip = Bun.spawnSync(["gzip", "-dc", `${path}.1.gz`]);
  expect(gzip.stdout.toString()).toMatch(
    /^{"log":"line \d+\\n","stream":"stdout","time":"[^"]+"}\n/,
  );
  await daemon.berth("rm", "zip");
});

test("as many files as anybody may name cost a rotation nothing", async () => {
  const flags = options({ "max-size": "20k", "max-file": "999999999" });
  await daemon.docker("run", "--name", "endless", ...flags, "busybox", "sh", "-c", count(3000));
  const path = await daemon.inspect("endless", "{{.LogPath}}");
  expect(filesOf(path).length).toBeGreaterThan(8);
  const out = (await daemon.docker("logs", "endless")).out.trimEnd().split("\n");
  expect(out).toEqual(lines(0, 3000));
  await daemon.berth("rm", "endless");
  expect(existsSync(path)).toBe(false);
});

test("max-file counts compressed files, over several runs", async () => {
  const flags = options(small);
  await daemon.docker("run", "--name", "many", ...flags, "busybox", "sh", "-c", count(3000));
  const path = await daemon.inspect("many", "{{.LogPath}}");
  const whole = ["", ".1.gz", ".2.gz", ".3.gz", ".4.gz"];
  await until(() => filesOf(path).join() === whole.join());
  await daemon.docker("start", "-a", "many");
  await until(() => filesOf(path).join() === whole.join());
  const out = (await daemon.docker("logs", "many")).out.trimEnd().split("\n");
  expect(out).toEqual(lines(3000 - out.length, 3000));
  // A file may be short: two of four, and what the newest one has by then.
  expect(out.length).toBeGreaterThan(500);
  await daemon.berth("rm", "many");
});

test("a daemon that is killed at any time catches up; nothing is lost, twice there or left over", async () => {
  const script = `${count(4000)}; while [ ! -e /end ]; do usleep 10000; done`;
  const flags = options({ ...small, "max-file": "60" });
  await daemon.docker("run", "-d", "--name", "killed", ...flags, "busybox", "sh", "-c", script);
  const path = await daemon.inspect("killed", "{{.LogPath}}");
  for (let i = 0; i < 4; i++) {
    await Bun.sleep(i * 40);
    await daemon.kill();
    await daemon.start();
  }
  const plain = () => filesOf(path).filter((name) => !name.endsWith(".gz"));
  await until(() => plain().join() === "" && filesOf(path).length > 10);
  expect((await daemon.docker("logs", "killed")).out.trimEnd().split("\n")).toEqual(lines(0, 4000));
  await daemon.docker("exec", "killed", "touch", "/end");
  await daemon.docker("wait", "killed");
  // As after a death between the compression and the removal, or in the middle, while it did not run.
  await daemon.kill();
  const gunzip = (name: string) => Bun.spawnSync(["gzip", "-dc", name]).stdout;
  writeFileSync(`${path}.3`, gunzip(`${path}.3.gz`));
  writeFileSync(`${path}.4`, gunzip(`${path}.4.gz`));
  renameSync(`${path}.4.gz`, `${path}.123.tmp`);
  await daemon.start();
  expect((await daemon.docker("logs", "killed")).out.trimEnd().split("\n")).toEqual(lines(0, 4000));
  await until(() => plain().join() === "");
  expect(existsSync(`${path}.4.gz`)).toBe(true);
  expect((await daemon.docker("logs", "killed")).out.trimEnd().split("\n")).toEqual(lines(0, 4000));
  await daemon.berth("rm", "killed");
}, 60_000);

test("local compresses by itself, json-file when it is asked to, and compress=false is obeyed", async () => {
  const run = async (name: string, ...flags: string[]) => {
    const sizes = options({ "max-size": "20k", "max-file": "4" });
    await daemon.docker(
      "run",
      "--name",
      name,
      ...flags,
      ...sizes,
      "busybox",
      "sh",
      "-c",
      count(1000),
    );
    const id = await daemon.inspect(name, "{{.Id}}");
    return `${daemon.directory}/data/containers/${id}/${id}-json.log`;
  };
  const kept = [
    await run("k1"),
    await run("k2", "--log-driver", "local", "--log-opt", "compress=false"),
  ];
  const path = await run("zips", "--log-driver", "local");
  await until(() => filesOf(path).join() === ",.1.gz,.2.gz,.3.gz");
  for (const other of kept) expect(filesOf(other)).toEqual(["", ".1", ".2", ".3"]);
  await daemon.berth("rm", "k1", "k2", "zips");
});
