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

const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$/;

function invalid(): Error {
  return fault("invalid", "reference", "invalid reference format");
}

/** True for "sha256:" and 64 lower-case hexadecimal digits: the only digests that become paths. */
export function isSha256(digest: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(digest);
}

/** True for what can be a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * Parses what a user wrote, with the default registry and "library/" filled in, but no default tag. Throws a Fault
 * "invalid" in Docker's words.
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  let name = at < 0 ? text : text.slice(0, at);
  if (digest !== undefined && !DIGEST.test(digest)) throw invalid();
  if (/^[0-9a-f]{64}$/.test(text))
    throw fault(
      "invalid",
      "reference-is-id",
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  let tag: string | undefined;
  const first = name.split("/")[0] ?? "";
  if (colon >= 0) {
    tag = name.slice(colon + 1);
    name = name.slice(0, colon);
    if (!TAG.test(tag)) throw invalid();
  }
  let [domain, path] = ["docker.io", name];
  const hasDomain =
    name.includes("/") &&
    (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  if (hasDomain) {
    domain = first === "index.docker.io" ? "docker.io" : first;
    path = name.slice(first.length + 1);
  }
  if (domain === "docker.io" && !path.includes("/")) path = `library/${path}`;
  if (path !== path.toLowerCase())
    throw fault(
      "invalid",
      "reference-case",
      `invalid reference format: repository name (${path}) must be lowercase`,
    );
  if (!DOMAIN.test(domain) || !PATH.test(path)) throw invalid();
  if (domain.length + 1 + path.length > 255)
    throw fault(
      "invalid",
      "reference-length",
      "repository name must not be more than 255 characters",
    );
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The name as users see it: without the default registry and its "library/". */
export function familiarName(reference: Pick<Reference, "domain" | "path">): string {
  if (reference.domain !== "docker.io") return `${reference.domain}/${reference.path}`;
  return reference.path.startsWith("library/") ? reference.path.slice(8) : reference.path;
}

/** "busybox:latest", "localhost:5000/a@sha256:…": the familiar form, with the default tag if there is neither. */
export function familiarReference(reference: Reference): string {
  const name = familiarName(reference);
  if (reference.digest !== undefined)
    return `${name}${reference.tag ? `:${reference.tag}` : ""}@${reference.digest}`;
  return `${name}:${reference.tag ?? "latest"}`;
}
