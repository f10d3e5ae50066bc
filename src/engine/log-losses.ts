/**
 * Log records that are lost: each loss is told as an event, counted in the record, and shown in stats.
 */
import { log } from "../base/log.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { LogLosses } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";

/** The losses of a container's present or last run. */
export function lossesOf({ record }: Container): LogLosses {
  return { dropped: 0, failed: 0, unsent: 0, ...record.state.logLosses };
}

type Parts = Pick<EngineDeps, "events">;

const reasons = { dropped: "buffer-full", failed: "disk-full", unsent: "rotated" } as const;

/** Counts a loss. Nothing is written: the disk that the record is on may be the one that stands still. */
function count(container: Container, kind: keyof LogLosses, more: number): void {
  const losses = lossesOf(container);
  container.record.state.logLosses = { ...losses, [kind]: losses[kind] + more };
}

function tell({ events }: Parts, container: Container, attributes: Record<string, string>): void {
  const { record } = container;
  log.warn("log records are lost", { id: record.id, ...attributes });
  events.emit("container", "log-lost", record.id, attributesOf(record, attributes));
}

/** The shim tells how many records this run has lost all in all; it is an event unless it was one before. */
export function recordsLost(
  parts: Parts,
  container: Container,
  now: Pick<LogLosses, "dropped" | "failed">,
  news: boolean,
): void {
  const before = lossesOf(container);
  for (const kind of ["dropped", "failed"] as const) {
    const more = now[kind] - before[kind];
    if (more <= 0) continue;
    count(container, kind, more);
    if (news) tell(parts, container, { reason: reasons[kind], records: String(more) });
  }
}

/** Records after one time and before another were rotated away before they could be sent; it is an event unless there are many. */
export function recordsUnsent(
  parts: Parts,
  container: Container,
  gap: { readonly from: string; readonly to: string },
  news: boolean,
): void {
  count(container, "unsent", 1);
  if (news) tell(parts, container, { reason: reasons.unsent, ...gap });
}
