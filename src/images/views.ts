/**
 * Images as the API shows them: list, inspect, history. Pure.
 */
import { arch } from "node:os";
import { fault } from "../base/errors.ts";
import { filterBoolean, labelHolds } from "../base/selection.ts";
import type { ImageHistoryResponseItem, ImageInspect, ImageSummary } from "../spec/engine-api.ts";
import { type Platform, platformFits, platformText } from "../spec/platform.ts";
import { familiarName, parseReference } from "../spec/reference.ts";
import type { ImageRecord } from "./model.ts";

function createdMs(image: ImageRecord): number {
  const time = Date.parse(image.document.created ?? "");
  return Number.isNaN(time) ? 0 : time;
}

/** Filters of the list: each key with its accepted values. */
export type Filters = Readonly<Record<string, readonly string[]>>;

const known = new Set(["dangling", "reference", "label", "before", "since"]);

/** What a list shows beyond its filters. */
export interface ListWish {
  /** Images without names that others were made from, too. */
  readonly all?: boolean;
  /** Only what was made before, in milliseconds since 1970. */
  readonly until?: number | undefined;
}

/** A shell pattern (path.Match) as a regular expression. */
function pattern(glob: string): RegExp {
  const body = glob
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  return new RegExp(`^${body}$`);
}

/** The image with only those of its names that match, also of names with a digest; undefined when none does. */
function namedLike(image: ImageRecord, globs: readonly string[]): ImageRecord | undefined {
  const like = (...forms: string[]) =>
    globs.some((glob) => forms.some((form) => pattern(glob).test(form)));
  const tags = image.tags.filter((tag) => like(tag, familiarName(parseReference(tag))));
  const digests = image.digests.filter((name) => like(name, name.split("@")[0] ?? name));
  return tags.length + digests.length === 0 ? undefined : { ...image, tags, digests };
}

/** The images that pass the filters, the newest first. Throws a Fault "invalid" for a filter that there is not. */
export function filterImages(
  images: readonly ImageRecord[],
  filters: Filters,
  resolve: (name: string) => ImageRecord,
  { all = true, until }: ListWish = {},
): ImageRecord[] {
  for (const key of Object.keys(filters))
    if (!known.has(key)) throw fault("invalid", "filter", `invalid filter '${key}'`);
  const dangling = filters.dangling?.map((value) => filterBoolean("dangling", value));
  const before = filters.before?.map((name) => createdMs(resolve(name)));
  const since = filters.since?.map((name) => createdMs(resolve(name)));
  const parents = new Set(images.map(({ parent }) => parent));
  const inner = (image: ImageRecord) => image.tags.length === 0 && parents.has(image.id);
  return images
    .filter((image) => !inner(image) || (all && !dangling?.includes(true)))
    .filter((image) => dangling === undefined || dangling.includes(image.tags.length === 0))
    .filter((image) => until === undefined || createdMs(image) < until)
    .flatMap((image) =>
      filters.reference === undefined ? image : (namedLike(image, filters.reference) ?? []),
    )
    .filter(({ document }) =>
      (filters.label ?? []).every((want) => labelHolds(document.config?.Labels ?? {}, want)),
    )
    .filter((image) => before?.every((time) => createdMs(image) < time) ?? true)
    .filter((image) => since?.every((time) => createdMs(image) > time) ?? true)
    .map((image) => ({ image, created: createdMs(image) }))
    .sort((a, b) => b.created - a.created)
    .map(({ image }) => image);
}

/** The platform of this host. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: { x64: "amd64" }[arch() as string] ?? arch() };
}

/** Throws a Fault "not-found" in Docker's words when an image is for another platform than the wanted one. */
export function checkPlatform(
  name: string,
  { document }: ImageRecord,
  wanted: Platform | undefined,
): void {
  if (wanted !== undefined && !platformFits(wanted, document))
    throw fault(
      "not-found",
      "image-platform",
      `image with reference ${name} was found but does not match the specified platform: wanted ${platformText(wanted)}, actual: ${platformText(document)}`,
    );
}

