/**
 * What a container's /etc/resolv.conf says. The host's is read again only when it has changed: it is on the start path.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { parseResolvConf, reachableResolvers, resolvConfFor } from "../network/index.ts";
import { usesNames } from "./attachments.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";

let known = { mtime: -1, text: "" };

/** The host's text; empty when there is none. */
function readHostResolvConf(): string {
  const mtime = statSync("/etc/resolv.conf", { throwIfNoEntry: false })?.mtimeMs;
  if (mtime === undefined) return "";
  if (mtime !== known.mtime) known = { mtime, text: readFileSync("/etc/resolv.conf", "utf8") };
  return known.text;
}

/**
 * The text of a container's file. `embedded`: berth's resolver is there; `names`: and knows containers; `outer`: what asks the
 * name servers of the host's loopback, where only the host reaches these.
 */
export function resolvConfText(
  record: ContainerRecord,
  embedded: boolean,
  names = usesNames(record),
  outer?: string,
): string {
  const { Dns = [], DnsSearch = [], DnsOptions = [] } = record.hostConfig;
  const wishes = { servers: Dns, search: DnsSearch, options: DnsOptions };
  const host = parseResolvConf(readHostResolvConf());
  const nameservers = reachableResolvers(host.nameservers, outer);
  return resolvConfFor({ ...host, nameservers }, wishes, embedded, names);
}

/** Tells a container that runs when it is on users' networks now, or no longer. What it has written itself stays. */
export function tellResolver(
  { settings }: Pick<EngineDeps, "settings">,
  record: ContainerRecord,
  before: boolean,
): void {
  if (usesNames(record) === before) return;
  const path = `${settings.containersDirectory}/${record.id}/resolv.conf`;
  if (readFileSync(path, "utf8") !== resolvConfText(record, true, before)) return;
  // In its place: the container has the file itself mounted.
  writeFileSync(path, resolvConfText(record, true));
}
