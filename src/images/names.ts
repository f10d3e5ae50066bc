/**
 * References as they are kept: whole, so that one text is one name.
 */
import { fault } from "../base/errors.ts";
import { familiarReference, parseReference, type Reference } from "../spec/reference.ts";

/** "docker.io/library/busybox:latest": a name of an image. */
export function wholeTag(reference: Reference): string {
  return `${reference.domain}/${reference.path}:${reference.tag ?? "latest"}`;
}

/** "docker.io/library/busybox@sha256:…": what a registry knows an image as. */
export function wholeDigest(reference: Reference, digest: string): string {
  return `${reference.domain}/${reference.path}@${digest}`;
}

/** A Fault "not-found" in Docker's words. */
export function noSuchImage(name: string): Error {
  let shown = name;
  try {
    shown = familiarReference(parseReference(name));
  } catch {
    // An id is shown as such.
    if (/^[0-9a-f]{64}$/.test(name)) shown = `sha256:${name}`;
  }
  return fault("not-found", "no-such-image", `No such image: ${shown}`);
}
