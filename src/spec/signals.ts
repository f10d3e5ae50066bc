/**
 * Signals by name and number (signal(7)).
 */
import { constants } from "node:os";
import { fault } from "../base/errors.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** The number of "SIGTERM", "term", "15", "RTMIN+3". Throws a Fault "invalid" in Docker's words. */
export function signalNumber(text: string): number {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const known = (constants.signals as Record<string, number>)[name];
  if (known !== undefined) return known;
  const realtime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime !== null) {
    const offset = Number(realtime[3] ?? 0) * (realtime[2] === "-" ? -1 : 1);
    const number = (realtime[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
  }
  const number = Number(text);
  if (/^\d+$/.test(text) && number > 0) {
    const known = number < 32 || (number >= SIGRTMIN && number <= SIGRTMAX);
    if (known) return number;
    throw fault("invalid", "signal", `the linux daemon does not support signal ${number}`);
  }
  throw fault("invalid", "signal", `invalid signal: ${text}`);
}
