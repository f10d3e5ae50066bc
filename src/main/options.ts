/**
 * `berth daemon`: dockerd's flags and the keys of daemon.json.
 */

import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { ServerTls } from "../api/index.ts";
import { dockerPlaces, type PluginPlaces } from "../base/docker-plugin.ts";
import { fault, messageOf } from "../base/errors.ts";
import type { LogLevel } from "../base/log.ts";
import { own } from "../base/own.ts";
import { userPlaces } from "../base/user-places.ts";
import { checkRemap } from "../engine/index.ts";
import type { KeepBlobs } from "../images/index.ts";
import { checkLogOptions } from "../logging/index.ts";
import {
  type DefaultNetworkOptions,
  defaultPools,
  type FirewallBackend,
  type FirewallPolicy,
  firewallBackends,
  firewallPolicies,
  parseAddress,
  parsePool,
  type SubnetPool,
} from "../network/index.ts";
import type { RegistrySettings } from "../registry/index.ts";
import { type Policy, readPolicy } from "../signatures/index.ts";
import { type DriverName, driverNamed } from "../storage/index.ts";
import type { Proxies } from "./proxies.ts";
import { registrySettings } from "./registries.ts";
import { serverTls } from "./tls.ts";
import { CONFIGURATION, DEFAULT_DATA_ROOT } from "./usage.ts";

/** A TCP address; port 0: any that is free. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What the daemon was told. */
export interface DaemonOptions {
  readonly hosts: readonly string[];
  readonly dataRoot: string;
  readonly execRoot: string;
  /** For the TCP addresses; undefined: whoever reaches them is let in. */
  readonly tls: ServerTls | undefined;
  /** no_new_privs is on for containers that say nothing of it. */
  readonly noNewPrivileges: boolean;
  /** Containers have SELinux' labels, where the host has SELinux. */
  readonly selinuxEnabled: boolean;
  /** TCP addresses are served to whoever reaches them: somebody has said so. */
  readonly openTcp: boolean;
  /** Programs that must allow each request. */
  readonly authorizationPlugins: readonly string[];
  /** Where it is noted who has asked for what. */
  readonly auditLog: string | undefined;
  readonly pidfile: string;
  readonly defaultNetwork: DefaultNetworkOptions;
  /** The host is to forward packets between interfaces. */
  readonly forward: boolean;
  readonly firewallBackend: FirewallBackend;
  readonly firewallPolicy: FirewallPolicy;
  /** Nobody else may change berth's firewall table. */
  readonly firewallLock: boolean;
  readonly bridge: string | undefined;
  readonly mtu: number;
  /** Where users' networks get their subnets. */
  readonly addressPools: readonly SubnetPool[];
  readonly storageDriver: DriverName | undefined;
  /** Where the repositories are that builds may fetch from this host's disk. */
  readonly gitDirectories: readonly string[];
  readonly logLevel: LogLevel;
  readonly group: string | undefined;
  readonly runtimes: ReadonlyMap<string, string>;
  readonly defaultRuntime: string;
  /** What an administrator has written on this engine, as KEY=VALUE. */
  readonly labels: readonly string[];
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly logMaxSize: number;
  readonly logMaxFiles: number;
  readonly registries: RegistrySettings;
  readonly proxies: Proxies;
  /** Which images may come from registries; undefined: all. */
  readonly signaturePolicy: Policy | undefined;
  /** Whether blobs stay beside the layers that they have been unpacked to. */
  readonly keepBlobs: KeepBlobs;
  /** The user namespace of containers that name none: "host", "auto" or "remap:NAME". */
  readonly userNamespaces: string;
  /** That comes of --userns-remap. */
  readonly usernsRemap: boolean;
  /** An ordinary user's daemon, in namespaces of its own. */
  readonly rootless: boolean;
  /** Whom a daemon that root starts runs as, beside a guard that keeps the host's rights; undefined: root. */
  readonly user: string | undefined;
  /** What that user may have of the host; undefined: what the usual file says. */
  readonly guardPolicy: string | undefined;
  /** What leads out of them; undefined: what is installed. */
  readonly rootlessNetwork: string | undefined;
  /** Seconds without a container and a request after which the daemon goes; 0: never. */
  readonly idleTimeout: number;
  /** Network namespaces to hold ready. */
  readonly warmNetworks: number;
  /** Where to serve metrics; undefined: only beside the API. */
  readonly metricsAddress: Address | undefined;
  /** ADDRESS[:PORT] to serve a registry on; undefined: none. */
  readonly registryAddress: string | undefined;
  /** A config.yml for it. */
  readonly registryConfig: string | undefined;
}

