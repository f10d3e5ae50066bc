/**
 * Networks: made with every field, listed by every filter, connected and disconnected, removed and pruned.
 */
import { expect } from "bun:test";
import type { Caller } from "./caller.ts";
import { create, remove, type Scenarios, sleeper, start } from "./steps.ts";

const BRIDGE = "com.docker.network.bridge.";

async function make(api: Caller, body: object): Promise<string> {
  return String((await api.call("NetworkCreate", { body, status: 201 })).at("Id"));
}

async function fields(api: Caller): Promise<void> {
  const asked = {
    Name: "contract-whole",
    Driver: "bridge",
    Scope: "local",
    Internal: true,
    Attachable: true,
    Ingress: false,
    ConfigOnly: false,
    EnableIPv4: true,
    EnableIPv6: true,
    IPAM: {
      Driver: "default",
      Config: [
        {
          Subnet: "10.201.0.0/16",
          IPRange: "10.201.5.0/24",
          Gateway: "10.201.0.9",
          AuxiliaryAddresses: { router: "10.201.5.1" },
        },
        { Subnet: "fd00:201::/64", Gateway: "fd00:201::9" },
      ],
      Options: { some: "thing" },
    },
    Options: { [`${BRIDGE}name`]: "br-contract", "com.docker.network.driver.mtu": "1400" },
    Labels: { kind: "contract" },
  };
  const created = await api.call("NetworkCreate", { body: asked, status: 201 });
  const path = { id: String(created.at("Id")) };
  const seen = await api.call("NetworkInspect", { path });
  const all = await api.call("NetworkList", { query: { filters: { name: ["contract-whole"] } } });
  expect(all.at("0.IPAM")).toEqual(asked.IPAM);
  const { ConfigOnly, Ingress, ...rest } = asked;
  for (const [field, value] of Object.entries({ ...rest, ConfigOnly, Ingress }))
    created.shows(`body ${field}`, seen.at(field), value);
  const again = await api.call("NetworkCreate", { body: asked, status: 409 });
  expect(again.message).toBe("network with name contract-whole already exists");
  const clash = { Name: "clash", IPAM: { Config: [{ Subnet: "10.201.9.0/24" }] } };
  expect((await api.call("NetworkCreate", { body: clash, status: 403 })).message).toContain(
    "Pool overlaps with other one on this address space",
  );
  await api.call("NetworkCreate", { body: { Name: "x", Driver: "weave" }, status: 404 });
  await api.call("NetworkCreate", { body: { Name: "a b" }, status: 400 });
  await api.call("NetworkDelete", { path, status: 204 });
  await api.call("NetworkInspect", { path, status: 404 });
}

async function configurations(api: Caller): Promise<void> {
  const template = {
    Name: "contract-template",
    ConfigOnly: true,
    IPAM: { Config: [{ Subnet: "10.202.0.0/24" }] },
  };
  const first = await api.call("NetworkCreate", { body: template, status: 201 });
  const id = await api.call("NetworkInspect", { path: { id: String(first.at("Id")) } });
  first.shows("body ConfigOnly", id.at("ConfigOnly"), true);
  const body = { Name: "contract-made", ConfigFrom: { Network: "contract-template" } };
  const made = await api.call("NetworkCreate", { body, status: 201 });
  const path = { id: String(made.at("Id")) };
  const seen = await api.call("NetworkInspect", { path });
  made.shows("body ConfigFrom", seen.at("ConfigFrom"), body.ConfigFrom);
  expect(seen.at("IPAM.Config.0.Subnet")).toBe("10.202.0.0/24");
  await api.call("NetworkDelete", { path: { id: "contract-template" }, status: 403 });
  await api.call("NetworkDelete", { path });
  await api.call("NetworkDelete", { path: { id: "contract-template" } });
}

