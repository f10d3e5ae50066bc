/** cp in both directions, into containers that run and that do not, and what a hostile one can make of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const work = scratchDirectory("bt-copy-");

beforeAll(() => {
  mkdirSync(`${work}/dir/sub`, { recursive: true });
  writeFileSync(`${work}/file`, "one\n");
  writeFileSync(`${work}/dir/a`, "two\n");
  writeFileSync(`${work}/dir/sub/b`, "three\n");
  symlinkSync("a", `${work}/dir/link`);
  chmodSync(`${work}/file`, 0o640);
  chownSync(`${work}/file`, 1234, 4321);
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const setUp = [
  "mkdir -p /var/data /tmp/there",
  "ln -s /var/data /absolute",
  "ln -s var/data /relative",
  "echo old > /tmp/plain",
].join("; ");

describe.each([
  ["berth", "stopped"],
  ["berth", "running"],
  ["docker", "stopped"],
  ["docker", "running"],
] as const)("%s, %s", (client, state) => {
  const box = `${client}-${state}`;
  const cp = (from: string, to: string, ...flags: string[]) =>
    daemon[`${client}With`]({ cwd: work }, "cp", ...flags, from, to);
  const shell = async (script: string) => {
    if (state === "stopped") await daemon.berth("start", box);
    const done = await daemon.berth("exec", box, "sh", "-c", script);
    if (state === "stopped") await daemon.berth("kill", box);
    return done.out;
  };

  beforeAll(async () => {
    const mounts = ["-v", `${box}:/vol`, "-v", `${box}-deep:/var/data/deep`];
    const image = ["busybox", "sh", "-c", `[ -e /absolute ] || { ${setUp}; }; exec sleep 1000`];
    await daemon.berth("run", "-d", "--name", box, "--init", ...mounts, ...image);
    await daemon.until(box, "{{.State.Status}}", "running");
    await shell("until [ -e /tmp/plain ]; do :; done");
    if (state === "stopped") await daemon.berth("kill", box);
  });

  test("a file goes into a directory, to a new name and over a file, with its owner and mode", async () => {
    for (const target of ["/tmp/there", "/tmp/there/", "/tmp/new", "/tmp/plain", "/absolute/x"])
      expect(await cp("file", `${box}:${target}`)).toMatchObject({ status: 0, out: "" });
    const files = "/tmp/there/file /tmp/new /tmp/plain /var/data/x";
    expect(await shell(`stat -c '%u:%g %a' ${files}; cat ${files}`)).toBe(
      `${"1234:4321 640\n".repeat(4)}${"one\n".repeat(4)}`,
    );
  });

  test("a directory goes into one that is there and becomes one that is not; its content goes with /.", async () => {
    await cp("dir", `${box}:/tmp/made`);
    await cp("dir", `${box}:/tmp/made`);
    await cp("dir/.", `${box}:/tmp/content`);
    await cp("dir/.", `${box}:/tmp/content`);
    expect(await shell("cd /tmp; find made content | sort; readlink content/link")).toBe(
      [
        ...["content", "content/a", "content/link", "content/sub", "content/sub/b"],
        ...["made", "made/a", "made/dir", "made/dir/a", "made/dir/link", "made/dir/sub"],
        ...["made/dir/sub/b", "made/link", "made/sub", "made/sub/b", "a", ""],
      ].join("\n"),
    );
  });

  test("links in the container are followed inside it", async () => {
    expect((await cp("file", `${box}:/absolute`)).status).toBe(0);
    expect((await cp("file", `${box}:/relative/second`)).status).toBe(0);
    expect(await shell("ls /var/data; readlink /absolute")).toContain("file\nsecond\n");
    expect(existsSync("/var/data/second")).toBe(false);
  });

  test("volumes are written to, also deep ones under a directory that is copied", async () => {
    expect((await cp("file", `${box}:/vol/direct`)).status).toBe(0);
    mkdirSync(`${work}/${box}/deep`, { recursive: true });
    writeFileSync(`${work}/${box}/deep/${box}`, "deep\n");
    expect((await cp(`${box}/.`, `${box}:/var/data`)).status).toBe(0);
    const volumes = ["-v", `${box}:/a:ro`, "-v", `${box}-deep:/b:ro`];
    const seen = await daemon.berth("run", "--rm", ...volumes, "busybox", "ls", "/a", "/b");
    expect(seen.out).toBe(`/a:\ndirect\n\n/b:\n${box}\n`);
    const out = `${work}/volumes-${box}`;
    expect((await cp(`${box}:/var/data`, out)).status).toBe(0);
    expect(readFileSync(`${out}/deep/${box}`, "utf8")).toBe("deep\n");
  });

  test("what cannot be is refused in Docker's words and changes nothing", async () => {
    const refusals = [
      ["file", `${box}:/nowhere/x`, `Could not find the file /nowhere in container ${box}`],
      ["file", `${box}:/nowhere/`, "no such directory"],
      ["dir", `${box}:/tmp/plain`, "cannot copy directory"],
      ["missing", `${box}:/tmp`, "no such file or directory"],
      [`${box}:/nothing`, ".", `Could not find the file /nothing in container ${box}`],
      [`${box}:/tmp/plain`, "nodir/", "no such directory"],
      [`${box}:/tmp/plain`, "no/dir/x", "does not exist"],
      [`${box}:/tmp/there`, "file", "cannot copy directory"],
      ["file", `${box}:/etc/hosts`, "device or resource busy"],
      ["file", "nobody:/tmp", "No such container: nobody"],
      ["file", "dir", "must specify at least one container source"],
      [`${box}:/a`, `${box}:/b`, "copying between containers is not supported"],
    ] as const;
    for (const [from, to, words] of refusals) {
      const done = await cp(from, to);
      expect({ from, to, status: done.status }).toEqual({ from, to, status: 1 });
      expect(done.err).toContain(words);
    }
    expect(readFileSync(`${work}/file`, "utf8")).toBe("one\n");
    expect(await shell("test -d /nowhere || cat /tmp/plain")).toBe("one\n");
  });

  test("archives go in and come out on standard streams", async () => {
    const tar = new Uint8Array(Bun.spawnSync(["tar", "-C", work, "-c", "dir"]).stdout);
    const put = (data: Uint8Array, to: string) =>
      daemon[`${client}With`]({ stdin: data }, "cp", "-", `${box}:${to}`);
    expect((await put(tar, "/tmp/there")).status).toBe(0);
    expect((await put(Bun.gzipSync(tar), "/vol")).status).toBe(0);
    expect(await shell("cat /tmp/there/dir/sub/b /vol/dir/sub/b")).toBe("three\nthree\n");
    expect((await put(tar, "/tmp/plain")).err).toContain("must be a directory");
    expect((await put(Buffer.from("no archive".repeat(200)), "/tmp")).status).toBe(1);
    const got = await daemon[client]("cp", `${box}:/tmp/there/dir`, "-");
    const names = Bun.spawnSync(["tar", "-t"], { stdin: Buffer.from(got.out) }).stdout.toString();
    expect(names).toBe("dir/\ndir/a\ndir/link\ndir/sub/\ndir/sub/b\n");
  });

  test("out of the container: to a name, into a directory, through a link with -L", async () => {
    const to = mkdtempSync(`${work}/out-`);
    await shell("mkdir -p /tmp/o; echo inner > /tmp/o/f; ln -sf o /tmp/ol");
    await cp(`${box}:/tmp/o/f`, `${to}/name`);
    await cp(`${box}:/tmp/o`, to);
    await cp(`${box}:/tmp/o/.`, `${to}/content`);
    await cp(`${box}:/tmp/ol`, `${to}/as-link`);
    await cp(`${box}:/tmp/ol`, `${to}/followed`, "-L");
    expect(readdirSync(to).sort()).toEqual(["as-link", "content", "followed", "name", "o"]);
    for (const path of ["name", "o/f", "content/f", "followed/f"])
      expect(readFileSync(`${to}/${path}`, "utf8")).toBe("inner\n");
  });
});

test("-a gives everything to the container's user; nothing goes into what is read-only", async () => {
  const passwd = "echo app:x:1000:1001::/:/bin/sh >> /etc/passwd";
  const fixed = ["--read-only", "-v", `${work}:/fixed:ro`, "-v", "/free"];
  await daemon.berth("run", "--name", "base", "busybox", "sh", "-c", passwd);
  await daemon.berth("commit", "base", "with-app");
  await daemon.berth("create", "--name", "app", "-u", "app", ...fixed, "with-app", "sleep", "100");
  for (const state of ["stopped", "running"]) {
    if (state === "running") await daemon.berth("start", "app");
    expect((await daemon.berth("cp", "-a", `${work}/file`, `app:/free/${state}`)).status).toBe(0);
    const root = await daemon.docker("cp", `${work}/file`, "app:/tmp");
    expect(root.err).toContain("container rootfs is marked read-only");
    const volume = await daemon.docker("cp", `${work}/file`, "app:/fixed/x");
    expect(volume.err).toContain("mounted volume is marked read-only");
  }
  const owners = await daemon.berth(
    "exec",
    "app",
    "stat",
    "-c",
    "%u:%g",
    "/free/stopped",
    "/free/running",
  );
  expect(owners.out).toBe("1000:1001\n1000:1001\n");
  await daemon.berth("rm", "-f", "-v", "app", "base");
});

test("a container that swaps directories for links leads no copy out of it", async () => {
  const trap = mkdtempSync(`${work}/trap-`);
  const swap = `while :; do mkdir -p /w/d; mv /w/d /w/e; ln -s ${trap} /w/d; rm /w/d; rm -rf /w/e; done`;
  const host = ["-v", `${trap}-none:${trap}`];
  mkdirSync(`${trap}-none`);
  await daemon.berth(
    "run",
    "-d",
    "--init",
    "--name",
    "swap",
    ...host,
    "busybox",
    "sh",
    "-c",
    `mkdir /w; ${swap}`,
  );
  const tar = Bun.spawnSync(["tar", "-C", work, "--transform", "s,^dir,d/x,", "-c", "dir"]).stdout;
  for (let i = 0; i < 40; i++) await daemon.dockerWith({ stdin: tar }, "cp", "-", "swap:/w");
  expect(readdirSync(trap)).toEqual([]);
  await daemon.berth("rm", "-f", "swap");
});

test("a daemon killed in the middle of a copy leaves no mount, and the next one copies", async () => {
  await daemon.berth("create", "--name", "half", "busybox", "true");
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(Bun.spawnSync(["tar", "-C", work, "-c", "dir"]).stdout.slice(0, 2048));
      await Bun.sleep(30_000);
    },
  });
  const path = "http://x/containers/half/archive?path=/tmp";
  const copy = fetch(path, { method: "PUT", body, unix: daemon.socket }).catch(() => undefined);
  await Bun.sleep(300);
  await daemon.kill();
  await copy;
  await daemon.start();
  expect((await daemon.berth("cp", `${work}/dir`, "half:/tmp")).status).toBe(0);
  const got = await daemon.berth("cp", "half:/tmp/dir/sub/b", "-");
  expect(got.out).toContain("three");
  expect(statSync(work).isDirectory()).toBe(true);
  await daemon.berth("rm", "half");
});

test("what a copy that breaks off has made is the container's own", async () => {
  await daemon.berth("run", "-d", "--name", "breaks", "busybox", "sleep", "1000");
  const archive = tarOf({ part: "x".repeat(100_000) });
  const response = await fetch("http://x/containers/breaks/archive?path=/", {
    method: "PUT",
    unix: daemon.socket,
    body: archive.subarray(0, 50_000),
  });
  expect(response.status).not.toBe(200);
  const shown = await daemon.berth("exec", "breaks", "stat", "-c", "%u %g", "/part");
  expect(shown.out).toBe("0 0\n");
  // Who cannot read all of a container cannot commit it.
  expect(await daemon.berth("commit", "breaks", "broken-off")).toMatchObject({
    status: 0,
    err: "",
  });
  await daemon.berth("rm", "-f", "breaks");
  await daemon.berth("rmi", "broken-off");
});
