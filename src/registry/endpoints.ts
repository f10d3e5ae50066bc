/**
 * Where a registry is reached, and how: its own address, mirrors in front of it, certificates, plain HTTP. Read anew at
 * each use, so that a change needs no restart: `hosts.toml` as containerd has it, certificates as dockerd has them.
 */

import { lookup } from "node:dns/promises";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { BlockList, isIP, isIPv4 } from "node:net";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { fault, messageOf } from "../base/errors.ts";
import type { Patience } from "./body.ts";
import { type Capability, hostsIn } from "./hosts-file.ts";
import { isLoopback } from "./targets.ts";

/** What the daemon was told of registries. */
export interface RegistrySettings {
  /** Hosts, "host:port" and CIDR blocks that may be reached without a valid certificate, or without TLS. */
  readonly insecure: readonly string[];
  /** URLs that are asked before Docker Hub. */
  readonly mirrors: readonly string[];
  /** Directories with a folder a registry, the first one that has it counts. */
  readonly certificates: readonly string[];
  /** Other than the usual one. */
  readonly patience?: Patience;
}

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
  /** The registry that another host answers for, which is then named in each request. */
  readonly mirrorOf?: string;
  /** It is the registry itself, by the configuration's word, and may be told who asks. No mirror may. */
  readonly own: boolean;
  /** How TLS is spoken to another host that this one leads to. It does not see this client's certificate. */
  elsewhere(hostname: string): TlsOptions;
}

const HUB = "registry-1.docker.io";
const everything: ReadonlySet<Capability> = new Set(["pull", "resolve", "push"]);
const reading: ReadonlySet<Capability> = new Set(["pull", "resolve"]);

/** The host of Docker's own registry goes by other names in references and logins. */
export function hostOfDomain(domain: string): string {
  return ["", "docker.io", "index.docker.io"].includes(domain) ? HUB : domain;
}

function inBlock(address: string, block: string): boolean {
  const [network = "", bits = ""] = block.split("/");
  const family = (text: string) => (isIPv4(text) ? "ipv4" : "ipv6");
  const size = isIPv4(network) ? 32 : 128;
  if (isIP(network) === 0 || !/^\d+$/.test(bits) || Number(bits) > size) return false;
  if (isIP(address) === 0) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family(network));
  return list.check(address, family(address));
}

/** Whether a host may be reached without a valid certificate. Loopback always may. */
export function isInsecure(host: string, settings: RegistrySettings): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (isLoopback(name)) return true;
  return settings.insecure.some((entry) =>
    entry.includes("/") ? inBlock(name, entry) : entry === host || entry === name,
  );
}

/** The folder of a registry among the certificates' directories. */
function folderOf(host: string, settings: RegistrySettings): string | undefined {
  // A colon may not be allowed in a file's name: containerd writes it so, too.
  const names = [host, host === HUB ? "docker.io" : host, host.replace(/:(\d+)$/, "_$1_")];
  return [...names, "_default"]
    .flatMap((name) => settings.certificates.map((directory) => join(directory, name)))
    .find((folder) => existsSync(folder));
}

function unreadable(what: string, error: unknown): Error {
  return fault(
    "invalid",
    "registry-certificates",
    `the registry's certificate ${what} cannot be read: ${messageOf(error)}`,
  );
}

function certificate(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw unreadable(path, error);
  }
}

let trusted: readonly string[] | undefined;

/** Whom everybody trusts, and whom this host does: the runtime by itself does not ask the host. */
function commonAuthorities(): readonly string[] {
  const both = () => [...getCACertificates("default"), ...getCACertificates("system")];
  trusted ??= [...new Set(both().map((one) => one.trim()))];
  return trusted;
}

/** Authorities beside those. */
function authorities(paths: readonly string[]): Pick<TlsOptions, "ca"> {
  return paths.length === 0 ? {} : { ca: [...commonAuthorities(), ...paths.map(certificate)] };
}

/** dockerd's way: every *.crt is an authority, *.cert and *.key are this client's. */
function certificatesIn(folder: string): TlsOptions {
  const files = readdirSync(folder).sort();
  const at = (name: string) => join(folder, name);
  const ca = authorities(files.filter((name) => name.endsWith(".crt")).map(at));
  const own = files.find((name) => name.endsWith(".cert"));
  const orphan = files.find(
    (name) => name.endsWith(".key") && !files.includes(name.replace(/key$/, "cert")),
  );
  if (orphan !== undefined)
    throw fault(
      "invalid",
      "registry-certificates",
      `missing client certificate ${orphan.replace(/key$/, "cert")} for key ${orphan}`,
    );
  if (own === undefined) return ca;
  const key = own.replace(/cert$/, "key");
  if (!files.includes(key))
    throw fault(
      "invalid",
      "registry-certificates",
      `missing key ${key} for client certificate ${own}. CA certificates must use the extension .crt`,
    );
  return { ...ca, cert: certificate(at(own)), key: certificate(at(key)) };
}

