/**
 * Public keys that signatures are checked with. The key alone says by which algorithm: nothing that a registry sends has a
 * word in it.
 */
import { constants, createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { fault, messageOf } from "../base/errors.ts";
import { isSignedEd25519ph } from "./ed25519ph.ts";

/** A key that somebody trusts. */
export interface TrustedKey {
  /** The file that it comes from, or "keyData". */
  readonly name: string;
  /** "sha256:" and the digest of its SubjectPublicKeyInfo. */
  readonly fingerprint: string;
  readonly key: KeyObject;
}

const RSA_BITS_MIN = 2048;
const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----$/;

function bad(name: string, why: string): Error {
  return fault(
    "invalid",
    "signature-key",
    `${name} cannot be used as a key: ${why}; give the public key as PEM, such as the cosign.pub of "cosign generate-key-pair"`,
  );
}

/** Reads a public key: PEM of ECDSA P-256, RSA from 2048 bits on, or Ed25519. Throws a Fault "invalid". */
export function parseKey(name: string, pem: string): TrustedKey {
  const text = pem.trim();
  if (/PRIVATE KEY/.test(text)) throw bad(name, "it is a private key, which does not belong here");
  if (!PEM.test(text)) throw bad(name, "it is not one PEM block PUBLIC KEY");
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch (error) {
    throw bad(name, messageOf(error));
  }
  return trustedKey(name, key);
}

/** A key that may be trusted: of a kind that is not too weak. Throws a Fault "invalid". */
export function trustedKey(name: string, key: KeyObject): TrustedKey {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  const isGood =
    type === "ed25519" ||
    (type === "ec" && namedCurve === "prime256v1") ||
    (type === "rsa" && modulusLength >= RSA_BITS_MIN);
  if (!isGood)
    throw bad(
      name,
      `it is ${[type, namedCurve ?? (modulusLength || "")].join(" ").trim()}, not ECDSA P-256, RSA from ${RSA_BITS_MIN} bits on, or Ed25519`,
    );
  const der = key.export({ type: "spki", format: "der" });
  return { name, key, fingerprint: `sha256:${createHash("sha256").update(der).digest("hex")}` };
}

/** The 32 bytes that are an Ed25519 key: the end of its SubjectPublicKeyInfo. */
const rawKey = (key: KeyObject) => key.export({ type: "spki", format: "der" }).subarray(-32);

/**
 * Whether a signature is of these bytes and by this key, as cosign signs: SHA-256, RSA by PKCS #1 v1.5; Ed25519 as it is, or of a
 * hash (Ed25519ph), as newer ones do. The two are made for being told apart: none is ever the other.
 */
export function isSignedBy({ key }: TrustedKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    if (key.asymmetricKeyType === "ed25519")
      return (
        verify(null, bytes, key, signature) || isSignedEd25519ph(rawKey(key), bytes, signature)
      );
    if (key.asymmetricKeyType === "rsa")
      return verify("sha256", bytes, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
    return verify("sha256", bytes, { key, dsaEncoding: "der" }, signature);
  } catch {
    // What is no signature at all.
    return false;
  }
}

/** The key that has signed some bytes. Throws an Error when none of them has. */
export function signerOf(
  keys: readonly TrustedKey[],
  bytes: Uint8Array,
  signatures: readonly Uint8Array[],
): TrustedKey {
  const found = keys.find((key) => signatures.some((one) => isSignedBy(key, bytes, one)));
  if (found === undefined) throw new Error("it is not by a key that is trusted for this image");
  return found;
}
