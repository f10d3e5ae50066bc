/** Keyless signatures of which cosign's own code has been asked, too: berth takes none that cosign refuses. */
import { expect, test } from "bun:test";
import { FakeRegistry } from "../../tests/kits/fake-registry.ts";
import { putAsReferrers, putUnderTag, SIMPLE, sourceOf } from "../../tests/kits/signing.ts";
import { type KeylessCase, keylessVectors } from "../../tests/vectors/cosign/keyless.ts";
import { parseReference } from "../spec/reference.ts";
import { judge } from "./judge.ts";
import { parsePolicy } from "./policy.ts";

const vectors = keylessVectors("2.6.5");
const base64 = (text: string) => Buffer.from(text).toString("base64");

function policyOf({ subject, subjectPrefix, issuer, log }: KeylessCase) {
  const isMail = subject?.includes("://") === false;
  const named = subjectPrefix ? { subjectURIPrefix: subjectPrefix } : { subjectURI: subject };
  const rule = {
    type: "sigstoreSigned",
    fulcio: {
      caData: base64(vectors.authorities),
      oidcIssuer: issuer,
      ...(isMail ? { subjectEmail: subject } : named),
    },
    rekorPublicKeyData: base64(vectors.logs[log]),
    signedIdentity: { type: "matchDigest" },
  };
  return parsePolicy("p.json", Buffer.from(JSON.stringify({ default: [rule] })));
}

/** What berth says against it; undefined: nothing. */
async function refusalOf(one: KeylessCase): Promise<string | undefined> {
  const { digest, bundle, payload = "", annotations = {} } = one;
  const registry = new FakeRegistry();
  if (bundle === undefined)
    putUnderTag(registry, digest, [{ bytes: payload, mediaType: SIMPLE, annotations }]);
  else putAsReferrers(registry, { digest }, [bundle]);
  const question = {
    reference: parseReference("registry.example.com/team/app:1"),
    subject: { digest, bytes: Buffer.from(vectors.manifest) },
    source: sourceOf(registry),
    signal: new AbortController().signal,
  };
  try {
    await judge(policyOf(one), question);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Where berth is stricter than cosign, and why. */
const stricter: Readonly<Record<string, string>> = {
  "message: two names": "one mail address or URI",
  "message: for anything": "not for signing code",
  "message: not for signatures": "not for signing code",
  "message: an authority's": "that of an authority",
  "message: P-384": "not ECDSA P-256",
};
/**
 * Where it takes what cosign refuses: every authority in the policy is trusted by itself, so that nobody above it has a say
 * (here: that there be none between).
 */
const laxer = ["message: by an authority: below"];

test.each(vectors.cases.map((one) => [one.name, one] as const))(
  "cosign and berth agree, or it is known why not: %s",
  async (name, one) => {
    const refusal = await refusalOf(one);
    if (name in stricter) {
      expect(one.cosign).toBe("");
      expect(refusal).toContain(stricter[name] ?? "");
    } else if (laxer.includes(name)) {
      expect(one.cosign).not.toBe("");
      expect(refusal).toBeUndefined();
    } else
      expect(refusal === undefined, `${refusal}; cosign: ${one.cosign}`).toBe(one.cosign === "");
  },
);

test("there is something of everything", () => {
  const good = vectors.cases.filter(({ cosign }) => cosign === "").map(({ name }) => name);
  for (const form of ["message", "tag", "envelope"])
    for (const what of ["good", "a URI"]) expect(good).toContain(`${form}: ${what}`);
  expect(vectors.cases.length - good.length).toBeGreaterThan(40);
});