/** Makes endpoints of one registry. */
class Maker {
  constructor(
    readonly host: string,
    private readonly settings: RegistrySettings,
  ) {}

  endpoint(url: string, given: TlsOptions, rest: Partial<Endpoint> = {}): Endpoint {
    const { ca = commonAuthorities() } = given;
    return {
      url,
      capabilities: everything,
      tls: { ...given, ca },
      headers: {},
      own: true,
      ...(new URL(url).host === this.host ? {} : { mirrorOf: this.host }),
      elsewhere: (hostname) => ({ ca, ...this.leniency(hostname) }),
      ...rest,
    };
  }

  private leniency(host: string): TlsOptions {
    return isInsecure(host, this.settings) ? { rejectUnauthorized: false } : {};
  }

  /** The registry's own addresses. */
  own(tls: TlsOptions): Endpoint[] {
    const schemes = isInsecure(this.host, this.settings) ? ["https", "http"] : ["https"];
    return schemes.map((scheme) => this.endpoint(`${scheme}://${this.host}/v2`, tls));
  }

  /** Those that hosts.toml names, in its order, and the registry itself at the end. */
  named(path: string, shared: TlsOptions): Endpoint[] {
    const { hosts, server } = hostsIn(path, this.host);
    const made = [...hosts, ...(server === undefined ? [] : [server])].map((entry) => {
      const { host } = new URL(entry.url);
      const { ca, client, skipVerify, headers } = entry;
      const tls = {
        ...(host === this.host ? shared : this.leniency(host)),
        ...authorities(ca),
        // Whoever names an authority wants it asked, on the same host, too.
        ...(ca.length > 0 && !this.settings.insecure.includes(host)
          ? { rejectUnauthorized: true }
          : {}),
        ...(client && { cert: certificate(client.cert), key: certificate(client.key) }),
        ...(skipVerify ? { rejectUnauthorized: false } : {}),
      };
      const { capabilities = everything } = entry;
      const own = entry === server || host === this.host;
      return this.endpoint(entry.url, tls, { capabilities, headers, own });
    });
    return server === undefined ? [...made, ...this.own(shared)] : made;
  }
}

function endpointsOf(host: string, settings: RegistrySettings): Endpoint[] {
  const maker = new Maker(host, settings);
  const folder = folderOf(host, settings);
  const lenient = isInsecure(host, settings) ? { rejectUnauthorized: false } : {};
  const tls = { ...(folder === undefined ? {} : certificatesIn(folder)), ...lenient };
  const hosts = folder === undefined ? undefined : join(folder, "hosts.toml");
  if (hosts !== undefined && existsSync(hosts)) return maker.named(hosts, tls);
  const mirrors = host === HUB ? settings.mirrors : [];
  return [
    ...mirrors.map((text) => {
      const url = text.replace(/\/+$/, "").replace(/(\/v2)?$/, "/v2");
      const lenientMirror = isInsecure(new URL(url).host, settings);
      return maker.endpoint(url, lenientMirror ? { rejectUnauthorized: false } : {}, {
        capabilities: reading,
        own: false,
      });
    }),
    ...maker.own(tls),
  ];
}

/** The addresses of a name. */
export type Resolve = (name: string) => Promise<readonly string[]>;

/** Where names are answered slowly, by nobody, or by the proxy alone, the name is no reason to wait. */
const LOOKUP_MS = 2000;

const bySystem: Resolve = async (name) => {
  const late = Bun.sleep(LOOKUP_MS).then(() => []);
  const found = await Promise.race([lookup(name, { all: true }), late]);
  return found.map(({ address }) => address);
};

/**
 * The endpoints of a registry, in the order in which they are asked. `domain` is a reference's: "docker.io",
 * "localhost:5000". Where blocks of addresses are insecure, a name is looked up, as dockerd does. Rejects with a Fault "invalid" for
 * configuration that cannot be read.
 */
export async function findEndpoints(
  domain: string,
  settings: RegistrySettings,
  resolve: Resolve = bySystem,
): Promise<Endpoint[]> {
  const host = hostOfDomain(domain);
  const name = host.replace(/:\d+$/, "");
  const blocks = settings.insecure.filter((entry) => entry.includes("/"));
  if (blocks.length === 0 || host === HUB || isIP(name) !== 0 || isInsecure(host, settings))
    return endpointsOf(host, settings);
  const addresses = await resolve(name).catch(() => []);
  const isInside = addresses.some((address) => blocks.some((block) => inBlock(address, block)));
  const insecure = [...settings.insecure, ...(isInside ? [host] : [])];
  return endpointsOf(host, { ...settings, insecure });
}
