/** What real cosign programs have signed and attested, judged by berth: what counts, and that nothing of it counts for anything else. */
import { expect, test } from "bun:test";
import { digestOf, FakeRegistry } from "../../tests/kits/fake-registry.ts";
import { putAsReferrers, sourceOf } from "../../tests/kits/signing.ts";
import { type CosignVectors, cosignVectors, replay } from "../../tests/vectors/cosign/vectors.ts";
import { parseReference } from "../spec/reference.ts";
import { attestationsOf, judge } from "./judge.ts";
import { parseKey } from "./keys.ts";
import { parsePolicy } from "./policy.ts";

const NAME = "registry.example.com/team/app";
const SPDX = "https://spdx.dev/Document";
const SLSA = "https://slsa.dev/provenance/v1";
const { signal } = new AbortController();

const two = cosignVectors("2.6.5");
const three = cosignVectors("3.1.3");

/** The programs' registry, and how it is asked about an image. */
function scene(vectors: CosignVectors, image: string, name = `${NAME}:${image}`) {
  const registry = new FakeRegistry();
  replay(vectors, registry);
  const digest = vectors.images[image] ?? "";
  const subject = { digest, bytes: registry.manifests.get(digest)?.bytes ?? new Uint8Array() };
  const question = { reference: parseReference(name), subject, source: sourceOf(registry), signal };
  return { registry, digest, question };
}

function policyOf(vectors: CosignVectors, key: string, signedIdentity: object) {
  const keyData = Buffer.from(vectors.keys[key] ?? "").toString("base64");
  const rule = { type: "sigstoreSigned", keyData, signedIdentity };
  return parsePolicy("p.json", Buffer.from(JSON.stringify({ default: [rule] })));
}

const anyName = { type: "matchDigest" };
const sameRepository = { type: "matchRepository" };

test.each([
  ["full", "ecdsa", NAME],
  ["rsa", "rsa", NAME],
  ["ed25519", "ed25519", NAME],
  ["foreign", "other", NAME],
  ["index", "ecdsa", NAME],
  ["referring", "ecdsa", NAME],
  ["plain", "ecdsa", `${two.address}/app`],
])("cosign 2: %s is signed by the key %s, under its name", async (image, key, identity) => {
  const { question, digest } = scene(two, image, `${identity}:1`);
  const { verified } = await judge(policyOf(two, key, sameRepository), question);
  const where = image === "referring" ? /^the referrer/ : `the tag ${digest.replace(":", "-")}.sig`;
  expect(verified).toMatchObject([{ identity, where: expect.stringMatching(where) }]);
});

test.each([
  ["full", "ecdsa"],
  ["plain", "ecdsa"],
  ["rsa", "rsa"],
  ["ed25519", "ed25519"],
  ["foreign", "other"],
  ["index", "ecdsa"],
])("cosign 3: %s is signed by the key %s, in a bundle without a name", async (image, key) => {
  const { question } = scene(three, image);
  const { verified } = await judge(policyOf(three, key, anyName), question);
  expect(verified).toMatchObject([
    { identity: undefined, where: expect.stringMatching(/^the referrer/) },
  ]);
  await expect(judge(policyOf(three, key, sameRepository), question)).rejects.toThrow(
    '"matchDigest" wants none',
  );
});

test.each([
  [two, "full"],
  [two, "attested"],
  [two, "bundled"],
  [three, "full"],
  [three, "attested"],
])("attestations are found, and are no signatures: %#", async (vectors, image) => {
  const { question } = scene(vectors, image);
  const key = { kind: "keys", keys: [parseKey("k", vectors.keys.ecdsa ?? "")] } as const;
  const found = await attestationsOf(question, [key]);
  expect(found.map(({ predicateType }) => predicateType).toSorted()).toEqual([SLSA, SPDX]);
  const stranger = { kind: "keys", keys: [parseKey("k", vectors.keys.other ?? "")] } as const;
  expect(await attestationsOf(question, [stranger])).toEqual([]);
  const judged = judge(policyOf(vectors, "ecdsa", anyName), question);
  if (image === "full") expect((await judged).verified).toHaveLength(1);
  else await expect(judged).rejects.toThrow(/attests|has no signature of it/);
});

