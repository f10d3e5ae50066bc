/**
 * Errors by kind.
 *
 * Everything that a user can cause is thrown as a Fault: a kind that the edge turns into a status or an
 * exit code, a code that docs/errors.md explains, and a message in Docker's words. Whatever is thrown and
 * is no Fault is a bug, and is logged as one.
 */

/** What went wrong, as the edge needs to know it. The HTTP status of each is in src/api/status.ts. */
export type FaultKind =
  | "invalid" // the request makes no sense as it is: 400
  | "unauthorized" // credentials missing or wrong: 401
  | "forbidden" // understood and refused: 403
  | "not-found" // the named thing does not exist: 404
  | "conflict" // contradicts the present state: 409
  | "not-modified" // already so: 304
  | "unavailable" // cannot be done now (not enough of something, shutting down): 503
  | "unsupported" // a valid wish that this engine or host cannot fulfil: 501
  | "failed"; // tried and failed for a reason outside the request (kernel, disk): 500

/** An error that a user can understand and act on. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind,
    /** A stable name such as "no-such-container"; each is a row of docs/errors.md. */
    readonly code: string,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "Fault";
  }
}

/** Makes a Fault; `code` must be a string literal, so that the catalogue can be checked against the code. */
export function fault(kind: FaultKind, code: string, message: string, cause?: unknown): Fault {
  return new Fault(kind, code, message, cause);
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name (ENOENT, …) of a system call's error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string")
    return error.code;
  return undefined;
}
