/**
 * Whether a start would find room to write what it needs, asked before something is stopped for it.
 */
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { runDirectory } from "./places.ts";

/** More than a plan, hosts, resolv.conf and a page of the database's log have. */
const NEEDED = 256 << 10;

function tryWriting(path: string): void {
  // A daemon that was killed in the middle of this has left it.
  rmSync(path, { force: true });
  try {
    const file = openSync(path, "wx", 0o600);
    try {
      const block = new Uint8Array(NEEDED);
      for (let at = 0; at < NEEDED; ) at += writeSync(file, block, at);
      // A file system may promise a block and find only later that it has none.
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } finally {
    rmSync(path, { force: true });
  }
}

/** Throws a Fault "failed" when a container that runs could not be started again for want of room. */
export function checkRoom({ settings, database }: EngineDeps, { record }: Container): void {
  database.insist(record);
  const places = [
    `${settings.containersDirectory}/${record.id}`,
    runDirectory(settings, record.id),
  ];
  for (const directory of places) {
    try {
      tryWriting(`${directory}/room`);
    } catch (error) {
      throw fault(
        "failed",
        "no-room",
        `container ${record.id} goes on as it is, since there is no room to start it again: ${messageOf(error)}`,
        error,
      );
    }
  }
}
