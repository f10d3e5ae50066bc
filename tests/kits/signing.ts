/**
 * Signatures and attestations as cosign makes them, by keys of a test's own, put into a registry in memory.
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { Fault } from "../../src/base/errors.ts";
import { type Blob, digestOf, type FakeRegistry } from "./fake-registry.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
/** The media type of a simple signing payload. */
export const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
/** That of a bundle. */
export const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** That of an envelope under cosign's tag. */
export const ENVELOPE = "application/vnd.dsse.envelope.v1+json";
const SIGNATURE = "dev.cosignproject.cosign/signature";

/** Whoever signs. */
export interface Signer {
  /** The public key. */
  readonly pem: string;
  readonly privatePem: string;
  /** Base64. */
  sign(bytes: Uint8Array | string): string;
}

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

const kinds: Readonly<Record<string, () => Pair>> = {
  p256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  rsa: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  rsa1024: () => generateKeyPairSync("rsa", { modulusLength: 1024 }),
  ed25519: () => generateKeyPairSync("ed25519"),
};

/** A new key: "p256", "p384", "rsa", "rsa1024", "ed25519". */
export function newSigner(kind: string): Signer {
  const pair = kinds[kind]?.();
  if (pair === undefined) throw new Error(`no such kind: ${kind}`);
  const { publicKey, privateKey } = pair;
  const algorithm = kind === "ed25519" ? null : "sha256";
  return {
    pem: String(publicKey.export({ type: "spki", format: "pem" })),
    privatePem: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    sign: (bytes) => sign(algorithm, Buffer.from(bytes), privateKey).toString("base64"),
  };
}

/** What `cosign sign` signs. */
export function payloadOf(digest: string, reference: string): string {
  return JSON.stringify({
    critical: {
      identity: { "docker-reference": reference },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  });
}

/** A layer of a signature's manifest. */
export interface Entry {
  readonly bytes: string | Uint8Array;
  readonly mediaType: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Said instead of what is true. */
  readonly size?: number;
}

/** A payload with its signature. */
export function signed(signer: Signer, payload: string): Entry {
  return { bytes: payload, mediaType: SIMPLE, annotations: { [SIGNATURE]: signer.sign(payload) } };
}

function manifestOf(registry: FakeRegistry, entries: readonly Entry[], more: object) {
  const layers = entries.map(({ bytes, mediaType, annotations, size }) => ({
    ...registry.blob(bytes, mediaType),
    ...(annotations && { annotations }),
    ...(size === undefined ? {} : { size }),
  }));
  const config = registry.blob("{}", "application/vnd.oci.empty.v1+json");
  return { schemaVersion: 2, mediaType: MANIFEST, config, layers, ...more };
}

/** Puts signatures (or, with "att", attestations) under cosign's tag for a digest. */
export function putUnderTag(
  registry: FakeRegistry,
  digest: string,
  entries: readonly Entry[],
  ending = "sig",
): void {
  const tag = `${digest.replace(":", "-")}.${ending}`;
  registry.document(manifestOf(registry, entries, {}), MANIFEST, tag);
}

/** Puts documents beside an image as referrers, by the tag that stands in for the registry's list. Gives their manifests. */
export function putAsReferrers(
  registry: FakeRegistry,
  subject: Pick<Blob, "digest">,
  documents: readonly string[],
  artifactType = BUNDLE,
): Blob[] {
  const manifests = documents.map((bytes) => {
    const more = { artifactType, subject };
    const manifest = manifestOf(registry, [{ bytes, mediaType: artifactType }], more);
    return { ...registry.document(manifest, MANIFEST), artifactType };
  });
  const index = { schemaVersion: 2, mediaType: INDEX, manifests };
  registry.document(index, INDEX, subject.digest.replace(":", "-"));
  return manifests;
}

const material = { publicKey: { hint: "a key" } };

/** A bundle of a signature on a manifest's bytes. */
export function messageBundle(
  signer: Signer,
  bytes: Uint8Array | string,
  more: object = {},
): string {
  const digest = Buffer.from(digestOf(bytes).slice("sha256:".length), "hex").toString("base64");
  return JSON.stringify({
    mediaType: BUNDLE,
    verificationMaterial: material,
    messageSignature: {
      messageDigest: { algorithm: "SHA2_256", digest },
      signature: signer.sign(bytes),
    },
    ...more,
  });
}

/** A statement on a digest. */
export function statementOf(digest: string, predicateType: string, name?: string): string {
  const subject = [{ ...(name && { name }), digest: { sha256: digest.slice("sha256:".length) } }];
  return JSON.stringify({
    _type: "https://in-toto.io/Statement/v1",
    subject,
    predicateType,
    predicate: {},
  });
}

/** What `cosign sign` calls a signature in a bundle. */
export const COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO = "application/vnd.in-toto+json";

/** A DSSE envelope. `says`: the type that the signature is made for, if it is another than the envelope tells. */
export function envelopeOf(signer: Signer, statement: string, says = IN_TOTO): string {
  const head = `DSSEv1 ${says.length} ${says} ${Buffer.byteLength(statement)} `;
  return JSON.stringify({
    payload: Buffer.from(statement).toString("base64"),
    payloadType: IN_TOTO,
    signatures: [{ sig: signer.sign(head + statement), keyid: "" }],
  });
}

/** A bundle with an envelope. */
export function envelopeBundle(signer: Signer, statement: string): string {
  const dsseEnvelope = JSON.parse(envelopeOf(signer, statement)) as unknown;
  return JSON.stringify({ mediaType: BUNDLE, verificationMaterial: material, dsseEnvelope });
}

/** What a registry in memory has, without HTTP between. */
export function sourceOf(registry: FakeRegistry) {
  const manifest = async (name: string) => {
    const found = registry.manifests.get(name);
    if (found === undefined) throw new Fault("not-found", "manifest-unknown", `no ${name}`);
    return { ...found, digest: digestOf(found.bytes) };
  };
  return {
    manifest,
    async *blob({ digest }: { readonly digest: string }) {
      yield registry.blobs.get(digest) ?? new Uint8Array();
    },
    async referrers(digest: string) {
      const index = registry.manifests.get(digest.replace(":", "-"));
      if (index === undefined) return [];
      const { manifests } = JSON.parse(Buffer.from(index.bytes).toString()) as {
        manifests: { digest: string; artifactType: string }[];
      };
      return manifests;
    },
  };
}
