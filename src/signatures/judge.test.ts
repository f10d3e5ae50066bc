/** Images judged by what a registry has of signatures: each kind that counts, and each way to pass without one. */
import { expect, test } from "bun:test";
import { tarOf } from "../../tests/clients/tars.ts";
import { FakeRegistry } from "../../tests/kits/fake-registry.ts";
import {
  COSIGN_SIGN,
  ENVELOPE,
  type Entry,
  envelopeBundle,
  envelopeOf,
  messageBundle,
  newSigner,
  payloadOf,
  putAsReferrers,
  putUnderTag,
  SIMPLE,
  signed,
  sourceOf,
  statementOf,
} from "../../tests/kits/signing.ts";
import { parseReference } from "../spec/reference.ts";
import { attestationsOf, judge, judgeByKey } from "./judge.ts";
import { parseKey } from "./keys.ts";
import { parsePolicy } from "./policy.ts";

const NAME = "r.io/team/app";
const owner = newSigner("p256");
const stranger = newSigner("p256");
const { signal } = new AbortController();

/** A registry with an image, and how it is asked about. */
function scene(name = `${NAME}:1`) {
  const registry = new FakeRegistry();
  const { digest } = registry.image(tarOf({ file: "text" }), "1");
  const subject = { digest, bytes: registry.manifests.get(digest)?.bytes ?? new Uint8Array() };
  const question = { reference: parseReference(name), subject, source: sourceOf(registry), signal };
  return { registry, digest, subject, question };
}

const policyOf = (pem: string, type = "matchRepository", more: object = {}) =>
  parsePolicy(
    "p.json",
    Buffer.from(
      JSON.stringify({
        default: [
          {
            type: "sigstoreSigned",
            keyData: Buffer.from(pem).toString("base64"),
            signedIdentity: { type, ...more },
          },
        ],
      }),
    ),
  );

test.each(["p256", "rsa", "ed25519"])("a signature of cosign's counts: %s", async (kind) => {
  const { registry, digest, question } = scene();
  const signer = newSigner(kind);
  const policy = policyOf(signer.pem);
  await expect(judge(policy, question)).rejects.toThrow("the registry has no signature of it");
  putUnderTag(registry, digest, [
    signed(stranger, payloadOf(digest, NAME)),
    signed(signer, payloadOf(digest, NAME)),
  ]);
  const { verified } = await judge(policy, question);
  expect(verified).toMatchObject([
    { identity: NAME, key: { fingerprint: parseKey("k", signer.pem).fingerprint } },
  ]);
});

test.each(["p256", "rsa", "ed25519"])(
  "a bundle counts, with either kind of signature: %s",
  async (kind) => {
    const signer = newSigner(kind);
    const { registry, digest, subject, question } = scene();
    putAsReferrers(registry, subject, [messageBundle(signer, subject.bytes)]);
    await judge(policyOf(signer.pem, "matchDigest"), question);
    await expect(judge(policyOf(signer.pem), question)).rejects.toThrow("it names no image");
    putAsReferrers(registry, subject, [
      envelopeBundle(signer, statementOf(digest, COSIGN_SIGN, NAME)),
    ]);
    await judge(policyOf(signer.pem), question);
  },
);

const changed = (payload: string, from: string, to: string) => {
  expect(payload).toContain(from);
  return payload.replace(from, to);
};

