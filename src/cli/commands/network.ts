/**
 * `berth network create`, `ls`, `rm`, `connect`, `disconnect`.
 */
import { goTimeText } from "../../base/go-time.ts";
import type { EndpointSettings, IPAMConfig, Network } from "../../spec/engine-api.ts";
import { type Command, forEachName } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { checkLinks } from "../container-options/checks.ts";
import { pairs, readLabels } from "../container-options/environment.ts";
import { encodeFilters } from "../filters.ts";
import { flag, type Parsed } from "../flags.ts";
import { err, out } from "../output.ts";
import { isBlock, isWithin } from "../subnet-match.ts";
import { writeList } from "../table.ts";

/** Subnets with the ranges, gateways and addresses that belong to each. Throws an Error in Docker's words. */
function ipamConfig(parsed: Parsed): IPAMConfig[] {
  const subnets = parsed.all("subnet");
  if (["ip-range", "gateway"].some((name) => parsed.all(name).length > subnets.length))
    throw new Error("every ip-range or gateway must have a corresponding subnet");
  const overlap = subnets.some((one, at) =>
    subnets.slice(0, at).some((other) => isWithin(one, other) || isWithin(other, one)),
  );
  if (overlap) throw new Error("multiple overlapping subnet configuration is not supported");
  const configs: IPAMConfig[] = subnets.map((Subnet) => ({ Subnet }));
  const home = (address: string, what: string): IPAMConfig => {
    const found = configs.find(({ Subnet = "" }) => isWithin(address, Subnet));
    if (found === undefined) throw new Error(`no matching subnet for ${what} ${address}`);
    return found;
  };
  for (const range of parsed.all("ip-range")) {
    if (!isBlock(range)) throw new Error(`invalid CIDR address: ${range}`);
    const config = home(range, "range");
    if (config.IPRange !== undefined)
      throw new Error(
        `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`,
      );
    config.IPRange = range;
  }
  for (const gateway of parsed.all("gateway")) {
    const config = home(gateway, "gateway");
    if (config.Gateway !== undefined)
      throw new Error(
        `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`,
      );
    config.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(pairs(parsed.all("aux-address")))) {
    const config = home(address, "aux-address");
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

const create: Command = {
  usage: "[OPTIONS] NETWORK",
  short: "Create a network",
  args: [1, 1],
  flags: [
    flag("attachable", "", "bool", "Enable manual container attachment"),
    flag(
      "aux-address",
      "",
      "map",
      "Auxiliary IPv4 or IPv6 addresses used by Network driver",
      "map[]",
    ),
    flag("config-from", "", "string", "The network from which to copy the configuration"),
    flag("config-only", "", "bool", "Create a configuration only network"),
    flag("driver", "d", "string", "Driver to manage the Network", '"bridge"'),
    flag("gateway", "", "strings", "IPv4 or IPv6 Gateway for the master subnet"),
    flag("ingress", "", "bool", "Create swarm routing-mesh network"),
    flag("internal", "", "bool", "Restrict external access to the network"),
    flag("ip-range", "", "strings", "Allocate container ip from a sub-range"),
    flag("ipam-driver", "", "string", "IP Address Management Driver", '"default"'),
    flag("ipam-opt", "", "map", "Set IPAM driver specific options", "map[]"),
    flag("ipv4", "", "bool", "Enable or disable IPv4 address assignment", "true"),
    flag("ipv6", "", "bool", "Enable or disable IPv6 address assignment"),
    flag("label", "", "list", "Set metadata on a network"),
    flag("opt", "o", "map", "Set driver specific options", "map[]"),
    flag("scope", "", "string", "Control the network's scope"),
    flag("subnet", "", "strings", "Subnet in CIDR format that represents a network segment"),
  ],
  async run({ client }, parsed) {
    const from = parsed.text("config-from");
    const body = {
      Name: parsed.args[0],
      Driver: parsed.text("driver", "bridge"),
      Options: pairs(parsed.all("opt")),
      IPAM: {
        Driver: parsed.text("ipam-driver", "default"),
        Config: ipamConfig(parsed),
        Options: pairs(parsed.all("ipam-opt")),
      },
      Internal: parsed.on("internal"),
      ...(parsed.has("ipv4") ? { EnableIPv4: parsed.on("ipv4") } : {}),
      ...(parsed.has("ipv6") ? { EnableIPv6: parsed.on("ipv6") } : {}),
      Attachable: parsed.on("attachable"),
      Ingress: parsed.on("ingress"),
      Scope: parsed.text("scope"),
      ConfigOnly: parsed.on("config-only"),
      ...(from === "" ? {} : { ConfigFrom: { Network: from } }),
      Labels: readLabels(parsed.all("label"), [], "--label"),
    };
    const { Id, Warning } = await client.json<{ Id: string; Warning: string }>(
      "POST",
      "/networks/create",
      { body },
    );
    if (Warning) err(`WARNING: ${Warning}\n`);
    out(`${Id}\n`);
    return 0;
  },
};

/** A network as --format sees it. */
function rowOf(network: Network, whole: boolean) {
  const { Id = "", Labels = {}, Created = "" } = network;
  return {
    ID: whole ? Id : Id.slice(0, 12),
    Name: network.Name,
    Driver: network.Driver,
    Scope: network.Scope,
    IPv4: String(network.EnableIPv4 === true),
    IPv6: String(network.EnableIPv6 === true),
    Internal: String(network.Internal === true),
    Labels: Object.entries(Labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    CreatedAt: goTimeText(Created),
    Label: (name: string) => Labels[name] ?? "",
  };
}

const list: Command = {
  usage: "[OPTIONS]",
  short: "List networks",
  args: [0, 0],
  flags: [
    flag("filter", "f", "filter", 'Provide filter values (e.g. "driver=bridge")'),
    flag("format", "", "string", "Format output using a custom template"),
    flag("no-trunc", "", "bool", "Do not truncate the output"),
    flag("quiet", "q", "bool", "Only display network IDs"),
  ],
  async run({ client }, parsed) {
    const query = { filters: encodeFilters(parsed.all("filter")) };
    const found = await client.json<Network[]>("GET", "/networks", { query });
    const byName = new Intl.Collator("en", { numeric: true });
    const rows = found
      .toSorted((a, b) => byName.compare(a.Name ?? "", b.Name ?? ""))
      .map((network) => rowOf(network, parsed.on("no-trunc")));
    const asked = parsed.text("format");
    if (parsed.on("quiet") && (asked === "" || asked === "table"))
      for (const row of rows) out(`${row.ID}\n`);
    else
      await writeList(rows, {
        format: asked || configuredFormat("networksFormat"),
        type: "network.networkContext",
        raw: parsed.on("quiet")
          ? "network_id: {{.ID}}"
          : "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
        table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
        headings: {
          ...{ ID: "NETWORK ID", Name: "NAME", Driver: "DRIVER", Scope: "SCOPE", IPv4: "IPV4" },
          ...{ IPv6: "IPV6", Internal: "INTERNAL", Labels: "LABELS", CreatedAt: "CREATED AT" },
        },
      });
    return 0;
  },
};

const remove: Command = {
  usage: "NETWORK [NETWORK...]",
  short: "Remove one or more networks",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [flag("force", "f", "bool", "Do not error if the network does not exist")],
  run: ({ client }, parsed) =>
    forEachName(
      parsed.args,
      async (name) => {
        try {
          await client.json("DELETE", `/networks/${encodeURIComponent(name)}`);
        } catch (error) {
          if (!parsed.on("force") || !/ not found$/.test(String(error))) throw error;
          return;
        }
        out(`${name}\n`);
      },
      client,
    ),
};

function endpointOf(parsed: Parsed): EndpointSettings {
  checkLinks(parsed);
  if (parsed.all("driver-opt").some((option) => !/^[^=]+=/.test(option)))
    throw new Error("invalid key/value pair format in driver options");
  const priority = parsed.number("gw-priority");
  return {
    IPAMConfig: {
      IPv4Address: parsed.text("ip"),
      IPv6Address: parsed.text("ip6"),
      LinkLocalIPs: [...parsed.all("link-local-ip")],
    },
    Links: [...parsed.all("link")],
    Aliases: [...parsed.all("alias")],
    DriverOpts: pairs(parsed.all("driver-opt")),
    ...(priority === 0 ? {} : { GwPriority: priority }),
  };
}

const connect: Command = {
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Connect a container to a network",
  args: [2, 2],
  flags: [
    flag("alias", "", "strings", "Add network-scoped alias for the container"),
    flag("driver-opt", "", "strings", "driver options for the network"),
    flag(
      "gw-priority",
      "",
      "int",
      "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
    ),
    flag("ip", "", "string", 'IPv4 address (e.g., "172.30.100.104")'),
    flag("ip6", "", "string", 'IPv6 address (e.g., "2001:db8::33")'),
    flag("link", "", "list", "Add link to another container"),
    flag("link-local-ip", "", "strings", "Add a link-local address for the container"),
  ],
  async run({ client }, parsed) {
    const [network = "", Container = ""] = parsed.args;
    const body = { Container, EndpointConfig: endpointOf(parsed) };
    await client.json("POST", `/networks/${encodeURIComponent(network)}/connect`, { body });
    return 0;
  },
};

const disconnect: Command = {
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Disconnect a container from a network",
  args: [2, 2],
  flags: [flag("force", "f", "bool", "Force the container to disconnect from a network")],
  async run({ client }, parsed) {
    const [network = "", Container = ""] = parsed.args;
    const body = { Container, Force: parsed.on("force") };
    await client.json("POST", `/networks/${encodeURIComponent(network)}/disconnect`, { body });
    return 0;
  },
};

/** The commands by what follows `network`. */
export const commands = { create, list, remove, connect, disconnect };