const MIB = 1 << 20;

const flags = {
  host: { type: "string", short: "H", multiple: true },
  "data-root": { type: "string" },
  "exec-root": { type: "string" },
  pidfile: { type: "string", short: "p" },
  bip: { type: "string" },
  bip6: { type: "string" },
  "fixed-cidr": { type: "string" },
  "fixed-cidr-v6": { type: "string" },
  "default-gateway": { type: "string" },
  "default-gateway-v6": { type: "string" },
  ipv6: { type: "boolean" },
  icc: { type: "boolean" },
  ip: { type: "string" },
  "ip-forward": { type: "boolean" },
  "firewall-backend": { type: "string" },
  "firewall-policy": { type: "string" },
  "firewall-lock": { type: "boolean" },
  "ip-masq": { type: "boolean" },
  bridge: { type: "string", short: "b" },
  mtu: { type: "string" },
  "default-address-pool": { type: "string", multiple: true },
  "storage-driver": { type: "string", short: "s" },
  "config-file": { type: "string" },
  "log-level": { type: "string", short: "l" },
  "log-driver": { type: "string" },
  "log-opt": { type: "string", multiple: true },
  debug: { type: "boolean", short: "D" },
  group: { type: "string", short: "G" },
  "default-runtime": { type: "string" },
  "add-runtime": { type: "string", multiple: true },
  "insecure-registry": { type: "string", multiple: true },
  "registry-mirror": { type: "string", multiple: true },
  "http-proxy": { type: "string" },
  "https-proxy": { type: "string" },
  "no-proxy": { type: "string" },
  "signature-policy": { type: "string" },
  "keep-blobs": { type: "string" },
  "allow-git-directory": { type: "string", multiple: true },
  "idle-timeout": { type: "string" },
  "userns-remap": { type: "string" },
  "default-userns": { type: "string" },
  "warm-networks": { type: "string" },
  "metrics-addr": { type: "string" },
  registry: { type: "string" },
  "registry-config": { type: "string" },
  label: { type: "string", multiple: true },
  tls: { type: "boolean" },
  tlsverify: { type: "boolean" },
  tlscacert: { type: "string" },
  tlscert: { type: "string" },
  tlskey: { type: "string" },
  "no-new-privileges": { type: "boolean" },
  "selinux-enabled": { type: "boolean" },
  "authorization-plugin": { type: "string", multiple: true },
  "audit-log": { type: "string" },
  rootless: { type: "boolean" },
  "rootless-network": { type: "string" },
  user: { type: "string" },
  "guard-policy": { type: "string" },
  "live-restore": { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

type Values = Partial<Record<keyof typeof flags, string | boolean | (string | boolean)[]>>;

/** Keys of daemon.json that are written otherwise than their flag. */
const fileKeys: Readonly<Record<string, keyof typeof flags>> = {
  hosts: "host",
  labels: "label",
  "authorization-plugins": "authorization-plugin",
  "log-opts": "log-opt",
  "allow-git-directories": "allow-git-directory",
  runtimes: "add-runtime",
  "insecure-registries": "insecure-registry",
  "registry-mirrors": "registry-mirror",
};

function bad(message: string): Error {
  return fault("invalid", "daemon-option", message);
}

function readConfig(path: string, required: boolean): Values {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!required) return {};
    throw bad(`unable to configure the daemon with file ${path}: ${messageOf(error)}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw bad(`unable to configure the daemon with file ${path}: ${messageOf(error)}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw bad(`unable to configure the daemon with file ${path}: it is not an object`);
  const values: Values = {};
  for (const [key, value] of Object.entries(json)) {
    // The one key with keys of its own that are flags.
    if (key === "proxies" && typeof value === "object" && value !== null) {
      Object.assign(values, proxiesIn(value, path));
      continue;
    }
    const name = own(fileKeys, key) ?? (key as keyof typeof flags);
    if (!Object.hasOwn(flags, name))
      throw bad(
        `unable to configure the daemon with file ${path}: the following directives don't match any configuration option: ${key}`,
      );
    values[name] = configValue(key, value);
  }
  return values;
}

function proxiesIn(value: object, path: string): Values {
  for (const [name, text] of Object.entries(value))
    if (!/^(https?|no)-proxy$/.test(name) || typeof text !== "string")
      throw bad(
        `unable to configure the daemon with file ${path}: proxies has http-proxy, https-proxy and no-proxy, each a string: ${name}`,
      );
  return value as Values;
}

function configValue(key: string, value: unknown): string | boolean | string[] {
  if (typeof value === "boolean") return value;
  if (typeof value === "string" || typeof value === "number") return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).map(([name, item]) => {
      const path =
        typeof item === "object" && item !== null && "path" in item
          ? String(item.path)
          : String(item);
      return `${name}=${path}`;
    });
  }
  throw bad(`unable to configure the daemon: ${key} has a value of the wrong type`);
}

