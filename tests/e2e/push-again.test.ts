/**
 * What a registry has is not sent again: a base that is kept uncompressed, in the same repository and in others, and a layer
 * that another program has compressed.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { TestRegistry } from "../kits/registry.ts";

const before = takeCensus();
const daemon = new TestDaemon();
const registry = new FakeRegistry();
const work = mkdtempSync("/tmp/bw-");
beforeAll(async () => {
  await registry.start();
  await daemon.start();
  await ok("run", "--rm", "busybox", "true");
});
afterAll(async () => {
  await daemon.destroy();
  await registry.stop();
  rmSync(work, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

async function ok(...args: string[]): Promise<string> {
  const done = await daemon.berth(...args);
  expect([args, done.status, done.err]).toEqual([args, 0, done.err]);
  return done.out;
}

/** What each repository has: the registry itself is one for all names. */
const held = new Map<string, Set<string>>();
const holdings = (name: string) =>
  held.get(name) ?? held.set(name, new Set()).get(name) ?? new Set();
let mounts = true;

beforeEach(() => {
  mounts = true;
  held.clear();
  registry.blobs.clear();
  registry.lie = ({ method, path }, response) => {
    const { pathname, searchParams } = new URL(path, "http://x");
    const [, name = "", rest = ""] = /^\/v2\/(.*)\/blobs\/(.*)$/.exec(pathname) ?? [];
    if (method === "HEAD" && rest.startsWith("sha256:") && !holdings(name).has(rest)) {
      response.writeHead(404).end();
      return true;
    }
    const [mount, from] = [searchParams.get("mount") ?? "", searchParams.get("from") ?? ""];
    if (mounts && holdings(from).has(mount)) holdings(name).add(mount);
    else if (mount !== "") {
      response.writeHead(202, { location: `/v2/${name}/blobs/uploads/of-${mount}` }).end();
      return true;
    }
    const digest = searchParams.get("digest");
    if (digest !== null) holdings(name).add(digest);
    return false;
  };
});

/** The blobs that work sends, documents left out. */
async function uploads(something: () => Promise<unknown>): Promise<string[]> {
  registry.asked.length = 0;
  await something();
  const sent = registry.asked.flatMap(({ method, path }) => {
    const digest = new URL(path, "http://x").searchParams.get("digest");
    return method === "PUT" && digest !== null ? digest : [];
  });
  return sent.filter((digest) => registry.blobs.get(digest)?.[0] !== 0x7b);
}

function layersOf(tag: string): { digest: string; mediaType: string }[] {
  return JSON.parse(new TextDecoder().decode(registry.manifests.get(tag)?.bytes)).layers;
}

let builds = 0;
async function build(name: string, flags: string[] = [], from = "busybox"): Promise<void> {
  writeFileSync(`${work}/Dockerfile`, `FROM ${from}\nRUN echo ${++builds} > /made\n`);
  await ok("buildx", "build", ...flags, "-t", name, work);
}

test("an image on a base that the repository has uncompressed sends its own layer alone", async () => {
  const base = `${registry.address}/again/base:base`;
  await ok("tag", "busybox", base);
  expect((await uploads(() => ok("push", base))).length).toBe(1);
  const [plain] = layersOf("base");
  const child = `${registry.address}/again/base:child`;
  await build(child);
  const sent = await uploads(() => ok("push", child));
  expect(sent.length).toBe(1);
  expect(layersOf("child")[0]?.digest).toBe(plain?.digest ?? "");
  expect(layersOf("child")[1]?.digest).toBe(sent[0] ?? "");
  expect(await uploads(() => ok("push", child))).toEqual([]);
  // Straight from a build, too; unless it says how layers are to be compressed.
  const pushed = await uploads(() => build(`${registry.address}/again/base:built`, ["--push"]));
  expect(pushed.length).toBe(1);
  const forced = `type=registry,name=${registry.address}/again/base:forced,force-compression=true`;
  expect((await uploads(() => build("forced", ["-o", forced]))).length).toBe(2);
  // What comes back is whole.
  await ok("rmi", child);
  await ok("pull", child);
  expect(await ok("run", "--rm", child, "cat", "/made")).toBe("1\n");
});

test("another repository takes the base over; where that is refused, it is sent compressed", async () => {
  const base = `${registry.address}/first/base:base`;
  await ok("tag", "busybox", base);
  await ok("push", base);
  const child = `${registry.address}/second/app:child`;
  await build(child);
  const told = { text: "" };
  const sent = await uploads(async () => {
    told.text = await ok("push", child);
  });
  expect(sent.length).toBe(1);
  expect(told.text).toContain("Mounted from first/base");
  expect(layersOf("child").map(({ mediaType }) => mediaType.replace(/.*diff\./, ""))).toEqual([
    "tar",
    "tar.gzip",
  ]);
  mounts = false;
  const third = `${registry.address}/third/app:third`;
  await ok("tag", child, third);
  expect((await uploads(() => ok("push", third))).length).toBe(2);
  expect(registry.asked.filter(({ method }) => method === "DELETE").length).toBeGreaterThan(0);
  expect(layersOf("third")[0]?.mediaType).toEndWith("tar.gzip");
});

test("a repository that is gone does not keep a layer from being taken over from the next", async () => {
  const names = ["a/one", "b/two"].map((path) => `${registry.address}/${path}:x`);
  await build("mine");
  for (const name of names) {
    await ok("tag", "mine", name);
    await ok("push", name);
  }
  held.delete("a/one");
  const next = `${registry.address}/c/three:x`;
  await ok("tag", "mine", next);
  expect(await uploads(() => ok("push", next))).toEqual([]);
});

test("a layer that was loaded uncompressed goes as another program has compressed it", async () => {
  await build("loaded");
  await ok("save", "-o", `${work}/loaded.tar`, "loaded");
  const other = await new TestRegistry().start();
  try {
    const skopeo = ["skopeo", "copy", "--dest-tls-verify=false"];
    const copied = Bun.spawnSync([
      ...skopeo,
      ...[`docker-archive:${work}/loaded.tar`, `docker://${other.address}/go/base:1`],
    ]);
    expect(copied.exitCode).toBe(0);
    const whole = Bun.spawnSync([
      ...["skopeo", "inspect", "--raw", "--tls-verify=false"],
      `docker://${other.address}/go/base:1`,
    ]);
    const [, there] = JSON.parse(whole.stdout.toString()).layers;
    await ok("pull", `${other.address}/go/base:1`);
    const child = `${other.address}/go/child:1`;
    await build(child, [], "loaded");
    const told = await ok("push", child);
    // The real registry mounts it, too.
    expect(told).toContain(`${there.digest.slice(7, 19)}: Mounted from go/base`);
  } finally {
    await other.stop();
  }
});