async function lists(api: Caller): Promise<void> {
  const one = await make(api, { Name: "contract-one", Labels: { part: "lists" } });
  const two = await make(api, { Name: "contract-two" });
  const id = await start(api, { ...sleeper, HostConfig: { NetworkMode: "contract-one" } });
  const builtin = ["bridge", "host", "none"];
  for (const [filters, wanted] of [
    [{ driver: ["bridge"] }, ["bridge", "contract-one", "contract-two"]],
    [{ type: ["custom"] }, ["contract-one", "contract-two"]],
    [{ type: ["builtin"] }, builtin],
    [{ name: ["contract"] }, ["contract-one", "contract-two"]],
    [{ id: [two.slice(0, 20)] }, ["contract-two"]],
    [{ label: ["part=lists"] }, ["contract-one"]],
    [{ scope: ["local"], driver: ["null"] }, ["none"]],
    [{ dangling: ["true"] }, ["contract-two"]],
    [{ dangling: ["false"] }, ["bridge", "host", "none", "contract-one"]],
  ] as const) {
    const answer = await api.call("NetworkList", { query: { filters } });
    answer.shows("query filters", answer.each("Name"), [...wanted]);
  }
  await api.call("NetworkList", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  const busy = await api.call("NetworkDelete", { path: { id: one }, status: 403 });
  expect(busy.message).toContain("network contract-one has active endpoints (name:");
  const kept = await api.call("NetworkPrune", { query: { filters: { label: ["part=lists"] } } });
  kept.shows("query filters", kept.at("NetworksDeleted"), []);
  const pruned = await api.call("NetworkPrune", {});
  expect(pruned.at("NetworksDeleted")).toEqual(["contract-two"]);
  await remove(api, id);
  await api.call("NetworkDelete", { path: { id: one } });
}

async function connections(api: Caller): Promise<void> {
  const Config = [{ Subnet: "10.203.0.0/24" }, { Subnet: "fd00:203::/64" }];
  const network = await make(api, { Name: "contract-side", EnableIPv6: true, IPAM: { Config } });
  const other = await create(api, sleeper, "contract-other");
  const id = await start(api, sleeper, "contract-main");
  const EndpointConfig = {
    IPAMConfig: {
      IPv4Address: "10.203.0.50",
      IPv6Address: "fd00:203::50",
      LinkLocalIPs: ["169.254.7.7"],
    },
    Aliases: ["side"],
    Links: ["contract-other:behind"],
    MacAddress: "02:42:0a:cb:00:99",
    DriverOpts: { "com.docker.network.endpoint.ifname": "side0" },
    GwPriority: 7,
  };
  const path = { id: network };
  const connected = await api.call("NetworkConnect", {
    path,
    body: { Container: id, EndpointConfig },
  });
  const at = (await api.call("ContainerInspect", { path: { id } })).at(
    "NetworkSettings.Networks.contract-side",
  ) as typeof EndpointConfig & { IPAddress: string; DNSNames: string[]; Gateway: string };
  connected.shows("body Container", at.IPAddress, "10.203.0.50");
  for (const field of ["IPAMConfig", "Aliases", "Links", "MacAddress", "DriverOpts", "GwPriority"])
    connected.shows(
      `body EndpointConfig.${field}`,
      at[field as keyof typeof at],
      EndpointConfig[field as keyof typeof EndpointConfig],
    );
  expect(at.DNSNames).toEqual(["contract-main", "side", id.slice(0, 12)]);
  const seen = await api.call("NetworkInspect", { path });
  expect(seen.at(`Containers.${id}`)).toMatchObject({
    ...{ IPv4Address: "10.203.0.50/24", IPv6Address: "fd00:203::50/64" },
  });
  const listed = await api.call("ContainerList", {
    query: { filters: { network: ["contract-side"] } },
  });
  listed.shows("query filters", listed.each("Id"), [id]);
  const twice = { path, body: { Container: id }, status: 403 };
  expect((await api.call("NetworkConnect", twice)).message).toContain("already exists in network");
  const parted = await api.call("NetworkDisconnect", {
    path,
    body: { Container: id, Force: true },
  });
  const left = await api.call("ContainerInspect", { path: { id } });
  parted.shows(
    ["body Container", "body Force"],
    Object.keys(left.at("NetworkSettings.Networks") as object),
    ["bridge"],
  );
  await api.call("NetworkDisconnect", { path, body: { Container: id }, status: 403 });
  await api.call("NetworkConnect", { path, body: { Container: "nobody" }, status: 404 });
  const outside = { Container: id, EndpointConfig: { IPAMConfig: { IPv4Address: "10.9.9.9" } } };
  expect(
    (await api.call("NetworkConnect", { path, body: outside, status: 400 })).message,
  ).toContain("no configured subnet contains IP address 10.9.9.9");
  await api.call("NetworkDisconnect", {
    path: { id: "none-such" },
    body: { Container: id },
    status: 404,
  });
  for (const one of [id, other]) await remove(api, one);
  await api.call("NetworkDelete", { path });
}

/** Networks of a container from its first moment. */
async function created(api: Caller): Promise<void> {
  const Config = [{ Subnet: "10.204.0.0/24" }, { Subnet: "fd00:204::/64" }];
  const network = await make(api, { Name: "contract-first", EnableIPv6: true, IPAM: { Config } });
  const linked = await create(api, sleeper, "contract-linked");
  const settings = {
    IPAMConfig: {
      IPv4Address: "10.204.0.77",
      IPv6Address: "fd00:204::77",
      LinkLocalIPs: ["169.254.8.8"],
    },
    Aliases: ["first"],
    Links: ["contract-linked:behind"],
    MacAddress: "02:42:0a:cc:00:77",
    DriverOpts: { any: "option" },
    GwPriority: 3,
  };
  const HostConfig = { NetworkMode: "contract-first" };
  const NetworkingConfig = { EndpointsConfig: { "contract-first": settings } };
  const made = await api.call("ContainerCreate", {
    body: { ...sleeper, HostConfig, NetworkingConfig },
  });
  const id = String(made.at("Id"));
  await api.call("ContainerStart", { path: { id } });
  const seen = (await api.call("ContainerInspect", { path: { id } })).at(
    "NetworkSettings.Networks.contract-first",
  ) as Record<string, unknown>;
  for (const field of [
    "IPAMConfig",
    "Aliases",
    "Links",
    "MacAddress",
    "DriverOpts",
    "GwPriority",
  ] as const)
    made.shows(`body NetworkingConfig.EndpointsConfig{}.${field}`, seen[field], settings[field]);
  expect(seen.IPAddress).toBe("10.204.0.77");
  expect(seen.GlobalIPv6Address).toBe("fd00:204::77");
  const rows = await api.call("ContainerList", { query: { filters: { id: [id] } } });
  expect(rows.at("0.NetworkSettings.Networks.contract-first.IPAMConfig")).toEqual(
    settings.IPAMConfig,
  );
  for (const one of [id, linked]) await remove(api, one);
  await api.call("NetworkDelete", { path: { id: network } });
}

/** The scenarios. */
export const networkScenarios: Scenarios = {
  "a network has every field that it was made with": fields,
  "networks are made from a configuration": configurations,
  "networks are listed by filters, and what nobody uses is pruned": lists,
  "a running container is connected and disconnected": connections,
  "a container is created with an endpoint of every field": created,
};
