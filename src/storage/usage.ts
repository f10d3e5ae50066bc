/**
 * What a tree on the host takes.
 */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import type { Usage } from "./driver.ts";

/** Bytes and entries of a tree on the host, each file once however many names it has. */
export function usageOf(path: string): Usage {
  let [bytes, inodes] = [0, 0];
  const seen = new Set<number>();
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const full = `${directory}/${entry.name}`;
      const info = lstatSync(full, { throwIfNoEntry: false });
      if (info === undefined) continue;
      inodes++;
      if (info.isFile() && !seen.has(info.ino)) bytes += info.size;
      if (info.nlink > 1) seen.add(info.ino);
      if (info.isDirectory()) walk(full);
    }
  };
  if (existsSync(path)) walk(path);
  return { bytes, inodes };
}
