/**
 * `berth manifest create`, `annotate`, `push` and `rm`: images of several platforms under one name, made in a registry. The
 * lists are gathered where docker's command line gathers them, so that either can go on with the other's.
 */

import { digestOf } from "../../base/digest.ts";
import { Fault, messageOf } from "../../base/errors.ts";
import { familiarName, parseReference, type Reference } from "../../spec/reference.ts";
import { type Command, forEachName } from "../command.ts";
import { flag, type Parsed } from "../flags.ts";
import { checkPushable, isCombination, listOf } from "../manifests/list.ts";
import {
  type Described,
  inFull,
  type Json,
  type Platform,
  repositoryOf,
  wholeName,
} from "../manifests/source.ts";
import { imageIn, imagesOf, noSuchManifest, putImage, removeList } from "../manifests/store.ts";
import { out } from "../output.ts";

/** Reads a name. Throws with what it was to be. */
function referenceOf(name: string, what: string): Reference {
  try {
    return parseReference(name);
  } catch (error) {
    throw new Error(`${what} ${name}: ${messageOf(error)}`);
  }
}

/** An image as a registry has it. */
async function fetched(reference: Reference, isInsecure: boolean): Promise<Described> {
  const repository = repositoryOf(reference, isInsecure, "pull");
  const shown = `${familiarName(reference)}${wholeName(reference).slice(`${reference.domain}/${reference.path}`.length)}`;
  let found: Described | Described[];
  try {
    const top = await repository.manifest(reference.digest ?? reference.tag ?? "latest");
    found = await inFull(repository, reference, top);
  } catch (error) {
    if (error instanceof Fault && error.code === "manifest-unknown")
      throw new Error(`no such manifest: ${wholeName(reference)}`);
    throw error;
  }
  if (Array.isArray(found)) throw new Error(`${shown} is a manifest list`);
  return found;
}

const create: Command = {
  usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  short: "Create a local manifest list for annotating and pushing to a registry",
  args: [2, Number.POSITIVE_INFINITY],
  flags: [
    flag("amend", "a", "bool", "Amend an existing manifest list"),
    flag("insecure", "", "bool", "Allow communication with an insecure registry"),
  ],
  async run(_context, parsed) {
    const [name = "", ...images] = parsed.args;
    const list = referenceOf(name, "error parsing name for manifest list");
    if (imagesOf(list).length > 0 && !parsed.on("amend"))
      throw new Error("refusing to amend an existing manifest list with no --amend flag");
    for (const image of images) {
      const reference = parseReference(image);
      const known = imageIn(list, reference);
      putImage(list, reference, known ?? (await fetched(reference, parsed.on("insecure"))));
    }
    out(`Created manifest list ${wholeName(list)}\n`);
    return 0;
  },
};

/** A platform with what the flags say of it. */
function annotated(platform: Platform | undefined, parsed: Parsed): Platform {
  const features = parsed.all("os-features");
  const all = [...new Set([...(platform?.["os.features"] ?? []), ...features])];
  const version = parsed.text("os-version") || platform?.["os.version"];
  const variant = parsed.text("variant") || platform?.variant;
  return {
    architecture: parsed.text("arch") || (platform?.architecture ?? ""),
    os: parsed.text("os") || (platform?.os ?? ""),
    ...(version ? { "os.version": version } : {}),
    ...(all.length > 0 ? { "os.features": all } : {}),
    ...(variant ? { variant } : {}),
  };
}

const annotate: Command = {
  usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
  short: "Add additional information to a local image manifest",
  args: [2, 2],
  flags: [
    flag("arch", "", "string", "Set architecture"),
    flag("os", "", "string", "Set operating system"),
    flag("os-features", "", "strings", "Set operating system feature"),
    flag("os-version", "", "string", "Set operating system version"),
    flag("variant", "", "string", "Set architecture variant"),
  ],
  async run(_context, parsed) {
    const [name = "", image = ""] = parsed.args;
    const list = referenceOf(name, "annotate: error parsing name for manifest list");
    const reference = referenceOf(image, "annotate: error parsing name for manifest");
    const found = imageIn(list, reference);
    if (found === undefined)
      throw new Error(`manifest for image ${image} does not exist in ${name}`);
    const platform = annotated(found.Descriptor.platform, parsed);
    if (!isCombination(platform.os, platform.architecture))
      throw new Error(
        `manifest entry for image has unsupported os/arch combination: ${platform.os}/${platform.architecture}`,
      );
    putImage(list, reference, { ...found, Descriptor: { ...found.Descriptor, platform } });
    return 0;
  },
};

/** Digests of the configuration and the layers. */
function blobsOf({ OCIManifest, SchemaV2Manifest }: Described): string[] {
  const { config, layers } = OCIManifest ?? SchemaV2Manifest ?? {};
  const all = [config, ...(Array.isArray(layers) ? layers : [])] as (Json | undefined)[];
  return all.flatMap((blob) => (typeof blob?.digest === "string" ? [blob.digest] : []));
}

/** Makes an image of another repository known in the list's: its blobs are taken over there, its manifest is sent. */
async function bringOver(
  image: Described,
  list: Reference,
  repository: ReturnType<typeof repositoryOf>,
): Promise<void> {
  const { path } = parseReference(image.Ref);
  for (const digest of new Set(blobsOf(image)))
    if (
      (await repository.beginUpload(digest, path)) !== undefined &&
      image.Descriptor.platform?.os !== "windows"
    )
      throw new Error(
        `error mounting ${list.domain}/${path}@${digest} to ${list.domain}/${list.path}`,
      );
  const { digest, mediaType } = image.Descriptor;
  const bytes = new Uint8Array(Buffer.from(image.Raw, "base64"));
  await repository.putManifest(digest, { digest, mediaType, bytes });
  out(`Pushed ref ${list.domain}/${list.path}@${digest} with digest: ${digest}\n`);
}

const push: Command = {
  usage: "[OPTIONS] MANIFEST_LIST",
  short: "Push a manifest list to a repository",
  args: [1, 1],
  flags: [
    flag("insecure", "", "bool", "Allow push to an insecure registry"),
    flag("purge", "p", "bool", "Remove the local manifest list after push"),
  ],
  async run(_context, parsed) {
    const list = parseReference(parsed.args[0] ?? "");
    const images = imagesOf(list);
    if (images.length === 0) throw noSuchManifest(list);
    checkPushable(images, list);
    const repository = repositoryOf(list, parsed.on("insecure"), "pull,push");
    for (const image of images)
      if (parseReference(image.Ref).path !== list.path) await bringOver(image, list, repository);
    const { mediaType, text } = listOf(images);
    const bytes = new TextEncoder().encode(text);
    const digest = digestOf(bytes);
    await repository.putManifest(list.digest ?? list.tag ?? "latest", { digest, mediaType, bytes });
    out(`${digest}\n`);
    if (parsed.on("purge")) removeList(list);
    return 0;
  },
};

const remove: Command = {
  usage: "MANIFEST_LIST [MANIFEST_LIST...]",
  short: "Delete one or more manifest lists from local storage",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  run: (_context, parsed) =>
    forEachName(parsed.args, async (name) => {
      const list = parseReference(name);
      if (!removeList(list)) throw noSuchManifest(list);
    }),
};

/** The commands, by what follows `manifest`. */
export const commands = { create, annotate, push, remove } as const;
