/**
 * Taking names away, and images with their last name.
 */
import { fault } from "../base/errors.ts";
import { familiarReference, parseReference } from "../spec/reference.ts";
import type { SnapshotDriver } from "../storage/index.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { DroppedBlobs } from "./dropped.ts";
import type { Holds } from "./holds.ts";
import type { ImageRecord } from "./model.ts";
import { wholeDigest, wholeTag } from "./names.ts";
import { shortDigest } from "./progress.ts";

/** Who uses images; it is asked before one is removed. */
export interface ImageUsers {
  /** Containers of an image. */
  of(id: string): readonly { readonly id: string; readonly running: boolean }[];
  /** Layers that stopped or running containers stand on. */
  readonly chains: ReadonlySet<string>;
}

/** What happened to an image that was removed: one step a row, as the API lists them. */
export interface RemovalStep {
  readonly Untagged?: string;
  readonly Deleted?: string;
}

/** Where an image is removed from. */
export interface Removal {
  readonly data: ImageDatabase;
  readonly content: ContentStore;
  readonly driver: SnapshotDriver;
  readonly holds: Holds;
  readonly dropped: Pick<DroppedBlobs, "forget">;
}

/** What was asked for. */
interface Wish {
  readonly name: string;
  readonly force: boolean;
}

const repositoryOf = (whole: string) => whole.replace(/(@sha256)?:[^:/]*$/, "");

/** The whole name among an image's that was meant; undefined when it was asked for by its id. */
function nameMeant(name: string, names: readonly string[]): string | undefined {
  try {
    const reference = parseReference(name);
    const whole =
      reference.digest === undefined
        ? wholeTag(reference)
        : wholeDigest(reference, reference.digest);
    return names.includes(whole) ? whole : undefined;
  } catch {
    return undefined;
  }
}

/** Throws a Fault "conflict" when containers stand against the end of an image. */
function checkUnused(
  image: ImageRecord,
  { name, force }: Wish,
  byId: boolean,
  containers: ReturnType<ImageUsers["of"]>,
): void {
  const id = shortDigest(image.id);
  const running = containers.find((container) => container.running);
  if (running !== undefined && (byId || !force))
    throw fault(
      "conflict",
      "image-running",
      byId
        ? `conflict: unable to delete ${id} (cannot be forced) - image is being used by running container ${running.id.slice(0, 12)}`
        : `conflict: unable to remove repository reference "${name}" (must force) - container ${running.id.slice(0, 12)} is using its referenced image ${id}`,
    );
  const [stopped] = containers;
  if (stopped !== undefined && !force)
    throw fault(
      "conflict",
      "image-used",
      byId
        ? `conflict: unable to delete ${id} (must be forced) - image is being used by stopped container ${stopped.id.slice(0, 12)}`
        : `conflict: unable to remove repository reference "${name}" (must force) - container ${stopped.id.slice(0, 12)} is using its referenced image ${id}`,
    );
}

function deleteImage(
  { data, content, driver, holds, dropped }: Removal,
  image: ImageRecord,
  inUse: ReadonlySet<string>,
): RemovalStep[] {
  const steps: RemovalStep[] = [{ Deleted: image.id }];
  for (const digest of data.remove(image.id)) {
    if (holds.has(digest)) continue;
    content.remove(digest);
    dropped.forget(digest);
  }
  const needed = new Set([...inUse, ...data.all().flatMap((other) => other.chain)]);
  for (const chainId of [...image.chain].reverse()) {
    if (needed.has(chainId) || holds.has(chainId)) continue;
    driver.removeLayer(chainId);
    data.forgetLayer(chainId);
    steps.push({ Deleted: chainId });
  }
  return steps;
}

/** Removes a name, and the image with it when that was its last. Throws Faults "conflict" in Docker's words. */
export function removeImage(
  removal: Removal,
  image: ImageRecord,
  wish: Wish,
  users: ImageUsers,
): RemovalStep[] {
  const { data } = removal;
  const tags = data.references(image.id);
  const digests = data.digests(image.id);
  const meant = nameMeant(wish.name, [...tags, ...digests]);
  const repositories = new Set(tags.map(repositoryOf));
  if (meant === undefined && (tags.length > 1 || repositories.size > 1) && !wish.force)
    throw fault(
      "conflict",
      "image-in-repositories",
      `conflict: unable to delete ${shortDigest(image.id)} (must be forced) - image is referenced in multiple repositories`,
    );
  // With the last tag of a repository go the digests that it was fetched by.
  const untag =
    meant === undefined
      ? [...tags, ...digests]
      : [
          meant,
          ...digests.filter(
            (one) =>
              tags.includes(meant) &&
              repositoryOf(one) === repositoryOf(meant) &&
              tags.every((tag) => tag === meant || repositoryOf(tag) !== repositoryOf(meant)),
          ),
        ];
  const last = untag.length === tags.length + digests.length;
  const containers = users.of(image.id);
  if (last) checkUnused(image, wish, meant === undefined, containers);
  for (const whole of untag) {
    data.removeTag(whole);
    data.removeDigest(whole);
  }
  const steps: RemovalStep[] = untag.map((whole) => ({
    Untagged: familiarReference(parseReference(whole)),
  }));
  // A running container keeps its image, nameless.
  if (!last || containers.some(({ running }) => running)) return steps;
  return [...steps, ...deleteImage(removal, image, users.chains)];
}

/** What a removal of whole images would take away. */
export interface RemovalPlan {
  /** In the order of the removal, as it would list them. */
  readonly steps: readonly RemovalStep[];
  /** Digests of blobs, and chain ids of layers, that nothing else needs. */
  readonly blobs: readonly string[];
  readonly layers: readonly string[];
}

/** Says what would go with some images and all their names; `chains`: layers that containers stand on. Changes nothing. */
export function planRemoval(
  { data, holds }: Pick<Removal, "data" | "holds">,
  images: readonly ImageRecord[],
  chains: ReadonlySet<string>,
): RemovalPlan {
  const gone = new Set(images.map(({ id }) => id));
  const kept = data.all().filter(({ id }) => !gone.has(id));
  const usedBlobs = data.allBlobs(gone);
  const steps: RemovalStep[] = [];
  const layers: string[] = [];
  for (const [index, image] of images.entries()) {
    for (const name of [...data.references(image.id), ...data.digests(image.id)])
      steps.push({ Untagged: familiarReference(parseReference(name)) });
    steps.push({ Deleted: image.id });
    const others = [...kept, ...images.slice(index + 1)];
    const needed = new Set([...chains, ...others.flatMap((other) => other.chain)]);
    for (const chainId of image.chain.toReversed()) {
      if (needed.has(chainId) || holds.has(chainId)) continue;
      layers.push(chainId);
      steps.push({ Deleted: chainId });
    }
  }
  const blobs = [...data.allBlobs()].filter((one) => !usedBlobs.has(one) && !holds.has(one));
  return { steps, blobs, layers };
}
