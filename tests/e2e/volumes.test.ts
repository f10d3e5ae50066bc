/** Volumes with options, mounted while somebody uses them, and volumes of plugins. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { giveToDaemon, scratchDirectory } from "../kits/scratch.ts";
import { VolumePluginFake } from "../kits/volume-plugin.ts";

const daemon = daemonOfFile();
const scratch = scratchDirectory("bt-volumes-");
const PLUGINS = "/run/docker/plugins";
const SPECS = "/etc/docker/plugins";
/** No other plugin's. */
const name = `berth-test-${process.pid}`;
const hadSpecs = existsSync(SPECS);
const plugin = new VolumePluginFake(`${PLUGINS}/${name}.sock`, `${scratch}/plugin`);

beforeAll(() => {
  mkdirSync(PLUGINS, { recursive: true });
  mkdirSync(SPECS, { recursive: true });
  plugin.listen();
});
afterAll(async () => {
  await plugin.stop();
  if (!hadSpecs) rmSync(SPECS, { recursive: true, force: true });
  rmSync(scratch, { recursive: true, force: true });
});

async function docker(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.docker(...args);
  expect(err, args.join(" ")).toBe("");
  expect(status).toBe(0);
  return out.trim();
}

async function refusal(...args: string[]): Promise<string> {
  const { status, err } = await daemon.docker(...args);
  expect(status, args.join(" ")).not.toBe(0);
  return err;
}

const busybox = (volume: string, script: string, ...more: string[]) =>
  docker("run", "--rm", ...more, "-v", `${volume}:/v`, "busybox", "sh", "-c", script);

/** How often something is mounted for a volume. */
function mounts(volume: string): number {
  const path = `${daemon.directory}/data/volumes/${volume}/_data`;
  // The daemon's own are the host's where it is root's.
  const lines = readFileSync(`/proc/${daemon.pid}/mountinfo`, "utf8").split("\n");
  return lines.filter((line) => line.split(" ")[4] === path).length;
}

async function untilUnmounted(volume: string): Promise<void> {
  for (const end = Date.now() + 20_000; mounts(volume) > 0 && Date.now() < end; )
    await Bun.sleep(20);
  expect(mounts(volume)).toBe(0);
}

test("a file system of a volume is mounted once for all who use it, until the last has ended", async () => {
  const options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=1000,noexec"];
  await docker("volume", "create", ...options, "shared");
  expect(mounts("shared")).toBe(0);
  const write = "echo one > /v/f; exec sleep 1000";
  for (const one of ["first", "second"])
    await docker("run", "-d", "--name", one, "-v", "shared:/v", "busybox", "sh", "-c", write);
  expect(mounts("shared")).toBe(1);
  expect(await busybox("shared", "cat /v/f; stat -c %u /v; df -k /v | tail -1")).toMatch(
    /^one\n1000\ntmpfs +1024 /,
  );
  expect(await refusal("volume", "rm", "shared")).toContain("volume is in use");
  await docker("rm", "-f", "first");
  expect(mounts("shared")).toBe(1);
  await docker("stop", "-t", "0", "second");
  await untilUnmounted("shared");
  // What nobody has had mounted meanwhile is gone with the mount, and cp mounts it for itself.
  expect(await docker("cp", "second:/v", "-")).not.toContain("f\0");
  await untilUnmounted("shared");
  await docker("rm", "second");
  await docker("volume", "rm", "shared");
});

test("a daemon that is killed leaves a mount to those who use it, and the next one takes it away after them", async () => {
  const options = ["-o", "type=tmpfs", "-o", "device=tmpfs"];
  await docker("volume", "create", ...options, "kept");
  await docker("volume", "create", ...options, "left");
  const write = "echo here > /v/f; exec sleep 1000";
  await docker("run", "-d", "--name", "keeps", "-v", "kept:/v", "busybox", "sh", "-c", write);
  await docker("run", "-d", "--name", "leaves", "-v", "left:/v", "busybox", "sh", "-c", write);
  const pid = Number(await daemon.inspect("leaves", "{{.State.Pid}}"));
  await daemon.kill();
  process.kill(pid, "SIGKILL");
  while (existsSync(`/proc/${pid}/root/v`)) await Bun.sleep(10);
  await daemon.start();
  await untilUnmounted("left");
  expect(mounts("kept")).toBe(1);
  expect(await busybox("kept", "cat /v/f")).toBe("here");
  await docker("rm", "-f", "keeps", "leaves");
  await untilUnmounted("kept");
  await docker("volume", "rm", "kept", "left");
});

