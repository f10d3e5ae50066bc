/** A daemon with a signature policy: what comes in and what does not, whichever way it is asked for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { DistributionClient, digestOf, makeImage, types } from "../kits/distribution.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { ISSUER, keylessPayload, TestAuthority, TestLog } from "../kits/keyless.ts";
import { OwnRegistry } from "../kits/own-registry.ts";
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

const registry = new FakeRegistry();
const owner = newSigner("p256");
const directory = scratchDirectory("signatures-");
const policyFile = `${directory}/policy.json`;
writeFileSync(`${directory}/owner.pub`, owner.pem);
const scope = (more: object) => [
  { type: "sigstoreSigned", keyPath: `${directory}/owner.pub`, ...more },
];
const reject = [{ type: "reject" }];

beforeAll(async () => {
  await registry.start();
  const docker = {
    [`${registry.address}/app`]: scope({ signedIdentity: { type: "matchRepository" } }),
    [`${registry.address}/bundled`]: scope({ signedIdentity: { type: "matchDigest" } }),
    [`${registry.address}/open`]: [{ type: "insecureAcceptAnything" }],
  };
  const transports = { docker, tarball: { "": reject } };
  writeFileSync(policyFile, JSON.stringify({ default: reject, transports }));
});
afterAll(async () => {
  await registry.stop();
  rmSync(directory, { recursive: true });
});

const daemon = daemonOfFile(["--signature-policy", policyFile]);
const name = (rest: string) => `${registry.address}/${rest}`;
const images = async () => (await daemon.berth("images", "-aq", "--no-trunc")).out;

/** An image that is there and not signed. */
function published(tag: string) {
  return registry.image(tarOf({ "file.txt": tag }), tag);
}
const signFor = (digest: string, repository = "app") =>
  putUnderTag(registry, digest, [signed(owner, payloadOf(digest, name(repository)))]);

test("what is not signed does not come in by pull, create, build, or a copy of a build", async () => {
  published("plain");
  const before = await images();
  const files = { Dockerfile: `FROM ${name("app:plain")}\n` };
  const copies = { Dockerfile: `FROM scratch\nCOPY --from=${name("app:plain")} /file.txt /\n` };
  const contexts = [files, copies].map((one) => tarOf(one));
  const refused = [
    await daemon.berth("pull", name("app:plain")),
    await daemon.docker("pull", name("app:plain")),
    await daemon.berth("create", name("app:plain"), "x"),
    await daemon.berth("run", "--rm", "--pull", "always", name("app:plain"), "x"),
    await daemon.berth("pull", "--platform", "linux/amd64", name("app:plain")),
  ];
  for (const stdin of contexts) {
    refused.push(await daemon.berthWith({ stdin }, "build", "-"));
    // For another platform an image comes beside the one that the name means here.
    refused.push(await daemon.berthWith({ stdin }, "build", "--platform", "linux/arm64", "-"));
  }
  for (const { status, out, err } of refused) {
    expect(out + err).toContain(
      `${name("app:plain")} is refused: the policy ${policyFile} (scope ${name("app")}) wants a signature, and the registry has no signature of it; sign it by cosign sign --key`,
    );
    expect(status).not.toBe(0);
  }
  expect(await images()).toBe(before);
});

test("what is signed comes in every way", async () => {
  const { digest } = published("good");
  signFor(digest);
  expect(await daemon.berth("pull", name("app:good"))).toMatchObject({ status: 0 });
  expect(await daemon.berth("rmi", name("app:good"))).toMatchObject({ status: 0 });
  expect(await daemon.berth("pull", name(`app@${digest}`))).toMatchObject({ status: 0 });
  const stdin = tarOf({ Dockerfile: `FROM ${name("app:good")}\n` });
  expect(await daemon.berthWith({ stdin }, "build", "-")).toMatchObject({ status: 0 });
  const { digest: other } = published("bundled");
  const bytes = registry.manifests.get(other)?.bytes ?? new Uint8Array();
  putAsReferrers(registry, { digest: other }, [messageBundle(owner, bytes)]);
  expect(await daemon.berth("pull", name("bundled:bundled"))).toMatchObject({ status: 0 });
});

test("a signature for one repository lets none into another", async () => {
  const { digest } = published("elsewhere");
  signFor(digest, "other");
  const { status, err } = await daemon.berth("pull", name("app:elsewhere"));
  expect(err).toContain(`it was made for "${name("other")}", not for ${name("app:elsewhere")}`);
  expect(status).toBe(1);
});