test.each([
  ["another key", two, "full", "other"],
  ["another key", three, "full", "other"],
  ["another kind of key", two, "full", "rsa"],
  ["another kind of key", three, "rsa", "ed25519"],
  ["a stranger's signature", two, "foreign", "ecdsa"],
  ["a stranger's signature", three, "foreign", "ecdsa"],
])("a real signature does not count: %s", async (_, vectors, image, key) => {
  const { question } = scene(vectors, image);
  await expect(judge(policyOf(vectors, key, anyName), question)).rejects.toThrow(
    "it is not by a key that is trusted for this image",
  );
});

test("a key that cosign takes and a policy does not is refused when the policy is read", () => {
  for (const vectors of [two, three])
    expect(() => policyOf(vectors, "p384", anyName)).toThrow("not ECDSA P-256");
});

test("a signature of an index is none of its images, and one of an image none of another", async () => {
  for (const vectors of [two, three]) {
    const { registry, digest } = scene(vectors, "index");
    const { manifests } = JSON.parse(
      Buffer.from(registry.manifests.get(digest)?.bytes ?? []).toString(),
    ) as { manifests: { digest: string }[] };
    const [inner = { digest: "" }] = manifests;
    for (const { from, to } of [
      { from: digest, to: inner.digest },
      { from: vectors.images.full ?? "", to: vectors.images.plain ?? "" },
    ]) {
      // Whoever owns the registry lists one's signatures as the other's.
      for (const ending of ["", ".sig"]) {
        const list = registry.manifests.get(from.replace(":", "-") + ending);
        registry.manifests.delete(to.replace(":", "-") + ending);
        if (list) registry.manifests.set(to.replace(":", "-") + ending, list);
      }
      const bytes = registry.manifests.get(to)?.bytes ?? new Uint8Array();
      const question = {
        ...{ reference: parseReference(`${NAME}:1`), subject: { digest: to, bytes } },
        ...{ source: sourceOf(registry), signal },
      };
      await expect(judge(policyOf(vectors, "ecdsa", anyName), question)).rejects.toThrow(
        /it was (not )?made for/,
      );
    }
  }
});

/** Every text in a JSON value, with what puts another in its place. */
function* textsIn(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value === "string") yield path;
  else if (typeof value === "object" && value !== null)
    for (const [name, inner] of Object.entries(value)) yield* textsIn(inner, [...path, name]);
}

test("a bundle of cosign's of which anything is changed that says something does not count", async () => {
  const { registry, digest, question } = scene(three, "plain");
  const list = JSON.parse(
    Buffer.from(registry.manifests.get(digest.replace(":", "-"))?.bytes ?? []).toString(),
  ) as { manifests: { digest: string }[] };
  const referrer = registry.manifests.get(list.manifests[0]?.digest ?? "")?.bytes ?? [];
  const [layer] = (JSON.parse(Buffer.from(referrer).toString()) as { layers: { digest: string }[] })
    .layers;
  const original = Buffer.from(registry.blobs.get(layer?.digest ?? "") ?? []).toString();
  const policy = policyOf(three, "ecdsa", anyName);
  const judged = (text: string) => {
    putAsReferrers(registry, { digest }, [text]);
    return judge(policy, question);
  };
  expect((await judged(original)).verified).toHaveLength(1);
  const paths = [...textsIn(JSON.parse(original))];
  expect(paths.length).toBeGreaterThan(4);
  for (const path of paths) {
    // A hint which key it is; whose it is the signature says.
    if (path.includes("hint")) continue;
    const changed = JSON.parse(original) as Record<string, unknown>;
    const last = path.at(-1) ?? "";
    const holder = path
      .slice(0, -1)
      .reduce((at, name) => at[name] as Record<string, unknown>, changed);
    const text = String(holder[last]);
    const middle = Math.floor(text.length / 2);
    holder[last] =
      `${text.slice(0, middle)}${text[middle] === "A" ? "B" : "A"}${text.slice(middle + 1)}`;
    await expect(judged(JSON.stringify(changed)), path.join(".")).rejects.toThrow("is refused");
  }
});

test("the vectors are what their digests say", () => {
  for (const vectors of [two, three])
    for (const [name, { text }] of Object.entries(vectors.manifests))
      if (name.includes(":")) expect(digestOf(text)).toBe(name);
});