test("a directory of the host's as a volume: it stays when the volume goes, also when that is forced", async () => {
  mkdirSync(`${scratch}/host`);
  writeFileSync(`${scratch}/host/mine`, "mine");
  const options = ["-o", "type=none", "-o", "o=bind", "-o", `device=${scratch}/host`];
  await docker("volume", "create", ...options, "bound");
  await docker("create", "--name", "user", "-v", "bound:/v", "busybox", "true");
  writeFileSync(`${scratch}/given`, "given");
  await docker("cp", "-q", `${scratch}/given`, "user:/v/given");
  expect(readFileSync(`${scratch}/host/given`, "utf8")).toBe("given");
  expect(await busybox("bound", "cat /v/mine /v/given; echo made > /v/made")).toBe("minegiven");
  await docker("rm", "-v", "user");
  await untilUnmounted("bound");
  await docker("volume", "rm", "-f", "bound");
  for (const file of ["mine", "given", "made"])
    expect(existsSync(`${scratch}/host/${file}`)).toBe(true);
});

test("what cannot be mounted is said in the kernel's words, without a password, and nothing is left of it", async () => {
  const make = (volume: string, type: string, device: string, o: string) =>
    docker(
      "volume",
      "create",
      "-o",
      `type=${type}`,
      "-o",
      `device=${device}`,
      "-o",
      `o=${o}`,
      volume,
    );
  await make("none", "none", `${scratch}/nowhere`, "bind");
  expect(await refusal("run", "--rm", "-v", "none:/v", "busybox", "true")).toMatch(
    /error while mounting volume '.*\/none\/_data': failed to mount local volume: mount .*\/nowhere:.*_data, flags: 0x1000: no such file or directory/,
  );
  await make("share", "cifs", "//127.0.0.1/x", "username=me,password=secret,vers=9.9");
  const share = await refusal("run", "--rm", "-v", "share:/v", "busybox", "true");
  expect(share).toContain("data: username=me,password=********,vers=9.9: ");
  expect(share).not.toContain("secret");
  expect(daemon.log).not.toContain("secret");
  await make("sized", "tmpfs", "tmpfs", "size=much");
  expect(await refusal("run", "--rm", "-v", "sized:/v", "busybox", "true")).toContain(
    "Bad value for 'size'",
  );
  await make("server", "nfs", ":/x", "addr=no-such-host.invalid");
  expect(await refusal("run", "--rm", "-v", "server:/v", "busybox", "true")).toContain(
    "error resolving passed in network volume address",
  );
  await docker("volume", "rm", "none", "share", "sized", "server");
  expect(await docker("ps", "-aq")).toBe("");
});

