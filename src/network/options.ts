/**
 * The options of a network (`--opt com.docker.network.…`), checked. Pure.
 */
import { fault } from "../base/errors.ts";
import { parseAddress } from "./addresses.ts";

const BRIDGE = "com.docker.network.bridge.";

/** How a network of one family is connected to the outside. */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

/** What options say of a bridge. */
export interface BridgeOptions {
  /** Empty: made from the network's id. */
  readonly name: string;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Where ports are published that name no address. */
  readonly hostBinding: string;
  /** The host's addresses that what leaves has. */
  readonly sourceAddress: string | undefined;
  readonly sourceAddress6: string | undefined;
  readonly mode4: GatewayMode;
  readonly mode6: GatewayMode;
  /** The bridge gets no address of IPv4, although containers have a gateway. */
  readonly inhibit4: boolean;
  /** Interfaces of the host from which containers are reached directly. */
  readonly trusted: readonly string[];
  /** 0: the daemon's. */
  readonly mtu: number;
  /** What interfaces in containers are called, before their number. */
  readonly interfacePrefix: string;
}

function invalid(key: string, value: string, why: string): Error {
  return fault("invalid", "network-option", `failed to parse ${key} value: ${value} (${why})`);
}

/** An interface's name that stands in firewall rules as it is. */
export function isInterfaceName(name: string): boolean {
  return /^[a-zA-Z0-9_.-]{1,15}$/.test(name) && name !== "." && name !== "..";
}

/** The MTU that options ask for; 0: none. Throws a Fault "invalid". */
export function mtuOption(options: Readonly<Record<string, string>>): number {
  const key = "com.docker.network.driver.mtu";
  const text = options[key] ?? "";
  if (text === "") return 0;
  if (!/^[+-]?\d+$/.test(text))
    throw invalid(key, text, `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (Number(text) < 0) throw fault("invalid", "network-option", `invalid MTU number: ${text}`);
  if (Number(text) !== 0 && (Number(text) < 68 || Number(text) > 65535))
    throw invalid(key, text, "from 68 to 65535");
  return Number(text);
}

/** A truth as Go reads one. Throws a Fault "invalid" in Docker's words. */
function truth(
  options: Readonly<Record<string, string>>,
  key: string,
  otherwise: boolean,
): boolean {
  const value = options[key];
  if (value === undefined) return otherwise;
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw invalid(key, value, `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** Which families a network is to have by its options, which give way to what the request says. */
export function familyOptions(options: Readonly<Record<string, string>>): {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
} {
  return {
    ipv4: truth(options, "com.docker.network.enable_ipv4", true),
    ipv6: truth(options, "com.docker.network.enable_ipv6", false),
  };
}

function addressOption(
  options: Readonly<Record<string, string>>,
  key: string,
  family?: 4 | 6,
): string {
  const value = options[key] ?? "";
  if (value === "" && options[key] === undefined) return "";
  const parsed = parseAddress(value);
  if (parsed === undefined) throw invalid(key, value, "nil ip");
  if (family !== undefined && parsed.family !== family)
    throw invalid(key, value, `not an IPv${family} address`);
  return value;
}

function modeOption(options: Readonly<Record<string, string>>, family: 4 | 6): GatewayMode {
  const key = `${BRIDGE}gateway_mode_ipv${family}`;
  const mode = options[key] ?? "nat";
  if (mode === "nat" || mode === "nat-unprotected" || mode === "routed" || mode === "isolated")
    return mode;
  throw invalid(key, mode, `unknown gateway mode ${mode}`);
}

function nameOption(options: Readonly<Record<string, string>>): string {
  const name = options[`${BRIDGE}name`] ?? "";
  if (name === "" || isInterfaceName(name)) return name;
  const why = "at most 15 letters, digits, dots, dashes and underscores";
  throw invalid(`${BRIDGE}name`, name, why);
}

function prefixOption(options: Readonly<Record<string, string>>): string {
  const prefix = options["com.docker.network.container_iface_prefix"] || "eth";
  if (/^[a-zA-Z0-9_.-]{1,10}$/.test(prefix) && prefix !== "lo") return prefix;
  throw invalid(
    "com.docker.network.container_iface_prefix",
    prefix,
    "at most 10 letters and digits",
  );
}

function trustedOption(options: Readonly<Record<string, string>>): string[] {
  const key = `${BRIDGE}trusted_host_interfaces`;
  const value = options[key] ?? "";
  const names = value.split(":").filter((name) => name !== "");
  if (names.every(isInterfaceName)) return names;
  throw invalid(key, value, "names of interfaces, with colons between");
}

/** Reads the options of a bridge. Throws a Fault "invalid" that names the one that makes no sense; unknown ones are ignored. */
export function bridgeOptions(
  options: Readonly<Record<string, string>>,
  internal: boolean,
): BridgeOptions {
  const [mode4, mode6] = [modeOption(options, 4), modeOption(options, 6)];
  if (!internal && (mode4 === "isolated" || mode6 === "isolated"))
    throw fault(
      "failed",
      "gateway-mode",
      "gateway mode 'isolated' can only be used for an internal network",
    );
  return {
    name: nameOption(options),
    icc: truth(options, `${BRIDGE}enable_icc`, true),
    masquerade: truth(options, `${BRIDGE}enable_ip_masquerade`, true) && !internal,
    hostBinding: addressOption(options, `${BRIDGE}host_binding_ipv4`),
    sourceAddress: addressOption(options, "com.docker.network.host_ipv4", 4) || undefined,
    sourceAddress6: addressOption(options, "com.docker.network.host_ipv6", 6) || undefined,
    ...{ mode4, mode6 },
    inhibit4: truth(options, `${BRIDGE}inhibit_ipv4`, false),
    trusted: trustedOption(options),
    mtu: mtuOption(options),
    interfacePrefix: prefixOption(options),
  };
}
