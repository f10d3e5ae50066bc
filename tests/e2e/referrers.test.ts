/** What refers to an image in a registry, signatures and attestations: kept when that is wanted, shown, and sent on with it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { DistributionClient, digestOf, listing } from "../kits/distribution.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { OwnRegistry } from "../kits/own-registry.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";
import {
  BUNDLE,
  envelopeBundle,
  messageBundle,
  newSigner,
  payloadOf,
  putAsReferrers,
  putUnderTag,
  signed,
  statementOf,
} from "../kits/signing.ts";

const source = new FakeRegistry();
/** One without a list of referrers, and one with it. */
const plain = new TestRegistry();
const listed = new OwnRegistry();
const owner = newSigner("p256");
const directory = scratchDirectory("referrers-");
const SPDX = "https://spdx.dev/Document";

beforeAll(async () => {
  await Promise.all([source.start(), plain.start(), listed.start()]);
  writeFileSync(`${directory}/owner.pub`, owner.pem);
  const signedIdentity = { type: "matchDigest" };
  const rule = { type: "sigstoreSigned", keyPath: `${directory}/owner.pub`, signedIdentity };
  const open = [{ type: "insecureAcceptAnything" }];
  const docker = { [`${source.address}/guarded`]: [rule] };
  writeFileSync(`${directory}/policy`, JSON.stringify({ default: open, transports: { docker } }));
});
afterAll(async () => {
  await Promise.all([source.stop(), plain.stop(), listed.destroy()]);
  rmSync(directory, { recursive: true });
});

const daemon = daemonOfFile(["--signature-policy", `${directory}/policy`]);

