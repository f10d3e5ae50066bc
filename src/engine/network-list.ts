/**
 * Networks as the API shows them, filtered, and the removal of those that nobody uses.
 */

import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { own } from "../base/own.ts";
import { filterBoolean, isSelected, labelHolds, type Selection } from "../base/selection.ts";
import { formatSubnet, type NetworkInput, type NetworkRecord } from "../network/index.ts";
import type { IPAMConfig, Network, NetworkContainer } from "../spec/engine-api.ts";
import { userNetwork } from "./attachments.ts";
import type { EngineDeps } from "./deps.ts";
import { bareEndpointId, networkId } from "./network-ids.ts";
import { endpointOn } from "./networking.ts";

/** Each key with its accepted values. */
export type NetworkFilters = Readonly<Record<string, readonly string[]>>;

type Deps = Pick<EngineDeps, "networks" | "registry" | "events">;

const PREDEFINED = ["bridge", "host", "none"];

type Test = (network: Network, value: string) => boolean;

const isPredefined = ({ Name = "" }: Network) => PREDEFINED.includes(Name);
const isUsed = (network: Network) =>
  isPredefined(network) || Object.keys(network.Containers ?? {}).length > 0;

const tests: Readonly<Record<string, Test>> = {
  // The networks that every daemon has count as used.
  dangling: (network, value) => filterBoolean("dangling", value) !== isUsed(network),
  driver: ({ Driver }, value) => Driver === value,
  id: ({ Id = "" }, value) => Id.startsWith(value),
  label: ({ Labels }, value) => labelHolds(Labels ?? {}, value),
  name: ({ Name = "" }, value) => nameHolds(Name, value),
  scope: ({ Scope }, value) => Scope === value,
  type: (network, value) => (value === "builtin") === isPredefined(network),
};

/** As Docker matches: a part of the name, or a pattern. */
function nameHolds(name: string, value: string): boolean {
  if (name.includes(value)) return true;
  try {
    return new RegExp(value).test(name);
  } catch {
    return false;
  }
}

/** The networks that pass. Throws a Fault "invalid" for a filter or a value that there is not. */
function filtered(networks: readonly Network[], filters: NetworkFilters): Network[] {
  for (const key of Object.keys(filters))
    if (own(tests, key) === undefined) throw fault("invalid", "filter", `invalid filter '${key}'`);
  for (const value of filters.dangling ?? []) filterBoolean("dangling", value);
  for (const value of filters.type ?? [])
    if (value !== "builtin" && value !== "custom")
      throw fault("invalid", "filter", `invalid filter: 'type'='${value}'`);
  return networks.filter((network) =>
    Object.entries(filters).every(([key, values]) => {
      const holds = (value: string) => own(tests, key)?.(network, value) ?? false;
      return key === "label" ? values.every(holds) : values.some(holds);
    }),
  );
}

/** The containers that are on a network now. */
function containersOn({ registry }: Deps, network: string): Record<string, NetworkContainer> {
  return Object.fromEntries(
    registry.all().flatMap(({ record }) => {
      const endpoint = endpointOn(record, network);
      if (endpoint === undefined) return [];
      const { address6, prefix6 } = endpoint;
      const shown: NetworkContainer = {
        Name: record.name,
        EndpointID: endpoint.endpointId,
        MacAddress: endpoint.mac,
        IPv4Address: endpoint.address === "" ? "" : `${endpoint.address}/${endpoint.prefix}`,
        IPv6Address: address6 === undefined ? "" : `${address6}/${prefix6}`,
      };
      return [[record.id, shown]];
    }),
  );
}

function plain(name: string, driver: string, created: string): Network {
  return {
    ...{ Name: name, Id: networkId(name), Created: created, Scope: "local", Driver: driver },
    ...{ EnableIPv4: true, EnableIPv6: false, IPAM: { Driver: "default", Config: [] } },
    ...{ Internal: false, Attachable: false, Ingress: false, ConfigFrom: { Network: "" } },
    ...{ ConfigOnly: false, Containers: {}, Options: {}, Labels: {} },
  };
}

function predefinedNetworks(deps: Deps, created: string): Network[] {
  return [
    ...defaultNetwork(deps, created),
    { ...plain("host", "host", created), Containers: containersIn(deps, "host") },
    { ...plain("none", "null", created), Containers: containersIn(deps, "none") },
  ];
}

/** The containers that run in a mode and so are on none of the networks that have addresses. */
function containersIn({ registry }: Deps, mode: string): Record<string, NetworkContainer> {
  return Object.fromEntries(
    registry
      .all()
      .filter(({ running, record }) => running && record.hostConfig.NetworkMode === mode)
      .map(({ record: { id, name } }) => [
        id,
        {
          ...{ Name: name, EndpointID: bareEndpointId(id, mode) },
          ...{ MacAddress: "", IPv4Address: "", IPv6Address: "" },
        },
      ]),
  );
}

