/**
 * Bytes to the standard streams. Synchronous writes on the descriptors: touching process.stdout costs 18 ms
 * of start-up.
 */
import { writeSync } from "node:fs";
import { errnoOf } from "../base/errors.ts";

/** The status of a program that a broken pipe ended, as a shell shows it. */
const brokenPipe = 141;

function write(fd: 1 | 2, bytes: Uint8Array): void {
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

/** Writes to standard output. Ends the program when its reader is gone. */
export function out(data: string | Uint8Array): void {
  write(1, typeof data === "string" ? Buffer.from(data) : data);
}

/** Writes to standard error. */
export function err(data: string | Uint8Array): void {
  write(2, typeof data === "string" ? Buffer.from(data) : data);
}
