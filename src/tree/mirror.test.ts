/** A tree that is copied in two passes, while it changes in every way that a tree can change. */
import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { pickFrom, randomFrom, seedFrom } from "../../tests/kits/random.ts";
import { canMirror, Mirror } from "./mirror.ts";
import type { Privileged } from "./walk.ts";

const scratch = mkdtempSync("/var/tmp/bt-mirror-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const kernel: Privileged = {
  mknod: () => Promise.reject(new Error("not here")),
  setXattr: () => Promise.reject(new Error("not here")),
  xattrs: () => Promise.resolve(new Map()),
};
/** BERTH_MIRROR_ROUNDS tries more. */
const ROUNDS = Number(process.env.BERTH_MIRROR_ROUNDS ?? 5);
const never = new AbortController().signal;

/** Everything that a tree is, as text: kinds, owners, modes, times, contents, and which names are one file. */
function described(root: string, path = "", seen = new Map<number, string>()): string[] {
  const whole = `${root}/${path}`;
  const info = lstatSync(whole);
  const first = seen.get(info.ino) ?? path;
  seen.set(info.ino, first);
  const what = info.isDirectory()
    ? "directory"
    : info.isSymbolicLink()
      ? `to ${readlinkSync(whole)}`
      : `${info.size} ${Bun.hash(readFileSync(whole))}`;
  const time = Math.round(info.mtimeMs * 100);
  return [
    `${path} ${(info.mode & 0o7777).toString(8)} ${info.uid}:${info.gid} ${time} ${what} as ${first}`,
    ...(info.isDirectory()
      ? readdirSync(whole)
          .toSorted()
          .flatMap((name) => described(root, path === "" ? name : `${path}/${name}`, seen))
      : []),
  ];
}

/** Waits until the file system's clock says more than whatever has been changed until now. */
async function tick(): Promise<void> {
  const probe = `${scratch}/probe`;
  writeFileSync(probe, "");
  const before = statSync(probe).ctimeMs;
  while (statSync(probe).ctimeMs <= before + 1) {
    await Bun.sleep(1);
    chmodSync(probe, 0o600);
  }
}

function paths(root: string, path = ""): string[] {
  return readdirSync(`${root}/${path}`, { withFileTypes: true }).flatMap((entry) => {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    return entry.isDirectory() ? [inner, ...paths(root, inner)] : [inner];
  });
}

/** One change of any kind. What cannot be is left. */
function change(root: string, random: () => number): void {
  const all = paths(root);
  const one = () => `${root}/${pickFrom(random, all.length > 0 ? all : ["x"])}`;
  const fresh = () => `${random() < 0.5 ? root : one()}/n${Math.floor(random() * 1000)}`;
  const directories = () => all.filter((path) => lstatSync(`${root}/${path}`).isDirectory());
  const acts: readonly (() => void)[] = [
    () => writeFileSync(one(), `written ${random()}`),
    () => writeFileSync(one(), "same size ", { flag: "r+" }),
    () => truncateSync(one(), Math.floor(random() * 20)),
    () => writeFileSync(fresh(), `new ${random()}`),
    () => mkdirSync(fresh()),
    () => symlinkSync(`to-${random()}`, fresh()),
    () => linkSync(one(), fresh()),
    () => rmSync(one(), { recursive: true }),
    () => renameSync(one(), one()),
    () => renameSync(one(), fresh()),
    () => chmodSync(one(), 0o600 + Math.floor(random() * 8)),
    // As rsync would not see it: content of the same size, with the time of before.
    () => {
      const path = one();
      const { mtime, size } = statSync(path);
      writeFileSync(path, "?".repeat(size));
      utimesSync(path, mtime, mtime);
    },
    // Two directories change places.
    () => {
      const [a, b] = [pickFrom(random, directories()), pickFrom(random, directories())];
      renameSync(`${root}/${a}`, `${root}/swap`);
      renameSync(`${root}/${b}`, `${root}/${a}`);
      renameSync(`${root}/swap`, `${root}/${b}`);
    },
    // A file becomes a directory, and the other way round.
    () => {
      const path = one();
      const was = lstatSync(path).isDirectory();
      rmSync(path, { recursive: true });
      if (was) writeFileSync(path, "was a directory");
      else mkdirSync(path);
    },
  ];
  try {
    pickFrom(random, acts)();
  } catch {
    // It was there no more, or not of the right kind.
  }
}

function grow(root: string, random: () => number): void {
  mkdirSync(root);
  for (let i = 0; i < 12; i++)
    mkdirSync(`${root}/${i % 3 === 0 ? "" : "d0/"}d${i}`, { recursive: true });
  const places = ["", ...paths(root)];
  for (let i = 0; i < 60; i++)
    writeFileSync(`${root}/${pickFrom(random, places)}/f${i}`, `content ${i} `.repeat(i));
  linkSync(`${root}/${paths(root).find((path) => path.endsWith("f9"))}`, `${root}/linked`);
}