function defaultNetwork(deps: Deps, created: string): Network[] {
  const { defaultBridge: bridge } = deps.networks;
  if (bridge === undefined) return [];
  const { icc, masquerade, bridge: name, mtu, subnets } = bridge.plan;
  return [
    {
      ...plain("bridge", "bridge", created),
      EnableIPv6: subnets.some(({ subnet }) => subnet.family === 6),
      IPAM: {
        Driver: "default",
        Config: subnets.map(({ subnet, range, gateway, leads }) => ({
          Subnet: formatSubnet(subnet),
          ...(range === undefined ? {} : { IPRange: formatSubnet(range) }),
          Gateway: gateway,
          ...(leads === undefined
            ? {}
            : { AuxiliaryAddresses: { [`DefaultGatewayIPv${subnet.family}`]: leads } }),
        })),
      },
      Containers: containersOn(deps, ""),
      Options: {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": String(icc),
        "com.docker.network.bridge.enable_ip_masquerade": String(masquerade),
        "com.docker.network.bridge.host_binding_ipv4": deps.networks.hostBinding("") || "0.0.0.0",
        "com.docker.network.bridge.name": name,
        "com.docker.network.driver.mtu": String(mtu),
      },
    },
  ];
}

function configsOf({ ipam, template }: NetworkRecord): IPAMConfig[] {
  const asked = template?.IPAM?.Config;
  if (asked !== undefined) return asked.map((one) => ({ ...one }) as IPAMConfig);
  return ipam.config.map(({ subnet, range, gateway, auxiliary }) => ({
    Subnet: subnet,
    ...(range === undefined ? {} : { IPRange: range }),
    ...(gateway === "" ? {} : { Gateway: gateway }),
    ...(auxiliary === undefined ? {} : { AuxiliaryAddresses: { ...auxiliary } }),
  }));
}

function shown(deps: Deps, record: NetworkRecord): Network {
  const { id, name, ipam, options, labels } = record;
  return {
    ...{ Name: name, Id: id, Created: record.created, Scope: "local", Driver: record.driver },
    ...{ EnableIPv4: record.ipv4 !== false, EnableIPv6: record.ipv6, Internal: record.internal },
    IPAM: { Driver: ipam.driver, Options: { ...ipam.options }, Config: configsOf(record) },
    ...{ Attachable: record.attachable, Ingress: false, ConfigOnly: record.template !== undefined },
    ConfigFrom: { Network: record.configFrom },
    ...{ Containers: containersOn(deps, id), Options: { ...options }, Labels: { ...labels } },
  };
}

/** The names of those who keep a network from being removed, as Docker lists them. */
function usersText(network: Network): string {
  return Object.values(network.Containers ?? {})
    .map(({ Name, EndpointID = "" }) => `name:"${Name}" id:"${EndpointID.slice(0, 12)}"`)
    .join(", ");
}

/** Looking at networks, making and removing them. */
export class NetworkList {
  constructor(
    private readonly deps: Deps,
    /** When the networks came that are always there: ISO 8601. */
    private readonly created: string,
  ) {}

  private all(): Network[] {
    const users = this.deps.networks.all().map((record) => shown(this.deps, record));
    return [...predefinedNetworks(this.deps, this.created), ...users];
  }

  list(filters: NetworkFilters): Network[] {
    return filtered(this.all(), filters);
  }

  /** By name, id or the beginning of that. Throws Faults in Docker's words. */
  get(reference: string): Network {
    const [found] = predefinedNetworks(this.deps, this.created).filter(
      ({ Name, Id }) =>
        Name === reference || (reference.length > 3 && Id?.startsWith(reference) === true),
    );
    const user = userNetwork(this.deps.networks, reference);
    if (user !== undefined) return shown(this.deps, user);
    if (found !== undefined) return found;
    throw fault("not-found", "no-such-network", `network ${reference} not found`);
  }

  async create(input: NetworkInput): Promise<{ Id: string; Warning: string }> {
    const record = await this.deps.networks.create(input);
    this.tell("create", record);
    return { Id: record.id, Warning: "" };
  }

  private tell(action: string, { id, name, driver }: NetworkRecord): void {
    this.deps.events.emit("network", action, id, { name, type: driver });
  }

  /** Removes a network that no running container is on. Throws Faults in Docker's words. */
  async remove(reference: string): Promise<void> {
    const network = this.get(reference);
    const { Id = "", Name = "" } = network;
    if (isPredefined(network))
      throw fault(
        "forbidden",
        "predefined-network",
        `${Name} is a pre-defined network and cannot be removed`,
      );
    const record = this.deps.networks.find(Id);
    await this.deps.networks.remove(Id, () => this.checkUnused(Id));
    if (record !== undefined) this.tell("destroy", record);
  }

  private checkUnused(id: string): void {
    const network = this.get(id);
    const used = this.deps.networks.all().find(({ configFrom }) => configFrom === network.Name);
    if (network.ConfigOnly && used !== undefined)
      throw fault(
        "forbidden",
        "network-in-use",
        `error while removing network: configuration network "${network.Name}" is in use`,
      );
    if (!isUsed(network)) return;
    throw fault(
      "forbidden",
      "network-in-use",
      `error while removing network: network ${network.Name} has active endpoints (${usersText(network)})`,
    );
  }

  /** Removes the networks of users that no running container is on. `dryRun`: only says which. */
  async prune(selection: Selection, dryRun: boolean): Promise<{ NetworksDeleted: string[] }> {
    const NetworksDeleted: string[] = [];
    for (const network of this.all()) {
      const { Id = "", Name = "", Labels = {}, Created = "", ConfigOnly } = network;
      if (ConfigOnly || isUsed(network) || !isSelected(selection, Labels, Date.parse(Created)))
        continue;
      try {
        if (!dryRun) await this.remove(Id);
        NetworksDeleted.push(Name);
      } catch (error) {
        log.warn("prune a network", { name: Name, error: messageOf(error) });
      }
    }
    if (!dryRun) this.deps.events.emit("network", "prune", "", { reclaimed: "0" });
    return { NetworksDeleted };
  }
}
