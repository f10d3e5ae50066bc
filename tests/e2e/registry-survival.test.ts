/** Pulls that meet each other, their client's end, and the daemon's death. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";

const registry = new FakeRegistry();

beforeAll(() => registry.start());
afterAll(() => registry.stop());

const daemon = daemonOfFile();
const ingest = () => `${daemon.directory}/data/content/ingest`;

/** An image whose layer stops in the middle until it is let go on. */
function halting(tag: string) {
  const tar = tarOf({ [`${tag}.txt`]: randomBytes(1_500_000).toString("base64") });
  const before = new Set(registry.blobs.keys());
  registry.image(tar, tag);
  const layer = [...registry.blobs.keys()].find((digest) => !before.has(digest)) ?? "";
  const goOn = Promise.withResolvers<void>();
  const half = Promise.withResolvers<void>();
  let halted = false;
  registry.lie = ({ path, headers }, response) => {
    if (!path.includes(layer) || headers.range !== undefined || halted) return false;
    halted = true;
    response.writeHead(200, { "content-length": tar.length });
    response.on("error", () => {});
    response.write(tar.subarray(0, 1_000_000), () => half.resolve());
    goOn.promise.then(() => response.end(tar.subarray(1_000_000)));
    return true;
  };
  const ranges = () =>
    registry.asked.filter(({ path }) => path.includes(layer)).map(({ headers }) => headers.range);
  /** Waits until some of what was sent has arrived on the disk. */
  const arrived = async () => {
    await half.promise;
    const path = `${ingest()}/${layer.slice(7)}.partial`;
    const size = () => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    // How much it is in the end is the runtime's affair: it may hold back some while nothing follows.
    while (size() === 0) await Bun.sleep(5);
  };
  return { name: `${registry.address}/app:${tag}`, goOn: goOn.resolve, ranges, arrived };
}

test("two pulls of an image share its download, and one may go", async () => {
  const { name, goOn, ranges, arrived } = halting("shared");
  const leaving = new AbortController();
  const query = `fromImage=${registry.address}/app&tag=shared`;
  const first = fetch(`http://x/images/create?${query}`, {
    method: "POST",
    unix: daemon.socket,
    signal: leaving.signal,
  }).then((response) => response.text());
  first.catch(() => {});
  await arrived();
  const second = await fetch(`http://x/images/create?${query}`, {
    method: "POST",
    unix: daemon.socket,
  });
  let told = "";
  for await (const piece of second.body ?? []) {
    told += Buffer.from(piece).toString();
    // From here on it waits for the layer, too.
    if (!told.includes("Pulling fs layer")) continue;
    leaving.abort();
    goOn();
  }
  expect(told).toContain(`Status: Downloaded newer image for ${name}`);
  expect(ranges()).toEqual([undefined]);
  expect(readdirSync(ingest())).toEqual([]);
  await daemon.berth("rmi", name);
});

test("a pull whose client goes is given up, and taken up by the next", async () => {
  const { name, ranges, arrived } = halting("left");
  const leaving = new AbortController();
  const pulled = fetch(`http://x/images/create?fromImage=${registry.address}/app&tag=left`, {
    method: "POST",
    unix: daemon.socket,
    signal: leaving.signal,
  }).then((response) => response.text());
  await arrived();
  leaving.abort();
  await pulled.catch(() => {});
  expect(await daemon.berth("pull", "-q", name)).toMatchObject({ status: 0 });
  const [first, second] = ranges();
  expect(first).toBeUndefined();
  expect(second).toMatch(/^bytes=[1-9]\d*-$/);
  await daemon.berth("rmi", name);
});

test("a daemon that is killed in the middle of a pull takes it up where it was", async () => {
  const { name, ranges, arrived } = halting("killed");
  const pulled = daemon.berth("pull", name);
  await arrived();
  await daemon.kill();
  expect((await pulled).status).toBe(1);
  await daemon.start();
  expect((await daemon.berth("images", "-q")).out).toBe("");
  expect(await daemon.berth("pull", "-q", name)).toMatchObject({ status: 0 });
  expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);
  expect(readdirSync(ingest())).toEqual([]);
  await daemon.berth("rmi", name);
});
