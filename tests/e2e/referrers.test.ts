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

/** An image with an SBOM, which is signed in both ways, and a signature of one of these signatures. */
function signedSbom(tag: string) {
  const image = source.image(tarOf({ "file.txt": tag }), tag);
  const bytesOf = (digest = "") => source.manifests.get(digest)?.bytes ?? new Uint8Array();
  const sbom = putAsReferrers(source, image, [
    envelopeBundle(owner, statementOf(image.digest, SPDX)),
  ])[0] ?? { digest: "" };
  const [signature = { digest: "" }] = putAsReferrers(source, sbom, [
    messageBundle(owner, bytesOf(sbom.digest)),
    envelopeBundle(owner, statementOf(sbom.digest, "https://example.com/of-the-sbom")),
  ]);
  putUnderTag(source, sbom.digest, [signed(owner, payloadOf(sbom.digest, "example.com/app"))]);
  putAsReferrers(source, signature, [messageBundle(owner, bytesOf(signature.digest))]);
  return { image: image.digest, sbom: sbom.digest, signature: signature.digest };
}

test("what refers to a referrer is kept, shown, sent on, saved and goes with it", async () => {
  const before = blobs();
  const name = `${source.address}/app:deep`;
  const { image, sbom, signature } = signedSbom("deep");
  await ok("pull", "--referrers", name);
  const { Referrers: kept = [], Attestations } = await shown(name);
  expect(kept).toMatchObject([
    { Digest: sbom, Subject: image },
    { Subject: sbom, Tag: `${sbom.replace(":", "-")}.sig` },
    { Digest: signature, Subject: sbom },
    { Subject: sbom },
    { Subject: signature },
  ]);
  // What is stated of the SBOM is not stated of the image.
  expect(Attestations).toMatchObject([{ PredicateType: SPDX, Subject: image }]);
  const archive = `${directory}/deep.tar`;
  await ok("save", "-o", archive, name);
  await ok("rmi", name);
  expect(blobs()).toEqual(before);
  await ok("load", "-i", archive);
  const byDigest = (all: typeof kept) => all.map((one) => JSON.stringify(one)).sort();
  expect(byDigest((await shown(name)).Referrers ?? [])).toEqual(byDigest(kept));
  for (const { address } of [plain, listed]) {
    const other = `${address}/deep:1`;
    await ok("tag", name, other);
    await ok("push", other);
    for (const subject of [sbom, signature])
      expect((await verified(`${address}/deep@${subject}`)).status).toBe(0);
    await ok("rmi", other);
    await ok("pull", "--referrers", other);
    expect(byDigest((await shown(other)).Referrers ?? [])).toEqual(byDigest(kept));
  }
  // Of what has gone there nothing stays here, however far it was.
  source.manifests.delete(image.replace(":", "-"));
  await ok("pull", "--referrers", name);
  expect((await shown(name)).Referrers).toBeUndefined();
  await ok("rmi", name, `${plain.address}/deep:1`, `${listed.address}/deep:1`);
  expect(blobs()).toEqual(before);
});

test("a registry that leads far, wide or in circles is followed so far only, and that is told", async () => {
  const before = blobs();
  const far = source.image(tarOf({ "file.txt": "far" }), "far");
  let at: { digest: string } = far;
  for (let step = 0; step < 8; step++)
    [at = far] = putAsReferrers(source, at, [messageBundle(owner, `${step}`)]);
  const name = (tag: string) => `${source.address}/app:${tag}`;
  expect(await ok("pull", "--referrers", name("far"))).toContain(
    "What refers to 1 referrers is left out: it is too far from the image",
  );
  expect((await shown(name("far"))).Referrers).toHaveLength(4);

  const wide = source.image(tarOf({ "file.txt": "wide" }), "wide");
  const first = putAsReferrers(
    source,
    wide,
    Array.from({ length: 64 }, (_, one) => messageBundle(owner, `first ${one}`)),
  );
  for (const one of first) putAsReferrers(source, one, [messageBundle(owner, one.digest)]);
  source.asked.length = 0;
  expect(await ok("pull", "--referrers", name("wide"))).toContain(
    "What refers to 1 referrers is left out: there are too many",
  );
  // Of the image itself, and of 63 others, each once.
  const lists = source.asked.filter(({ path }) => path.includes("/referrers/"));
  expect(lists.length).toBe(64);
  expect((await shown(name("wide"))).Referrers).toHaveLength(64 + 63);

  const round = source.image(tarOf({ "file.txt": "round" }), "round");
  putUnderTag(source, round.digest, [signed(owner, payloadOf(round.digest, "example.com/app"))]);
  const tag = `${round.digest.replace(":", "-")}.sig`;
  const signature = source.manifests.get(tag) ?? { mediaType: "", bytes: new Uint8Array() };
  // The signature is its own signature.
  source.manifests.set(`${digestOf(signature.bytes).replace(":", "-")}.sig`, signature);
  await ok("pull", "--referrers", name("round"));
  expect((await shown(name("round"))).Referrers).toHaveLength(2);
  await ok("rmi", name("far"), name("wide"), name("round"));
  expect(blobs()).toEqual(before);
});
