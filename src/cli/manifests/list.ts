/**
 * A manifest list out of the images that were gathered for it, byte by byte as docker writes it. Pure.
 */
import type { Reference } from "../../spec/reference.ts";
import { type Described, OCI } from "./source.ts";

/** The media types of what names images of several platforms. */
const TYPES = {
  oci: "application/vnd.oci.image.index.v1+json",
  docker: "application/vnd.docker.distribution.manifest.list.v2+json",
};

/** What runs on what, as docker lets one say. */
const COMBINATIONS: Readonly<Record<string, string>> = {
  darwin: "386 amd64 arm arm64",
  dragonfly: "amd64",
  freebsd: "386 amd64 arm",
  linux: "386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x",
  netbsd: "386 amd64 arm",
  openbsd: "386 amd64 arm",
  plan9: "386 amd64",
  solaris: "amd64",
  windows: "386 amd64",
};

/** True for a system and a processor that go together. */
export function isCombination(os: string, architecture: string): boolean {
  return COMBINATIONS[os]?.split(" ").includes(architecture) ?? false;
}

/** A manifest list: its media type and its text. */
export interface List {
  readonly mediaType: string;
  readonly text: string;
}

/** The list of these images. The first one's form decides the list's. */
export function listOf(images: readonly Described[]): List {
  const mediaType = images[0]?.Descriptor.mediaType === OCI ? TYPES.oci : TYPES.docker;
  const manifests = images.map(({ Descriptor: { mediaType, size, digest, platform } }) => ({
    ...{ mediaType, size, digest },
    platform: platform ?? { architecture: "", os: "" },
  }));
  return { mediaType, text: JSON.stringify({ schemaVersion: 2, mediaType, manifests }, null, 3) };
}

/** Throws, in docker's words, for images that a list of this name cannot have in a registry. */
export function checkPushable(images: readonly Described[], list: Reference): void {
  for (const { Ref, Descriptor } of images) {
    if (!Descriptor.platform?.architecture || !Descriptor.platform.os)
      throw new Error(
        `manifest ${Ref} must have an OS and Architecture to be pushed to a registry`,
      );
    const domain = Ref.slice(0, Ref.indexOf("/"));
    if (domain !== list.domain)
      throw new Error(
        `cannot use source images from a different registry than the target image: ${domain} != ${list.domain}`,
      );
  }
}
