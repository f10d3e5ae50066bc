/** What is kept of an image from registry to registry, which image of an index is taken, and what people see of it meanwhile. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { type Blob, digestOf, FakeRegistry } from "../kits/fake-registry.ts";
import { TestRegistry } from "../kits/registry.ts";

const source = new FakeRegistry();
const target = new TestRegistry();
const OCI = "application/vnd.oci.image.manifest.v1+json";

beforeAll(() => Promise.all([source.start(), target.start()]));
afterAll(() => Promise.all([source.stop(), target.stop()]));

const daemon = daemonOfFile();

const ok = async (...args: string[]) => {
  const done = await daemon.berth(...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};

/** An image of a gzip and a zstd layer, in an index with one for another processor and with an attestation. */
function indexed(tag: string): { readonly image: Blob; readonly index: Blob } {
  const tars = [tarOf({ "one.txt": tag }), tarOf({ "two.txt": randomBytes(2000).toString("hex") })];
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = tars;
  const layer = "application/vnd.oci.image.layer.v1.tar";
  const layers = [
    source.blob(gzipSync(first), `${layer}+gzip`),
    source.blob(zstdCompressSync(second), `${layer}+zstd`),
  ];
  const config = source.blob(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Cmd: ["/none"] },
      rootfs: { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) },
    }),
    "application/vnd.oci.image.config.v1+json",
  );
  const annotations = { "org.example.kept": "yes" };
  const manifest = { schemaVersion: 2, mediaType: OCI, config, layers, annotations };
  const image = source.document(manifest, OCI);
  const other = source.image(tarOf({ "arm.txt": "arm" }), undefined, { architecture: "arm64" });
  const attestation = source.document({ ...manifest, annotations: { is: "attestation" } }, OCI);
  const index = source.index(
    [
      {
        ...attestation,
        platform: { os: "linux", architecture: "amd64" },
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
      },
      { ...image, platform: { os: "linux", architecture: "amd64" } },
      { ...other, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
    ],
    tag,
  );
  return { image, index };
}

test("an image goes from registry to registry with its manifest, byte for byte", async () => {
  const { image, index } = indexed("kept");
  const [from, to] = [`${source.address}/app`, `${target.address}/app`];
  expect(await ok("pull", `${from}:kept`)).toContain(`Digest: ${index.digest}`);
  await ok("tag", `${from}:kept`, `${to}:kept`);
  expect(await ok("push", `${to}:kept`)).toContain(`kept: digest: ${image.digest} size:`);
  await ok("rmi", `${from}:kept`, `${to}:kept`);
  // By its digest, from where it was pushed to.
  expect(await ok("pull", `${to}@${image.digest}`)).toContain(`Digest: ${image.digest}`);
  const digests = await ok("inspect", "--format", "{{json .RepoDigests}}", `${to}@${image.digest}`);
  expect(JSON.parse(digests)).toEqual([`${to}@${image.digest}`]);
  await ok("tag", `${to}@${image.digest}`, `${to}:again`);
  expect(await ok("push", "-q", `${to}:again`)).toBe(`${to}:again\n`);
  const answer = await fetch(`http://${to.replace("/", "/v2/")}/manifests/again`, {
    headers: { Accept: OCI },
  });
  expect(digestOf(new Uint8Array(await answer.arrayBuffer()))).toBe(image.digest);
  await ok("rmi", `${to}:again`);
});

test("the image for a platform, and none", async () => {
  indexed("many");
  const name = `${source.address}/app:many`;
  const platform = async (...flags: string[]) => {
    await ok("pull", "-q", ...flags, name);
    const shown = await ok("inspect", "--format", "{{.Os}}/{{.Architecture}}", name);
    return shown.trim();
  };
  expect(await platform("--platform", "linux/arm64")).toBe("linux/arm64");
  expect(await platform("--platform", "linux/arm64/v8")).toBe("linux/arm64");
  expect(await platform("--platform", "linux/amd64/v3")).toBe("linux/amd64");
  const none = await daemon.berth("pull", "--platform", "linux/s390x", name);
  expect(none.status).toBe(1);
  expect(none.err).toContain("no matching manifest for linux/s390x in the manifest list entries");
  await ok("rmi", name);
});

test("every tag of a repository, to and from a registry", async () => {
  const { image } = indexed("one");
  const repository = `${target.address}/many`;
  await ok("pull", "-q", `${source.address}/app@${image.digest}`);
  for (const tag of ["a", "b", "c"])
    await ok("tag", `${source.address}/app@${image.digest}`, `${repository}:${tag}`);
  expect(await ok("push", "-a", "-q", repository)).toBe(`${repository}\n`);
  await ok("rmi", ...["a", "b", "c"].map((tag) => `${repository}:${tag}`));
  const pulled = await ok("pull", "-a", repository);
  for (const tag of ["a", "b", "c"]) expect(pulled).toContain(`${tag}: Pulling from many\n`);
  const tags = await ok("images", "--format", "{{.Tag}}", repository);
  expect(tags.trim().split("\n").sort()).toEqual(["a", "b", "c"]);
  const both = await daemon.berth("pull", "-a", `${repository}:a`);
  expect(both.err).toContain("tag can't be used with --all-tags/-a");
  const nothing = await daemon.berth("push", "-a", `${target.address}/nothing`);
  expect(nothing.err).toContain("An image does not exist locally with the tag");
  await ok("rmi", ...["a", "b", "c"].map((tag) => `${repository}:${tag}`));
});

test("the stock command line draws its bars from what is told", async () => {
  const tar = tarOf({ "large.txt": randomBytes(3_000_000).toString("base64") });
  source.image(tar, "bars");
  const [layer = ""] = [...source.blobs.entries()].find(([, bytes]) => bytes.length > 3e6) ?? [];
  // Half of it, and the rest once the bar has been seen.
  const seen = Promise.withResolvers<void>();
  source.lie = ({ path }, response) => {
    if (!path.includes(layer)) return false;
    response.writeHead(200, { "content-length": tar.length });
    response.write(tar.subarray(0, 2_000_000));
    seen.promise.then(() => response.end(tar.subarray(2_000_000)));
    return true;
  };
  const name = `${source.address}/app:bars`;
  const terminal = daemon.dockerOnTerminal("pull", name);
  // Below 111 columns there is no room for bars.
  terminal.resize(150, 30);
  await terminal.see(`${layer.slice(7, 19)}: Downloading`);
  await terminal.see(/\[=*>\s*\] +[\d.]+\w?B\/[\d.]+MB/);
  seen.resolve();
  expect(await terminal.ended()).toBe(0);
  expect(terminal.shown).toContain("Pull complete");
  source.lie = () => false;
  await ok("rmi", name);
});

test("a quota that comes to an end, and a registry that is busy, are told of", async () => {
  source.image(tarOf({ a: "a" }), "few");
  let busy = 1;
  source.lie = ({ path }, response) => {
    response.setHeader("ratelimit-remaining", "3;w=3600");
    if (!path.includes("/manifests/") || busy-- <= 0) return false;
    response.writeHead(429, { "retry-after": "1" });
    response.end();
    return true;
  };
  const name = `${source.address}/app:few`;
  const pulled = await ok("pull", name);
  expect(pulled).toContain("The registry is busy, trying again in 1 s\n");
  expect(pulled).toContain("The registry allows 3 more pulls within 60 min\n");
  source.lie = () => false;
  await ok("rmi", name);
});