test("an index is signed as a whole: its images come by their digests", async () => {
  const image = registry.image(tarOf({ "file.txt": "of an index" }));
  const entry = { ...image, platform: { architecture: "amd64", os: "linux" } };
  const index = registry.index([entry], "index");
  signFor(image.digest);
  expect((await daemon.berth("pull", name("app:index"))).err).toContain("has no signature of it");
  signFor(index.digest);
  const pulled = await daemon.berth("pull", name("app:index"));
  expect(pulled).toMatchObject({ status: 0 });
  expect(pulled.out).toContain(`Digest: ${index.digest}`);
});

test("a tag that moves after the check moves nothing: what was checked is what is stored", async () => {
  const good = published("moving");
  signFor(good.digest);
  let bad = "";
  registry.lie = ({ path }) => {
    // The signature is being asked for, so the tag has been read.
    if (path.endsWith(".sig") && bad === "")
      bad = registry.image(tarOf({ "file.txt": "evil" }), "moving").digest;
    return false;
  };
  const { out, status } = await daemon.berth("pull", name("app:moving"));
  registry.lie = () => false;
  expect(bad).toMatch(/^sha256:/);
  expect(out).toContain(`Digest: ${good.digest}`);
  expect(status).toBe(0);
  const digests = await daemon.berth("inspect", "--format", "{{.RepoDigests}}", name("app:moving"));
  expect(digests.out).toBe(`[${name("app")}@${good.digest}]\n`);
  expect((await daemon.berth("pull", name("app:moving"))).err).toContain("has no signature of it");
});

test("a registry that fails when signatures are asked for lets nothing in", async () => {
  const { digest } = published("failing");
  signFor(digest);
  registry.lie = ({ path }, response) => {
    if (!path.endsWith(".sig")) return false;
    response.writeHead(400).end();
    return true;
  };
  const { status } = await daemon.berth("pull", name("app:failing"));
  registry.lie = () => false;
  expect(status).toBe(1);
  expect(await images()).not.toContain(digest);
});

test("what no scope names is as the default says; archives are as their transports say", async () => {
  published("free");
  expect((await daemon.berth("pull", name("other:free"))).err).toContain(
    `${name("other:free")} is refused: the policy ${policyFile} (scope default) rejects it`,
  );
  expect(await daemon.berth("pull", name("open:free"))).toMatchObject({ status: 0 });
  const archive = `${directory}/free.tar`;
  expect(await daemon.berth("save", "-o", archive, name("open:free"))).toMatchObject({ status: 0 });
  expect(await daemon.berth("load", "-i", archive)).toMatchObject({ status: 0 });
  const imported = await daemon.berth("import", archive, "imported:1");
  expect(imported.err).toContain("rejects the transport tarball");
  expect(imported.status).toBe(1);
  // What is in the executable has been trusted with it.
  expect(await daemon.berth("run", "--rm", "busybox", "true")).toMatchObject({ status: 0 });
});

test("image verify tells of key, digest, identity and attestations, or why not", async () => {
  const { digest } = published("verify");
  const key = `${directory}/owner.pub`;
  const image = name("app:verify");
  const none = await daemon.berth("image", "verify", "--key", key, image);
  expect(none).toMatchObject({ status: 1, out: "" });
  expect(none.err).toContain(`${image} is refused: the key ${key} wants a signature`);
  signFor(digest);
  const statement = statementOf(digest, "https://spdx.dev/Document", name("app"));
  putAsReferrers(registry, { digest }, [envelopeBundle(owner, statement)]);
  const { status, out } = await daemon.berth("image", "verify", "--key", key, image);
  expect(out).toContain(`Digest:      ${digest}\n`);
  expect(out).toContain(
    `Signature:   the tag ${digest.replace(":", "-")}.sig\n  Key:       ${key} (sha256:`,
  );
  expect(out).toContain(`  Identity:  ${name("app")}\n`);
  expect(out).toContain("Attestation: https://spdx.dev/Document sha256:");
  expect(status).toBe(0);
  const json = await daemon.berth(
    "image",
    "verify",
    "--format",
    "json",
    "--policy",
    policyFile,
    image,
  );
  expect(JSON.parse(json.out)).toMatchObject({ Digest: digest, Scope: name("app") });
  const other = await daemon.berth("image", "verify", "--policy", policyFile, name("other:verify"));
  expect(other.err).toContain("rejects it");
  expect(other.status).toBe(1);
});

