/**
 * Steps found in the history of an image that says nothing of keys, as the classic builder finds them in --cache-from images:
 * what was done before must be the same, word by word and layer by layer. Pure.
 */
import type { HistoryEntry } from "../../images/index.ts";

/** An image as its history tells of it. */
export interface ToldImage {
  readonly history: readonly HistoryEntry[];
  readonly diffIds: readonly string[];
}

/** Where a step stands: what was done before it, and what it is. */
export interface ToldStep {
  readonly before: readonly HistoryEntry[];
  readonly diffIds: readonly string[];
  readonly createdBy: string;
}

/** The classic builder's words and BuildKit's for the same. */
function plainly(createdBy = ""): string {
  return createdBy
    .replace(/ # buildkit$/, "")
    .replace(/^\/bin\/sh -c #\(nop\) +/, "")
    .replace(/^RUN /, "")
    .trim();
}

function isSame(one: HistoryEntry | undefined, other: HistoryEntry | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  const changes = [one, other].map(({ empty_layer = false }) => empty_layer);
  return changes[0] === changes[1] && plainly(one.created_by) === plainly(other.created_by);
}

/** The number of the layer that a step made in an image; undefined when nothing says that it did. */
export function layerByHistory(
  image: ToldImage,
  { before, diffIds, createdBy }: ToldStep,
): { readonly layer: number; readonly created: string | undefined } | undefined {
  const entry = image.history[before.length];
  if (entry === undefined || entry.empty_layer || plainly(entry.created_by) !== plainly(createdBy))
    return undefined;
  if (!before.every((one, index) => isSame(one, image.history[index]))) return undefined;
  if (!diffIds.every((one, index) => one === image.diffIds[index])) return undefined;
  const layer = image.history.slice(0, before.length).filter((one) => !one.empty_layer).length;
  // A history with more layers than there are, or fewer, says nothing of which is whose.
  const told = image.history.filter((one) => !one.empty_layer).length;
  if (layer !== diffIds.length || told !== image.diffIds.length) return undefined;
  return { layer, created: entry.created };
}
