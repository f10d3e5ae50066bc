/**
 * Makes keyless signatures, good and damaged ones, and records what cosign's own code says of each:
 *
 *     .tools/bun tests/vectors/cosign/record-keyless.ts /path/to/judge VERSION > tests/vectors/cosign/keyless-VERSION.deflate
 *
 * `judge` is judge-keyless.go, built against that version of cosign. See README.md beside this file.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import { digestOf } from "../../kits/fake-registry.ts";
import {
  type CertificateWish,
  type CertifiedSigner,
  ISSUER,
  keylessEnvelope,
  keylessMessage,
  keylessPayload,
  type LogReceipt,
  type Otherwise,
  TestAuthority,
  TestLog,
  trustedRoot,
} from "../../kits/keyless.ts";
import { COSIGN_SIGN, payloadOf, statementOf } from "../../kits/signing.ts";
import type { KeylessCase, KeylessVectors } from "./keyless.ts";

const [program = "", version = ""] = process.argv.slice(2);
const directory = mkdtempSync("/tmp/keyless-");
const elsewhere = mkdtempSync("/tmp/keyless-");
const authority = new TestAuthority(directory);
const stranger = new TestAuthority(elsewhere);
const [log, other] = [new TestLog(), new TestLog()];
const NAME = "registry.example.com/team/app";
const ALICE = "alice@example.com";
const URI = "https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1";
const names = `email:${ALICE}`;
const manifest = JSON.stringify({ schemaVersion: 2, layers: [] });
const bytes = Buffer.from(manifest);
const digest = digestOf(bytes);
const foreign = Buffer.from("another manifest");
const alice = authority.issue({ names });
const again = authority.issue({ names });
const robot = authority.issue({ names: `URI:${URI}` });
const between = authority.pem("between");

const cases: Omit<KeylessCase, "cosign">[] = [];
type More = Partial<Omit<KeylessCase, "cosign">>;
const wanted = { digest, subject: ALICE, issuer: ISSUER, log: "own" } as const;

function message(name: string, signer = alice, otherwise: Otherwise = {}, more: More = {}): void {
  const bundle = keylessMessage(signer, log, bytes, otherwise);
  cases.push({ ...wanted, name: `message: ${name}`, bundle, ...more });
}

function tagged(name: string, signer = alice, otherwise: Otherwise = {}, more: More = {}): void {
  const payload = payloadOf(digest, NAME);
  const { annotations = {} } = keylessPayload(signer, log, payload, between, otherwise);
  cases.push({ ...wanted, name: `tag: ${name}`, payload, annotations, ...more });
}

/** In all three forms. */
function everyForm(name: string, signer: CertifiedSigner, more: More = {}): void {
  message(name, signer, {}, more);
  tagged(name, signer, {}, more);
  const bundle = keylessEnvelope(signer, log, statementOf(digest, COSIGN_SIGN));
  cases.push({ ...wanted, name: `envelope: ${name}`, bundle, ...more });
}

everyForm("good", alice);
everyForm("another log is trusted", alice, { log: "other" });
everyForm("another subject", alice, { subject: "bob@example.com" });
everyForm("another issuer", alice, { issuer: `${ISSUER}/` });
everyForm("another authority", stranger.issue({ names }));
const uri: More = { subject: URI };
const prefix = (subjectPrefix: string): More => ({ subject: undefined, subjectPrefix });
everyForm("a URI", robot, uri);
message("a part of a URI", robot, {}, { subject: URI.slice(0, -2) });
message("what a URI begins with", robot, {}, prefix(URI.slice(0, -2)));
message("what a URI does not begin with", robot, {}, prefix(URI.slice(1)));

const hours = (count: number) => Math.floor(Date.now() / 1000) + count * 3600;
for (const form of [message, tagged]) {
  form("taken in before the certificate", alice, { time: hours(-2) });
  form("taken in after it", alice, { time: hours(30) });
}

const proof = (one: LogReceipt, otherwise: object) => ({
  ...one,
  inclusionProof: { ...one.inclusionProof, ...otherwise },
});
const wrong = Buffer.from("x".repeat(32)).toString("base64");
const receipts: Readonly<Record<string, (one: LogReceipt) => object>> = {
  "another time than promised": (one) => ({
    ...one,
    integratedTime: String(Number(one.integratedTime) + 1),
  }),
  "another place than promised": (one) => ({ ...one, logIndex: "1" }),
  "no promise": ({ inclusionPromise: _, ...one }) => one,
  "no time": ({ integratedTime: _, ...one }) => one,
  "no proof": ({ inclusionProof: _, ...one }) => one,
  "another log's id": (one) => ({ ...one, logId: { keyId: wrong } }),
  "another root": (one) => proof(one, { rootHash: wrong }),
  "another place in the tree": (one) => proof(one, { logIndex: "0" }),
  "a tree that ends before it": (one) => proof(one, { treeSize: "1" }),
  "a way that is cut": (one) => proof(one, { hashes: [] }),
  "a way that is too long": (one) => proof(one, { hashes: [...one.inclusionProof.hashes, wrong] }),
  "no checkpoint": ({ inclusionProof: { checkpoint: _, ...rest }, ...one }) => ({
    ...one,
    inclusionProof: rest,
  }),
  "another log's checkpoint": (one) =>
    proof(one, {
      checkpoint: other.enter({ kind: "x", apiVersion: "" }, 1).inclusionProof.checkpoint,
    }),
  "a checkpoint nobody signed": (one) => {
    const envelope = one.inclusionProof.checkpoint.envelope.replace(/(\u2014 \S+ )\S+/, "$1AAAA");
    return proof(one, { checkpoint: { envelope } });
  },
};
for (const [name, receipt] of Object.entries(receipts)) message(name, alice, { receipt });

