/**
 * What the daemon is told of registries, checked, and what it tells of them.
 */
import { isIP, isIPv4 } from "node:net";
import type { RegistryPort } from "../api/index.ts";
import { fault } from "../base/errors.ts";
import { login, type RegistrySettings, searchRegistry } from "../registry/index.ts";
import type { SystemInfo } from "../spec/engine-api.ts";

const HUB = "docker.io";
const CERTIFICATES = ["/etc/berth/certs.d", "/etc/docker/certs.d", "/etc/containerd/certs.d"];

function bad(message: string): Error {
  return fault("invalid", "daemon-option", message);
}

/** A mirror's address, with a slash at its end. */
function mirror(text: string): string {
  const url = URL.parse(text);
  const shown = JSON.stringify(text);
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(text))
    throw bad(
      `invalid mirror: no scheme specified for ${shown}: must use either 'https://' or 'http://'`,
    );
  if (url === null) throw bad(`invalid mirror: ${shown} is not a valid URI`);
  if (!/^https?:$/.test(url.protocol))
    throw bad(
      `invalid mirror: unsupported scheme ${JSON.stringify(url.protocol.slice(0, -1))} in ${shown}: must use either 'https://' or 'http://'`,
    );
  if (url.username !== "" || url.password !== "")
    throw bad(
      `invalid mirror: username/password not allowed in URI "${url.protocol}//xxxxx:xxxxx@${url.host}"`,
    );
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw bad(`invalid mirror: path, query, or fragment at end of the URI ${shown}`);
  return `${url.origin}/`;
}

function isBlock(text: string): boolean {
  const [network = "", bits = ""] = text.split("/");
  const most = isIPv4(network) ? 32 : 128;
  return isIP(network) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
}

/** A host, HOST:PORT or a block of addresses. Some people write a scheme, which says nothing. */
function insecure(text: string): string {
  const plain = text.replace(/^https?:\/\//, "");
  if (isBlock(plain)) return plain;
  const [, port] = /:(\d+)$/.exec(plain) ?? [];
  const isHost = /^([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?$/.test(plain);
  if (isHost && Number(port ?? 1) >= 1 && Number(port ?? 1) <= 65535 && !plain.startsWith("-"))
    return plain;
  throw bad(`insecure registry ${text} is not valid: it is no host, host:port or CIDR block`);
}

/** Checks what the daemon was told. Throws a Fault "invalid" in Docker's words. */
export function registrySettings(
  insecureHosts: readonly string[],
  mirrors: readonly string[],
): RegistrySettings {
  return {
    insecure: insecureHosts.map(insecure),
    mirrors: mirrors.map(mirror),
    certificates: CERTIFICATES,
  };
}

/** How registries are reached, as `info` shows it: over TLS, but for those on the same host and those named. */
export function registryInfo({
  insecure: named,
  mirrors,
}: RegistrySettings): SystemInfo["RegistryConfig"] {
  const hosts = named.filter((one) => !one.includes("/"));
  const own = hosts.map((Name) => [Name, { Name, Mirrors: [], Secure: false, Official: false }]);
  return {
    IndexConfigs: {
      [HUB]: { Name: HUB, Mirrors: [...mirrors], Secure: true, Official: true },
      ...Object.fromEntries(own),
    },
    InsecureRegistryCIDRs: [...named.filter((one) => one.includes("/")), "::1/128", "127.0.0.0/8"],
    Mirrors: [...mirrors],
  };
}

/** Image registries. */
export function registryPort(settings: RegistrySettings): RegistryPort {
  return {
    login: (request) => login(request, settings),
    search: (wish, credentials) => searchRegistry(wish, settings, credentials),
  };
}
