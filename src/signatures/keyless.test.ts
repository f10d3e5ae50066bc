/** Keyless signatures by a policy's own authority and log: which count, and that nothing else does. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { FakeRegistry } from "../../tests/kits/fake-registry.ts";
import {
  type CertificateWish,
  ISSUER,
  keylessEnvelope,
  keylessMessage,
  keylessPayload,
  type LogReceipt,
  type Otherwise,
  TestAuthority,
  TestLog,
} from "../../tests/kits/keyless.ts";
import {
  COSIGN_SIGN,
  newSigner,
  payloadOf,
  putAsReferrers,
  putUnderTag,
  signed,
  sourceOf,
  statementOf,
} from "../../tests/kits/signing.ts";
import { parseReference } from "../spec/reference.ts";
import { attestationsOf, judge, trustedFor } from "./judge.ts";
import { parsePolicy } from "./policy.ts";

const directory = mkdtempSync("/tmp/keyless-");
const elsewhere = mkdtempSync("/tmp/keyless-");
afterAll(() => {
  for (const one of [directory, elsewhere]) rmSync(one, { recursive: true });
});
const authority = new TestAuthority(directory);
const log = new TestLog();
const { signal } = new AbortController();
const NAME = "registry.example.com/team/app";
const ALICE = "alice@example.com";
const alice = authority.issue({ names: `email:${ALICE}` });
const base64 = (text: string) => Buffer.from(text).toString("base64");

function scene(tag = "1") {
  const registry = new FakeRegistry();
  const { digest } = registry.image(Buffer.from(`an image ${tag}`), tag);
  const bytes = registry.manifests.get(digest)?.bytes ?? new Uint8Array();
  const source = sourceOf(registry);
  const reference = parseReference(`${NAME}:${tag}`);
  return {
    registry,
    digest,
    bytes,
    question: { reference, subject: { digest, bytes }, source, signal },
  };
}

function policyOf(more: object = {}, fulcio: object = { subjectEmail: ALICE }) {
  const caData = base64(authority.pem("root") + authority.pem("between"));
  const rule = {
    type: "sigstoreSigned",
    fulcio: { caData, oidcIssuer: ISSUER, ...fulcio },
    rekorPublicKeyData: base64(log.pem),
    signedIdentity: { type: "matchDigest" },
    ...more,
  };
  return parsePolicy("p.json", Buffer.from(JSON.stringify({ default: [rule] })));
}

test("a bundle's signature on the manifest counts, and its envelope's", async () => {
  for (const put of [
    ({ bytes }: ReturnType<typeof scene>) => keylessMessage(alice, log, bytes),
    ({ digest }: ReturnType<typeof scene>) =>
      keylessEnvelope(alice, log, statementOf(digest, COSIGN_SIGN)),
  ]) {
    const one = scene();
    putAsReferrers(one.registry, one, [put(one)]);
    const { verified } = await judge(policyOf(), one.question);
    expect(verified).toMatchObject([{ key: { name: `${ALICE} (by ${ISSUER})` } }]);
  }
});

test("what cosign 2 puts under its tag counts, with the name in it, and the chain beside it is enough", async () => {
  const { registry, digest, question } = scene();
  const payload = payloadOf(digest, NAME);
  putUnderTag(registry, digest, [keylessPayload(alice, log, payload, authority.pem("between"))]);
  const caData = base64(authority.pem("root"));
  const signedIdentity = { type: "matchRepository" };
  const policy = policyOf({ signedIdentity }, { caData, subjectEmail: ALICE });
  expect((await judge(policy, question)).verified).toMatchObject([{ identity: NAME }]);
  putUnderTag(registry, digest, [keylessPayload(alice, log, payload, "")]);
  await expect(judge(policy, question)).rejects.toThrow("not by an authority that is trusted");
});

test("a URI is whole, or what it begins with", async () => {
  const uri = "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1";
  const robot = authority.issue({ names: `URI:${uri}` });
  const { registry, bytes, digest, question } = scene();
  putAsReferrers(registry, { digest }, [keylessMessage(robot, log, bytes)]);
  const judged = (fulcio: object) => judge(policyOf({}, fulcio), question);
  expect((await judged({ subjectURI: uri })).verified).toHaveLength(1);
  expect((await judged({ subjectURIPrefix: uri.slice(0, -2) })).verified).toHaveLength(1);
  for (const fulcio of [
    { subjectURI: uri.slice(0, -2) },
    { subjectURIPrefix: `${uri}x` },
    { subjectEmail: uri },
    { subjectURI: uri, oidcIssuer: `${ISSUER}/` },
  ])
    await expect(judged(fulcio)).rejects.toThrow("not the one that the policy names");
});

test("attestations count as such only", async () => {
  const { registry, digest, question } = scene();
  const statement = statementOf(digest, "https://spdx.dev/Document");
  putAsReferrers(registry, { digest }, [keylessEnvelope(alice, log, statement)]);
  const policy = policyOf();
  await expect(judge(policy, question)).rejects.toThrow("is no signature");
  const trusted = trustedFor(policy, question.reference);
  expect(await attestationsOf(question, trusted)).toMatchObject([
    { predicateType: "https://spdx.dev/Document" },
  ]);
});

const hours = (count: number) => Math.floor(Date.now() / 1000) + count * 3600;
const names = `email:${ALICE}`;
const stranger = new TestAuthority(elsewhere);

test.each<[string, CertificateWish, string]>([
  ["somebody else's", { names: "email:bob@example.com" }, "not the one that the policy names"],
  ["vouched for by another", { names, issuer: "https://x" }, "not the one that the policy names"],
  ["vouched for by nobody", { names, issuer: "" }, "who vouches"],
  ["of two names", { names: `email:${ALICE},email:b@example.com` }, "one mail address or URI"],
  ["of a host", { names: "DNS:alice.example.com" }, "one mail address or URI"],
  [
    "with two that vouch",
    {
      names,
      issuer: "",
      more: ["1.3.6.1.4.1.57264.1.1=DER:41", "1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:B"],
    },
    "names two",
  ],
  [
    "for servers",
    { names, usage: ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"] },
    "not for signing code",
  ],
  [
    "for anything",
    { names, usage: ["keyUsage=critical,digitalSignature"] },
    "not for signing code",
  ],
  [
    "not for signatures",
    { names, usage: ["keyUsage=critical,keyAgreement", "extendedKeyUsage=codeSigning"] },
    "not for signing code",
  ],
  [
    "with something critical",
    { names, more: ["1.2.3.4=critical,ASN1:UTF8String:x"] },
    "1.2.3.4, which is not understood",
  ],
  [
    "an authority's",
    { names, more: ["basicConstraints=critical,CA:TRUE"] },
    "that of an authority",
  ],
  ["of a curve that is not known", { names, curve: "P-521" }, "not ECDSA P-256"],
])("a certificate does not count: %s", async (_what, wish, why) => {
  const { registry, bytes, digest, question } = scene();
  const signer = authority.issue(wish);
  putAsReferrers(registry, { digest }, [keylessMessage(signer, log, bytes)]);
  await expect(judge(policyOf(), question)).rejects.toThrow(why);
});

test("a certificate by another authority, or by somebody who is none, does not count", async () => {
  const { registry, bytes, digest, question } = scene();
  // By one of the same name, by another who was certified, and by one that the path's length forbids.
  authority.certify("below", "between", "P-256", [
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign",
  ]);
  authority.certify("leafy", "between", "P-256", ["keyUsage=critical,digitalSignature"]);
  for (const signer of [
    stranger.issue({ names }),
    authority.issue({ names }, "below"),
    authority.issue({ names }, "leafy"),
  ]) {
    const payload = payloadOf(digest, NAME);
    const chain = authority.pem("below") + authority.pem("leafy") + stranger.pem("between");
    putUnderTag(registry, digest, [keylessPayload(signer, log, payload, chain)]);
    putAsReferrers(registry, { digest }, [keylessMessage(signer, log, bytes)]);
    await expect(judge(policyOf(), question)).rejects.toThrow("not by an authority");
  }
});

test.each([
  ["for servers alone", ["extendedKeyUsage=serverAuth"]],
  ["kept to some names", ["nameConstraints=permitted;email:example.com"]],
])("an authority between that is %s certifies nobody for signing code", async (what, more) => {
  const { registry, digest, question } = scene();
  const name = what.replaceAll(" ", "-");
  authority.certify(name, "root", "P-256", [
    "basicConstraints=critical,CA:TRUE,pathlen:0",
    "keyUsage=critical,keyCertSign",
    ...more,
  ]);
  const signer = authority.issue({ names }, name);
  const payload = payloadOf(digest, NAME);
  putUnderTag(registry, digest, [keylessPayload(signer, log, payload, authority.pem(name))]);
  await expect(judge(policyOf(), question)).rejects.toThrow("not by an authority");
});

test.each<[string, Otherwise, string]>([
  ["taken in before the certificate", { time: hours(-2) }, "was not good at"],
  ["taken in after it", { time: hours(30) }, "was not good at"],
  [
    "of another time than promised",
    { receipt: (one) => ({ ...one, integratedTime: "1" }) },
    "promise of its log",
  ],
  ["of another place", { receipt: (one) => ({ ...one, logIndex: "1" }) }, "promise of its log"],
  ["without a promise", { receipt: ({ inclusionPromise: _, ...one }) => one }, "no signed time"],
  ["without a time", { receipt: ({ integratedTime: _, ...one }) => one }, "no signed time"],
  [
    "without a proof of inclusion",
    { receipt: ({ inclusionProof: _, ...one }) => one },
    "its inclusion proof is none",
  ],
  [
    "of another log",
    { receipt: (one) => ({ ...one, logId: { keyId: base64("x".repeat(32)) } }) },
    "in no log that is trusted",
  ],
  [
    "with another tree's root",
    { receipt: (one) => proof(one, { rootHash: base64("x".repeat(32)) }) },
    "does not lead to its root",
  ],
  [
    "at another place in the tree",
    { receipt: (one) => proof(one, { logIndex: "0" }) },
    "does not lead to its root",
  ],
  [
    "in a tree that ends before it",
    { receipt: (one) => proof(one, { treeSize: "1" }) },
    "does not lead to its root",
  ],
  [
    "on a way that is cut",
    { receipt: (one) => proof(one, { hashes: [] }) },
    "does not lead to its root",
  ],
  [
    "with no checkpoint",
    { receipt: (one) => proof(one, { checkpoint: undefined }) },
    "its inclusion proof is none",
  ],
  [
    "with another's checkpoint",
    {
      receipt: (one) =>
        proof(one, {
          checkpoint: new TestLog().enter({ kind: "x", apiVersion: "" }, 1).inclusionProof
            .checkpoint,
        }),
    },
    "another tree than its checkpoint",
  ],
  [
    "with a checkpoint nobody signed",
    {
      receipt: (one) =>
        proof(one, {
          checkpoint: {
            envelope: one.inclusionProof.checkpoint.envelope.replace(/(\u2014 \S+ )\S+/, "$1AAAA"),
          },
        }),
    },
    "its checkpoint is not by a log",
  ],
])("a log entry does not count: %s", async (_what, otherwise, why) => {
  const { registry, bytes, digest, question } = scene();
  putAsReferrers(registry, { digest }, [keylessMessage(alice, log, bytes, otherwise)]);
  await expect(judge(policyOf(), question)).rejects.toThrow(why);
});

function proof(one: LogReceipt, otherwise: object): object {
  return { ...one, inclusionProof: { ...one.inclusionProof, ...otherwise } };
}

test("an entry is good for its own signature alone", async () => {
  const [one, two] = [scene("1"), scene("2")];
  const message = (of: typeof one, who = alice) =>
    JSON.parse(keylessMessage(who, log, of.bytes)) as Record<string, unknown>;
  const statement = statementOf(two.digest, COSIGN_SIGN);
  const envelope = (who = alice) =>
    JSON.parse(keylessEnvelope(who, log, statement)) as Record<string, unknown>;
  const again = authority.issue({ names });
  for (const wrong of [
    // The entry of another image's signature, of the same by another certificate, and of an envelope.
    { ...message(two), verificationMaterial: message(one).verificationMaterial },
    { ...message(two), verificationMaterial: mixed(message(two), message(two, again)) },
    { ...message(two), verificationMaterial: envelope().verificationMaterial },
    { ...envelope(), verificationMaterial: mixed(envelope(), envelope(again)) },
    { ...envelope(), verificationMaterial: message(two).verificationMaterial },
  ]) {
    putAsReferrers(two.registry, two, [JSON.stringify(wrong)]);
    await expect(judge(policyOf(), two.question)).rejects.toThrow("of another signature");
  }
  // A certificate with somebody else's signature.
  const stolen = {
    ...message(two),
    verificationMaterial: message(two, again).verificationMaterial,
  };
  putAsReferrers(two.registry, two, [JSON.stringify(stolen)]);
  await expect(judge(policyOf(), two.question)).rejects.toThrow(
    "not by the key in its certificate",
  );
});

/** The certificate of one bundle with the log entry of another. */
function mixed(one: Record<string, unknown>, other: Record<string, unknown>): object {
  return {
    ...(one.verificationMaterial as object),
    tlogEntries: (other.verificationMaterial as { tlogEntries: unknown }).tlogEntries,
  };
}