function parseSize(text: string): number {
  const match = /^(\d+)\s*([kmg]?)b?$/i.exec(text);
  if (match === null) throw bad(`invalid size: '${text}'`);
  return (
    Number(match[1]) *
    { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 }[
      (match[2] ?? "").toLowerCase() as "" | "k" | "m" | "g"
    ]
  );
}

/** Throws a Fault "invalid" for places and names that the host does not take. */
function checkPaths(dataRoot: string, execRoot: string, bridge: string | undefined): void {
  if (!dataRoot.startsWith("/") || !execRoot.startsWith("/"))
    throw bad("--data-root and --exec-root must be absolute paths");
  if (execRoot.length > 48)
    throw bad(
      `--exec-root ${execRoot} is longer than 48 characters, which the paths of Unix sockets do not allow`,
    );
  if (bridge !== undefined && !/^[a-zA-Z][\w-]{0,14}$/.test(bridge))
    throw bad(`invalid bridge name "${bridge}": at most 15 letters, digits, - and _`);
}

/** Typed access to the values of flags and of the configuration file. Throws Faults "invalid". */
class Settings {
  constructor(private readonly values: Values) {}

  text(name: keyof typeof flags): string | undefined {
    const value = this.values[name];
    return typeof value === "string" ? value : undefined;
  }

  on(name: keyof typeof flags): boolean {
    return this.values[name] === true;
  }

  /** Said to be off, which is more than not being on. */
  off(name: keyof typeof flags): boolean {
    return this.values[name] === false;
  }

  /** What is so unless it is said not to be (--icc=false). */
  unlessOff(name: keyof typeof flags): boolean {
    return this.values[name] !== false;
  }

  list(name: keyof typeof flags): string[] {
    return [this.values[name] ?? []].flat().map(String);
  }

  whole(name: keyof typeof flags, fallback: number): number {
    const value = this.text(name);
    if (value === undefined) return fallback;
    if (!/^\d+$/.test(value)) throw bad(`invalid value "${value}" for --${name}`);
    return Number(value);
  }

  pairs(name: keyof typeof flags): Map<string, string> {
    return new Map(
      this.list(name).map((item): [string, string] => {
        const equals = item.indexOf("=");
        if (equals <= 0) throw bad(`invalid value "${item}" for --${name}: it must be NAME=VALUE`);
        return [item.slice(0, equals), item.slice(equals + 1)];
      }),
    );
  }
}

function ownPlaces() {
  // Inside of its own namespaces the user is root; the directory is named after who it is outside.
  return userPlaces(process.env, Number(process.env.BERTH_ROOTLESS_UID ?? process.getuid?.() ?? 0));
}