const wishes: Readonly<Record<string, CertificateWish>> = {
  "no issuer": { names, issuer: "" },
  "two names": { names: `${names},email:b@example.com` },
  "a host's name": { names: "DNS:alice.example.com" },
  "for servers": {
    names,
    usage: ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"],
  },
  "for anything": { names, usage: ["keyUsage=critical,digitalSignature"] },
  "not for signatures": {
    names,
    usage: ["keyUsage=critical,keyAgreement", "extendedKeyUsage=codeSigning"],
  },
  "something critical": { names, more: ["1.2.3.4=critical,ASN1:UTF8String:x"] },
  "an authority's": { names, more: ["basicConstraints=critical,CA:TRUE"] },
  "P-384": { names, curve: "P-384" },
};
for (const [name, wish] of Object.entries(wishes)) message(name, authority.issue(wish));

const authorities: Readonly<Record<string, readonly string[]>> = {
  below: [],
  servers: ["extendedKeyUsage=serverAuth"],
  constrained: ["nameConstraints=permitted;email:other.example.com"],
};
for (const [name, more] of Object.entries(authorities)) {
  const by = name === "below" ? "between" : "root";
  const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", ...more];
  authority.certify(name, by, "P-256", ca);
  message(`by an authority: ${name}`, authority.issue({ names }, name));
}

type Bundle = Readonly<Record<string, unknown>> & {
  readonly verificationMaterial: Readonly<Record<string, unknown>>;
};
const parsed = (text: string) => JSON.parse(text) as Bundle;
const own = parsed(keylessMessage(alice, log, bytes));
const others = parsed(keylessMessage(alice, log, foreign));
const byAgain = parsed(keylessMessage(again, log, bytes));
const envelope = parsed(keylessEnvelope(alice, log, statementOf(digest, COSIGN_SIGN)));
const withEntry = (one: Bundle, from: Bundle) => ({
  ...one,
  verificationMaterial: {
    ...one.verificationMaterial,
    tlogEntries: from.verificationMaterial.tlogEntries,
  },
});
const swapped: Readonly<Record<string, object>> = {
  "another image's": others,
  "the entry of another image's signature": withEntry(own, others),
  "the entry of another certificate": withEntry(own, byAgain),
  "the entry of an envelope": withEntry(own, envelope),
  "an envelope with a message's entry": withEntry(envelope, own),
  "another's certificate": { ...own, verificationMaterial: byAgain.verificationMaterial },
  "an older bundle's list of certificates": {
    ...own,
    verificationMaterial: {
      x509CertificateChain: { certificates: [own.verificationMaterial.certificate] },
      tlogEntries: own.verificationMaterial.tlogEntries,
    },
  },
};
for (const [name, bundle] of Object.entries(swapped))
  cases.push({ ...wanted, name: `bundle: ${name}`, bundle: JSON.stringify(bundle) });

const [mine, theirs] = [payloadOf(digest, NAME), payloadOf(digestOf(foreign), NAME)];
const at = (signer: CertifiedSigner, payload: string) =>
  keylessPayload(signer, log, payload, between).annotations ?? {};
const ENTRY = "dev.sigstore.cosign/bundle";
for (const [name, payload, annotations] of [
  ["another image's", theirs, at(alice, theirs)],
  ["another payload", mine, at(alice, theirs)],
  ["another's entry", mine, { ...at(alice, mine), [ENTRY]: at(again, mine)[ENTRY] ?? "" }],
  ["no entry", mine, { ...at(alice, mine), [ENTRY]: "" }],
] as const)
  cases.push({ ...wanted, name: `tag: ${name}`, payload, annotations });

const roots = { own: trustedRoot(authority, log), other: trustedRoot(authority, other) };
// The authorities that stand between must be trusted by cosign, too, to be asked about.
const asked = cases.map(({ subjectPrefix, log: trusted, ...one }) => ({
  ...one,
  TrustedRoot: withAuthorities(roots[trusted]),
  ...(subjectPrefix && { SubjectRegExp: `^${RegExp.escape(subjectPrefix)}` }),
}));

/** A trusted root in which each authority between has a chain of its own. */
function withAuthorities(text: string): string {
  const root = JSON.parse(text) as { certificateAuthorities: { certChain: unknown }[] };
  const [first] = root.certificateAuthorities;
  const rawOf = (name: string) => ({
    rawBytes: authority.pem(name).replace(/-----[^-]+-----|\s/g, ""),
  });
  const chains = Object.keys(authorities).map((name) => [
    ...[name, ...(name === "below" ? ["between"] : []), "root"].map(rawOf),
  ]);
  const more = chains.map((certificates) => ({ ...first, certChain: { certificates } }));
  return JSON.stringify({
    ...root,
    certificateAuthorities: [...root.certificateAuthorities, ...more],
  });
}

const judged = Bun.spawnSync([program], { stdin: Buffer.from(JSON.stringify(asked)) });
if (judged.exitCode !== 0) throw new Error(judged.stderr.toString());
const verdicts = JSON.parse(judged.stdout.toString()) as Record<string, string>;
const vectors: KeylessVectors = {
  version,
  manifest,
  authorities: ["root", "between", ...Object.keys(authorities)]
    .map((name) => authority.pem(name))
    .join(""),
  logs: { own: log.pem, other: other.pem },
  cases: cases.map((one) => ({ ...one, cosign: verdicts[one.name] ?? "not judged" })),
};
process.stdout.write(deflateRawSync(JSON.stringify(vectors), { level: 9 }));
for (const one of [directory, elsewhere]) rmSync(one, { recursive: true });
