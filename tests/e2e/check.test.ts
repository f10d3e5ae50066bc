/**
 * `berth system check`: whatever is damaged by hand is found, said in words, and with --repair made whole again from where it
 * came, or said not to be.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";

const registry = new TestRegistry();
beforeAll(() => registry.start());
afterAll(() => registry.stop());
const daemon = daemonOfFile();
const root = `${daemon.directory}/data`;
const name = `${registry.address}/team/app:1`;

const ok = async (...args: string[]) => {
  const done = await daemon.berth(...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};
const check = (...flags: string[]) => daemon.berth("system", "check", ...flags);

async function expectContent(): Promise<void> {
  expect(await check()).toEqual({ status: 0, out: "Everything is as it should be.\n", err: "" });
}

/** Expects a problem in these words, that a repair says to have been repaired so, and that nothing is wrong afterwards. */
async function expectRepair(what: RegExp, how: RegExp | string): Promise<void> {
  const found = await check();
  expect(found.status).toBe(1);
  expect(found.out).toMatch(what);
  expect(found.out).toMatch(/\n {2}what it means: .+\n {2}what to do: .+\n/);
  const done = await check("--repair");
  expect(done.out).toMatch(what);
  expect(done.out).toMatch(typeof how === "string" ? new RegExp(`repaired: ${how}`) : how);
  expect(done.status).toBe(0);
  await expectContent();
}

const blobs = () => readdirSync(`${root}/content/blobs/sha256`);
const blob = (digest: string) => `${root}/content/blobs/sha256/${digest.replace("sha256:", "")}`;

/** Gives what a test has put into the data root to whom that belongs. */
function belongToDaemon(...paths: readonly string[]): void {
  const whole = paths.map((path) => `${root}/${path}`);
  Bun.spawnSync(["chown", "-R", `--reference=${root}`, ...whole]);
}

/** The blobs of the pulled image by their kind. */
function parts(): { manifest: string; config: string; layers: string[] } {
  for (const hex of blobs()) {
    const text = readFileSync(blob(hex), "utf8");
    if (!text.startsWith("{") || text.split('"digest"').length !== 4) continue;
    const manifest = JSON.parse(text) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    return {
      manifest: hex,
      config: manifest.config.digest,
      layers: manifest.layers.map(({ digest }) => digest),
    };
  }
  throw new Error("no manifest");
}

test("a store that has been used is as it should be", async () => {
  await expectContent();
  await ok(
    "run",
    "--name",
    "made",
    "-v",
    "vol:/vol",
    "busybox",
    "sh",
    "-c",
    "mkdir -p /d/e; echo hi > /d/e/f; ln -s f /d/e/l; rm /etc/group; head -c 300000 /dev/urandom > /big; chmod 4755 /big",
  );
  await ok("commit", "made", name);
  await ok("push", name);
  await ok("rmi", name);
  await ok("pull", name);
  await ok("run", "--rm", name, "true");
  await expectContent();
});

test("a blob that is damaged, cut or gone is fetched again", async () => {
  const { manifest, config, layers } = parts();
  const top = blob(layers.at(-1) ?? "");
  const bytes = readFileSync(top);
  const flipped = Buffer.from(bytes);
  flipped[1000] = (flipped[1000] ?? 0) ^ 1;
  writeFileSync(top, flipped);
  await expectRepair(
    /blob sha256:\w+ of .*app:1 is damaged: its content has the digest sha256:/,
    "fetched again from ",
  );
  expect(Buffer.compare(readFileSync(top), bytes)).toBe(0);
  truncateSync(top, 10);
  await expectRepair(/is damaged/, "fetched again from ");
  for (const gone of [top, blob(config), blob(manifest)]) {
    rmSync(gone);
    await expectRepair(/ of .*app:1 is not in the content store/, "fetched again from ");
    expect(existsSync(gone)).toBe(true);
  }
});

test("a layer that is changed, or gone, is unpacked again", async () => {
  const layers = readdirSync(`${root}/overlay2/layers`);
  const top =
    layers
      .map((hex) => `${root}/overlay2/layers/${hex}`)
      .find((path) => existsSync(`${path}/big`)) ?? "";
  const damages: [RegExp, () => void][] = [
    [/"big" has another content/, () => writeFileSync(`${top}/big`, new Uint8Array(300_000))],
    [/"big" has 300001 bytes instead of 300000/, () => appendFileSync(`${top}/big`, "x")],
    [/"big" has the mode 755 instead of 4755/, () => chmodSync(`${top}/big`, 0o755)],
    [/"big" is missing/, () => rmSync(`${top}/big`)],
    [
      /"d\/e\/l" is no symlink/,
      () => {
        rmSync(`${top}/d/e/l`);
        writeFileSync(`${top}/d/e/l`, "");
      },
    ],
    [/"d\/more" is not from the archive/, () => writeFileSync(`${top}/d/more`, "")],
    [/is not unpacked/, () => rmSync(top, { recursive: true })],
  ];
  for (const [what, damage] of damages) {
    damage();
    await expectRepair(what, "unpacked again");
    expect(
      await ok(
        "run",
        "--rm",
        name,
        "sh",
        "-c",
        "cat /d/e/l; wc -c < /big; ls /etc/group 2>&1; [ -u /big ] && echo s",
      ),
    ).toBe("hi\n300000\nls: /etc/group: No such file or directory\ns\n");
  }
  await ok("run", "-d", "--name", "runs", name, "sleep", "1000");
  writeFileSync(`${top}/d/e/f`, "ho\n");
  const done = await check("--repair");
  expect(done.status).toBe(1);
  expect(done.out).toMatch(
    /"d\/e\/f" has another content\n.*\n {2}not repaired: containers run on it: runs\n {2}what to do: /,
  );
  expect(done.out).toEndWith("1 problem, 0 repaired\n");
  await ok("rm", "-f", "runs");
  expect((await check("--repair")).status).toBe(0);
});