test("a registry with a list of referrers: a bundle is found there", async () => {
  const own = await new OwnRegistry().start();
  try {
    const client = new DistributionClient(`http://${own.address}`, "app");
    const image = makeImage("signed");
    await client.pushImage(image, "1");
    const verify = () =>
      daemon.berth("image", "verify", "--key", `${directory}/owner.pub`, `${own.address}/app:1`);
    expect((await verify()).err).toContain("the registry has no signature of it");
    const bundle = Buffer.from(messageBundle(owner, image.manifest));
    const config = Buffer.from("{}");
    for (const bytes of [bundle, config]) expect((await client.push(bytes)).status).toBe(201);
    const described = (bytes: Uint8Array, mediaType: string) => ({
      ...{ mediaType, digest: digestOf(bytes), size: bytes.length },
    });
    const referrer = JSON.stringify({
      ...{ schemaVersion: 2, mediaType: types.manifest, artifactType: BUNDLE },
      config: described(config, "application/vnd.oci.empty.v1+json"),
      layers: [described(bundle, BUNDLE)],
      subject: described(Buffer.from(image.manifest), types.manifest),
    });
    expect((await client.putManifest(digestOf(referrer), referrer)).status).toBe(201);
    const { status, out } = await verify();
    expect(out).toContain(`Signature:   the referrer ${digestOf(referrer)}`);
    expect(out).toContain("Identity:  none: the digest alone is signed");
    expect(status).toBe(0);
  } finally {
    await own.destroy();
  }
});

test("a keyless signature by the policy's authority and log lets an image in, another does not", async () => {
  const home = scratchDirectory("keyless-");
  const authority = new TestAuthority(home);
  const log = new TestLog();
  const alice = authority.issue({ names: "email:alice@example.com" });
  const bob = authority.issue({ names: "email:bob@example.com" });
  writeFileSync(`${home}/rekor.pub`, log.pem);
  const fulcio = {
    ...{ caPath: `${home}/root.pem`, oidcIssuer: ISSUER },
    subjectEmail: "alice@example.com",
  };
  const rule = { type: "sigstoreSigned", fulcio, rekorPublicKeyPath: `${home}/rekor.pub` };
  const signedIdentity = { type: "matchRepository" };
  const policy = `${home}/policy.json`;
  writeFileSync(policy, JSON.stringify({ default: [{ ...rule, signedIdentity }] }));
  const other = await new TestDaemon(["--signature-policy", policy]).start();
  try {
    const { digest } = published("keyless");
    const image = name("keyless:keyless");
    const sign = (signer: typeof alice) => {
      const payload = payloadOf(digest, name("keyless"));
      const entry = keylessPayload(signer, log, payload, authority.pem("between"));
      putUnderTag(registry, digest, [entry]);
    };
    sign(bob);
    expect((await other.berth("pull", image)).err).toContain("not the one that the policy names");
    sign(alice);
    expect((await other.berth("pull", image)).status).toBe(0);
    const { out } = await other.berth("image", "verify", "--policy", policy, image);
    expect(out).toContain(`Key:       alice@example.com (by ${ISSUER}) (sha256:`);
  } finally {
    await other.destroy();
    rmSync(home, { recursive: true });
  }
});

test("a cache of builds in a registry is judged as images are", async () => {
  const { digest } = published("cache");
  const stdin = tarOf({ Dockerfile: "FROM scratch\nCOPY Dockerfile /\n" });
  const from = `type=registry,ref=${name("app:cache")}`;
  const built = await daemon.berthWith({ stdin }, "build", "--cache-from", from, "-");
  expect(built.out + built.err).toContain(`${name("app:cache")} is refused`);
  signFor(digest);
  const again = await daemon.berthWith({ stdin }, "build", "--cache-from", from, "-");
  expect(again.out + again.err).not.toContain("is refused");
});

test.each([
  ["{}", "default: there must be a list of at least one requirement"],
  ['{"default":[{"type":"signedBy"}]}', 'signatures by GPG ("signedBy") are not supported'],
  [undefined, "cannot be read"],
])("a daemon does not start with a policy that it cannot keep: %s", async (text, why) => {
  const path = `${directory}/wrong.json`;
  rmSync(path, { force: true });
  if (text !== undefined) writeFileSync(path, text);
  const other = new TestDaemon(["--signature-policy", path]);
  try {
    await expect(other.start()).rejects.toThrow(why);
  } finally {
    rmSync(other.directory, { recursive: true });
  }
});
