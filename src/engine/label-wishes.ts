/**
 * What a user's own labels ask of berth itself. An image's labels ask nothing, so that those that the user has given are
 * kept apart: an update changes them, too. Pure.
 */
import type { ContainerRecord } from "./container-record.ts";
import { healthActionIn } from "./health-label.ts";
import { startOrderOf } from "./start-order.ts";

type Labels = Readonly<Record<string, string>>;

/** The part of a record that follows from labels. */
export type LabelWishes = Pick<ContainerRecord, "wishLabels" | "healthAction" | "startOrder">;

const meaningful = /^(berth|com\.docker\.compose)\./;

/** What a user's labels ask for. Throws Faults "invalid" for what makes no sense. */
export function labelWishes(given: Labels): LabelWishes {
  const Labels = Object.fromEntries(Object.entries(given).filter(([key]) => meaningful.test(key)));
  return {
    wishLabels: Labels,
    healthAction: healthActionIn(Labels),
    startOrder: startOrderOf({ Labels }),
  };
}

/** What a container's labels ask for by now. */
export function wishesOf({ wishLabels, healthAction, startOrder }: LabelWishes): LabelWishes {
  return { wishLabels, healthAction, startOrder };
}

/** What they ask for after a change. Throws as labelWishes. */
export function changedWishes(
  record: LabelWishes,
  set: Labels = {},
  removed: readonly string[] = [],
): LabelWishes {
  const touched = [...Object.keys(set), ...removed].some((key) => meaningful.test(key));
  if (!touched) return wishesOf(record);
  const kept = Object.entries(record.wishLabels ?? {}).filter(([key]) => !removed.includes(key));
  return labelWishes({ ...Object.fromEntries(kept), ...set });
}
