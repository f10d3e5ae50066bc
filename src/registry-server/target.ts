/**
 * From a request's path to what is meant. Names, tags, digests and upload ids are checked here, before anything else
 * sees them, so that none can become a path of the disk or a pattern of a query.
 */
import { isSha256 } from "../spec/reference.ts";
import { RegistryError } from "./errors.ts";

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const NAME_MAX = 255;
const TAG = /^\w[\w.-]{0,127}$/;
const UPLOAD = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What a path names. */
export type Target =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "search" }
  | { readonly kind: "tags"; readonly name: string }
  | {
      readonly kind: "manifest";
      readonly name: string;
      readonly tag?: string;
      readonly digest?: string;
    }
  | { readonly kind: "blob"; readonly name: string; readonly digest: string }
  | { readonly kind: "uploads"; readonly name: string }
  | { readonly kind: "upload"; readonly name: string; readonly id: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: string };

/** True for what may name a repository. */
export function isRepositoryName(name: string): boolean {
  return name.length <= NAME_MAX && NAME.test(name);
}

/** True for what may name a tag. */
export function isTag(tag: string): boolean {
  return TAG.test(tag);
}

function checkedName(name: string): string {
  if (!isRepositoryName(name)) throw new RegistryError("NAME_INVALID", { detail: { name } });
  return name;
}

/** A digest that was given. Throws DIGEST_INVALID for what is none, or is of an algorithm that is not kept here. */
export function checkedDigest(digest: string): string {
  if (!isSha256(digest))
    throw new RegistryError("DIGEST_INVALID", {
      message: "invalid digest: sha256 and 64 lower-case hexadecimal digits are taken",
      detail: { digest: digest.slice(0, 200) },
    });
  return digest;
}

function manifestTarget(name: string, reference: string): Target {
  if (reference.includes(":")) return { kind: "manifest", name, digest: checkedDigest(reference) };
  if (isTag(reference)) return { kind: "manifest", name, tag: reference };
  throw new RegistryError("TAG_INVALID", {
    message: "invalid tag",
    detail: { tag: reference.slice(0, 200) },
  });
}

function uploadTarget(name: string, id: string): Target {
  if (!UPLOAD.test(id)) throw new RegistryError("BLOB_UPLOAD_UNKNOWN");
  return { kind: "upload", name, id };
}

/**
 * What a path below the prefix means ("/v2/library/busybox/tags/list"); undefined for one that the standard does not know.
 * Throws RegistryErrors for names that can be none.
 */
export function parseTarget(path: string): Target | undefined {
  let plain: string;
  try {
    plain = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  // What docker's daemon asks for `search`: of the protocol before this one nothing else is left.
  if (plain === "/v1/search") return { kind: "search" };
  if (plain === "/v2" || plain === "/v2/") return { kind: "base" };
  if (!plain.startsWith("/v2/")) return undefined;
  const rest = plain.slice(4);
  if (rest === "_catalog") return { kind: "catalog" };
  const whole = /^(.+)\/(tags\/list|blobs\/uploads\/?)$/.exec(rest);
  if (whole !== null) {
    const name = checkedName(whole[1] ?? "");
    return whole[2] === "tags/list" ? { kind: "tags", name } : { kind: "uploads", name };
  }
  const parts = /^(.+)\/(manifests|blobs\/uploads|blobs|referrers)\/([^/]+)$/.exec(rest);
  if (parts === null) return undefined;
  const [, given = "", kind, what = ""] = parts;
  const name = checkedName(given);
  if (kind === "manifests") return manifestTarget(name, what);
  if (kind === "blobs/uploads") return uploadTarget(name, what);
  const digest = checkedDigest(what);
  return kind === "blobs" ? { kind: "blob", name, digest } : { kind: "referrers", name, digest };
}
