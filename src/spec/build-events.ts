/**
 * What builds tell while they go on.
 */
import type { CacheEvent } from "./cache-exchange.ts";

/** What happens in a build. A step is known by its number. */
export type BuildEvent =
  | CacheEvent
  | {
      readonly kind: "step";
      readonly step: number;
      readonly total: number;
      /** The stage's name; "" for the only one, "stage-N" for one of several without a name. */
      readonly stage: string;
      readonly text: string;
      /** Its number among the instructions of its stage that make something, FROM being the first; undefined: it makes nothing. */
      readonly place?: { readonly at: number; readonly of: number } | undefined;
    }
  | { readonly kind: "cached"; readonly step: number }
  /** Why it is not taken from the cache; only if that was asked for. */
  | { readonly kind: "explained"; readonly step: number; readonly reasons: readonly string[] }
  | { readonly kind: "running"; readonly step: number }
  | {
      readonly kind: "output";
      readonly step: number;
      readonly stream: "stdout" | "stderr";
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "done"; readonly step: number; readonly layer: string | undefined }
  | {
      readonly kind: "failed";
      readonly step: number;
      readonly message: string;
      /** Undefined: no command was what failed. */
      readonly exitStatus: number | undefined;
      /** Where in the Dockerfile. */
      readonly excerpt: Excerpt | undefined;
      /** An image of what there was before the step, if one was asked for. */
      readonly before: string | undefined;
    }
  | { readonly kind: "notice"; readonly step: number; readonly text: string }
  /** Somebody wants to speak with an agent of the client's: it is to come for the connection, soon. */
  | { readonly kind: "agent"; readonly id: string; readonly connection: string }
  /** A check has found something. */
  | {
      readonly kind: "lint";
      readonly rule: string;
      readonly url: string;
      readonly message: string;
      readonly excerpt: Excerpt;
    }
  /** What was built goes to where it is wanted. */
  | { readonly kind: "exporting"; readonly text: string }
  | { readonly kind: "warning"; readonly text: string };

/** Lines of a Dockerfile, of which some are meant; counted from 1. */
export interface Excerpt {
  /** The number of the first of `lines`. */
  readonly from: number;
  readonly lines: readonly string[];
  /** The first and the last that are meant. */
  readonly marked: readonly [first: number, last: number];
}

/** An event as it is sent: text for bytes. */
export type SentBuildEvent =
  | Exclude<BuildEvent, { kind: "output" }>
  | {
      readonly kind: "output";
      readonly step: number;
      readonly stream: "stdout" | "stderr";
      readonly text: string;
    };

/** A line of the answer to POST /build with berth-events=1. */
export interface BuildLine {
  readonly event?: SentBuildEvent;
  /** When it happened; milliseconds since 1970. */
  readonly time?: number;
  readonly aux?: { readonly ID?: string };
  /** So many bytes of an output, counted from 0, follow this line; with 0 bytes it is at its end. */
  readonly output?: { readonly at: number; readonly bytes: number };
  /** What is known of what was built, by BuildKit's names. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
}

const AROUND = 2;

/** Lines of a text, with some before and after them. */
export function excerptOf(text: string, marked: Excerpt["marked"]): Excerpt {
  const from = Math.max(1, marked[0] - AROUND);
  const lines = text.split(/\r?\n/).slice(from - 1, marked[1] + AROUND);
  return { from, lines, marked };
}
