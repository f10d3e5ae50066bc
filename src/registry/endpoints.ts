/**
 * Where a registry is reached, and how: its own address, mirrors in front of it, certificates, plain HTTP. Read anew at
 * each use, so that a change needs no restart: `hosts.toml` as containerd has it, certificates as dockerd has them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { isAbsolute, join } from "node:path";
import { fault, messageOf } from "../base/errors.ts";

/** What the daemon was told of registries. */
export interface RegistrySettings {
  /** Hosts, "host:port" and CIDR blocks that may be reached without a valid certificate, or without TLS. */
  readonly insecure: readonly string[];
  /** URLs that are asked before Docker Hub. */
  readonly mirrors: readonly string[];
  /** Directories with a folder a registry, the first one that has it counts. */
  readonly certificates: readonly string[];
}

/** What an endpoint is good for (containerd's hosts.md). */
export type Capability = "pull" | "resolve" | "push";

/** How TLS is spoken. */
export interface TlsOptions {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
}

/** An address that speaks the distribution protocol. */
export interface Endpoint {
  /** With the API's prefix, without a slash at the end: "https://registry-1.docker.io/v2". */
  readonly url: string;
  readonly capabilities: ReadonlySet<Capability>;
  readonly tls: TlsOptions;
  readonly headers: Readonly<Record<string, string>>;
  /** The registry that a mirror answers for, which is then named in each request. */
  readonly mirrorOf?: string;
}

const HUB = "registry-1.docker.io";
const everything: ReadonlySet<Capability> = new Set(["pull", "resolve", "push"]);
const reading: ReadonlySet<Capability> = new Set(["pull", "resolve"]);

/** The host of Docker's own registry goes by other names in references and logins. */
export function hostOfDomain(domain: string): string {
  return ["", "docker.io", "index.docker.io"].includes(domain) ? HUB : domain;
}

function addressNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function inBlock(address: string, block: string): boolean {
  const [network = "", bits = "32"] = block.split("/");
  if (!isIPv4(address) || !isIPv4(network)) return false;
  const size = 2 ** (32 - Number(bits));
  return Math.floor(addressNumber(address) / size) === Math.floor(addressNumber(network) / size);
}

/** Whether a host may be reached without a valid certificate. Loopback always may. */
export function isInsecure(host: string, settings: RegistrySettings): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (name === "localhost" || name === "::1") return true;
  return ["127.0.0.0/8", ...settings.insecure].some((entry) =>
    entry.includes("/") ? inBlock(name, entry) : entry === host || entry === name,
  );
}

/** The folder of a registry among the certificates' directories. */
function folderOf(host: string, settings: RegistrySettings): string | undefined {
  const names = [host, host === HUB ? "docker.io" : host];
  return settings.certificates
    .flatMap((directory) => names.map((name) => join(directory, name)))
    .find((folder) => existsSync(folder));
}

/** dockerd's way: every *.crt is an authority, *.cert and *.key are this client's. */
function certificatesIn(folder: string): TlsOptions {
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  const files = readdirSync(folder).sort();
  const ca = files.filter((name) => name.endsWith(".crt")).map(read);
  const own = files.find((name) => name.endsWith(".cert"));
  if (own === undefined) return ca.length === 0 ? {} : { ca };
  const key = own.replace(/cert$/, "key");
  if (!files.includes(key))
    throw fault(
      "invalid",
      "registry-certificates",
      `missing key ${key} for client certificate ${own}. CA certificates must use the extension .crt`,
    );
  return { ...(ca.length === 0 ? {} : { ca }), cert: read(own), key: read(key) };
}

type Toml = Readonly<Record<string, unknown>>;

function bad(path: string, why: string): Error {
  return fault("invalid", "registry-hosts", `invalid registry configuration ${path}: ${why}`);
}

