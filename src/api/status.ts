/**
 * Error kinds as HTTP statuses: the one place where they meet.
 */
import { errnoOf, Fault, type FaultKind, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { inUserNamespace } from "../base/user-namespace.ts";

const statuses: Readonly<Record<FaultKind, number>> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "not-modified": 304,
  unavailable: 503,
  unsupported: 501,
  failed: 500,
};

/** What the host has no more of, or refuses to everybody: no bug, wherever it is met. */
const refusals =
  /^(ENOSPC|EDQUOT|EROFS|EIO|EMFILE|ENFILE|ENOMEM|SQLITE_(FULL|READONLY|IOERR|CANTOPEN))/;

/** What is nobody's bug, although nobody has made a Fault of it. */
function systemRefusal(error: unknown): Fault | undefined {
  const code = errnoOf(error) ?? "";
  // Of an image or a container: those of the host lead somewhere.
  if (code === "ELOOP") return fault("invalid", "link-loop", messageOf(error), error);
  // A daemon that is not root on the host may not do everything there.
  const isClosed = /^(EACCES|EPERM)$/.test(code) && inUserNamespace();
  if (!isClosed && !refusals.test(code)) return undefined;
  const full = code === "SQLITE_FULL" ? "no space left on device: " : "";
  return fault("failed", "host-refused", `the host refuses: ${full}${messageOf(error)}`, error);
}

/** A request without passwords of addresses in its query. */
function withoutPasswords(request: string): string {
  return request.replace(/((?::|%3A)(?:\/|%2F){2}[^&]*?(?::|%3A))[^&/]*?(@|%40)/gi, "$1xxxxx$2");
}

/** The status and message of anything thrown. What is no Fault is a bug of berth's: it is logged as one. */
export function statusOf(thrown: unknown, request: string): { status: number; message: string } {
  const what = withoutPasswords(request);
  const error = systemRefusal(thrown) ?? thrown;
  if (error instanceof Fault) {
    if (error.kind === "failed") log.error("request failed", { what, error: error.message });
    return { status: statuses[error.kind], message: error.message };
  }
  log.error("a bug in berth", { what, error });
  return {
    status: 500,
    message: `internal error, please report it: ${error instanceof Error ? error.message : String(error)}`,
  };
}