test("a key does not stand for a certificate, nor the other way round; another log's is none", async () => {
  const { registry, bytes, digest, question } = scene();
  const owner = newSigner("p256");
  putUnderTag(registry, digest, [signed(owner, payloadOf(digest, NAME))]);
  await expect(judge(policyOf(), question)).rejects.toThrow("the policy wants a certificate");
  const keyed = { type: "sigstoreSigned", keyData: base64(owner.pem) };
  const byKey = parsePolicy("p.json", Buffer.from(JSON.stringify({ default: [keyed] })));
  putUnderTag(registry, digest, []);
  putAsReferrers(registry, { digest }, [keylessMessage(alice, log, bytes)]);
  await expect(judge(byKey, question)).rejects.toThrow("it is keyless (by a certificate)");
  const other = policyOf({ rekorPublicKeyData: base64(new TestLog().pem) });
  await expect(judge(other, question)).rejects.toThrow("in no log that is trusted");
});

test.each([1, 2, 3, 7, 8, 9])("a tree of %d others has its place for an entry", async (others) => {
  const { registry, bytes, digest, question } = scene();
  for (const [before, after] of [
    [others, 0],
    [0, others],
    [others, others],
  ]) {
    const tree = new TestLog(before, after);
    putAsReferrers(registry, { digest }, [keylessMessage(alice, tree, bytes)]);
    const policy = policyOf({ rekorPublicKeyData: base64(tree.pem) });
    expect((await judge(policy, question)).verified).toHaveLength(1);
  }
});