/** Where Docker's plugins are looked for: a user's own come before the host's, which the user may be allowed to ask. */
export function pluginPlaces({ rootless }: Pick<DaemonOptions, "rootless">): PluginPlaces {
  if (!rootless) return dockerPlaces;
  const { sockets, specs } = ownPlaces().plugins;
  return {
    sockets: [...sockets, ...dockerPlaces.sockets],
    specs: [...specs, ...dockerPlaces.specs],
  };
}

function configurationOf(given: Values): string {
  return given.rootless === true ? ownPlaces().configuration : CONFIGURATION;
}

/** What the arguments say over what the configuration file says. Undefined when only help was asked for. */
function readSettings(argv: readonly string[]): Settings | undefined {
  let given: Values;
  const { args, off } = withoutTruths(argv);
  try {
    given = parseArgs({
      args,
      options: flags,
      strict: true,
      allowPositionals: false,
    }).values;
  } catch (error) {
    throw bad(`${messageOf(error).split(". To specify")[0]}\nSee 'berth daemon --help'.`);
  }
  if (given.help) return undefined;
  const file = typeof given["config-file"] === "string" ? given["config-file"] : undefined;
  return new Settings({
    ...readConfig(file ?? `${configurationOf(given)}/daemon.json`, file !== undefined),
    ...given,
    ...off,
  });
}

/** Arguments without what their flags do not take: --icc=false, which is off, and --icc=true, which is --icc. */
function withoutTruths(argv: readonly string[]): { args: string[]; off: Values } {
  const off: Values = {};
  const args = argv.flatMap((argument) => {
    const [, name = "", value = ""] = /^--([\w-]+)=(.*)$/s.exec(argument) ?? [];
    const key = name as keyof typeof flags;
    if (!Object.hasOwn(flags, name) || flags[key].type !== "boolean") return [argument];
    if (/^(1|t|T|TRUE|true|True)$/.test(value)) return [`--${name}`];
    if (!/^(0|f|F|FALSE|false|False)$/.test(value))
      throw bad(
        `invalid argument "${value}" for "--${name}" flag: strconv.ParseBool: parsing "${value}": invalid syntax`,
      );
    off[key] = false;
    return [];
  });
  return { args, off };
}

/** What dockerd's flags say of the default network. */
function defaultNetworkOf(settings: Settings): DefaultNetworkOptions {
  const hostBinding = settings.text("ip") ?? "";
  if (hostBinding !== "" && parseAddress(hostBinding) === undefined)
    throw bad(`invalid value "${hostBinding}" for --ip: no IP address`);
  return {
    bip: settings.text("bip"),
    bip6: settings.text("bip6"),
    fixedCidr: settings.text("fixed-cidr"),
    fixedCidr6: settings.text("fixed-cidr-v6"),
    gateway: settings.text("default-gateway"),
    gateway6: settings.text("default-gateway-v6"),
    ipv6: settings.on("ipv6"),
    icc: settings.unlessOff("icc"),
    masquerade: settings.unlessOff("ip-masq"),
    hostBinding,
    none: settings.text("bridge") === "none",
  };
}

function logLevel(settings: Settings): LogLevel {
  const level = settings.on("debug") ? "debug" : (settings.text("log-level") ?? "info");
  if (!["debug", "info", "warn", "error"].includes(level))
    throw bad(`invalid logging level: ${level}`);
  return level as LogLevel;
}

/** One of a flag's words; the first unless it is given. */
function oneOf<T extends string>(
  settings: Settings,
  flag: Parameters<Settings["text"]>[0],
  words: readonly [T, ...T[]],
): T {
  const given = settings.text(flag) || words[0];
  const known = words.find((word) => word === given);
  if (known !== undefined) return known;
  const [last, ...others] = words.toReversed();
  throw bad(
    `invalid value "${given}" for --${flag}: it must be ${others.toReversed().join(", ")} or ${last}`,
  );
}

