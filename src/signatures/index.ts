/**
 * signatures: which images may come from registries, by whose signature. Knows the formats of cosign and sigstore; not how a
 * registry is reached, nor what becomes of an image.
 */
export type { SignatureSource } from "./found.ts";
export {
  type Attested,
  attestationsOf,
  type Judgement,
  judge,
  judgeByKey,
  type Question,
  trustedFor,
  type Verified,
} from "./judge.ts";
export type { Trust } from "./keyless.ts";
export { parseKey, type TrustedKey } from "./keys.ts";
export { readStatement } from "./payloads.ts";
export {
  type ArchiveTransport,
  checkArchive,
  type Policy,
  parsePolicy,
  readPolicy,
} from "./policy.ts";
