/**
 * Error kinds as HTTP statuses: the one place where they meet.
 */
import { Fault, type FaultKind } from "../base/errors.ts";
import { log } from "../base/log.ts";

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

/** The status and message of anything thrown. What is no Fault is a bug of berth's: it is logged as one. */
export function statusOf(error: unknown, what: string): { status: number; message: string } {
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
