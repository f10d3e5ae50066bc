/** Signatures, bundles, policies and keys of every kind: a value, or an error in words; no two readings of one document. */
import { expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import {
  checkAll,
  damaged,
  damagedJson,
  damagedText,
  valueOrFault,
} from "../../tests/kits/fuzz.ts";
import { parseKey } from "./keys.ts";
import { readBundle, readSimpleSigning, readStatement } from "./payloads.ts";
import { parsePolicy } from "./policy.ts";
import { parseStrictly } from "./strict-json.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const subject = { digest, bytes: Buffer.from("{}") };
const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const pem = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
const trust = { kind: "keys", keys: [parseKey("key", pem)] } as const;
const payload = {
  critical: {
    identity: { "docker-reference": "example.com/a/b" },
    image: { "docker-manifest-digest": digest },
    type: "cosign container image signature",
  },
  optional: null,
};
const statement = {
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ name: "example.com/a/b", digest: { sha256: digest.slice(7) } }],
  predicateType: "https://sigstore.dev/cosign/sign/v1",
};

/** What a reader gives, or undefined when it refuses in words. A TypeError or the like is a fault of the reader's. */
function readOrRefuse<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    expect((error as Error).constructor).toBe(Error);
    expect((error as Error).message).not.toBe("");
    return undefined;
  }
}

test("a payload is refused, or says what was signed", async () => {
  let good = 0;
  await checkAll(damagedJson([payload]), (value) => {
    const bytes = Buffer.from(JSON.stringify(value) ?? "");
    const signature = sign("sha256", bytes, pair.privateKey).toString("base64");
    const annotations = { "dev.cosignproject.cosign/signature": signature };
    const read = readOrRefuse(() => readSimpleSigning(bytes, annotations, subject, trust));
    if (read === undefined) return;
    good++;
    expect((value as typeof payload).critical.image["docker-manifest-digest"]).toBe(digest);
  });
  expect(good).toBeGreaterThan(5);
});

test("a statement is refused, or is about the image", async () => {
  await checkAll(damagedJson([statement]), (value) => {
    const bytes = Buffer.from(JSON.stringify(value) ?? "");
    const read = readOrRefuse(() => readStatement(bytes, digest));
    if (read !== undefined) expect(bytes.toString()).toContain(digest.slice(7));
  });
});

test("a bundle that is changed, or is none, never counts", async () => {
  const envelope = {
    payload: Buffer.from(JSON.stringify(statement)).toString("base64"),
    payloadType: "application/vnd.in-toto+json",
    signatures: [{ sig: Buffer.from("no signature").toString("base64") }],
  };
  const bundle = {
    mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
    verificationMaterial: { publicKey: { hint: "x" } },
    dsseEnvelope: envelope,
  };
  await checkAll(damagedJson([bundle]), (value) => {
    const bytes = Buffer.from(JSON.stringify(value) ?? "");
    expect(readOrRefuse(() => readBundle(bytes, subject, trust))).toBeUndefined();
  });
});

test("a policy is refused with a Fault, or has a rule for everything", async () => {
  const policy = {
    default: [{ type: "reject" }],
    transports: {
      docker: {
        "example.com/a": [{ type: "sigstoreSigned", keyData: Buffer.from(pem).toString("base64") }],
        "": [{ type: "insecureAcceptAnything" }],
      },
      "docker-archive": { "": [{ type: "reject" }] },
    },
  };
  let good = 0;
  await checkAll(damagedJson([policy]), async (value) => {
    const bytes = Buffer.from(JSON.stringify(value) ?? "");
    const read = await valueOrFault(() => parsePolicy("p", bytes));
    if (read === undefined) return;
    good++;
    expect(read.default.length).toBeGreaterThan(0);
  });
  expect(good).toBeGreaterThan(5);
});

test("keys that are none", async () => {
  await checkAll(damagedText([pem]), async (text) => {
    await valueOrFault(() => parseKey("key", text));
  });
});

test("JSON that is read strictly is what everybody reads", async () => {
  const texts = damaged([
    JSON.stringify(payload),
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":[{"c":"}"}]}}',
  ]);
  await checkAll(fc.oneof(texts, fc.json().map(Buffer.from)), (bytes) => {
    const read = readOrRefuse(() => parseStrictly(bytes));
    if (read !== undefined) expect(read).toEqual(JSON.parse(Buffer.from(bytes).toString()));
  });
});