test("a volume that an image fills is whole or empty, whenever the daemon is killed; and files from before 1970 stay so old", async () => {
  const tree = `${scratch}/tree`;
  mkdirSync(`${tree}/data/sub`, { recursive: true });
  for (let at = 0; at < 500; at++) writeFileSync(`${tree}/data/${at}`, `${at}`);
  const old = ["data/0", "data/sub", "data"].map((path) => `${tree}/${path}`);
  Bun.spawnSync(["touch", "-d", "1955-11-12 06:38:00 UTC", ...old]);
  Bun.spawnSync(["tar", "-C", tree, "-cf", `${scratch}/tree.tar`, "data"]);
  await docker("import", `${scratch}/tree.tar`, "filled");
  const fills = ["create", "-v", "halved:/data", "--name", "fills", "filled", "/nothing"];
  await docker(...fills);
  const volume = `${daemon.directory}/data/volumes/halved`;

  const start = daemon.docker("start", "fills");
  while (!existsSync(`${volume}/_filling/3`)) await Bun.sleep(1);
  await daemon.kill();
  await start;
  expect(readdirSync(`${volume}/_data`)).toEqual([]);
  await daemon.start();
  expect(readdirSync(volume)).toEqual(["_data"]);
  expect((await daemon.docker("start", "fills")).status).not.toBe(0);
  expect(readdirSync(`${volume}/_data`).length).toBe(501);
  for (const path of ["_data/0", "_data/sub", "_data"])
    expect(statSync(`${volume}/${path}`).mtimeMs, path).toBe(Date.UTC(1955, 10, 12, 6, 38));
  // As a daemon leaves it that dies between the two steps of the end.
  renameSync(`${volume}/_data`, `${volume}/_filled`);
  mkdirSync(`${volume}/_data`);
  giveToDaemon(`${volume}/_data`);
  renameSync(`${volume}/_filled/17`, `${volume}/_data/17`);
  writeFileSync(`${volume}/_data/16`, "somebody's own");
  await daemon.kill();
  await daemon.start();
  expect(readdirSync(`${volume}/_data`).length).toBe(501);
  expect(readFileSync(`${volume}/_data/16`, "utf8")).toBe("somebody's own");
  expect(readdirSync(volume)).toEqual(["_data"]);
  await docker("rm", "-v", "fills");
  await docker("volume", "rm", "halved");
  await docker("rmi", "filled");
});

test("options that make no sense are refused, and nothing is made", async () => {
  const refused = async (...options: string[]) =>
    (await refusal("volume", "create", ...options.flatMap((one) => ["-o", one]), "refused")).trim();
  expect(await refused("foo=bar")).toEndWith('create refused: invalid option: "foo"');
  expect(await refused("type=tmpfs")).toEndWith(
    'create refused: missing required option: "device"',
  );
  expect(await refused("device=/x")).toEndWith('create refused: missing required option: "type"');
  expect(await refused("o=ro")).toEndWith('create refused: missing required option: "device"');
  expect(await refused("size=1m")).toEndWith("quota size requested but no quota support");
  expect(await docker("volume", "ls", "-q")).toBe("");
});

test("a volume of a plugin is made, mounted for each container, shown and removed by it", async () => {
  await docker("volume", "create", "-d", name, "-o", "size=3", "--label", "a=b", "far");
  expect(plugin.volumes.get("far")).toEqual({ size: "3" });
  expect(
    await docker("run", "--name", "one", "-v", "far:/v", "busybox", "sh", "-c", "echo x > /v/f"),
  ).toBe("");
  expect(readFileSync(`${scratch}/plugin/far/f`, "utf8")).toBe("x\n");
  expect(await busybox("far", "cat /v/f")).toBe("x");
  for (const end = Date.now() + 10_000; plugin.mounted.size > 0 && Date.now() < end; )
    await Bun.sleep(10);
  expect([...plugin.mounted]).toEqual([]);
  expect(
    await docker("volume", "inspect", "far", "--format", "{{.Driver}} {{.Scope}} {{.Status}}"),
  ).toBe(`${name} global map[Options:map[size:3]]`);
  expect(await daemon.inspect("one", "{{range .Mounts}}{{.Driver}}{{end}}")).toBe(name);
  expect((await daemon.berth("system", "df", "-v")).out).toMatch(/^far +1 +N\/A$/m);
  expect((await daemon.berth("system", "check")).out).not.toContain("far");
  plugin.volumes.set("strange", {});
  expect(await docker("volume", "ls", "-q", "-f", `driver=${name}`)).toBe("far\nstrange");
  plugin.volumes.delete("strange");
  expect(await refusal("volume", "create", "far")).toContain(
    `create far: driver '${name}' already has volume 'far': volume name must be unique`,
  );
  await docker("rm", "one");
  await docker("volume", "prune", "-af");
  await docker("volume", "rm", "far");
  expect([...plugin.volumes]).toEqual([]);
});

