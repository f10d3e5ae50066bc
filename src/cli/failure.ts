/**
 * Anything thrown, as the line that the user reads.
 */
import { messageOf } from "../base/errors.ts";
import { ApiError } from "../client/index.ts";

const FILE_ERROR = /^E[A-Z0-9]+: (.*), (\w+) '(.*)'$/s;

/** The text of a failure: a daemon's refusal is marked as one. */
export function describeError(error: unknown): string {
  if (error instanceof ApiError) return `Error response from daemon: ${error.message.trim()}`;
  // What the runtime says of a file, as Go's programs say it: the file first.
  const [, why, call, path] = FILE_ERROR.exec(messageOf(error)) ?? [];
  return path === undefined ? messageOf(error) : `${call} ${path}: ${why}`;
}
