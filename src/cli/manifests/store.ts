/**
 * Manifest lists that are being made, kept where and as docker's command line keeps them: a directory for each list, in it a
 * file for each image.
 *
 *     ~/.docker/manifests/docker.io_me_app-1.0/docker.io_me_app-amd64
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../../base/atomic-file.ts";
import { errnoOf } from "../../base/errors.ts";
import type { Reference } from "../../spec/reference.ts";
import { configPath } from "../config-file.ts";
import { type Described, type Json, parseJson, readPlatform, wholeName } from "./source.ts";

function fileName(reference: Reference): string {
  return wholeName(reference).replaceAll(":", "-").replaceAll("/", "_");
}

function directoryOf(list: Reference): string {
  return `${dirname(configPath())}/manifests/${fileName(list)}`;
}

function object(value: unknown): Json {
  const is = typeof value === "object" && value !== null && !Array.isArray(value);
  return is ? (value as Json) : {};
}

function read(path: string): Described {
  const { Ref, Descriptor, Raw, SchemaV2Manifest, OCIManifest } = parseJson(
    readFileSync(path),
    path,
  );
  const { mediaType, digest, size, platform } = object(Descriptor);
  if (
    ![Ref, Raw, mediaType, digest].every((text) => typeof text === "string") ||
    typeof size !== "number"
  )
    throw new Error(`${path} describes no image: delete it, and make the manifest list anew`);
  const known = readPlatform(object(platform));
  const described = {
    Ref: String(Ref),
    Descriptor: {
      ...{ mediaType: String(mediaType), digest: String(digest), size },
      ...(known && { platform: known }),
    },
    Raw: String(Raw),
  };
  return OCIManifest === undefined
    ? { ...described, SchemaV2Manifest: object(SchemaV2Manifest) }
    : { ...described, OCIManifest: object(OCIManifest) };
}

/** The images of a list, in docker's order: by the names of their files. None when there is no such list. */
export function imagesOf(list: Reference): Described[] {
  const directory = directoryOf(list);
  try {
    return readdirSync(directory)
      .sort()
      .map((name) => read(`${directory}/${name}`));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** One image of a list, if it is in it. */
export function imageIn(list: Reference, image: Reference): Described | undefined {
  try {
    return read(`${directoryOf(list)}/${fileName(image)}`);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Puts an image into a list; what was there under its name is replaced. */
export function putImage(list: Reference, image: Reference, described: Described): void {
  mkdirSync(directoryOf(list), { recursive: true, mode: 0o755 });
  const text = JSON.stringify(described);
  writeFileAtomic(`${directoryOf(list)}/${fileName(image)}`, text, { mode: 0o644 });
}

/** Forgets a list; false when there was none. */
export function removeList(list: Reference): boolean {
  try {
    rmSync(directoryOf(list), { recursive: true });
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** What docker says of a list, or of an image in one, that is not there. */
export function noSuchManifest(reference: Reference): Error {
  return new Error(`No such manifest: ${wholeName(reference)}`);
}