/** The iptables programs would speak to the host's network, where a rootless daemon has no rights. */
function firewallBackendOf(settings: Settings): FirewallBackend {
  const backend = oneOf(settings, "firewall-backend", firewallBackends);
  if (!settings.on("rootless")) return backend;
  if (backend !== "iptables") return "nftables";
  throw bad("--rootless goes with --firewall-backend=nftables alone");
}

function storageDriver(settings: Settings): DriverName | undefined {
  const driver = settings.text("storage-driver");
  return driver === undefined ? undefined : driverNamed(driver);
}

function addressOf(settings: Settings, name: "metrics-addr"): Address | undefined {
  const text = settings.text(name);
  if (text === undefined || text === "") return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535)
    throw bad(`invalid value "${text}" for --${name}: it must be ADDRESS:PORT`);
  // As Docker has it, no address is every address.
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port: Number(match[3]) };
}

function runtimesOf(settings: Settings): Pick<DaemonOptions, "runtimes" | "defaultRuntime"> {
  // An external runtime wants the host's network namespace and control groups.
  if (settings.on("rootless") && settings.list("add-runtime").length > 0)
    throw bad("--rootless runs no external runtimes (--add-runtime)");
  const installed = settings.on("rootless") ? null : Bun.which("runc");
  const runtimes = new Map([
    ...(installed === null ? [] : [["runc", installed] as const]),
    ...settings.pairs("add-runtime"),
  ]);
  const defaultRuntime = settings.text("default-runtime") ?? "berth";
  if (defaultRuntime !== "berth" && !runtimes.has(defaultRuntime))
    throw bad(`specified default runtime '${defaultRuntime}' does not exist`);
  return { runtimes, defaultRuntime };
}

function userNamespacesOf(
  settings: Settings,
): Pick<DaemonOptions, "userNamespaces" | "usernsRemap"> {
  const remap = settings.text("userns-remap") ?? "";
  const standard = settings.text("default-userns") ?? "";
  if (remap !== "" && standard !== "")
    throw bad("--userns-remap and --default-userns exclude each other");
  if (!["", "host", "auto"].includes(standard))
    throw bad(`invalid value "${standard}" for --default-userns: it must be host or auto`);
  // All of a rootless daemon's containers are in its own, whose root has no rights outside.
  const usual = settings.on("rootless") ? "host" : "auto";
  if (remap === "") return { userNamespaces: standard || usual, usernsRemap: false };
  if (settings.on("rootless"))
    throw bad(
      "--rootless and --userns-remap exclude each other: the ids of root's remap are not yours",
    );
  if (settings.text("user") !== undefined)
    throw bad(
      "--user and --userns-remap exclude each other: the ids of the remap are not the daemon's",
    );
  if (!/^[^:]+(:[^:]+)?$/.test(remap))
    throw bad(`invalid value "${remap}" for --userns-remap: it must be USER[:GROUP] or default`);
  const userNamespaces = `remap:${remap}`;
  checkRemap(userNamespaces);
  return { userNamespaces, usernsRemap: true };
}

function labelsOf(settings: Settings): string[] {
  const labels = settings.list("label");
  for (const label of labels)
    if (label.indexOf("=") <= 0) throw bad(`bad attribute format: ${label}`);
  return labels;
}

function tlsOf(settings: Settings): ServerTls | undefined {
  const flagsOfTls = {
    on: settings.on("tls"),
    verify: settings.on("tlsverify"),
    ca: settings.text("tlscacert"),
    cert: settings.text("tlscert"),
    key: settings.text("tlskey"),
  };
  return serverTls(flagsOfTls, process.env);
}

function gitDirectories(settings: Settings): readonly string[] {
  const given = settings.list("allow-git-directory");
  for (const one of given)
    if (!one.startsWith("/")) throw bad(`invalid --allow-git-directory "${one}": no absolute path`);
  return given;
}

/** A policy that is there counts: what is wrong with it ends the start. */
function signaturePolicy(settings: Settings): Policy | undefined {
  const given = settings.text("signature-policy");
  if (given !== undefined) return readPolicy(given);
  const usual = `${settings.on("rootless") ? ownPlaces().configuration : CONFIGURATION}/policy.json`;
  return existsSync(usual) ? readPolicy(usual) : undefined;
}

