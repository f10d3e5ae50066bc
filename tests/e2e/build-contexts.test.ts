/** Contexts of which only what has changed is sent: the image is always that of the whole context. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { LIST_ENTRY } from "../../src/spec/context-list.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const DOCKERFILE = `FROM busybox
COPY . /all/
RUN cd /all; find . | sort | while read f; do stat -c '%n %f %s %Y' "$f"; done; md5sum $(find . -type f | sort)
`;

async function within<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = scratchDirectory("context-");
  try {
    writeFileSync(join(directory, "Dockerfile"), DOCKERFILE);
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What RUN says of the context, and the bytes that were sent for it. */
async function seen(...args: string[]): Promise<{ said: string; sent: number }> {
  const done = await daemon.berth("build", "--no-cache", ...args);
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  const said = [...done.err.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map(([, text]) => text);
  const [, number, unit = "B"] = /transferring context: ([\d.]+)(k?M?B)/.exec(done.err) ?? [];
  const units: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6 };
  return { said: said.join("\n"), sent: Number(number) * (units[unit] ?? Number.NaN) };
}

/** The same context sent whole, as an archive. */
async function whole(directory: string): Promise<string> {
  const tar = Bun.spawnSync(["tar", "-C", directory, "-c", "."]).stdout;
  const done = await daemon.berthWith({ stdin: tar }, "build", "--no-cache", "-");
  return [...done.err.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map(([, text]) => text).join("\n");
}

test("whatever changes in a context, the image is as if all of it had been sent; only what changed is", async () => {
  await within(async (directory) => {
    const at = (path: string) => join(directory, path);
    mkdirSync(at("dir/deep"), { recursive: true });
    writeFileSync(at("big"), Buffer.alloc(3e6, "b"));
    writeFileSync(at("dir/deep/file"), "one\n");
    writeFileSync(at("other"), "other\n");
    symlinkSync("big", at("link"));
    await Bun.sleep(50);
    const first = await seen(directory);
    expect(first.sent).toBeGreaterThan(2.9e6);
    expect(first.said).toBe(await whole(directory));
    const changes: readonly (() => void)[] = [
      () => {},
      () => writeFileSync(at("dir/deep/file"), "two\n"),
      () => writeFileSync(at("dir/new"), "new\n"),
      () => chmodSync(at("other"), 0o751),
      () => rmSync(at("dir/deep"), { recursive: true }),
      () => renameSync(at("dir/new"), at("dir/moved")),
      () => {
        rmSync(at("link"));
        symlinkSync("dir", at("link"));
      },
      () => {
        rmSync(at("other"));
        mkdirSync(at("other"));
        writeFileSync(at("other/inner"), "inner\n");
      },
      () => {
        rmSync(at("link"));
        mkdirSync(at("link"));
        writeFileSync(at("link/inner"), "no link\n");
      },
      () => {
        rmSync(at("link"), { recursive: true });
        symlinkSync("/etc", at("link"));
      },
      () => utimesSync(at("dir"), 1_600_000_000, 1_600_000_000),
      () => writeFileSync(at(".dockerignore"), "dir\n"),
    ];
    for (const [index, change] of changes.entries()) {
      change();
      await Bun.sleep(50);
      const { said, sent } = await seen(directory);
      const ignored = index === changes.length - 1;
      if (!ignored) expect([index, said]).toEqual([index, await whole(directory)]);
      else expect(said).not.toContain("./dir");
      expect([index, sent < 20_000]).toEqual([index, true]);
    }
    // A file of the same size and time, but with another inode.
    writeFileSync(at("twin"), Buffer.alloc(3e6, "c"));
    utimesSync(at("twin"), 1_600_000_000, 1_600_000_000);
    utimesSync(at("big"), 1_600_000_000, 1_600_000_000);
    await seen(directory);
    renameSync(at("twin"), at("big"));
    const swapped = await seen(directory);
    expect(swapped.said).not.toContain("/twin");
    expect(swapped.said).toContain(
      `${new Bun.CryptoHasher("md5").update("c".repeat(3e6)).digest("hex")}  ./big`,
    );
    expect(swapped.sent).toBeGreaterThan(2.9e6);
  });
});

test("two builds of one context at once, and one after its daemon was killed in the middle, have all of it", async () => {
  await within(async (directory) => {
    writeFileSync(join(directory, "f"), "content\n");
    await Bun.sleep(50);
    const both = await Promise.all([seen(directory), seen(directory)]);
    expect(both[0].said).toBe(both[1].said);
    const kept = `${daemon.directory}/data/build/kept`;
    expect(readdirSync(kept).length).toBeGreaterThan(0);
    const child = Bun.spawn([join(import.meta.dir, "../../dist/berth"), "build", directory], {
      env: { PATH: "/usr/bin:/bin", BERTH_HOST: `unix://${daemon.socket}` },
      stdio: ["ignore", "ignore", "ignore"],
    });
    await daemon.kill();
    await child.exited;
    await daemon.start();
    expect((await seen(directory)).said).toBe(both[0].said);
    // Without its state, what is there counts for nothing.
    for (const key of readdirSync(kept)) rmSync(`${kept}/${key}/state.json`, { force: true });
    expect((await seen(directory)).said).toBe(both[0].said);
  });
});

test("files with two names, and a Dockerfile outside, are sent as ever", async () => {
  await within(async (directory) => {
    writeFileSync(join(directory, "a"), "twice\n");
    Bun.spawnSync(["ln", join(directory, "a"), join(directory, "b")]);
    expect((await seen(directory)).said).toBe(await whole(directory));
    await within(async (outside) => {
      const { said } = await seen("-f", join(outside, "Dockerfile"), directory);
      expect(said).toContain("./b 81a4 6");
    });
  });
});

test("lists and archives that are wrong are refused", async () => {
  const key = "a".repeat(64);
  const list = (path: string) => [[path, 0o100644, 1, 1, "s", ""]];
  const compare = (name: string, body: unknown) =>
    daemon.api("POST", `/berth/build-context?key=${name}`, body);
  expect(await compare(key, list("a/b"))).toEqual({
    status: 200,
    text: expect.stringMatching(/"generation":"","wanted":\[0\]/),
  });
  for (const path of ["../a", "/a", "a//b"])
    expect((await compare(key, list(path))).status).toBe(400);
  for (const name of ["", "..", `${key}/..`]) expect((await compare(name, [])).status).toBe(400);
  expect((await compare(key, "{")).status).toBe(400);
  const build = async (query: string, tar: Uint8Array) => {
    const answer = await fetch(`http://x/build?${query}`, {
      method: "POST",
      unix: daemon.socket,
      body: tar,
    });
    return { status: answer.status, text: await answer.text() };
  };
  await within(async (directory) => {
    const tar = Bun.spawnSync(["tar", "-C", directory, "-c", "Dockerfile"]).stdout;
    const none = await build(`berth-context=${key}`, tar);
    expect([none.status, none.text.includes("begins with its list")]).toEqual([400, true]);
    const other = await build(`berth-context=${key}&berth-generation=x`, tar);
    expect([other.status, other.text.includes("is another now")]).toEqual([409, true]);
    writeFileSync(join(directory, LIST_ENTRY), JSON.stringify(list("../x")));
    const bad = Bun.spawnSync(["tar", "-C", directory, "-c", LIST_ENTRY, "Dockerfile"]).stdout;
    expect((await build(`berth-context=${key}`, bad)).status).toBe(400);
  });
});
