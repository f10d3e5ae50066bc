/**
 * Whom a policy trusts to have signed, and whether a signature is by them: a key, or somebody to whom an authority has given a
 * certificate for a moment, within which a transparency log has taken the signature in (keyless). Authorities and logs are those
 * that the policy has; nobody is asked over a network. Throws Errors that say why a signature does not count.
 */
import {
  type Certificate,
  type CertifiedSubject,
  checkChain,
  readCertificate,
  readCertificates,
  subjectOf,
} from "./certificates.ts";
import { isSignedBy, signerOf, type TrustedKey, trustedKey } from "./keys.ts";
import type { LogEntry } from "./log-entry.ts";
import { base64, checkEntry, checkLogged, entryInAnnotation, entryInBundle } from "./log-entry.ts";
import { isObject, type Json } from "./strict-json.ts";

/** Somebody who signs without a key of their own. */
export interface KeylessTrust {
  readonly kind: "keyless";
  readonly authorities: readonly Certificate[];
  /** The transparency logs' keys. */
  readonly logs: readonly TrustedKey[];
  readonly subject: Omit<CertifiedSubject, "issuer">;
  /** Of URIs: what they begin with. */
  readonly isPrefix: boolean;
  readonly issuer: string;
}

/** Whose signatures count. */
export type Trust = { readonly kind: "keys"; readonly keys: readonly TrustedKey[] } | KeylessTrust;

/** What comes with a keyless signature. */
export interface KeylessProof {
  readonly certificate: Certificate;
  /** Authorities that may be between. */
  readonly chain: readonly Certificate[];
  readonly entry: LogEntry;
}

/** Signatures with what they are of. */
export interface Signatures {
  readonly bytes: Uint8Array;
  /** Of an envelope: what is in it. */
  readonly payload?: Uint8Array;
  readonly signatures: readonly Buffer[];
  /** Undefined: they are by keys. */
  readonly proof: (() => KeylessProof) | undefined;
}

const KEYLESS =
  "it is keyless (by a certificate), and a key is wanted: sign with a key, as in cosign sign --key cosign.key, or have the policy name the authority (fulcio)";

/** The proof in a bundle's verificationMaterial; undefined: there is none. */
export function proofInBundle(material: Json): Signatures["proof"] {
  const { certificate, x509CertificateChain: older } = material;
  if (certificate === undefined && older === undefined) return undefined;
  return () => {
    // Authorities come from the policy: bundles of this version must not have any.
    if (!isObject(certificate) || older !== undefined)
      throw new Error("it does not have one certificate, as its version of bundles must");
    const leaf = readCertificate(base64(certificate.rawBytes, "its certificate"));
    return { certificate: leaf, chain: [], entry: entryInBundle(material) };
  };
}

/** The proof in the annotations that cosign 2 puts beside a signature; undefined: there is none. */
export function proofInAnnotations(
  annotations: Readonly<Record<string, string>>,
): Signatures["proof"] {
  const {
    "dev.sigstore.cosign/certificate": pem,
    "dev.sigstore.cosign/chain": chain,
    "dev.sigstore.cosign/bundle": entry,
  } = annotations;
  if (!pem) return undefined;
  return () => {
    if (!entry) throw new Error("it has no entry of a transparency log");
    const [certificate, ...more] = readCertificates(pem);
    if (certificate === undefined || more.length > 0)
      throw new Error("it must have one certificate");
    const between = chain ? readCertificates(chain) : [];
    return { certificate, chain: between, entry: entryInAnnotation(entry) };
  };
}

function isWanted({ subject, isPrefix, issuer }: KeylessTrust, found: CertifiedSubject): boolean {
  const isNamed = isPrefix ? found.name.startsWith(subject.name) : found.name === subject.name;
  return found.kind === subject.kind && isNamed && found.issuer === issuer;
}

function keylessSigner(
  trust: KeylessTrust,
  { certificate, chain, entry }: KeylessProof,
  { bytes, payload, signatures }: Signatures,
): TrustedKey {
  checkEntry(trust.logs, entry);
  checkChain(certificate, chain, trust.authorities, entry.time);
  const subject = subjectOf(certificate);
  if (!isWanted(trust, subject))
    throw new Error(
      `it is by ${JSON.stringify(subject.name)}, vouched for by ${JSON.stringify(subject.issuer)}, who is not the one that the policy names`,
    );
  const key = trustedKey(`${subject.name} (by ${subject.issuer})`, certificate.x509.publicKey);
  const signature = signatures.find((one) => isSignedBy(key, bytes, one));
  if (signature === undefined) throw new Error("it is not by the key in its certificate");
  checkLogged(entry, { signed: bytes, payload, signature, certificate: certificate.x509.raw });
  return key;
}

/** The one who has made signatures, of those who are trusted. */
export function signerBy(trust: Trust, given: Signatures): TrustedKey {
  const { bytes, signatures, proof } = given;
  if (trust.kind === "keys") {
    if (proof !== undefined) throw new Error(KEYLESS);
    return signerOf(trust.keys, bytes, signatures);
  }
  if (proof === undefined)
    throw new Error("it is by a key, and the policy wants a certificate (fulcio)");
  return keylessSigner(trust, proof(), given);
}