test.each<[string, (digest: string) => Entry, string]>([
  [
    "by a stranger",
    (digest) => signed(stranger, payloadOf(digest, NAME)),
    "not by a key that is trusted",
  ],
  [
    "of another digest",
    () => signed(owner, payloadOf(`sha256:${"0".repeat(64)}`, NAME)),
    "it was made for",
  ],
  [
    "of another repository",
    (digest) => signed(owner, payloadOf(digest, "r.io/team/other")),
    'it was made for "r.io/team/other"',
  ],
  [
    "of the same path elsewhere",
    (digest) => signed(owner, payloadOf(digest, "team/app")),
    'it was made for "team/app"',
  ],
  [
    "changed afterwards",
    (digest) => ({
      ...signed(owner, payloadOf(digest, "r.io/team/other")),
      bytes: payloadOf(digest, NAME),
    }),
    "not by a key that is trusted",
  ],
  [
    "with two digests",
    (digest) =>
      signed(
        owner,
        changed(
          payloadOf(`sha256:${"0".repeat(64)}`, NAME),
          '"image":{',
          `"image":{"docker-manifest-digest":"${digest}",`,
        ),
      ),
    '"docker-manifest-digest" is there twice',
  ],
  [
    "with two images, one written otherwise",
    (digest) =>
      signed(
        owner,
        changed(
          payloadOf(digest, NAME),
          '"image"',
          '"im\\u0061ge":{"docker-manifest-digest":"x"},"image"',
        ),
      ),
    '"image" is there twice',
  ],
  [
    "with what nobody understands",
    (digest) =>
      signed(owner, changed(payloadOf(digest, NAME), '"image"', '"expired":true,"image"')),
    'unknown field "expired"',
  ],
  [
    "of another type",
    (digest) =>
      signed(
        owner,
        changed(payloadOf(digest, NAME), "cosign container image signature", "a receipt"),
      ),
    'its type "a receipt"',
  ],
  [
    "without a signature",
    (digest) => ({ bytes: payloadOf(digest, NAME), mediaType: SIMPLE }),
    "not base64",
  ],
  [
    "with an empty one",
    (digest) => ({
      ...signed(owner, payloadOf(digest, NAME)),
      annotations: { "dev.cosignproject.cosign/signature": "" },
    }),
    "not base64",
  ],
  [
    "that is huge",
    (digest) => ({ ...signed(owner, payloadOf(digest, NAME)), size: 2 ** 40 }),
    "more than the 1048576 that are read",
  ],
  [
    "that is keyless",
    (digest) => {
      const { annotations, ...entry } = signed(owner, payloadOf(digest, NAME));
      return {
        ...entry,
        annotations: { ...annotations, "dev.sigstore.cosign/certificate": "PEM" },
      };
    },
    "it is keyless",
  ],
  ["that is no JSON", () => signed(owner, "[]"), "not a JSON object"],
  [
    "that is no UTF-8",
    () => ({ ...signed(owner, "x"), bytes: Buffer.from([0xff]) }),
    "not by a key that is trusted",
  ],
])("a signature does not count: %s", async (_what, entryFor, why) => {
  const { registry, digest, question } = scene();
  putUnderTag(registry, digest, [entryFor(digest)]);
  const judged = judge(policyOf(owner.pem), question);
  await expect(judged).rejects.toMatchObject({ kind: "forbidden", code: "signature-missing" });
  await expect(judged).rejects.toThrow(why);
  // With a good one beside it nothing is lost.
  putUnderTag(registry, digest, [entryFor(digest), signed(owner, payloadOf(digest, NAME))]);
  expect((await judge(policyOf(owner.pem), question)).verified).toHaveLength(1);
});

test.each<[string, (scene: { digest: string; bytes: Uint8Array }) => string, string]>([
  ["by a stranger", ({ bytes }) => messageBundle(stranger, bytes), "not by a key that is trusted"],
  ["of other bytes", () => messageBundle(owner, "other"), "not by a key that is trusted"],
  [
    "with another digest than it signs",
    ({ bytes }) => messageBundle(owner, bytes).replace(/"digest":"[^"]+"/, '"digest":"AAAA"'),
    "messageDigest is not that",
  ],
  [
    "keyless",
    ({ bytes }) =>
      messageBundle(owner, bytes, { verificationMaterial: { certificate: { rawBytes: "AA==" } } }),
    "it is keyless",
  ],
  [
    "of another version",
    ({ bytes }) => messageBundle(owner, bytes, { mediaType: "application/x" }),
    "of the type",
  ],
  [
    "with both kinds of signature",
    ({ bytes }) => messageBundle(owner, bytes, { dsseEnvelope: {} }),
    "either messageSignature or dsseEnvelope",
  ],
  [
    "of another image's statement",
    () => envelopeBundle(owner, statementOf(`sha256:${"0".repeat(64)}`, COSIGN_SIGN, NAME)),
    "it was not made for",
  ],
  [
    "that says what is wrong with the image",
    ({ digest }) =>
      envelopeBundle(
        owner,
        statementOf(digest, "https://cosign.sigstore.dev/attestation/vuln/v1", NAME),
      ),
    "it attests https://cosign.sigstore.dev/attestation/vuln/v1, and is no signature",
  ],
  [
    "whose payload was signed as something else",
    ({ digest }) => {
      const envelope = envelopeOf(owner, statementOf(digest, COSIGN_SIGN, NAME), "text/plain");
      return JSON.stringify({
        ...JSON.parse(messageBundle(owner, "")),
        messageSignature: undefined,
        dsseEnvelope: JSON.parse(envelope),
      });
    },
    "not by a key that is trusted",
  ],
])("a bundle does not count: %s", async (_what, bundleFor, why) => {
  const { registry, subject, question } = scene();
  putAsReferrers(registry, subject, [bundleFor(subject)]);
  await expect(judge(policyOf(owner.pem, "matchDigest"), question)).rejects.toThrow(why);
});

test("keys are not confused: a key that is public is no secret, and a signature by another algorithm none", async () => {
  const { registry, digest, question } = scene();
  const rsa = newSigner("rsa");
  const payload = payloadOf(digest, NAME);
  // What would pass where somebody took the public key for a shared secret, as with JSON Web Tokens once.
  const hmac = new Bun.CryptoHasher("sha256", rsa.pem).update(payload).digest("base64");
  const entry = { bytes: payload, mediaType: SIMPLE };
  const name = "dev.cosignproject.cosign/signature";
  putUnderTag(registry, digest, [
    { ...entry, annotations: { [name]: hmac } },
    { ...entry, annotations: { [name]: owner.sign(payload) } },
    { ...entry, annotations: { [name]: newSigner("ed25519").sign(payload) } },
  ]);
  await expect(judge(policyOf(rsa.pem), question)).rejects.toThrow("not by a key that is trusted");
});

