/**
 * Which name a signature must have been made for (pure): containers-policy.json's signedIdentity.
 */
import { familiarReference, parseReference, type Reference } from "../spec/reference.ts";
import { isObject, type Json, onlyFields } from "./strict-json.ts";

/** What is asked of the name in a signature. */
export type SignedIdentity =
  | { readonly type: "matchExact" | "matchRepoDigestOrExact" | "matchRepository" }
  | { readonly type: "exactReference"; readonly dockerReference: string }
  | { readonly type: "exactRepository"; readonly dockerRepository: string }
  | { readonly type: "remapIdentity"; readonly prefix: string; readonly signedPrefix: string }
  /** Nothing: the digest alone counts. Of berth only; for bundles, which may have no name in them. */
  | { readonly type: "matchDigest" }
  /** The repository, where the signature has a name. Of `image verify --key` only. */
  | { readonly type: "repositoryIfNamed" };

const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  matchExact: [],
  matchRepoDigestOrExact: [],
  matchRepository: [],
  matchDigest: [],
  exactReference: ["dockerReference"],
  exactRepository: ["dockerRepository"],
  remapIdentity: ["prefix", "signedPrefix"],
};

/** Reads a policy's signedIdentity. Throws Errors. */
export function parseIdentity(value: unknown): SignedIdentity {
  if (value === undefined) return { type: "matchRepoDigestOrExact" };
  if (!isObject(value) || typeof value.type !== "string")
    throw new Error("signedIdentity must be an object with a type");
  const fields = Object.hasOwn(fieldsOf, value.type) ? fieldsOf[value.type] : undefined;
  if (fields === undefined)
    throw new Error(
      `there is no signedIdentity ${JSON.stringify(value.type)}; it is one of ${Object.keys(fieldsOf).join(", ")}`,
    );
  onlyFields(value, ["type", ...fields], `signedIdentity ${value.type}`);
  for (const field of fields) checkName(value, field);
  return value as unknown as SignedIdentity;
}

function checkName(value: Json, field: string): void {
  const text = value[field];
  if (typeof text !== "string" || text === "")
    throw new Error(`signedIdentity ${String(value.type)} needs ${field}`);
  if (!field.startsWith("docker")) return;
  const { tag, digest } = parseReference(text);
  const isWhole = tag !== undefined || digest !== undefined;
  if (field === "dockerReference" && !isWhole)
    throw new Error(`dockerReference ${text} has neither tag nor digest`);
  if (field === "dockerRepository" && isWhole)
    throw new Error(`dockerRepository ${text} has a tag or a digest, which a repository has not`);
}

const repositoryOf = ({ domain, path }: Reference) => `${domain}/${path}`;
/** With the tag that Docker means where there is none. */
const wanted = (reference: Reference): Reference =>
  reference.digest === undefined && reference.tag === undefined
    ? { ...reference, tag: "latest" }
    : reference;
const isSame = (one: Reference, other: Reference) =>
  repositoryOf(one) === repositoryOf(other) &&
  one.tag === other.tag &&
  one.digest === other.digest &&
  (one.tag !== undefined || one.digest !== undefined);

/** A reference whose repository is renamed as remapIdentity says; the reference itself where it is not below the prefix. */
function remapped(image: Reference, prefix: string, signedPrefix: string): Reference {
  const whole = repositoryOf(image);
  const isBelow = whole === prefix || whole.startsWith(`${prefix}/`);
  if (!isBelow) return image;
  const { domain, path } = parseReference(`${signedPrefix}${whole.slice(prefix.length)}`);
  return { ...image, domain, path };
}

function isFor(identity: SignedIdentity, image: Reference, signed: Reference): boolean {
  const sameRepository = repositoryOf(image) === repositoryOf(signed);
  switch (identity.type) {
    case "matchDigest":
      return true;
    case "matchRepository":
    case "repositoryIfNamed":
      return sameRepository;
    case "matchExact":
      return isSame(image, signed);
    case "matchRepoDigestOrExact":
      return image.digest === undefined
        ? isSame(image, signed)
        : sameRepository && (signed.tag ?? signed.digest) !== undefined;
    case "exactReference":
      return isSame(parseReference(identity.dockerReference), signed);
    case "exactRepository":
      return repositoryOf(parseReference(identity.dockerRepository)) === repositoryOf(signed);
    case "remapIdentity":
      return isFor(
        { type: "matchRepoDigestOrExact" },
        remapped(image, identity.prefix, identity.signedPrefix),
        signed,
      );
  }
}

/** Throws an Error unless a signature that was made for `signed` is good for an image. */
export function checkIdentity(
  identity: SignedIdentity,
  image: Reference,
  signed: string | undefined,
): void {
  const { type } = identity;
  if (signed === undefined) {
    if (type === "matchDigest" || type === "repositoryIfNamed") return;
    throw new Error(
      `it names no image, and the policy's signedIdentity ${type} wants a name ("matchDigest" wants none)`,
    );
  }
  if (type === "matchDigest") return;
  const parsed = parseReference(signed);
  if (isFor(identity, wanted(image), parsed)) return;
  const isRepositoryRight = isFor({ type: "matchRepository" }, image, parsed);
  const advice =
    isRepositoryRight && parsed.tag === undefined
      ? '; cosign signs names without tags, which "matchRepository" accepts'
      : "";
  throw new Error(
    `it was made for ${JSON.stringify(signed)}, not for ${familiarReference(image)} (signedIdentity ${type})${advice}`,
  );
}
