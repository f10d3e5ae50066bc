/**
 * The daemon's own log: one line an event on stderr, in logfmt as dockerd writes it.
 */
import { writeSync } from "node:fs";

const levels = ["debug", "info", "warn", "error"] as const;

/** How much is logged. */
export type LogLevel = (typeof levels)[number];

let threshold = 1;

/** Sets the least level that is written from now on. */
export function setLogLevel(level: LogLevel): void {
  threshold = levels.indexOf(level);
}

function quote(value: unknown): string {
  const text = value instanceof Error ? (value.stack ?? value.message) : String(value);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}

function write(level: LogLevel, message: string, fields: Record<string, unknown>): void {
  if (levels.indexOf(level) < threshold) return;
  let line = `time=${new Date().toISOString()} level=${level} msg=${quote(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${quote(value)}`;
  }
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // A closed or full stderr must never stop the engine.
  }
}

/** Writes one line at the given level. Fields follow the message; an Error is written with its stack. */
export const log = {
  debug: (message: string, fields: Record<string, unknown> = {}) => write("debug", message, fields),
  info: (message: string, fields: Record<string, unknown> = {}) => write("info", message, fields),
  warn: (message: string, fields: Record<string, unknown> = {}) => write("warn", message, fields),
  error: (message: string, fields: Record<string, unknown> = {}) => write("error", message, fields),
};
