/**
 * What a tree on the host takes.
 */
import { existsSync, lstatSync, readdirSync, type Stats } from "node:fs";
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

function same(a: Stats, b: Stats): boolean {
  const kind = a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.rdev === b.rdev;
  return kind && a.mtimeMs === b.mtimeMs && (a.isDirectory() || a.size === b.size);
}

/** What a tree has that the one it was copied from has not, or has otherwise. */
export function differenceOf(path: string, base: string): Usage {
  let [bytes, inodes] = [0, 0];
  const seen = new Set<number>();
  const walk = (below: string): void => {
    for (const entry of readdirSync(`${path}${below}`, { withFileTypes: true })) {
      const at = `${below}/${entry.name}`;
      const info = lstatSync(`${path}${at}`, { throwIfNoEntry: false });
      if (info === undefined) continue;
      const before = lstatSync(`${base}${at}`, { throwIfNoEntry: false });
      if (before === undefined || !same(info, before)) {
        inodes++;
        if (info.isFile() && !seen.has(info.ino)) bytes += info.size;
        if (info.nlink > 1) seen.add(info.ino);
      }
      if (info.isDirectory()) walk(at);
    }
  };
  if (existsSync(path)) walk("");
  return { bytes, inodes };
}