test("the copy is the tree as it was at the last pass, whatever has changed before and during the first", async () => {
  const seed = seedFrom("BERTH_MIRROR_SEED");
  for (let round = 0; round < ROUNDS; round++) {
    const random = randomFrom(seed + round);
    const [source, target] = [`${scratch}/s${round}`, `${scratch}/t${round}`];
    grow(source, random);
    await tick();
    mkdirSync(target);
    const mirror = new Mirror(kernel, source, target, never, 0);
    let over = false;
    const changing = (async () => {
      while (!over) {
        for (let i = 0; i < 3; i++) change(source, random);
        await Bun.sleep(1);
      }
    })();
    await mirror.begin();
    over = true;
    await changing;
    for (let i = 0; i < 20 * random(); i++) change(source, random);
    await mirror.finish();
    expect(described(target), `BERTH_MIRROR_SEED=${seed}, round ${round}`).toEqual(
      described(source),
    );
    for (const path of [source, target]) rmSync(path, { recursive: true });
  }
}, 60_000);

test("the last pass copies what has changed, and nothing else", async () => {
  const [source, target] = [`${scratch}/still`, `${scratch}/copy`];
  grow(source, randomFrom(1));
  await tick();
  mkdirSync(target);
  const mirror = new Mirror(kernel, source, target, never, 0);
  await mirror.begin();
  const before = mirror.copied;
  expect(before).toBeGreaterThan(50);
  writeFileSync(`${source}/late`, "late");
  chmodSync(`${source}/${paths(source).find((path) => path.endsWith("f7"))}`, 0o640);
  renameSync(`${source}/d9`, `${source}/renamed`);
  const moved = paths(`${source}/renamed`).length;
  await mirror.finish();
  // One that is new, one that has changed, those that are elsewhere now, and one of the two names of a file.
  expect(mirror.copied - before).toBe(1 + 1 + moved + 1);
  expect(described(target)).toEqual(described(source));
}, 60_000);

test("directories that change places take along files that have changed at the same moment", async () => {
  const [source, target] = [`${scratch}/places`, `${scratch}/places-copy`];
  for (let same = false; !same; ) {
    rmSync(source, { recursive: true, force: true });
    for (const name of ["a", "b"]) mkdirSync(`${source}/${name}`, { recursive: true });
    for (const name of ["a", "b"]) writeFileSync(`${source}/${name}/x`, name);
    const [a, b] = [statSync(`${source}/a/x`), statSync(`${source}/b/x`)];
    same = a.ctimeMs === b.ctimeMs && a.mtimeMs === b.mtimeMs;
  }
  await tick();
  mkdirSync(target);
  const mirror = new Mirror(kernel, source, target, never, 0);
  await mirror.begin();
  renameSync(`${source}/a`, `${source}/c`);
  renameSync(`${source}/b`, `${source}/a`);
  renameSync(`${source}/c`, `${source}/b`);
  await mirror.finish();
  expect(readFileSync(`${target}/a/x`, "utf8")).toBe("b");
  expect(described(target)).toEqual(described(source));
}, 60_000);

test("what has changed shortly before is copied again: a call may still be writing to it", async () => {
  const [source, target] = [`${scratch}/warm`, `${scratch}/warm-copy`];
  mkdirSync(source);
  writeFileSync(`${source}/file`, "x");
  await tick();
  mkdirSync(target);
  const mirror = new Mirror(kernel, source, target, never);
  await mirror.begin();
  await mirror.finish();
  expect(mirror.copied).toBe(2);
}, 60_000);

test("names that are no UTF-8, or look like options, are copied as they are", async () => {
  const [source, target] = [`${scratch}/names`, `${scratch}/names-copy`];
  mkdirSync(source);
  const odd = [Buffer.from([0x61, 0xff, 0x62]), Buffer.from("-rf"), Buffer.from("a\nb 'c\" $d")];
  for (const name of odd) writeFileSync(Buffer.concat([Buffer.from(`${source}/`), name]), name);
  mkdirSync(target);
  const mirror = new Mirror(kernel, source, target, never);
  await mirror.begin();
  await mirror.finish();
  const names = readdirSync(target, { encoding: "buffer" }).map((name) => name.toString("latin1"));
  expect(names.toSorted()).toEqual(odd.map((name) => name.toString("latin1")).toSorted());
}, 60_000);

test("what is soon copied is copied once", async () => {
  const [small, large] = [`${scratch}/small`, `${scratch}/large`];
  for (const path of [small, large]) mkdirSync(`${path}/inner`, { recursive: true });
  for (let i = 0; i < 1200; i++) writeFileSync(`${large}/inner/${i}`, "");
  const beside = mkdtempSync(`${scratch}/beside-`);
  expect(await canMirror(small, beside)).toBe(false);
  const { type } = statfsSync(scratch);
  // Where blocks are shared, or pages are not written back, never.
  if (type === 0xef53) expect(await canMirror(large, beside)).toBe(true);
  if (type === 0x9123683e || type === 0x01021994)
    expect(await canMirror(large, beside)).toBe(false);
  expect(readdirSync(beside)).toEqual([]);
}, 60_000);

test("a copy that is given up says why", async () => {
  const [source, target] = [`${scratch}/long`, `${scratch}/long-copy`];
  grow(source, randomFrom(2));
  mkdirSync(target);
  const giving = new AbortController();
  const mirror = new Mirror(kernel, source, target, giving.signal, 0);
  giving.abort(new Error("no more"));
  await expect(mirror.begin()).rejects.toThrow("no more");
  expect(existsSync(source)).toBe(true);
}, 60_000);