function addressPools(settings: Settings): readonly SubnetPool[] {
  const given = settings.list("default-address-pool");
  return given.length > 0 ? given.map(parsePool) : defaultPools;
}

/** Parses arguments and the configuration file. Undefined when only help was asked for. Throws Faults "invalid". */
export function parseDaemonOptions(argv: readonly string[]): DaemonOptions | undefined {
  const settings = readSettings(argv);
  if (settings === undefined) return undefined;
  const rootless = settings.on("rootless");
  const usual = rootless
    ? ownPlaces()
    : { dataRoot: DEFAULT_DATA_ROOT, execRoot: "/run/berth", socket: "/run/berth/berth.sock" };
  const dataRoot = settings.text("data-root") ?? usual.dataRoot;
  const execRoot = settings.text("exec-root") ?? usual.execRoot;
  const hosts = settings.list("host");
  const logOptions = settings.pairs("log-opt");
  const logDriver = settings.text("log-driver") || "json-file";
  checkLogOptions(logDriver, Object.fromEntries(logOptions));
  checkPaths(dataRoot, execRoot, settings.text("bridge"));
  return {
    hosts: hosts.length > 0 ? hosts : [`unix://${usual.socket}`],
    tls: tlsOf(settings),
    openTcp: settings.off("tls") || settings.off("tlsverify"),
    noNewPrivileges: settings.on("no-new-privileges"),
    selinuxEnabled: settings.on("selinux-enabled"),
    authorizationPlugins: settings.list("authorization-plugin"),
    auditLog: settings.text("audit-log"),
    dataRoot,
    execRoot,
    pidfile: settings.text("pidfile") ?? `${execRoot}/berth.pid`,
    defaultNetwork: defaultNetworkOf(settings),
    forward: settings.unlessOff("ip-forward"),
    firewallBackend: firewallBackendOf(settings),
    firewallPolicy: oneOf(settings, "firewall-policy", firewallPolicies),
    firewallLock: settings.unlessOff("firewall-lock"),
    bridge: settings.text("bridge") === "none" ? undefined : settings.text("bridge"),
    mtu: settings.whole("mtu", 1500),
    addressPools: addressPools(settings),
    storageDriver: storageDriver(settings),
    gitDirectories: gitDirectories(settings),
    logLevel: logLevel(settings),
    group: settings.text("group"),
    ...runtimesOf(settings),
    labels: labelsOf(settings),
    logDriver,
    logOptions: Object.fromEntries(logOptions),
    logMaxSize: parseSize(logOptions.get("max-size") ?? String(20 * MIB)),
    logMaxFiles: Number(logOptions.get("max-file") ?? 5) || 1,
    proxies: {
      http: settings.text("http-proxy"),
      https: settings.text("https-proxy"),
      none: settings.text("no-proxy"),
    },
    registries: registrySettings(
      settings.list("insecure-registry"),
      settings.list("registry-mirror"),
    ),
    signaturePolicy: signaturePolicy(settings),
    keepBlobs: oneOf<KeepBlobs>(settings, "keep-blobs", ["always", "compressed", "never"]),
    ...userNamespacesOf(settings),
    rootless,
    rootlessNetwork: settings.text("rootless-network"),
    user: settings.text("user"),
    guardPolicy: settings.text("guard-policy"),
    idleTimeout: settings.whole("idle-timeout", 0),
    warmNetworks: settings.whole("warm-networks", 4),
    metricsAddress: addressOf(settings, "metrics-addr"),
    registryAddress: settings.text("registry"),
    registryConfig: settings.text("registry-config"),
  };
}

/** True for the data root that is used when none is given: its names on the host are the plain ones. */
export function isDefaultInstance(options: DaemonOptions): boolean {
  return options.dataRoot === (options.rootless ? ownPlaces().dataRoot : DEFAULT_DATA_ROOT);
}
