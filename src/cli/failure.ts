/**
 * Anything thrown, as the line that the user reads.
 */
import { messageOf } from "../base/errors.ts";
import { ApiError } from "../client/index.ts";

/** The text of a failure: a daemon's refusal is marked as one. */
export function describeError(error: unknown): string {
  if (error instanceof ApiError) return `Error response from daemon: ${error.message.trim()}`;
  return messageOf(error);
}
