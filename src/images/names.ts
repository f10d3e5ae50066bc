/**
 * References as they are kept: whole, so that one text is one name.
 */
import type { Reference } from "../spec/reference.ts";

/** "docker.io/library/busybox:latest": a name of an image. */
export function wholeTag(reference: Reference): string {
  return `${reference.domain}/${reference.path}:${reference.tag ?? "latest"}`;
}

/** "docker.io/library/busybox@sha256:…": what a registry knows an image as. */
export function wholeDigest(reference: Reference, digest: string): string {
  return `${reference.domain}/${reference.path}@${digest}`;
}