test.each<[string, object, object | undefined, string]>([
  [
    "without a log",
    { rekorPublicKeyData: undefined },
    undefined,
    "needs exactly one of rekorPublicKeyPath",
  ],
  ["with a key, too", { keyData: base64(log.pem) }, undefined, "either fulcio or a key"],
  ["without a subject", {}, {}, "needs exactly one of subjectEmail"],
  [
    "with two subjects",
    {},
    { subjectEmail: "a", subjectURI: "b" },
    "needs exactly one of subjectEmail",
  ],
  [
    "without an issuer",
    {},
    { subjectEmail: "a", oidcIssuer: undefined },
    "needs exactly one of oidcIssuer",
  ],
  ["with an unknown field", {}, { subjectEmail: "a", sct: true }, 'unknown field "sct"'],
  [
    "without certificates",
    {},
    { subjectEmail: "a", caData: base64("x") },
    "no PEM block CERTIFICATE",
  ],
  [
    "with a broken one",
    {},
    {
      subjectEmail: "a",
      caData: base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
    },
    "cannot be read",
  ],
  [
    "with somebody's own",
    {},
    { subjectEmail: "a", caData: base64(alice.certificate.toString()) },
    "not all are those of authorities",
  ],
])("a policy is refused when it is read: %s", (_what, more, fulcio, why) => {
  expect(() => policyOf(more, fulcio)).toThrow(why);
});
