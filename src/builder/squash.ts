/**
 * The history of an image whose new layers have become one, as dockerd writes it. Pure.
 */
import type { HistoryEntry } from "../images/index.ts";
import type { BuiltImage } from "./ports.ts";

/** What a squash made of an image. */
export interface Squash {
  /** The image as it would have been. */
  readonly id: string;
  readonly created: string;
  /** Nothing was changed: there is no new layer. */
  readonly isEmpty: boolean;
}

/** The lines of the base stay, the build's own have no layers any more, and one more says what has come of them. */
export function squashHistory(
  { history, base }: Pick<BuiltImage, "history" | "base">,
  { id, created, isEmpty }: Squash,
): HistoryEntry[] {
  const own = history.slice(base.lines).map((entry) => ({ ...entry, empty_layer: true }));
  const comment = base.id === undefined ? `create new from ${id}` : `merge ${id} to ${base.id}`;
  const last = { created, comment, ...(isEmpty ? { empty_layer: true } : {}) };
  return [...history.slice(0, base.lines), ...own, last];
}