test("the image that is built in is brought in again from the executable", async () => {
  const own = await ok("inspect", "--format", "{{index .RootFS.Layers 0}}", "busybox");
  rmSync(`${root}/overlay2/layers/${own.trim().replace("sha256:", "")}`, { recursive: true });
  const all = blobs();
  for (const hex of all) if (!JSON.stringify(parts()).includes(hex)) rmSync(blob(hex));
  expect(blobs().length).toBeLessThan(all.length);
  await expectRepair(
    /of busybox:latest is not in the content store/,
    "brought in again from berth's own executable",
  );
  expect(await ok("run", "--rm", "busybox", "echo", "well")).toBe("well\n");
});

test("what no record names is told of and deleted; what is not berth's is left to the user", async () => {
  const hex = "0".repeat(64);
  const orphans = [
    `content/blobs/sha256/${hex}`,
    `content/ingest/${hex}.partial`,
    `content/recipes/${hex}`,
    `overlay2/layers/${hex}/file`,
    `overlay2/containers/${hex}/upper/file`,
    `containers/${hex}/${hex}-json.log`,
  ];
  for (const path of orphans) await Bun.write(`${root}/${path}`, "x");
  belongToDaemon(...orphans.map((path) => path.replace(new RegExp(`(?<=${hex})/.*`), "")));
  const found = await check();
  for (const path of orphans) expect(found.out).toContain(path.slice(0, path.indexOf(hex) + 64));
  expect(found.out).toEndWith(`${orphans.length} problems, 0 repaired\n`);
  await expectRepair(/is an unpacked layer that no record names/, "deleted");
  for (const path of orphans) expect([path, existsSync(`${root}/${path}`)]).toEqual([path, false]);
  await Bun.write(`${root}/notes.txt`, "mine");
  await Bun.write(`${root}/volumes/lost/_data/file`, "somebody's");
  belongToDaemon("notes.txt", "volumes/lost");
  const done = await check("--repair");
  expect(done.status).toBe(1);
  expect(done.out).toMatch(/notes.txt \(4096 bytes\) is nothing that berth has made\n/);
  expect(done.out).toMatch(
    /lost .* lies among the volumes and is none\n.*\n.*\n {2}what to do: "berth volume create lost" makes it a volume/,
  );
  // Nor does the daemon's next start touch it.
  await daemon.kill();
  await daemon.start();
  await ok("volume", "create", "lost");
  expect(await ok("run", "--rm", "-v", "lost:/v", "busybox", "cat", "/v/file")).toBe("somebody's");
  rmSync(`${root}/notes.txt`);
  await expectContent();
});

test("rows without files: volumes are made anew, containers are named; nothing is known of what nobody has", async () => {
  rmSync(`${root}/volumes/vol`, { recursive: true });
  await expectRepair(/the volume vol has no directory/, "made anew, empty");
  const id = await ok("inspect", "--format", "{{.Id}}", "made");
  rmSync(`${root}/overlay2/containers/${id.trim()}`, { recursive: true });
  const lacks = await check("--repair");
  expect(lacks.out).toMatch(/the container made lacks its writable layer\n/);
  expect(lacks.out).toMatch(/what to do: berth rm -f made\n/);
  await ok("rm", "-f", "made");
  await ok("run", "--name", "own", "busybox", "touch", "/mine");
  await ok("commit", "own", "own:1");
  await ok("rm", "own");
  const before = blobs();
  await ok("run", "--name", "second", "own:1", "touch", "/x");
  await ok("commit", "second", "own:2");
  await ok("rm", "second");
  const mine = blobs().filter(
    (hex) => !before.includes(hex) && !readFileSync(blob(hex), "utf8").startsWith("{"),
  );
  expect(mine.length).toBe(1);
  writeFileSync(blob(mine[0] ?? ""), "nonsense");
  const lost = await check("--repair");
  expect(lost.out).toMatch(/of own:2 is damaged/);
  expect(lost.out).toMatch(/not repaired: no registry is known that has it/);
  // Nothing was made worse, and containers still run.
  expect(readFileSync(blob(mine[0] ?? ""), "utf8")).toBe("nonsense");
  expect((await daemon.berth("run", "--rm", "own:2", "ls", "/mine")).out).toBe("/mine\n");
  await ok("rmi", "own:2", "own:1");
  await expectContent();
});

test("the answer is lines of JSON; two checks at a time are refused", async () => {
  const { text } = await daemon.api("POST", "/berth/check");
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines[0]).toMatchObject({ Looking: { At: expect.stringMatching(/^sha256:/), Done: 0 } });
  expect(lines.at(-1)).toEqual({ Summary: { Problems: 0, Repaired: 0 } });
  mkdirSync(`${root}/mine`);
  belongToDaemon("mine");
  const json = await check("--format", "json");
  expect(JSON.parse(json.out.trim().split("\n").at(-2) ?? "")).toMatchObject({
    Problem: { Code: "not-berths" },
  });
  expect(json.status).toBe(1);
  rmSync(`${root}/mine`, { recursive: true });
  const many = await Promise.all(
    Array.from({ length: 20 }, () => daemon.api("POST", "/berth/check")),
  );
  expect([...new Set(many.map(({ status }) => status))].sort()).toEqual([200, 409]);
});
