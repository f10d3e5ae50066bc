/**
 * Errors as plain data, since threads share no objects.
 */
import { Fault, type FaultKind, messageOf } from "./errors.ts";

/** An error as data. */
export interface SentError {
  readonly message: string;
  readonly stack?: string | undefined;
  /** A Fault's. */
  readonly kind?: FaultKind;
  /** A Fault's, or the errno's name. */
  readonly code?: string;
}

/** Makes data of what was thrown. */
export function sendError(error: unknown): SentError {
  const message = messageOf(error);
  if (error instanceof Fault) return { message, kind: error.kind, code: error.code };
  const stack = error instanceof Error ? error.stack : undefined;
  if (error instanceof Error && "code" in error && typeof error.code === "string")
    return { message, stack, code: error.code };
  return { message, stack };
}

/** Makes an error of it again. */
export function receiveError({ message, stack, kind, code }: SentError): Error {
  if (kind !== undefined && code !== undefined) return new Fault(kind, code, message);
  const error = Object.assign(new Error(message), code === undefined ? {} : { code });
  if (stack !== undefined) error.stack = stack;
  return error;
}
