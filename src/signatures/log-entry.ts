/**
 * Entries of a transparency log (Rekor): that a trusted log has taken in this very signature by this very certificate, and when.
 * Throws Errors that say what is wrong.
 */
import { createHash, verify } from "node:crypto";
import type { TrustedKey } from "./keys.ts";
import { isObject, type Json, parseStrictly } from "./strict-json.ts";

/** What a log has written down of a signature. */
export interface LogEntry {
  readonly body: Buffer;
  /** When, in seconds since 1970. */
  readonly time: number;
  /** The digest of the log's key. */
  readonly logId: Buffer;
  readonly index: number;
  /** The log's signature on the four before. */
  readonly promise: Buffer;
  /** Bundles must have it; cosign 2 puts none into its annotation. */
  readonly inclusion: Inclusion | undefined;
}

/** That an entry is in the log's tree. */
interface Inclusion {
  readonly index: number;
  readonly size: number;
  readonly root: Buffer;
  readonly hashes: readonly Buffer[];
  /** The tree's head, signed (a "signed note"). */
  readonly checkpoint: string;
}

const HASH_BYTES = 32;
const HASHES_MAX = 64;

/** Bytes in base64, of a certain number if one is given. */
export function base64(value: unknown, what: string, length?: number): Buffer {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(value))
    throw new Error(`${what} is not base64`);
  const bytes = Buffer.from(value, "base64");
  if (length !== undefined && bytes.length !== length)
    throw new Error(`${what} does not have ${length} bytes`);
  return bytes;
}

/** A number, or as protobuf's JSON has large ones, a text of digits. */
function count(value: unknown, what: string): number {
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0)
    throw new Error(`${what} is no number`);
  return number;
}

function inclusionIn(value: unknown): Inclusion {
  if (!isObject(value)) throw new Error("its inclusion proof is none");
  const { checkpoint, hashes } = value;
  const envelope = isObject(checkpoint) ? checkpoint.envelope : undefined;
  const list: unknown[] = Array.isArray(hashes) ? hashes : [];
  if (typeof envelope !== "string" || list.length > HASHES_MAX)
    throw new Error("its inclusion proof is none");
  return {
    index: count(value.logIndex ?? 0, "the index of its inclusion proof"),
    size: count(value.treeSize, "the size in its inclusion proof"),
    root: base64(value.rootHash, "the root in its inclusion proof", HASH_BYTES),
    hashes: list.map((one) => base64(one, "a hash in its inclusion proof", HASH_BYTES)),
    checkpoint: envelope,
  };
}

/** The entry in a sigstore bundle's verificationMaterial. */
export function entryInBundle({ tlogEntries }: Json): LogEntry {
  const [entry, ...more] = Array.isArray(tlogEntries) ? (tlogEntries as unknown[]) : [];
  if (!isObject(entry) || more.length > 0)
    throw new Error("it does not have one entry of a transparency log");
  const { inclusionPromise, logId } = entry;
  if (!isObject(inclusionPromise) || entry.integratedTime === undefined)
    throw new Error(
      "its log entry has no signed time (as of Rekor 2, with a timestamp authority), which is not supported: sign with a log of Rekor 1",
    );
  return {
    body: base64(entry.canonicalizedBody, "the body of its log entry"),
    time: count(entry.integratedTime, "the time of its log entry"),
    logId: base64(isObject(logId) ? logId.keyId : undefined, "the id of its log", HASH_BYTES),
    index: count(entry.logIndex ?? 0, "the index of its log entry"),
    promise: base64(inclusionPromise.signedEntryTimestamp, "the promise of its log"),
    inclusion: inclusionIn(entry.inclusionProof),
  };
}

/** The entry in the annotation that cosign 2 puts beside a signature. */
export function entryInAnnotation(text: string): LogEntry {
  const { SignedEntryTimestamp, Payload } = parseStrictly(Buffer.from(text));
  if (!isObject(Payload) || typeof Payload.logID !== "string")
    throw new Error("its log entry has no payload");
  return {
    body: base64(Payload.body, "the body of its log entry"),
    time: count(Payload.integratedTime, "the time of its log entry"),
    logId: Buffer.from(Payload.logID, "hex"),
    index: count(Payload.logIndex, "the index of its log entry"),
    promise: base64(SignedEntryTimestamp, "the promise of its log"),
    inclusion: undefined,
  };
}

const sha256 = (...parts: readonly Uint8Array[]) => {
  const hash = createHash("sha256");
  for (const one of parts) hash.update(one);
  return hash.digest();
};
const node = (left: Buffer, right: Buffer) => sha256(Buffer.of(1), left, right);

