/**
 * What signers have written, read after the signature on it has been checked (pure): cosign's simple signing payloads,
 * sigstore bundles, DSSE envelopes with in-toto statements. Throws Errors that say why one does not count.
 */
import { createHash } from "node:crypto";
import {
  proofInAnnotations,
  proofInBundle,
  type Signatures,
  signerBy,
  type Trust,
} from "./keyless.ts";
import type { TrustedKey } from "./keys.ts";
import { base64 } from "./log-entry.ts";
import { isObject, type Json, onlyFields, parseStrictly } from "./strict-json.ts";

/** The media type of a sigstore bundle. */
export const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** That of a simple signing payload. */
export const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
/** That of a DSSE envelope, as `cosign attest` stores it under a tag. */
export const ENVELOPE = "application/vnd.dsse.envelope.v1+json";
/** What cosign writes into a bundle to sign an image, and nothing else. */
const COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1";
const IN_TOTO = "application/vnd.in-toto+json";
const STATEMENTS = ["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"];
const SIGNATURES_MAX = 20;

/** What somebody has put a signature to. */
export interface Signed {
  readonly key: TrustedKey;
  /** The image's name in it; undefined: it has none. */
  readonly identity: string | undefined;
  /** What it says of the image; undefined: that it is the signer's, which is a signature in the narrow sense. */
  readonly predicateType: string | undefined;
}

/** The manifest or index that a signature is wanted for. */
export interface Subject {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

function objectIn(value: Json, name: string): Json {
  const found = value[name];
  if (!isObject(found)) throw new Error(`it has no ${name}`);
  return found;
}

/** A simple signing payload whose signature is in an annotation. */
export function readSimpleSigning(
  payload: Uint8Array,
  annotations: Readonly<Record<string, string>>,
  { digest }: Subject,
  trust: Trust,
): Signed {
  const signature = base64(annotations["dev.cosignproject.cosign/signature"], "its signature");
  const proof = proofInAnnotations(annotations);
  const key = signerBy(trust, { bytes: payload, signatures: [signature], proof });
  const document = parseStrictly(payload);
  onlyFields(document, ["critical", "optional"], "the payload");
  const critical = objectIn(document, "critical");
  onlyFields(critical, ["identity", "image", "type"], "the payload");
  if (critical.type !== "cosign container image signature")
    throw new Error(
      `its type ${JSON.stringify(critical.type)} is not that of an image's signature`,
    );
  const image = objectIn(critical, "image");
  onlyFields(image, ["docker-manifest-digest"], "the payload");
  if (image["docker-manifest-digest"] !== digest)
    throw new Error(
      `it was made for ${JSON.stringify(image["docker-manifest-digest"])}, not for ${digest}`,
    );
  const identity = objectIn(critical, "identity");
  onlyFields(identity, ["docker-reference"], "the payload");
  const name = identity["docker-reference"];
  if (typeof name !== "string") throw new Error("it has no docker-reference");
  return { key, identity: name === "" ? undefined : name, predicateType: undefined };
}

/** What a DSSE signature is of: the type and the payload with their lengths, so that neither can be taken for the other. */
function authenticated(type: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** A statement's type, and its name for an image. */
export function readStatement(
  payload: Uint8Array,
  digest: string,
): Pick<Signed, "identity"> & { readonly predicateType: string } {
  const { _type, subject, predicateType } = parseStrictly(payload);
  if (typeof _type !== "string" || !STATEMENTS.includes(_type))
    throw new Error(`it is no in-toto statement but ${JSON.stringify(_type)}`);
  if (typeof predicateType !== "string") throw new Error("it has no predicateType");
  const subjects: unknown[] = Array.isArray(subject) ? subject : [];
  const own = subjects
    .filter(isObject)
    .find((one) => isObject(one.digest) && `sha256:${String(one.digest.sha256)}` === digest);
  if (own === undefined) throw new Error(`it was not made for ${digest}`);
  const name = typeof own.name === "string" && own.name !== "" ? own.name : undefined;
  return { identity: name, predicateType };
}

/** A DSSE envelope with a statement. `proof`: of its being keyless. */
export function readEnvelope(
  envelope: Json,
  { digest }: Subject,
  trust: Trust,
  proof?: Signatures["proof"],
): Signed {
  const { payloadType, signatures } = envelope;
  if (payloadType !== IN_TOTO)
    throw new Error(`its payload is of the type ${JSON.stringify(payloadType)}, not ${IN_TOTO}`);
  const payload = base64(envelope.payload, "its payload");
  const list: unknown[] = Array.isArray(signatures) ? signatures : [];
  if (list.length > SIGNATURES_MAX)
    throw new Error(`it has more than ${SIGNATURES_MAX} signatures`);
  const signed = list.map((one) => base64(isObject(one) ? one.sig : undefined, "its signature"));
  const bytes = authenticated(payloadType, payload);
  const key = signerBy(trust, { bytes, payload, signatures: signed, proof });
  const { identity, predicateType } = readStatement(payload, digest);
  return {
    key,
    identity,
    predicateType: predicateType === COSIGN_SIGN ? undefined : predicateType,
  };
}

/** A bundle. */
export function readBundle(bytes: Uint8Array, subject: Subject, trust: Trust): Signed {
  const bundle = parseStrictly(bytes);
  if (bundle.mediaType !== BUNDLE)
    throw new Error(
      `it is a bundle of the type ${JSON.stringify(bundle.mediaType)}, not ${BUNDLE}`,
    );
  const material = objectIn(bundle, "verificationMaterial");
  const proof = proofInBundle(material);
  if (proof === undefined && !isObject(material.publicKey))
    throw new Error("it does not say that it is by a public key");
  const { messageSignature: message, dsseEnvelope: envelope } = bundle;
  if ((message === undefined) === (envelope === undefined))
    throw new Error("it must have either messageSignature or dsseEnvelope");
  if (isObject(envelope)) return readEnvelope(envelope, subject, trust, proof);
  if (!isObject(message)) throw new Error("it has no signature");
  // The digest in it is a hint by the format's own words; what counts is that the manifest's bytes are signed.
  const signatures = [base64(message.signature, "its signature")];
  const key = signerBy(trust, { bytes: subject.bytes, signatures, proof });
  const { algorithm, digest } = objectIn(message, "messageDigest");
  const own = createHash("sha256").update(subject.bytes).digest("base64");
  if (algorithm !== "SHA2_256" || digest !== own)
    throw new Error(`its messageDigest is not that of ${subject.digest}`);
  return { key, identity: undefined, predicateType: undefined };
}
