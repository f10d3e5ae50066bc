/**
 * What the daemon and its building threads say to each other: plain data, since a thread shares no objects.
 */
import type { SentError } from "../../base/thread-errors.ts";
import type { Privileged } from "../../tree/index.ts";

/** Calls that only the daemon can make. */
export type KernelCall =
  | { readonly name: "mknod"; readonly arguments: Parameters<Privileged["mknod"]> }
  | { readonly name: "setXattr"; readonly arguments: Parameters<Privileged["setXattr"]> }
  /** Of several files, since a question for each would cost more than its answer. */
  | { readonly name: "xattrs"; readonly paths: readonly string[] };

/** A file's attributes; undefined where it has none, and an error where there is no such file. */
export type FoundAttributes =
  | ReadonlyMap<string, Uint8Array>
  | { readonly error: SentError }
  | undefined;

/** To a thread. */
export type ToThread =
  | {
      readonly kind: "begin";
      readonly job: number;
      readonly task: string;
      readonly input: unknown;
    }
  /** Of the bytes that a task reads, and their end. */
  | { readonly kind: "piece"; readonly job: number; readonly bytes: Uint8Array }
  | { readonly kind: "end"; readonly job: number; readonly error?: SentError }
  /** Of the bytes that a task writes. */
  | { readonly kind: "taken"; readonly job: number; readonly bytes: number }
  | { readonly kind: "cancel"; readonly job: number; readonly error: SentError }
  | {
      readonly kind: "answer";
      readonly call: number;
      readonly value?: unknown;
      readonly error?: SentError;
    };

/** From a thread. */
export type FromThread =
  | { readonly kind: "done"; readonly job: number; readonly result: unknown }
  | { readonly kind: "failed"; readonly job: number; readonly error: SentError }
  | { readonly kind: "piece"; readonly job: number; readonly bytes: Uint8Array }
  | { readonly kind: "taken"; readonly job: number; readonly bytes: number }
  | { readonly kind: "call"; readonly call: number; readonly what: KernelCall };
