/**
 * What a build has found and made, step by step, so that other hosts may have it.
 */
import type { Snapshot } from "../ports.ts";
import type { SharedRecords, SharedStep } from "./format.ts";

/** A step of a build, and what it led to. */
export interface TrailStep {
  /** What the cache knows it by; undefined: its files have not been looked at. */
  readonly key: string | undefined;
  /** What it is known by before any file is here; undefined: it has no other key. */
  readonly early: string | undefined;
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly created: string;
  readonly description: string;
}

/** A cache to be written: its records, and the layers that they count. */
export interface SharedExport {
  readonly records: SharedRecords;
  /** For each layer the whole that it is the topmost of. */
  readonly layers: readonly Snapshot[];
}

const BEGINNING = "1970-01-01T00:00:00.000Z";

const topOf = ({ chain }: Snapshot): string => chain.at(-1) ?? "";

/** The steps of one build, over all of its platforms. */
export class CacheTrail {
  private readonly steps = new Map<string, TrailStep>();
  private readonly results: Snapshot[] = [];

  add(step: TrailStep): void {
    this.steps.set(step.early ?? step.key ?? "", step);
  }

  /** The other key of a step has become known. */
  learned(early: string, key: string): void {
    const step = this.steps.get(early);
    if (step !== undefined) this.steps.set(early, { ...step, key });
  }

  /** An image was made of these layers. */
  result(snapshot: Snapshot): void {
    this.results.push(snapshot);
  }

  /** What an image's own configuration says of its layers. It is the same however much of a build was found in caches. */
  inline(snapshot: Snapshot): SharedStep[] {
    const found = this.within([snapshot]).map((step) => {
      const { before, after, created, description } = step;
      const keys = [step.early ?? step.key ?? ""];
      if (after.chain.length > before.chain.length)
        return { keys, created, description, layer: after.chain.length - 1 };
      // What changes nothing has no time of its own.
      return { keys, created: BEGINNING, description };
    });
    return found.sort((a, b) => (a.keys[0] ?? "").localeCompare(b.keys[0] ?? ""));
  }

  /** Of the images alone, or all. */
  export(mode: "min" | "max"): SharedExport {
    const layers = new Map<string, { readonly at: number; readonly snapshot: Snapshot }>();
    const chosen = mode === "max" ? [...this.steps.values()] : this.within(this.results);
    const steps = chosen.map((one): SharedStep => {
      const { before, after, created, description } = one;
      const keys = [one.key ?? [], one.early ?? []].flat();
      const step = { keys, created, description };
      if (after.chain.length === before.chain.length) return step;
      // The same change on two bases is one layer.
      const diffId = after.diffIds.at(-1) ?? "";
      const known = layers.get(diffId) ?? { at: layers.size, snapshot: after };
      layers.set(diffId, known);
      return { ...step, layer: known.at };
    });
    const snapshots = [...layers.values()].map(({ snapshot }) => snapshot);
    return { records: { diffIds: [...layers.keys()], steps }, layers: snapshots };
  }

  private within(images: readonly Snapshot[]): TrailStep[] {
    const tops = new Set(images.flatMap(({ chain }) => ["", ...chain]));
    return [...this.steps.values()].filter(
      ({ before, after }) => tops.has(topOf(after)) && tops.has(topOf(before)),
    );
  }
}