test("which names a signature is good for", async () => {
  const ways = async (image: string, signedName: string, type: string, more: object = {}) => {
    const { registry, digest, question } = scene(image.replace("@D", `@${scene().digest}`));
    putUnderTag(registry, digest, [signed(owner, payloadOf(digest, signedName))]);
    return judge(policyOf(owner.pem, type, more), question).then(
      () => "in",
      (error: Error) => error.message,
    );
  };
  expect(await ways(`${NAME}:1`, `${NAME}:1`, "matchExact")).toBe("in");
  expect(await ways(`${NAME}:1`, `${NAME}:2`, "matchExact")).toContain("it was made for");
  expect(await ways(NAME, `${NAME}:latest`, "matchExact")).toBe("in");
  expect(await ways(`${NAME}@D`, `${NAME}:2`, "matchRepoDigestOrExact")).toBe("in");
  expect(await ways(`${NAME}:1`, `${NAME}:2`, "matchRepoDigestOrExact")).toContain(
    "it was made for",
  );
  expect(await ways(`${NAME}:1`, NAME, "matchRepoDigestOrExact")).toContain(
    '"matchRepository" accepts',
  );
  expect(await ways(`${NAME}:1`, `${NAME}:2`, "matchRepository")).toBe("in");
  const exact = { dockerRepository: "r.io/source/app" };
  expect(await ways(`${NAME}:1`, "r.io/source/app", "exactRepository", exact)).toBe("in");
  expect(await ways(`${NAME}:1`, NAME, "exactRepository", exact)).toContain("it was made for");
  const reference = { dockerReference: "r.io/source/app:3" };
  expect(await ways(`${NAME}:1`, "r.io/source/app:3", "exactReference", reference)).toBe("in");
  const remap = { prefix: "r.io/team", signedPrefix: "vendor.io/x" };
  expect(await ways(`${NAME}:1`, "vendor.io/x/app:1", "remapIdentity", remap)).toBe("in");
  expect(await ways("r.io/teams/app:1", "vendor.io/x/app:1", "remapIdentity", remap)).toContain(
    "it was made for",
  );
  expect(await ways("busybox:1", "index.docker.io/library/busybox", "matchRepository")).toBe("in");
});

test("all requirements must be fulfilled, and a registry that does not answer is no permission", async () => {
  const { registry, digest, question } = scene();
  putUnderTag(registry, digest, [signed(owner, payloadOf(digest, NAME))]);
  const [first] = policyOf(owner.pem).default;
  const [second] = policyOf(stranger.pem).default;
  if (first === undefined || second === undefined) throw new Error("no requirements");
  const both = { ...policyOf(owner.pem), default: [first, second] };
  await expect(judge(both, question)).rejects.toThrow("not by a key that is trusted");
  putUnderTag(
    registry,
    digest,
    [owner, stranger].map((one) => signed(one, payloadOf(digest, NAME))),
  );
  expect((await judge(both, question)).verified).toHaveLength(2);
  const broken = { ...question.source, manifest: () => Promise.reject(new Error("timeout")) };
  await expect(judge(both, { ...question, source: broken })).rejects.toThrow("timeout");
});

test("a flood of layers and referrers is told of, and not read", async () => {
  const { registry, digest, subject, question } = scene();
  const payload = payloadOf(digest, NAME);
  putUnderTag(
    registry,
    digest,
    Array.from({ length: 65 }, () => signed(owner, payload)),
  );
  const bundles = Array.from({ length: 70 }, (_, at) => `{"mediaType":"${at}"}`);
  putAsReferrers(registry, subject, bundles);
  const judged = judge(policyOf(owner.pem), question);
  await expect(judged).rejects.toThrow("more than 64 layers");
  await expect(judged).rejects.toThrow("more than the 64 that are read");
});

test("attestations are listed when a trusted key has made them, under a tag or as referrers", async () => {
  const { registry, digest, subject, question } = scene();
  const spdx = statementOf(digest, "https://spdx.dev/Document", NAME);
  const slsa = statementOf(digest, "https://slsa.dev/provenance/v1", NAME);
  const envelope = (bytes: string) => ({ bytes, mediaType: ENVELOPE });
  const envelopes = [envelopeOf(owner, spdx), envelopeOf(stranger, slsa)];
  putUnderTag(registry, digest, envelopes.map(envelope), "att");
  putAsReferrers(registry, subject, [envelopeBundle(owner, slsa)]);
  const key = parseKey("k", owner.pem);
  const found = await attestationsOf(question, [{ kind: "keys", keys: [key] }]);
  expect(found.map(({ predicateType }) => predicateType)).toEqual([
    "https://spdx.dev/Document",
    "https://slsa.dev/provenance/v1",
  ]);
  await expect(judgeByKey(key, question)).rejects.toThrow("is no signature");
});