test("a plugin's mounts survive the daemon with their containers, and end with them", async () => {
  const mount = `type=volume,src=lasting,dst=/v,volume-driver=${name},volume-opt=k=v`;
  const sleep = ["busybox", "sleep", "1000"];
  const id = await docker("run", "-d", "--name", "lasts", "--mount", mount, ...sleep);
  const other = await docker("run", "-d", "--name", "ends", "-v", "lasting:/v", ...sleep);
  expect(plugin.mounted).toEqual(new Set([`lasting ${id}`, `lasting ${other}`]));
  expect(plugin.volumes.get("lasting")).toEqual({ k: "v" });
  const pid = Number(await daemon.inspect("ends", "{{.State.Pid}}"));
  await daemon.kill();
  process.kill(pid, "SIGKILL");
  while (existsSync(`/proc/${pid}/root/v`)) await Bun.sleep(10);
  await daemon.start();
  expect(plugin.mounted).toEqual(new Set([`lasting ${id}`]));
  await docker("rm", "-f", "lasts", "ends");
  expect(plugin.mounted.size).toBe(0);
  await docker("volume", "rm", "lasting");
});

test("a plugin that refuses, is none, or is not there, is told in its own words", async () => {
  plugin.failures.set("VolumeDriver.Create", "the array is full");
  expect(await refusal("volume", "create", "-d", name, "full")).toContain(
    "create full: the array is full",
  );
  plugin.failures.clear();
  await docker("volume", "create", "-d", name, "broken");
  plugin.failures.set("VolumeDriver.Mount", "no route to the array");
  expect(await refusal("run", "--rm", "-v", "broken:/v", "busybox", "true")).toContain(
    "error while mounting volume 'broken': no route to the array",
  );
  plugin.failures.set("VolumeDriver.Remove", "still there");
  expect(await refusal("volume", "rm", "broken")).toContain("remove broken: still there");
  await docker("volume", "rm", "-f", "broken");
  plugin.failures.clear();
  expect(await refusal("volume", "create", "-d", "nosuch", "x1")).toContain(
    'create x1: error looking up volume plugin nosuch: plugin "nosuch" not found',
  );
  expect(await refusal("volume", "create", "-d", "../../etc", "x1")).toContain("not found");
  plugin.failures.set("Plugin.Activate", "busy");
  writeFileSync(`${SPECS}/${name}-spec.spec`, `unix://${plugin.socket}\n`);
  expect(await refusal("volume", "create", "-d", `${name}-spec`, "x1")).toContain("busy");
  plugin.failures.clear();
  writeFileSync(
    `${SPECS}/${name}-json.json`,
    JSON.stringify({ Name: "x", Addr: `unix://${plugin.socket}` }),
  );
  for (const driver of [`${name}-spec`, `${name}-json`]) {
    await docker("volume", "create", "-d", driver, driver);
    await docker("volume", "rm", driver);
    for (const kind of ["spec", "json"]) rmSync(`${SPECS}/${driver}.${kind}`, { force: true });
  }
});

test("the commands for volumes say what docker's say", async () => {
  await docker("volume", "create", "--label", "a=b", "said");
  await docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "options");
  for (const line of [
    "ls",
    "ls -q --format json",
    "ls --format raw",
    "ls --cluster",
    "ls --filter foo",
    "ls --filter foo=bar",
    "ls --filter dangling=maybe",
    "ls --filter label=a=b --format {{.Name}}:{{.Labels}}:{{.Mountpoint}}",
    "inspect said options",
    "inspect nosuch",
    "create --name one other",
    "create --label =x one",
    "create x",
    "update said",
    "update nosuch",
    "prune -f --filter foo=bar",
  ]) {
    const args = ["volume", ...line.split(" ")];
    const theirs = await daemon.docker(...args);
    const ours = await daemon.berth(...args);
    const plain = (text: string) => text.replaceAll("docker", "berth");
    expect({ ...ours, err: plain(ours.err) }, line).toEqual({ ...theirs, err: plain(theirs.err) });
  }
  await docker("volume", "rm", "said", "options");
});
