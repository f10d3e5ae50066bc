/**
 * Bytes to the standard streams. Writes on the descriptors: touching process.stdout costs 18 ms of start-up, and
 * node:fs 2.5, which a command pays that writes at once (`out`, `err`) and not one that prints a text (`print`).
 */

import { errnoOf } from "../base/errors.ts";
import { fs } from "./late-modules.ts";
import { isTerminal } from "./terminal.ts";

/** The status of a program that a broken pipe ended, as a shell shows it. */
const brokenPipe = 141;

function write(fd: 1 | 2, bytes: Uint8Array): void {
  const { writeSync } = fs();
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const errno = errnoOf(error);
      // Whoever shares the descriptor may have made it non-blocking; wait for its reader.
      if (errno === "EAGAIN") Bun.sleepSync(1);
      else if (errno === "EPIPE") process.exit(brokenPipe);
      else throw error;
    }
  }
}

/** A text as the descriptor may have it: what a terminal would obey is spelled out. */
function textFor(fd: 1 | 2, text: string): string {
  if (!isTerminal(fd)) return text;
  const { harmlessLines } = require("./terminal-text.ts") as typeof import("./terminal-text.ts");
  return harmlessLines(text);
}

/** Writes to standard output: bytes as they are, a text so that a terminal obeys nothing in it. Ends the program when its reader is gone. */
export function out(data: string | Uint8Array): void {
  write(1, typeof data === "string" ? Buffer.from(textFor(1, data)) : data);
}

/** Writes to standard error, as `out` does. */
export function err(data: string | Uint8Array): void {
  write(2, typeof data === "string" ? Buffer.from(textFor(2, data)) : data);
}

/** Writes a text with control characters that are meant. */
export function draw(text: string, fd: 1 | 2 = 1): void {
  write(fd, Buffer.from(text));
}

/** Writes a whole text to standard output, as `out` does. */
export async function print(text: string): Promise<void> {
  if (text === "") return;
  try {
    await Bun.write(Bun.stdout, textFor(1, text));
  } catch (error) {
    if (errnoOf(error) === "EPIPE") process.exit(brokenPipe);
    throw error;
  }
}
