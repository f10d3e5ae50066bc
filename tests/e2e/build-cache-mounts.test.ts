/** Directories of RUN --mount=type=cache that go from one host to another. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Builder } from "../build-conformance/builders.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const builder = new Builder(daemon.socket);
const mounts = `${daemon.directory}/data/build/mounts`;

const run = (command: string) =>
  `FROM busybox\nRUN --mount=type=cache,target=/c,id=kept,uid=7,mode=750 ${command}\n`;

async function build(command: string, query = {}): Promise<void> {
  const { error } = await builder.build({ dockerfile: run(command), query });
  expect(error).toBeUndefined();
}

test("a cache mount comes out as it is, and goes in whole, with owners, modes and links", async () => {
  const file = `${daemon.directory}/mount.tar`;
  await build(
    "mkdir /c/d; echo one > /c/d/f; chown 8:9 /c/d/f; chmod 640 /c/d/f; ln -s d/f /c/l; ln /c/d/f /c/h",
  );
  const exported = await daemon.berth("builder", "export", "kept", "-o", file);
  expect([exported.status, exported.err]).toEqual([0, ""]);
  await daemon.berth("builder", "prune", "-af");
  expect(readdirSync(mounts)).toEqual([]);
  const imported = await daemon.berth("builder", "import", "kept", file);
  expect([imported.status, imported.err]).toEqual([0, ""]);
  const id = imported.out.trim();
  const looks = "stat -c '%n %u:%g %a %h' /c /c/d /c/d/f; cat /c/l; ls /c > /listed";
  const { text } = await daemon.api("GET", "/system/df?type=build-cache");
  expect(text).toContain("cached mount kept");
  const listed = (await daemon.berth("builder", "du")).out;
  expect(listed).toMatch(new RegExp(`^ID +RECLAIMABLE +SIZE +LAST ACCESSED\n${id}\\* +true +`));
  expect(listed).toMatch(/^Total: +\d/m);
  const whole = (await daemon.berth("buildx", "du", "--verbose")).out;
  expect(whole).toMatch(/^Description: +cached mount kept$/m);
  const directory = scratchDirectory("context-");
  writeFileSync(`${directory}/Dockerfile`, run(looks));
  const seen = await daemon.berth("build", "--progress=plain", directory);
  rmSync(directory, { recursive: true });
  for (const line of ["/c 7:0 750", "/c/d 0:0 755", "/c/d/f 8:9 640 2", " one"])
    expect(seen.err).toContain(line);
  // By its id, compressed, and in the place of what there was.
  const packed = Bun.gzipSync(new Uint8Array(await Bun.file(file).arrayBuffer()));
  writeFileSync(`${mounts}/${id}/new`, "");
  const again = await daemon.berthWith({ stdin: packed }, "builder", "import", id);
  expect([again.status, again.out]).toEqual([0, `${id}\n`]);
  expect(readdirSync(`${mounts}/${id}`).sort()).toEqual(["d", "h", "l"]);
});

test("what is no archive, or is not there, changes nothing; while a build uses it nobody takes it", async () => {
  const [id = ""] = readdirSync(mounts).filter((name) => !name.endsWith(".id"));
  const before = readdirSync(`${mounts}/${id}`);
  const broken = await daemon.berthWith({ stdin: "x".repeat(2000) }, "builder", "import", "kept");
  expect(broken.status).toBe(1);
  expect(readdirSync(`${mounts}/${id}`)).toEqual(before);
  expect(readdirSync(mounts).sort()).toEqual([id, `${id}.id`]);
  const missing = await daemon.berth("builder", "export", "nothing");
  expect([missing.status, missing.err]).toEqual([
    1,
    "Error response from daemon: no such cache mount: nothing\n",
  ]);
  const going = build("touch /c/begun; while [ ! -e /c/go ]; do sleep 0.05; done");
  while (!existsSync(`${mounts}/${id}/begun`)) await Bun.sleep(10);
  const used = await daemon.berth("builder", "export", "kept");
  expect([used.status, used.err.includes("a build uses this cache mount")]).toEqual([1, true]);
  writeFileSync(`${mounts}/${id}/go`, "");
  await going;
  const free = await daemon.berth("builder", "export", id.slice(0, 8), "-o", "/dev/null");
  expect(free.status).toBe(0);
});
