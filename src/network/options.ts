/**
 * The options of a network (`--opt com.docker.network.…`), checked. Pure.
 */
import { fault } from "../base/errors.ts";
import { parseIpv4 } from "./addresses.ts";

const BRIDGE = "com.docker.network.bridge.";

/** What options say of a bridge. */
export interface BridgeOptions {
  /** Empty: made from the network's id. */
  readonly name: string;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Where ports are published that name no address. */
  readonly hostBinding: string;
  /** The host's address that what leaves has. */
  readonly sourceAddress: string | undefined;
  /** 0: the daemon's. */
  readonly mtu: number;
  /** What interfaces in containers are called, before their number. */
  readonly interfacePrefix: string;
}

function invalid(key: string, value: string, why: string): Error {
  return fault(
    "invalid",
    "network-option",
    `invalid value for ${key}: ${JSON.stringify(value)}: ${why}`,
  );
}

/** An interface's name that stands in firewall rules as it is. */
export function isInterfaceName(name: string): boolean {
  return /^[a-zA-Z0-9_.-]{1,15}$/.test(name) && name !== "." && name !== "..";
}

/** The MTU that options ask for; 0: none. Throws a Fault "invalid". */
export function mtuOption(options: Readonly<Record<string, string>>): number {
  const text = options["com.docker.network.driver.mtu"] ?? "";
  const fits = /^\d{1,5}$/.test(text) && Number(text) >= 68 && Number(text) <= 65535;
  if (text !== "" && !fits)
    throw invalid("com.docker.network.driver.mtu", text, "from 68 to 65535");
  return Number(text);
}

/** Reads the options of a bridge. Throws a Fault "invalid" that names the one that makes no sense; unknown ones are ignored. */
export function bridgeOptions(
  options: Readonly<Record<string, string>>,
  internal: boolean,
): BridgeOptions {
  const truth = (key: string, otherwise: boolean) => {
    const value = options[key] ?? "";
    if (value === "") return otherwise;
    if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
    if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
    throw invalid(key, value, "true or false");
  };
  const address = (key: string) => {
    const value = options[key] ?? "";
    if (value !== "" && parseIpv4(value) === undefined)
      throw invalid(key, value, "an IPv4 address");
    return value;
  };
  const name = options[`${BRIDGE}name`] ?? "";
  if (name !== "" && !isInterfaceName(name))
    throw invalid(
      `${BRIDGE}name`,
      name,
      "at most 15 letters, digits, dots, dashes and underscores",
    );
  const interfacePrefix = options["com.docker.network.container_iface_prefix"] || "eth";
  if (!/^[a-zA-Z0-9_.-]{1,10}$/.test(interfacePrefix) || interfacePrefix === "lo")
    throw invalid(
      "com.docker.network.container_iface_prefix",
      interfacePrefix,
      "at most 10 letters and digits",
    );
  const mode = options[`${BRIDGE}gateway_mode_ipv4`] ?? "";
  if (mode !== "" && mode !== "nat")
    throw fault(
      "unsupported",
      "gateway-mode",
      `${BRIDGE}gateway_mode_ipv4=${mode}: only nat is supported`,
    );
  return {
    name,
    icc: truth(`${BRIDGE}enable_icc`, true),
    masquerade: truth(`${BRIDGE}enable_ip_masquerade`, true) && !internal,
    hostBinding: address(`${BRIDGE}host_binding_ipv4`),
    sourceAddress: address("com.docker.network.host_ipv4") || undefined,
    mtu: mtuOption(options),
    interfacePrefix,
  };
}