const ok = async (...args: string[]) => {
  const done = await daemon.berth(...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};
interface Shown {
  readonly Attestations?: readonly { PredicateType: string; Manifest: string; Subject?: string }[];
  readonly Referrers?: readonly {
    readonly Digest: string;
    readonly ArtifactType: string;
    readonly Subject: string;
    readonly Tag?: string;
  }[];
}
const shown = async (name: string) => {
  const [first = {}] = JSON.parse(await ok("image", "inspect", name)) as Shown[];
  return first;
};
const blobs = () => readdirSync(`${daemon.directory}/data/content/blobs/sha256`).sort();
const verified = (name: string) =>
  daemon.berth("image", "verify", "--key", `${directory}/owner.pub`, name);

/** An image that is signed in both ways, with an SBOM. */
function published(tag: string) {
  const image = source.image(tarOf({ "file.txt": tag }), tag);
  const { bytes } = source.manifests.get(image.digest) ?? { bytes: new Uint8Array() };
  putUnderTag(source, image.digest, [signed(owner, payloadOf(image.digest, "example.com/app"))]);
  putAsReferrers(source, image, [
    messageBundle(owner, bytes),
    envelopeBundle(owner, statementOf(image.digest, SPDX)),
  ]);
  return image;
}

test("a pull keeps what refers to an image when it is asked to, and inspect shows it", async () => {
  const { digest } = published("kept");
  const name = `${source.address}/app:kept`;
  await ok("pull", name);
  expect(await shown(name)).not.toContainAnyKeys(["Referrers", "Attestations"]);
  await ok("pull", "--referrers", name);
  const { Referrers = [], Attestations = [] } = await shown(name);
  expect(Referrers).toMatchObject([
    { Subject: digest, Tag: `${digest.replace(":", "-")}.sig` },
    { Subject: digest, ArtifactType: BUNDLE },
    { Subject: digest, ArtifactType: BUNDLE },
  ]);
  expect(Attestations).toMatchObject([
    { PredicateType: SPDX, Subject: digest, Manifest: Referrers[2]?.Digest },
  ]);
  // What has gone there goes here, too, when it is asked for again.
  source.manifests.delete(digest.replace(":", "-"));
  await ok("pull", "--referrers", name);
  expect((await shown(name)).Referrers).toHaveLength(1);
  await ok("rmi", name);
});

test("they go on with a push: to a registry that lists them, and to one that does not", async () => {
  published("sent");
  const name = `${source.address}/app:sent`;
  await ok("pull", "--referrers", name);
  for (const { address } of [plain, listed]) {
    const other = `${address}/copy:sent`;
    expect((await verified(other)).status).toBe(1);
    await ok("tag", name, other);
    expect(await ok("push", other)).toContain("Referrer: sha256:");
    // Again: nothing is there twice.
    await ok("push", other);
    const { out, status } = await verified(other);
    expect(out).toContain("Signature:   the referrer sha256:");
    expect(out).toContain(`Attestation: ${SPDX}`);
    expect(status).toBe(0);
    await ok("rmi", other);
    await ok("pull", "--referrers", other);
    expect((await shown(other)).Referrers).toHaveLength(3);
  }
  await ok("rmi", name, `${plain.address}/copy:sent`, `${listed.address}/copy:sent`);
});

test("they are in an archive, and come with it", async () => {
  published("saved");
  const name = `${source.address}/app:saved`;
  await ok("pull", "--referrers", name);
  const before = await shown(name);
  const archive = `${directory}/saved.tar`;
  await ok("save", "-o", archive, name);
  await ok("rmi", name);
  expect(await ok("load", "-i", archive)).toBe(`Loaded image: ${name}\n`);
  const { Referrers, Attestations } = await shown(name);
  expect(Referrers).toHaveLength(3);
  expect({ Referrers, Attestations }).toEqual({
    Referrers: before.Referrers,
    Attestations: before.Attestations,
  });
  // From the archive alone they go on as from the registry.
  const other = `${listed.address}/loaded:1`;
  await ok("tag", name, other);
  await ok("push", other);
  expect((await verified(other)).status).toBe(0);
  await ok("rmi", name, other);
});

test("where a policy wants a signature, what says so is kept without a word, and goes with the image", async () => {
  const before = blobs();
  published("1");
  const name = `${source.address}/guarded:1`;
  await ok("pull", name);
  expect((await shown(name)).Referrers).toHaveLength(3);
  expect(await ok("system", "check")).not.toContain("sha256:");
  await ok("rmi", name);
  expect(blobs()).toEqual(before);
});

test("what refers to an image goes when its name gets another image", async () => {
  const before = blobs();
  published("moving");
  const name = `${source.address}/app:moving`;
  await ok("pull", "--referrers", name);
  const first = blobs();
  published("other");
  source.image(tarOf({ "file.txt": "another" }), "moving");
  await ok("pull", "--referrers", name);
  expect((await shown(name)).Referrers).toBeUndefined();
  await ok("rmi", name);
  await ok("image", "prune", "-f");
  expect(blobs()).toEqual(before);
  expect(first.length).toBeGreaterThan(before.length);
});

test("what refers to something else, is no manifest, or is too much, is left out and told of", async () => {
  const { digest } = source.image(tarOf({ "file.txt": "hostile" }), "hostile");
  const other = source.image(tarOf({ "file.txt": "elsewhere" }), "elsewhere");
  const statement = envelopeBundle(owner, statementOf(digest, SPDX));
  putAsReferrers(source, other, [statement]);
  const foreign = source.manifests.get(other.digest.replace(":", "-"));
  // Its list is that of another image.
  if (foreign) source.manifests.set(digest.replace(":", "-"), foreign);
  const name = `${source.address}/app:hostile`;
  expect(await ok("pull", "--referrers", name)).toContain(
    `is left out: it does not refer to ${digest}`,
  );
  expect((await shown(name)).Referrers).toBeUndefined();
  putAsReferrers(
    source,
    { digest },
    Array.from({ length: 70 }, (_, at) => envelopeBundle(owner, statementOf(digest, `x:${at}`))),
  );
  expect(await ok("pull", "--referrers", name)).toContain("6 referrers are left out");
  expect((await shown(name)).Referrers).toHaveLength(64);
  // One that says that its blob is huge: nobody asks for that.
  const config = source.blob("{}", "application/vnd.oci.empty.v1+json");
  const huge = { mediaType: BUNDLE, digest: digestOf("huge"), size: 1 << 30 };
  const manifest = source.document(
    {
      ...{ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" },
      ...{ artifactType: BUNDLE, config, layers: [huge], subject: { digest } },
    },
    "application/vnd.oci.image.manifest.v1+json",
  );
  const index = {
    schemaVersion: 2,
    manifests: [manifest, { ...manifest, digest: digestOf("no") }],
  };
  source.document(index, "application/vnd.oci.image.index.v1+json", digest.replace(":", "-"));
  expect(await ok("pull", "--referrers", name)).toContain("is left out: it would be more than");
  expect((await shown(name)).Referrers).toBeUndefined();
  await ok("rmi", name);
});

test("the registry's own list has what was sent, with its type", async () => {
  const { digest } = published("typed");
  const name = `${listed.address}/typed:1`;
  await ok("pull", "--referrers", `${source.address}/app:typed`);
  await ok("tag", `${source.address}/app:typed`, name);
  await ok("push", name);
  const client = new DistributionClient(`http://${listed.address}`, "typed");
  const { manifests = [] } = await listing(await client.request(`referrers/${digest}`));
  expect(manifests.map(({ artifactType }) => artifactType)).toEqual([BUNDLE, BUNDLE]);
  await ok("rmi", name, `${source.address}/app:typed`);
});
