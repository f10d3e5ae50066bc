/** What is kept of the index that an image comes with: attestations, other platforms, and that they go on and away with it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { type Blob, digestOf, FakeRegistry } from "../kits/fake-registry.ts";
import { TestRegistry } from "../kits/registry.ts";

const source = new FakeRegistry();
const target = new TestRegistry();
const OCI = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

beforeAll(() => Promise.all([source.start(), target.start()]));
afterAll(() => Promise.all([source.stop(), target.stop()]));

const daemon = daemonOfFile();

const ok = async (...args: string[]) => {
  const done = await daemon.berth(...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};
const blobs = () => readdirSync(`${daemon.directory}/data/content/blobs/sha256`).sort();
const manifestsOf = async (name: string) => {
  const { text } = await daemon.api("GET", `/v1.48/images/${name}/json?manifests=1`);
  const { Manifests } = JSON.parse(text) as {
    Manifests: { ID: string; Kind: string; Available: boolean }[];
  };
  return Manifests;
};

function imageFor(architecture: string, text: string): Blob {
  const tar = tarOf({ "file.txt": text });
  const layer = source.blob(gzipSync(tar), "application/vnd.oci.image.layer.v1.tar+gzip");
  const document = {
    architecture,
    os: "linux",
    rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
  };
  const config = source.blob(JSON.stringify(document), "application/vnd.oci.image.config.v1+json");
  return source.document({ schemaVersion: 2, mediaType: OCI, config, layers: [layer] }, OCI);
}

/** As BuildKit writes one. */
function attestationOf(image: Blob, text: string) {
  const statement = JSON.stringify({ _type: "https://in-toto.io/Statement/v0.1", text });
  const layer = {
    ...source.blob(statement, "application/vnd.in-toto+json"),
    annotations: { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
  };
  const document = {
    architecture: "unknown",
    os: "unknown",
    config: {},
    rootfs: { type: "layers", diff_ids: [layer.digest] },
  };
  const config = source.blob(JSON.stringify(document), "application/vnd.oci.image.config.v1+json");
  const manifest = { schemaVersion: 2, mediaType: OCI, config, layers: [layer] };
  return {
    ...source.document(manifest, OCI),
    annotations: {
      "vnd.docker.reference.digest": image.digest,
      "vnd.docker.reference.type": "attestation-manifest",
    },
    platform: { architecture: "unknown", os: "unknown" },
    statement: layer,
  };
}

function published(
  tag: string,
  architectures: readonly string[],
  note = tag,
  made = (architecture: string) => imageFor(architecture, tag),
) {
  const images = architectures.map((architecture) => ({
    ...made(architecture),
    platform: { architecture, os: "linux" },
  }));
  const attestations = images.map((image) => attestationOf(image, `${note} ${image.digest}`));
  const entries = attestations.map(({ statement: _, ...entry }) => entry);
  const index = source.index([...images, ...entries], tag);
  return { images, attestations, index };
}

async function inTarget(repository: string, reference: string) {
  const url = `http://${target.address}/v2/${repository}/manifests/${reference}`;
  const answer = await fetch(url, { headers: { Accept: `${OCI}, ${INDEX}` } });
  return { status: answer.status, digest: digestOf(new Uint8Array(await answer.arrayBuffer())) };
}

test("an index of one image goes from registry to registry with its attestation, and through an archive", async () => {
  const before = blobs();
  const { images, attestations, index } = published("attested", ["amd64"]);
  const [from, to] = [`${source.address}/app:attested`, `${target.address}/attested:1`];
  expect(await ok("pull", from)).toContain(`Digest: ${index.digest}`);
  expect(await manifestsOf(from)).toMatchObject([
    { ID: images[0]?.digest, Kind: "image", Available: true },
    {
      ID: attestations[0]?.digest,
      Kind: "attestation",
      Available: true,
      AttestationData: { For: images[0]?.digest },
    },
  ]);
  const shown = await ok("image", "inspect", "--format", "{{json .Attestations}}", from);
  const { digest: Digest, size: Size } = attestations[0]?.statement ?? {};
  expect(JSON.parse(shown)).toEqual([
    {
      ...{ PredicateType: "https://slsa.dev/provenance/v1", Digest, Size },
      ...{ MediaType: "application/vnd.in-toto+json", Manifest: attestations[0]?.digest },
    },
  ]);
  await ok("tag", from, to);
  expect(await ok("push", to)).toContain(`1: digest: ${index.digest} size: ${index.size}`);
  for (const digest of ["1", index.digest, attestations[0]?.digest ?? ""])
    expect((await inTarget("attested", digest)).status).toBe(200);
  expect((await inTarget("attested", "1")).digest).toBe(index.digest);

  const archive = `${daemon.directory}/attested.tar`;
  await ok("save", "-o", archive, to);
  await ok("rmi", from, to);
  expect(blobs()).toEqual(before);
  await ok("load", "-i", archive);
  expect((await manifestsOf(to)).map(({ Kind }) => Kind)).toEqual(["image", "attestation"]);
  const again = to.replace(":1", ":2");
  await ok("tag", to, again);
  expect(await ok("push", again)).toContain(`2: digest: ${index.digest} size:`);
  // What was taken from the archive and what a copy of the registry's has is the same.
  await ok("rmi", to, again);
  expect(blobs()).toEqual(before);
});

test("of several platforms the one that is here is pushed, and said so; with all of them the index", async () => {
  const before = blobs();
  const { images, index } = published("several", ["amd64", "arm64"]);
  const [from, to] = [`${source.address}/app:several`, `${target.address}/several`];
  await ok("pull", from);
  const kinds = async () =>
    (await manifestsOf(from)).map(({ Kind, Available }) => [Kind, Available]);
  expect(await kinds()).toEqual([
    ["image", true],
    ["image", false],
    ["attestation", true],
    ["attestation", false],
  ]);
  await ok("tag", from, `${to}:one`);
  const one = await ok("push", `${to}:one`);
  expect(one).toContain("only the available single-platform image was pushed");
  expect(one).toContain(`${index.digest} -> ${images[0]?.digest}`);
  expect((await inTarget("several", "one")).digest).toBe(images[0]?.digest ?? "");

  await ok("pull", "--all-platforms", from);
  expect((await kinds()).every(([, available]) => available)).toBe(true);
  await ok("tag", from, `${to}:all`);
  expect(await ok("push", `${to}:all`)).toContain(`all: digest: ${index.digest} size:`);
  // A platform alone, when it is asked for.
  await ok("tag", from, `${to}:amd64`);
  const alone = await ok("push", "--platform", "linux/amd64", `${to}:amd64`);
  expect(alone).toContain(`amd64: digest: ${images[0]?.digest} size:`);
  await ok("rmi", from, `${to}:one`, `${to}:all`, `${to}:amd64`);
  expect(blobs()).toEqual(before);
});

test("an index that takes another's place lets go of what only that had; damage is found and repaired", async () => {
  const before = blobs();
  const name = `${source.address}/app:moving`;
  const first = published("moving", ["amd64"], "first");
  await ok("pull", name);
  // The same image: archives of it are others a second later.
  const [same] = first.images;
  const second = published(
    "moving",
    ["amd64"],
    "second",
    (architecture) => same ?? imageFor(architecture, ""),
  );
  await ok("pull", name);
  const has = ({ digest }: { digest: string }) => blobs().includes(digest.slice("sha256:".length));
  expect(first.attestations.map(({ statement }) => has(statement))).toEqual([false]);
  expect(second.attestations.map(({ statement }) => has(statement))).toEqual([true]);
  const hex = second.attestations[0]?.statement.digest.slice("sha256:".length) ?? "";
  writeFileSync(`${daemon.directory}/data/content/blobs/sha256/${hex}`, "damaged");
  const found = await daemon.berth("system", "check");
  expect(found.out + found.err).toContain(hex);
  await ok("system", "check", "--repair");
  await ok("system", "check");
  // The next daemon has it as well.
  await daemon.kill();
  await daemon.start();
  expect(second.attestations.map(({ statement }) => has(statement))).toEqual([true]);
  await ok("rmi", name);
  expect(blobs()).toEqual(before);
});

test("an artifact is pulled, listed, pushed on, saved, loaded and removed, and not run", async () => {
  const before = blobs();
  const config = source.blob("{}", "application/vnd.oci.empty.v1+json");
  const layers = [
    source.blob("a chart's bytes", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
  ];
  const artifactType = "application/vnd.example.chart";
  const manifest = { schemaVersion: 2, mediaType: OCI, artifactType, config, layers };
  const artifact = source.document(manifest, OCI, "chart");
  const [from, to] = [`${source.address}/app:chart`, `${target.address}/chart:1`];
  expect(await ok("pull", from)).toContain(`Digest: ${artifact.digest}`);
  expect(await ok("images", "--no-trunc", "--format", "{{.ID}}", from)).toBe(
    `${artifact.digest}\n`,
  );
  expect(await manifestsOf(from)).toMatchObject([
    { ID: artifact.digest, Kind: "unknown", Available: true },
  ]);
  for (const verb of ["run", "create"]) {
    const refused = await daemon.berth(verb, from, "true");
    expect(refused.err).toContain(`is no image but an artifact of the type "${artifactType}"`);
    expect(refused.status).not.toBe(0);
  }
  await ok("tag", from, to);
  expect(await ok("push", to)).toContain(`1: digest: ${artifact.digest} size: ${artifact.size}`);
  expect((await inTarget("chart", "1")).digest).toBe(artifact.digest);
  const archive = `${daemon.directory}/chart.tar`;
  await ok("save", "-o", archive, to);
  await ok("rmi", from, to);
  expect(blobs()).toEqual(before);
  await ok("load", "-i", archive);
  expect(await ok("push", to)).toContain(`1: digest: ${artifact.digest} size:`);
  await ok("system", "check");
  await ok("rmi", to);
  expect(blobs()).toEqual(before);
});
