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
export interface RemovalWish {
  readonly name: string;
  readonly force: boolean;
  /** Leaves the images without names that this one was made from. */
  readonly keepParents?: boolean;
}

/** One removal: where from, whose use stands against it, and what was done. */
interface Work extends Removal {
  readonly users: ImageUsers;
  readonly wish: RemovalWish;
  readonly steps: RemovalStep[];
}

const repositoryOf = (whole: string) => whole.replace(/(@sha256)?:[^:/]*$/, "");
const isDigest = (whole: string) => whole.includes("@");

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

function namesOf({ data }: Removal, id: string): string[] {
  return [...data.references(id), ...data.digests(id)];
}

function untag({ data, steps }: Work, whole: string): void {
  data.removeTag(whole);
  data.removeDigest(whole);
  steps.push({ Untagged: familiarReference(parseReference(whole)) });
}

/** Whether names amount to one: at most one tag, and digests of its repository alone. */
function areSingle(names: readonly string[]): boolean {
  if (names.length <= 1) return true;
  const tags = names.filter((name) => !isDigest(name));
  const digested = new Set(names.filter(isDigest).map(repositoryOf));
  const single = tags[0] ?? names[0] ?? "";
  return tags.length <= 1 && digested.size === 1 && digested.has(repositoryOf(single));
}

/** Why an image cannot be deleted. */
interface Conflict {
  /** A container uses it. */
  readonly used: boolean;
  readonly error: Error;
}

/** What force cannot overcome. */
function hardConflict({ data, users }: Work, id: string): Conflict | undefined {
  const refused = `conflict: unable to delete ${shortDigest(id)} (cannot be forced)`;
  if (data.hasChildren(id))
    return {
      used: false,
      error: fault("conflict", "image-children", `${refused} - image has dependent child images`),
    };
  const running = users.of(id).find((container) => container.running);
  if (running === undefined) return undefined;
  const user = running.id.slice(0, 12);
  return {
    used: true,
    error: fault(
      "conflict",
      "image-running",
      `${refused} - image is being used by running container ${user}`,
    ),
  };
}

/** What force overcomes: names, which do not count when they go anyway, and containers that do not run. */
function softConflict(work: Work, id: string, names: boolean): Conflict | undefined {
  if (work.wish.force) return undefined;
  const refused = `conflict: unable to delete ${shortDigest(id)} (must be forced)`;
  if (names && namesOf(work, id).length > 0)
    return {
      used: false,
      error: fault(
        "conflict",
        "image-in-repositories",
        `${refused} - image is referenced in multiple repositories`,
      ),
    };
  const [stopped] = work.users.of(id);
  if (stopped === undefined) return undefined;
  const user = stopped.id.slice(0, 12);
  return {
    used: true,
    error: fault(
      "conflict",
      "image-used",
      `${refused} - image is being used by stopped container ${user}`,
    ),
  };
}

/**
 * Deletes an image with what names it still has, and then the nameless ones that it was made from. `quiet`: an image that
 * somebody still needs just stays.
 */
function deleteWhole(work: Work, image: ImageRecord, quiet: boolean): void {
  const conflict = hardConflict(work, image.id) ?? softConflict(work, image.id, true);
  if (conflict !== undefined) {
    const dangling = namesOf(work, image.id).length === 0 && !work.data.hasChildren(image.id);
    if (quiet && (!dangling || conflict.used)) return;
    throw conflict.error;
  }
  for (const whole of namesOf(work, image.id)) untag(work, whole);
  work.steps.push(...deleteImage(work, image, work.users.chains));
  if (work.wish.keepParents || image.parent === undefined) return;
  const parent = work.data.byId(image.parent);
  if (parent !== undefined)
    deleteWhole({ ...work, wish: { ...work.wish, force: false } }, parent, true);
}

/** Takes one name away, and with the last tag of a repository the digests that it was fetched by. */
function untagOne(work: Work, image: ImageRecord, meant: string): void {
  const { users, wish } = work;
  const [container] = users.of(image.id);
  if (container !== undefined && !wish.force && areSingle(namesOf(work, image.id)))
    throw fault(
      "conflict",
      "image-name-used",
      `conflict: unable to remove repository reference "${wish.name}" (must force) - container ${container.id.slice(0, 12)} is using its referenced image ${shortDigest(image.id)}`,
    );
  untag(work, meant);
  const others = namesOf(work, image.id).filter((one) => repositoryOf(one) === repositoryOf(meant));
  if (!isDigest(meant) && others.every(isDigest)) for (const one of others) untag(work, one);
}

/** Removes a name, and the image with it when that was its last. Throws Faults "conflict" in Docker's words. */
export function removeImage(
  removal: Removal,
  image: ImageRecord,
  wish: RemovalWish,
  users: ImageUsers,
): RemovalStep[] {
  const work: Work = { ...removal, users, wish, steps: [] };
  const names = namesOf(removal, image.id);
  const meant = nameMeant(wish.name, names);
  if (meant !== undefined) {
    untagOne(work, image, meant);
    if (namesOf(work, image.id).length > 0) return work.steps;
  } else if (areSingle(names)) {
    // All its names go with it, so that they do not stand against it.
    const conflict = hardConflict(work, image.id) ?? softConflict(work, image.id, false);
    if (conflict !== undefined) throw conflict.error;
    for (const whole of names) untag(work, whole);
  }
  deleteWhole(work, image, meant !== undefined);
  return work.steps;
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