/** The root of a tree of so many leaves, by a leaf and what is beside its way up (RFC 9162, 2.1.3.2). */
function rootBy(leaf: Buffer, { index, size, hashes }: Inclusion): Buffer | undefined {
  if (index >= size) return undefined;
  let [at, last] = [BigInt(index), BigInt(size - 1)];
  let hash = leaf;
  for (const beside of hashes) {
    if (last === 0n) return undefined;
    if (at % 2n === 1n || at === last) {
      hash = node(beside, hash);
      while (at % 2n === 0n && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else hash = node(hash, beside);
    [at, last] = [at >> 1n, last >> 1n];
  }
  return last === 0n ? hash : undefined;
}

function isByLog({ key }: TrustedKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  const algorithm = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  try {
    return verify(algorithm, bytes, key, signature);
  } catch {
    return false;
  }
}

/** The digest of a key, by which logs and their notes are known. */
export const idOf = ({ key }: TrustedKey) => sha256(key.export({ type: "spki", format: "der" }));

/** Throws unless a tree's head has this size and root, and a log's signature. */
function checkCheckpoint(log: TrustedKey, { checkpoint, size, root }: Inclusion): void {
  const end = checkpoint.indexOf("\n\n");
  const text = checkpoint.slice(0, end + 1);
  const [, count, hash] = text.split("\n");
  if (end < 0 || count !== String(size) || hash !== root.toString("base64"))
    throw new Error("its inclusion proof is of another tree than its checkpoint");
  const hint = idOf(log).subarray(0, 4);
  const signatures = checkpoint
    .slice(end + 2)
    .split("\n")
    .slice(0, HASHES_MAX);
  const isSigned = signatures.some((line) => {
    const [, encoded] = /^\u2014 \S+ ([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
    const bytes = Buffer.from(encoded ?? "", "base64");
    return bytes.subarray(0, 4).equals(hint) && isByLog(log, Buffer.from(text), bytes.subarray(4));
  });
  if (!isSigned) throw new Error("its checkpoint is not by a log that is trusted for this image");
}

/** Throws unless one of some logs has taken an entry in. */
export function checkEntry(logs: readonly TrustedKey[], entry: LogEntry): void {
  const { body, time, logId, index, promise, inclusion } = entry;
  const log = logs.find((one) => idOf(one).equals(logId));
  if (log === undefined) throw new Error("it is in no log that is trusted for this image");
  // As RFC 8785 has it: the names in order, no spaces.
  const promised = JSON.stringify({
    ...{ body: body.toString("base64"), integratedTime: time },
    ...{ logID: logId.toString("hex"), logIndex: index },
  });
  if (!isByLog(log, Buffer.from(promised), promise))
    throw new Error("the promise of its log is not by that log, or of something else");
  if (inclusion === undefined) return;
  const root = rootBy(sha256(Buffer.of(0), body), inclusion);
  if (!root?.equals(inclusion.root))
    throw new Error("its inclusion proof does not lead to its root");
  checkCheckpoint(log, inclusion);
}

/** A signature as a log must have it. */
export interface Logged {
  /** The bytes that are signed; of an envelope also its payload. */
  readonly signed: Uint8Array;
  readonly payload: Uint8Array | undefined;
  readonly signature: Buffer;
  /** The certificate, DER. */
  readonly certificate: Uint8Array;
}

function isDigest(value: unknown, bytes: Uint8Array): boolean {
  return (
    isObject(value) && value.algorithm === "sha256" && value.value === sha256(bytes).toString("hex")
  );
}

function isCertificate(value: unknown, certificate: Uint8Array): boolean {
  if (typeof value !== "string") return false;
  const pem = Buffer.from(value, "base64").toString("latin1");
  const [, inner] =
    /^-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(pem) ?? [];
  return inner !== undefined && Buffer.from(inner, "base64").equals(Buffer.from(certificate));
}

const isSignature = (value: unknown, signature: Buffer) =>
  typeof value === "string" && Buffer.from(value, "base64").equals(signature);

/** Throws unless an entry is of this signature by this certificate. */
export function checkLogged({ body }: LogEntry, logged: Logged): void {
  const { kind, apiVersion, spec } = parseStrictly(body);
  const { signed, payload, signature, certificate } = logged;
  const { data, signature: own, payloadHash, signatures } = isObject(spec) ? spec : {};
  let isOf = false;
  if (kind === "hashedrekord" && apiVersion === "0.0.1") {
    const { content, publicKey } = isObject(own) ? own : {};
    isOf =
      isObject(data) &&
      isDigest(data.hash, signed) &&
      isSignature(content, signature) &&
      isObject(publicKey) &&
      isCertificate(publicKey.content, certificate);
  } else if (kind === "dsse" && apiVersion === "0.0.1")
    isOf =
      payload !== undefined &&
      isDigest(payloadHash, payload) &&
      Array.isArray(signatures) &&
      signatures.some(
        (one: unknown) =>
          isObject(one) &&
          isSignature(one.signature, signature) &&
          isCertificate(one.verifier, certificate),
      );
  else
    throw new Error(
      `its log entry is of the kind ${JSON.stringify(kind)} ${JSON.stringify(apiVersion)}, not hashedrekord or dsse 0.0.1`,
    );
  if (!isOf) throw new Error("its log entry is of another signature");
}
