/**
 * Names of images as users write them, by the rules of the distribution project's reference grammar.
 */
import { fault } from "../base/errors.ts";

/** A parsed reference. At most one of tag and digest decides which image; both may be given. */
export interface Reference {
  /** The registry: "docker.io", "localhost:5000". */
  readonly domain: string;
  /** The repository within it: "library/busybox". */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: string;
}

const COMPONENT = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const DOMAIN = `(?:${COMPONENT}(?:\\.${COMPONENT})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const ALGORITHM = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*";
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const REST = `(${PART}(?:/${PART})*)(?::(${TAG}))?(?:@(${ALGORITHM}:[0-9a-fA-F]{32,}))?$`;
/** A name with its domain, a tag, a digest. */
const REFERENCE = new RegExp(`^(${DOMAIN})/${REST}`);
/** The same where what is no domain belongs to the path. */
const LENIENT = new RegExp(`^(?:(${DOMAIN})/)?${REST}`);
const WHOLE_TAG = new RegExp(`^${TAG}$`);
const DEFAULT_DOMAIN = "docker.io";
const PATH_MAX = 255;
/** More than any name, tag and digest together: what is longer is not looked at. */
const TEXT_MAX = 2048;
/** Hexadecimal digits of each algorithm. */
const digestLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

function invalid(): Error {
  return fault("invalid", "reference", "invalid reference format");
}

function tooLong(): Error {
  return fault(
    "invalid",
    "reference-length",
    `repository name must not be more than ${PATH_MAX} characters`,
  );
}

/** True for "sha256:" and 64 lower-case hexadecimal digits: the only digests that become paths. */
export function isSha256(digest: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(digest);
}

/** True for what can be a tag. */
export function isTag(text: string): boolean {
  return WHOLE_TAG.test(text);
}

/** The registry of a name, and the rest. A first part is a registry when it looks like one: as "a.b/c", not "a/c". */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const isDomain = first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase();
  let [domain, rest] = isDomain ? [first, text.slice(slash + 1)] : [DEFAULT_DOMAIN, text];
  if (domain === "index.docker.io") domain = DEFAULT_DOMAIN;
  if (domain === DEFAULT_DOMAIN && !rest.includes("/")) rest = `library/${rest}`;
  return { domain, rest };
}

/** Throws a Fault "invalid" for a digest of the right form that can be none. */
function checkDigest(digest: string): void {
  const [algorithm = "", hex = ""] = digest.split(":");
  const length = digestLengths[algorithm];
  if (length === undefined)
    throw fault("invalid", "reference-digest", "unsupported digest algorithm");
  if (hex.length !== length)
    throw fault("invalid", "reference-digest", "invalid checksum digest length");
  if (/[A-F]/.test(hex))
    throw fault("invalid", "reference-digest", "invalid checksum digest format");
}

/**
 * Parses what a user wrote, with the default registry and "library/" filled in, but no default tag. Throws a Fault
 * "invalid" in Docker's words.
 */
export function parseReference(text: string): Reference {
  if (/^[0-9a-f]{64}$/.test(text))
    throw fault(
      "invalid",
      "reference-is-id",
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  if (text.length > TEXT_MAX) throw tooLong();
  const { domain, rest } = splitDomain(text);
  const [name = ""] = rest.split(":", 1);
  if (name !== name.toLowerCase())
    throw fault(
      "invalid",
      "reference-case",
      `invalid reference format: repository name (${name}) must be lowercase`,
    );
  const whole = `${domain}/${rest}`;
  const match = REFERENCE.exec(whole);
  if (match === null) {
    if (!LENIENT.test(whole) && LENIENT.test(whole.toLowerCase()))
      throw fault("invalid", "reference-case", "repository name must be lowercase");
    throw invalid();
  }
  const [, , path = "", tag, digest] = match;
  if (path.length > PATH_MAX) throw tooLong();
  if (digest !== undefined) checkDigest(digest);
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/**
 * The name as users see it: without the default registry and its "library/", unless the rest would then mean something else
 * ("docker.io/a.b/c").
 */
export function familiarName({ domain, path }: Pick<Reference, "domain" | "path">): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const short = /^library\/[^/]*$/.test(path) ? path.slice("library/".length) : path;
  const again = splitDomain(short);
  return again.domain === domain && again.rest === path ? short : `${domain}/${path}`;
}

/** "busybox:latest", "localhost:5000/a@sha256:…": the familiar form, with the default tag if there is neither. */
export function familiarReference(reference: Reference): string {
  const name = familiarName(reference);
  if (reference.digest !== undefined)
    return `${name}${reference.tag ? `:${reference.tag}` : ""}@${reference.digest}`;
  return `${name}:${reference.tag ?? "latest"}`;
}
