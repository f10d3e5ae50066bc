/**
 * The host's /etc/resolv.conf, read again only when it has changed: it is on the start path.
 */
import { readFileSync, statSync } from "node:fs";

let known = { mtime: -1, text: "" };

/** Its text; empty when there is none. */
export function readHostResolvConf(): string {
  const mtime = statSync("/etc/resolv.conf", { throwIfNoEntry: false })?.mtimeMs;
  if (mtime === undefined) return "";
  if (mtime !== known.mtime) known = { mtime, text: readFileSync("/etc/resolv.conf", "utf8") };
  return known.text;
}
