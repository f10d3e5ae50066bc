/**
 * What the daemon and its unpacking threads say to each other: plain data, since a thread shares no objects.
 */
import type { SentError } from "../base/thread-errors.ts";

/** What becomes of an archive's whiteouts. */
export type Whiteouts = "overlay" | "apply";

/** To a thread. Descriptors are the process's, and stay the daemon's. */
export type ToWorker =
  | {
      readonly kind: "begin";
      readonly job: number;
      readonly archive: number;
      readonly directory: number;
      readonly whiteouts: Whiteouts;
      /** Whoever writes the archive takes its digest: if it is not compressed, that is the diff id. */
      readonly digested: boolean;
    }
  | {
      readonly kind: "arrived";
      readonly job: number;
      readonly size: number;
      readonly whole: boolean;
      readonly error?: SentError;
    }
  | {
      readonly kind: "answer";
      readonly call: number;
      readonly error?: SentError;
    };

/** From a thread. */
export type FromWorker =
  | {
      readonly kind: "done";
      readonly job: number;
      /** Undefined: the archive's own digest. */
      readonly diffId: string | undefined;
      readonly size: number;
    }
  | { readonly kind: "failed"; readonly job: number; readonly error: SentError }
  /** So many bytes more have been written. */
  | { readonly kind: "written" }
  | {
      readonly kind: "mknod";
      readonly call: number;
      readonly arguments: readonly [path: string, mode: number, major: number, minor: number];
    }
  | {
      readonly kind: "setXattr";
      readonly call: number;
      readonly arguments: readonly [path: string, name: string, value: Uint8Array];
    };