function apiUrl(text: string, table: Toml, path: string): string {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `https://${text}`);
  if (url === null) throw bad(path, `${JSON.stringify(text)} is no address`);
  const plain = url.href.replace(/\/+$/, "");
  return table.override_path === true || /\/v2$/.test(plain) ? plain : `${plain}/v2`;
}

function tlsOf(table: Toml, folder: string, fallback: TlsOptions): TlsOptions {
  const read = (name: unknown) =>
    readFileSync(isAbsolute(String(name)) ? String(name) : join(folder, String(name)), "utf8");
  const ca = table.ca === undefined ? undefined : [table.ca].flat().map(read);
  const [pair] = [table.client ?? []].flat(1);
  const [cert, key] = Array.isArray(pair) ? pair : [pair, pair];
  return {
    ...fallback,
    ...(ca && { ca }),
    ...(cert !== undefined && { cert: read(cert), key: read(key) }),
    ...(table.skip_verify === true && { rejectUnauthorized: false }),
  };
}

function endpointOf(text: string, table: Toml, path: string, own: Endpoint): Endpoint {
  const url = apiUrl(text, table, path);
  const named = Array.isArray(table.capabilities) ? (table.capabilities as string[]) : undefined;
  for (const name of named ?? [])
    if (!everything.has(name as Capability)) throw bad(path, `unknown capability ${name}`);
  const headers = Object.entries((table.header ?? {}) as Toml).map(([name, value]) => [
    name,
    [value].flat().join(", "),
  ]);
  const isOwn = new URL(url).host === new URL(own.url).host;
  return {
    url,
    capabilities: named ? new Set(named as Capability[]) : everything,
    tls: tlsOf(table, path.replace(/\/[^/]*$/, ""), own.tls),
    headers: Object.fromEntries(headers),
    ...(isOwn ? {} : { mirrorOf: new URL(own.url).host }),
  };
}

/** The endpoints that hosts.toml names, in its order, and the registry itself at the end. */
function fromHostsFile(path: string, own: readonly Endpoint[]): Endpoint[] {
  let file: Toml;
  try {
    file = Bun.TOML.parse(readFileSync(path, "utf8")) as Toml;
  } catch (error) {
    throw bad(path, messageOf(error));
  }
  const [first] = own;
  if (first === undefined) return [];
  const hosts = Object.entries((file.host ?? {}) as Readonly<Record<string, Toml>>).map(
    ([text, table]) => endpointOf(text, table, path, first),
  );
  const server =
    typeof file.server === "string" ? [endpointOf(file.server, file, path, first)] : own;
  return [...hosts, ...server];
}

/**
 * The endpoints of a registry, in the order in which they are asked. `domain` is a reference's: "docker.io",
 * "localhost:5000". Throws a Fault "invalid" for configuration that cannot be read.
 */
export function endpointsOf(domain: string, settings: RegistrySettings): Endpoint[] {
  const host = hostOfDomain(domain);
  const folder = folderOf(host, settings);
  const insecure = isInsecure(host, settings);
  const tls = {
    ...(folder === undefined ? {} : certificatesIn(folder)),
    ...(insecure ? { rejectUnauthorized: false } : {}),
  };
  const at = (scheme: string): Endpoint => ({
    url: `${scheme}://${host}/v2`,
    capabilities: everything,
    tls,
    headers: {},
  });
  const own = insecure ? [at("https"), at("http")] : [at("https")];
  const hosts = folder === undefined ? undefined : join(folder, "hosts.toml");
  if (hosts !== undefined && existsSync(hosts)) return fromHostsFile(hosts, own);
  const mirrors = host === HUB ? settings.mirrors : [];
  return [
    ...mirrors.map(
      (url): Endpoint => ({
        url: apiUrl(url, {}, "--registry-mirror"),
        capabilities: reading,
        tls: isInsecure(new URL(url).host, settings) ? { rejectUnauthorized: false } : {},
        headers: {},
        mirrorOf: host,
      }),
    ),
    ...own,
  ];
}