/** Throws a Fault "unsupported" for what is no image but an artifact, in which there is nothing to run or to build on. */
export function checkRunnable(name: string, { document }: ImageRecord): void {
  if (document.artifact !== undefined)
    throw fault(
      "unsupported",
      "image-artifact",
      `${name} is no image but an artifact of the type ${JSON.stringify(document.artifact)}: it cannot be run or built on`,
    );
}

/** For each of some images the bytes that it has in common with others of them. */
export function sharedSizes(
  all: readonly ImageRecord[],
  layerSize: (chainId: string) => number,
): (image: ImageRecord) => number {
  const users = new Map<string, number>();
  for (const { chain } of all)
    for (const layer of chain) users.set(layer, (users.get(layer) ?? 0) + 1);
  return (image) =>
    image.chain
      .filter((layer) => (users.get(layer) ?? 0) > 1)
      .reduce((sum, layer) => sum + layerSize(layer), 0);
}

function repoDigests(image: ImageRecord): string[] {
  // What was loaded has the digest that a registry would know it by.
  const loaded = image.index ?? image.manifest;
  if (image.digests.length > 0 || loaded === undefined) return [...image.digests];
  const names = new Set(image.tags.map((tag) => familiarName(parseReference(tag))));
  return [...names].map((name) => `${name}@${loaded}`);
}

/** A row of the list. `containers` counts those made from the image; a shared size of -1 was not counted. */
export function summaryOf(image: ImageRecord, containers: number, sharedSize = -1): ImageSummary {
  return {
    Id: image.id,
    ParentId: image.parent ?? "",
    RepoTags: [...image.tags],
    RepoDigests: repoDigests(image),
    Created: Math.floor(createdMs(image) / 1000),
    Size: image.size,
    SharedSize: sharedSize,
    Labels: { ...image.document.config?.Labels },
    Containers: containers,
  };
}

/** The whole of an image. */
export function inspectOf(
  image: ImageRecord,
  driver: NonNullable<ImageInspect["GraphDriver"]>,
  lastTagged: number,
): ImageInspect {
  const { document } = image;
  return {
    Id: image.id,
    RepoTags: [...image.tags],
    RepoDigests: repoDigests(image),
    Parent: image.parent ?? "",
    Comment: document.history?.at(-1)?.comment ?? "",
    Created: document.created,
    DockerVersion: "",
    Author: document.author ?? "",
    Config: document.config ?? {},
    Architecture: document.architecture,
    ...(document.variant === undefined ? {} : { Variant: document.variant }),
    Os: document.os,
    Size: image.size,
    GraphDriver: driver,
    RootFS: { Type: "layers", Layers: [...document.rootfs.diff_ids] },
    Metadata: {
      LastTagTime: lastTagged === 0 ? "0001-01-01T00:00:00Z" : new Date(lastTagged).toISOString(),
    },
  };
}

/**
 * The steps that made an image, the last first, with the bytes that each has added. Those whose images are here have ids:
 * the last, and what it was made from here. `find` gives an image by its id.
 */
export function historyOf(
  image: ImageRecord,
  layerSize: (chainId: string) => number,
  find: (id: string) => ImageRecord | undefined,
): ImageHistoryResponseItem[] {
  let layer = 0;
  const sized = (image.document.history ?? []).map((step) => ({
    step,
    size: step.empty_layer ? 0 : layerSize(image.chain[layer++] ?? ""),
  }));
  let made: ImageRecord | undefined = image;
  return sized.toReversed().map(({ step, size }) => {
    const own = made;
    made = own?.parent === undefined ? undefined : find(own.parent);
    return {
      Id: own?.id ?? "<missing>",
      Created: Math.floor((Date.parse(step.created ?? "") || 0) / 1000),
      CreatedBy: step.created_by ?? "",
      Tags: [...(own?.tags ?? [])],
      Size: size,
      Comment: step.comment ?? "",
    };
  });
}
