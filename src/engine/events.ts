/**
 * What happens, told to whoever listens, and kept for a while for those who ask later.
 */
import type { EventMessage } from "../spec/engine-api.ts";

const KEPT = 1024;
/** The least difference of two times of today as numbers; nanoseconds. */
const STEP = 256;
/** A clock that is this far behind has been set back; nanoseconds. */
const CLOCK_STEP = 1e9;

/** An event as the API sends it; the older fields are there for clients that know no others. */
export type EngineEvent = EventMessage & {
  readonly status?: string;
  readonly id?: string;
  readonly from?: string;
};

/** The one place that events go through. */
export class Events {
  private lastNano = 0;
  private readonly past: EngineEvent[] = [];
  private readonly listeners = new Set<(event: EngineEvent) => void>();
  /** Events since the daemon's start. */
  told = 0;

  /** Tells that something has happened to an object. */
  emit(
    type: NonNullable<EventMessage["Type"]>,
    action: string,
    id: string,
    attributes: Readonly<Record<string, string>>,
  ): void {
    const now = Date.now();
    const old =
      type === "container" || type === "image"
        ? { status: action, id, ...(attributes.image ? { from: attributes.image } : {}) }
        : {};
    const event: EngineEvent = {
      ...old,
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: { ...attributes } },
      scope: "local",
      time: Math.floor(now / 1000),
      timeNano: this.nextNano(now * 1e6 + Math.floor((performance.now() % 1) * 1e6)),
    };
    this.told++;
    this.past.push(event);
    if (this.past.length > KEPT) this.past.shift();
    for (const listener of this.listeners) listener(event);
  }

  /** No two events have one time, and none an earlier one than the event before, unless the clock was set back. */
  private nextNano(now: number): number {
    const behind = this.lastNano - now;
    this.lastNano = behind >= 0 && behind < CLOCK_STEP ? this.lastNano + STEP : now;
    return this.lastNano;
  }

  /** Events that are still known, the oldest first. */
  get recent(): readonly EngineEvent[] {
    return this.past;
  }

  /** How many listen. */
  get subscribers(): number {
    return this.listeners.size;
  }

  /** Calls back for each event from now on; gives what ends that. */
  listen(listener: (event: EngineEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
