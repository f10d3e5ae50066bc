/**
 * The networks of a new container (`--network` and what belongs to it), in the forms and with the refusals of Docker.
 */
import type { EndpointSettings } from "../../spec/engine-api.ts";
import { type Parsed, UsageError } from "../flags.ts";
import { splitCsv } from "./mounts.ts";

/** One of `--network`'s values. */
interface NetworkOption {
  readonly name: string;
  readonly settings: EndpointSettings;
}

const LONG = /\w+=\w+(,\w+=\w+)*/;
/** Networks without others beside them, and those that know no names. */
const ALONE = /^(host|none|container:.*)$/;
const BUILT_IN = /^(host|none|default|bridge|container:.*)$/;
const MAC = /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i;
const INT64 = 2n ** 63n;

function priority(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`invalid gw-priority (${text}): invalid syntax`);
  const value = BigInt(text.replace(/^\+/, ""));
  if (value >= INT64 || value < -INT64)
    throw new Error(`invalid gw-priority (${text}): value out of range`);
  return Number(value);
}

/** An address of an interface. Throws in Docker's words for what is none. */
export function checkMac(text: string): string {
  if (!MAC.test(text)) throw new Error(`${text} is not a valid mac address`);
  return text;
}

function addField(settings: EndpointSettings, key: string, value: string): void {
  const addresses = { ...settings.IPAMConfig };
  switch (key) {
    case "alias":
      settings.Aliases = [...(settings.Aliases ?? []), value];
      return;
    case "ip":
      settings.IPAMConfig = { ...addresses, IPv4Address: value };
      return;
    case "ip6":
      settings.IPAMConfig = { ...addresses, IPv6Address: value };
      return;
    case "link-local-ip":
      settings.IPAMConfig = {
        ...addresses,
        LinkLocalIPs: [...(addresses.LinkLocalIPs ?? []), value],
      };
      return;
    case "mac-address":
      settings.MacAddress = value;
      return;
    case "gw-priority":
      settings.GwPriority = priority(value);
      return;
    case "driver-opt": {
      const [option = "", text] = value.split(/=(.*)/s, 2);
      if (text === undefined || option === "")
        throw new Error("invalid key value pair format in driver options");
      const known = Object.entries(settings.DriverOpts ?? {});
      settings.DriverOpts = Object.fromEntries([...known, [option, text]]);
      return;
    }
    default:
      throw new Error(`invalid field key ${key}`);
  }
}

function longForm(spec: string): NetworkOption {
  const settings: EndpointSettings = {};
  let name = "";
  for (const field of splitCsv(spec)) {
    const [key = "", value] = field.split(/=(.*)/s, 2);
    if (value === undefined) throw new Error(`invalid field ${field}`);
    const word = key.trim().toLowerCase();
    if (word === "name") name = value.trim();
    else addField(settings, word, value.trim());
  }
  if (name === "") throw new Error("network name/id is not specified");
  return { name, settings };
}

function networkOption(spec: string): NetworkOption {
  if (!LONG.test(spec)) return { name: spec, settings: {} };
  try {
    return longForm(spec);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`invalid argument ${JSON.stringify(spec)} for "--network" flag: ${why}`);
  }
}

/** What options beside `--network` say, which is of the first network. */
function withOptions({ name, settings }: NetworkOption, parsed: Parsed): NetworkOption {
  const conflict = (option: string, what: string) =>
    new Error(`conflicting options: cannot specify both --${option} and per-network ${what}`);
  const { Aliases, IPAMConfig, MacAddress } = settings;
  const aliases = [...parsed.all("network-alias"), ...parsed.all("net-alias")];
  const local = parsed.all("link-local-ip");
  if (aliases.length > 0 && Aliases) throw conflict("network-alias", "alias");
  if (parsed.has("ip") && IPAMConfig?.IPv4Address) throw conflict("ip", "IPv4 address");
  if (parsed.has("ip6") && IPAMConfig?.IPv6Address) throw conflict("ip6", "IPv6 address");
  if (local.length > 0 && IPAMConfig?.LinkLocalIPs)
    throw conflict("link-local-ip", "link-local IP addresses");
  if (parsed.has("mac-address") && MacAddress) throw conflict("mac-address", "MAC address");
  const addresses = {
    ...IPAMConfig,
    ...(parsed.has("ip") ? { IPv4Address: parsed.text("ip") } : {}),
    ...(parsed.has("ip6") ? { IPv6Address: parsed.text("ip6") } : {}),
    ...(local.length > 0 ? { LinkLocalIPs: [...local] } : {}),
  };
  return {
    name,
    settings: {
      ...settings,
      ...(aliases.length > 0 ? { Aliases: aliases } : {}),
      ...(Object.keys(addresses).length > 0 ? { IPAMConfig: addresses } : {}),
      ...(parsed.has("mac-address") ? { MacAddress: parsed.text("mac-address") } : {}),
      ...(parsed.has("link") ? { Links: [...parsed.all("link")] } : {}),
    },
  };
}

/** The networks that a container is to be on, by name, the first first. Throws an Error in Docker's words. */
export function containerNetworks(parsed: Parsed): [string, EndpointSettings][] {
  const specs = [...parsed.all("network"), ...parsed.all("net")].map(networkOption);
  const [first = { name: "default", settings: {} }, ...more] = specs;
  const all = [withOptions(first, parsed), ...more];
  for (const [at, { name, settings }] of all.entries()) {
    if (name === "") throw new Error("no name set for network");
    if (settings.MacAddress) checkMac(settings.MacAddress);
    if (all.findIndex((one) => one.name === name) < at)
      throw new Error(`network ${JSON.stringify(name)} is specified multiple times`);
    if (all.length > 1 && ALONE.test(name))
      throw new Error(
        "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
      );
    if (BUILT_IN.test(name) && settings.Aliases)
      throw new Error("network-scoped aliases are only supported for user-defined networks");
  }
  return all.map(({ name, settings }) => [name, settings]);
}
