/**
 * A daemon that keeps no blobs: they go once they are unpacked, and what is pushed and saved is the same to the last byte.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const registry = new TestRegistry();
const work = scratchDirectory("bw-");
beforeAll(() => registry.start());
afterAll(async () => {
  await registry.stop();
  rmSync(work, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

async function within(flags: readonly string[], use: (daemon: TestDaemon) => Promise<void>) {
  const daemon = await new TestDaemon(flags).start();
  try {
    await use(daemon);
  } finally {
    await daemon.destroy();
  }
}

const ok = async (daemon: TestDaemon, ...args: string[]) => {
  const done = await daemon.berth(...args);
  expect([args, done.status, done.err]).toEqual([args, 0, done.err]);
  return done.out;
};

/** Blobs that are no documents. The daemon may drop one between the look at the directory and that at the file. */
function layerBlobs(daemon: TestDaemon): string[] {
  const directory = `${daemon.directory}/data/content/blobs/sha256`;
  return readdirSync(directory).filter((hex) => {
    try {
      return readFileSync(`${directory}/${hex}`)[0] !== 0x7b;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  });
}

async function untilDropped(daemon: TestDaemon): Promise<void> {
  for (let tries = 0; layerBlobs(daemon).length > 0 && tries < 500; tries++) await Bun.sleep(20);
  expect(layerBlobs(daemon)).toEqual([]);
}

const digestIn = (text: string) => /digest: (sha256:[0-9a-f]{64})/.exec(text)?.[1];
const sha = (path: string) =>
  new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
const files =
  "mkdir /d; for i in 1 2 3 4 5; do seq 1000$i > /d/$i; done; head -c 700000 /dev/urandom > /r; ln /r /d/l; ln -s r /s";

test("what is pushed and saved is what a daemon sends that keeps everything", async () => {
  const name = `${registry.address}/keep/app:1`;
  let [pushed, saved]: (string | undefined)[] = [];
  await within([], async (daemon) => {
    await ok(daemon, "run", "--name", "made", "busybox", "sh", "-c", files);
    await ok(daemon, "commit", "made", name);
    pushed = digestIn(await ok(daemon, "push", name));
    await ok(daemon, "rmi", name);
    await ok(daemon, "pull", name);
    await ok(daemon, "save", "-o", `${work}/kept.tar`, name);
    saved = sha(`${work}/kept.tar`);
    expect(layerBlobs(daemon).length).toBeGreaterThan(0);
  });
  for (const driver of ["overlay2", "vfs"])
    await within(["--keep-blobs=never", "--storage-driver", driver], async (daemon) => {
      await ok(daemon, "pull", name);
      await untilDropped(daemon);
      await ok(daemon, "save", "-o", `${work}/again.tar`, name);
      expect(sha(`${work}/again.tar`)).toBe(saved ?? "");
      const other = `${registry.address}/keep/${driver}:1`;
      await ok(daemon, "tag", name, other);
      expect(digestIn(await ok(daemon, "push", other))).toBe(pushed);
      await untilDropped(daemon);
      expect(await ok(daemon, "pull", name)).toContain("Image is up to date");
      // Over a restart too; and another image on it.
      await daemon.kill();
      await daemon.start();
      await ok(daemon, "run", "--name", "more", name, "sh", "-c", "cat /d/3 /r > /x; rm /d/4");
      await ok(daemon, "commit", "more", "more:1");
      await untilDropped(daemon);
      await ok(daemon, "save", "-o", `${work}/more.tar`, "more:1");
      await ok(daemon, "rm", "more");
      await ok(daemon, "rmi", "more:1", name, other);
      await ok(daemon, "load", "-i", `${work}/more.tar`);
      await untilDropped(daemon);
      expect(
        await ok(
          daemon,
          "run",
          "--rm",
          "more:1",
          "sh",
          "-c",
          "ls /d; cat /s | cmp - /d/l && wc -c < /r",
        ),
      ).toBe("1\n2\n3\n5\nl\n700000\n");
      expect((await daemon.berth("system", "check")).out).toBe("Everything is as it should be.\n");
    });
});

test("a layer that has been changed is not pushed, and is fetched and unpacked again by a repair", async () => {
  const name = `${registry.address}/keep/app:1`;
  await within(["--keep-blobs=never"], async (daemon) => {
    await ok(daemon, "pull", name);
    await untilDropped(daemon);
    const layers = `${daemon.directory}/data/overlay2/layers`;
    const layer = readdirSync(layers).find((hex) => readdirSync(`${layers}/${hex}`).includes("r"));
    writeFileSync(`${layers}/${layer}/d/2`, "changed");
    await ok(daemon, "tag", name, `${registry.address}/keep/wrong:1`);
    const refused = await daemon.berth("push", `${registry.address}/keep/wrong:1`);
    expect(refused.status).toBe(1);
    expect(refused.err + refused.out).toMatch(
      /the blob sha256:[0-9a-f]{64} cannot be rebuilt: the unpacked file "d\/2" has 7 bytes/,
    );
    expect((await fetch(`http://${registry.address}/v2/keep/wrong/manifests/1`)).status).toBe(404);
    expect((await daemon.berth("save", "-o", `${work}/wrong.tar`, name)).status).toBe(1);
    const found = await daemon.berth("system", "check");
    expect(found.out).toMatch(/the blob sha256:\w+ of .*app:1 cannot be read: .*has 7 bytes/);
    const done = await daemon.berth("system", "check", "--repair");
    expect(done.out).toContain("repaired: fetched again from ");
    expect(done.out).toMatch(/"d\/2" has 7 bytes instead of \d+[\s\S]*repaired: unpacked again/);
    expect((await daemon.berth("system", "check")).status).toBe(0);
    await ok(daemon, "push", `${registry.address}/keep/wrong:1`);
    await untilDropped(daemon);
  });
});

test("a blob that another compressor made stays, and df says why; what the daemon is told is checked", async () => {
  await within(["--keep-blobs=never"], async (daemon) => {
    await ok(daemon, "run", "--name", "made", "busybox", "sh", "-c", files);
    await ok(daemon, "commit", "made", "own:1");
    await ok(daemon, "save", "-o", `${work}/own.tar`, "own:1");
    await ok(daemon, "rmi", "own:1");
    // By Go, as registries have it: skopeo compresses with it.
    const target = `docker://${registry.address}/keep/go:1`;
    const copied = Bun.spawnSync([
      "skopeo",
      "copy",
      "--dest-tls-verify=false",
      `oci-archive:${work}/own.tar`,
      target,
    ]);
    expect(copied.stderr.toString()).toBe("");
    await ok(daemon, "pull", `${registry.address}/keep/go:1`);
    const told = async () => (await daemon.berth("system", "df", "-v")).out;
    for (let tries = 0; !(await told()).includes("Blobs that are kept") && tries < 200; tries++)
      await Bun.sleep(50);
    expect(await told()).toMatch(
      /\n\nsha256:[0-9a-f]{64}: no compressor here makes the same bytes\n/,
    );
    expect(layerBlobs(daemon).length).toBeGreaterThan(0);
    expect((await daemon.berth("system", "check")).status).toBe(0);
  });
  const wrong = new TestDaemon(["--keep-blobs=some"]);
  await expect(wrong.start()).rejects.toThrow(
    'invalid value "some" for --keep-blobs: it must be always, compressed or never',
  );
  rmSync(wrong.directory, { recursive: true, force: true });
});
