/**
 * Where a registry may lead us: redirections, authorization services, upload addresses, next pages. Pure.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { fault } from "../base/errors.ts";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addSubnet("::ffff:127.0.0.0", 104, "ipv6");
loopback.addAddress("::1", "ipv6");
loopback.addAddress("0.0.0.0", "ipv4");
loopback.addAddress("::", "ipv6");

/** Where clouds tell each machine its secrets. */
const linkLocal = new BlockList();
linkLocal.addSubnet("169.254.0.0", 16, "ipv4");
linkLocal.addSubnet("::ffff:169.254.0.0", 112, "ipv6");
linkLocal.addSubnet("fe80::", 10, "ipv6");
linkLocal.addAddress("fd00:ec2::254", "ipv6");

function isIn(list: BlockList, hostname: string): boolean {
  const plain = hostname.replace(/^\[|\]$/g, "");
  if (isIPv4(plain)) return list.check(plain, "ipv4");
  return isIPv6(plain) && list.check(plain, "ipv6");
}

/** Whether a host's name or address, without a port, is this machine. */
export function isLoopback(hostname: string): boolean {
  return /^([^.]+\.)*localhost\.?$/i.test(hostname) || isIn(loopback, hostname);
}

function astray(from: URL, why: string): Error {
  return fault("failed", "registry-redirect", `${from.host} leads to ${why}`);
}

/**
 * An address that a registry has named, relative to the one that was asked. Throws a Fault for one where nobody is to be
 * sent: out of TLS, to this machine or to the cloud's metadata from a registry elsewhere, to what is no HTTP at all.
 */
export function ledTo(text: string, from: URL): URL {
  const url = URL.parse(text, from.href);
  if (url === null) throw astray(from, "what is no address");
  if (!/^https?:$/.test(url.protocol)) throw astray(from, `${url.protocol}, which is no HTTP`);
  const shown = `${url.protocol}//${url.host}`;
  if (from.protocol === "https:" && url.protocol === "http:")
    throw astray(from, `${shown}, out of TLS`);
  const stays = url.hostname === from.hostname;
  if (!stays && isIn(linkLocal, url.hostname)) throw astray(from, `${shown}, which is link-local`);
  if (!stays && isLoopback(url.hostname) && !isLoopback(from.hostname))
    throw astray(from, `${shown}, which is this machine`);
  // Nobody's name and password come from an address.
  url.username = "";
  url.password = "";
  return url;
}
