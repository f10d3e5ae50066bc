/**
 * Links between containers on the default bridge (--link): what the linking container's environment and /etc/hosts say of
 * the other one.
 */
import { writeFileSync } from "node:fs";
import { fault } from "../base/errors.ts";
import { type EndpointRecord, hostsFor } from "../network/index.ts";
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import { isUserDefined } from "./attachments.ts";
import type { Container } from "./container.ts";
import type { ContainerRecord, LinkRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";
import { linksOf } from "./link-text.ts";
import { addressesOf, endpointOn, endpointsOf } from "./networking.ts";
import { type ContainerRegistry, noSuchContainer } from "./registry.ts";

interface Port {
  readonly number: number;
  readonly protocol: string;
}

/** A new container's links. Throws Faults in Docker's words. */
export function linksFor(
  registry: ContainerRegistry,
  { Links, NetworkMode = "" }: HostConfig,
): LinkRecord[] {
  if (!Links?.length) return [];
  // On a user's network a link is a name there, and no more.
  if (isUserDefined(NetworkMode)) return [];
  const shared = NetworkMode === "host" || NetworkMode.startsWith("container:");
  if (shared)
    throw fault(
      "invalid",
      "link-network",
      `conflicting options: ${NetworkMode === "host" ? "host type networking" : "container type network"} can't be used with links. This would result in undefined behavior`,
    );
  return linksOf(registry, Links);
}

interface Linked {
  readonly link: LinkRecord;
  readonly other: Container;
  readonly address: string;
}

/** Where a link leads; undefined when nothing runs there. */
function follow(deps: EngineDeps, link: LinkRecord): Linked | undefined {
  const other = deps.registry.find(link.id);
  const address = other?.running ? endpointOn(other.record, "")?.address : undefined;
  return other === undefined || !address ? undefined : { link, other, address };
}

/** Throws a Fault in Docker's words when something that a container links to does not run. */
export function checkLinksRun(deps: EngineDeps, record: ContainerRecord): void {
  if (record.hostConfig.NetworkMode !== "bridge") return;
  for (const link of record.links ?? []) {
    if (follow(deps, link) !== undefined) continue;
    const other = deps.registry.find(link.id);
    const name = other?.record.name ?? link.name;
    if (other?.running)
      throw fault(
        "invalid",
        "link-network",
        `Cannot link to /${name}, as it does not belong to the default network`,
      );
    throw fault(
      "invalid",
      "link-not-running",
      `Cannot link to a non running container: /${name} AS /${record.name}/${link.alias}`,
    );
  }
}

/** What a container links to and runs; what has ended is left out. */
function runningOf(deps: EngineDeps, record: ContainerRecord): Linked[] {
  return (record.links ?? []).flatMap((link) => follow(deps, link) ?? []);
}

function portsOf(config: ContainerConfig): Port[] {
  return Object.keys(config.ExposedPorts ?? {})
    .map((key) => {
      const [number = "", protocol = "tcp"] = key.split("/");
      return { number: Number(number), protocol };
    })
    .sort((a, b) => a.number - b.number || (a.protocol === "tcp" ? -1 : 1));
}

/** Runs of at least three ports that follow each other. */
function runsOf(ports: readonly Port[]): { first: Port; last: Port }[] {
  const runs: { first: Port; last: Port }[] = [];
  let first = ports[0];
  let last = first;
  for (const port of [...ports.slice(1), undefined]) {
    const follows =
      port !== undefined &&
      port.number === (last?.number ?? 0) + 1 &&
      port.protocol === last?.protocol;
    if (!follows) {
      if (first && last && last.number - first.number >= 2) runs.push({ first, last });
      first = port;
    }
    last = port;
  }
  return runs;
}

/** The variables that tell of one linked container: ALIAS_NAME, ALIAS_PORT, ALIAS_PORT_80_TCP and so on, ALIAS_ENV_. */
export function linkVariables(
  alias: string,
  linkingName: string,
  address: string,
  config: ContainerConfig,
): string[] {
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const ports = portsOf(config);
  const url = ({ number, protocol }: Port) => `${protocol}://${address}:${number}`;
  const nameOf = ({ number, protocol }: Port) =>
    `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const [first] = ports;
  const inherited = (config.Env ?? []).filter(
    (item) => item.includes("=") && !/^(HOME|PATH)=/.test(item),
  );
  return [
    ...(first === undefined ? [] : [`${prefix}_PORT=${url(first)}`]),
    ...runsOf(ports).flatMap((run) => [
      `${nameOf(run.first)}_START=${url(run.first)}`,
      `${nameOf(run.first)}_ADDR=${address}`,
      `${nameOf(run.first)}_PROTO=${run.first.protocol}`,
      `${nameOf(run.first)}_PORT_START=${run.first.number}`,
      `${nameOf(run.first)}_END=${url(run.last)}`,
      `${nameOf(run.first)}_PORT_END=${run.last.number}`,
    ]),
    ...ports.flatMap((port) => [
      `${nameOf(port)}=${url(port)}`,
      `${nameOf(port)}_ADDR=${address}`,
      `${nameOf(port)}_PORT=${port.number}`,
      `${nameOf(port)}_PROTO=${port.protocol}`,
    ]),
    `${prefix}_NAME=/${linkingName}/${alias}`,
    ...inherited.map((item) => `${prefix}_ENV_${item}`),
  ];
}

/** The variables of all of a container's links that run. */
export function linkEnvironment(deps: EngineDeps, record: ContainerRecord): string[] {
  return runningOf(deps, record).flatMap(({ link, other, address }) =>
    linkVariables(link.alias, record.name, address, other.record.config),
  );
}

/** The text of a container's /etc/hosts. `endpoints`: its own. */
export function hostsText(
  deps: EngineDeps,
  record: ContainerRecord,
  endpoints: readonly EndpointRecord[],
): string {
  const { config, hostConfig } = record;
  return hostsFor({
    addresses: endpoints.flatMap(addressesOf),
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    extra: hostConfig.ExtraHosts ?? [],
    links: runningOf(deps, record).map(({ link, other, address: linked }) => ({
      address: linked,
      names: new Set([link.alias, other.record.config.Hostname ?? "", other.record.name]),
    })),
    gateway: deps.networks.defaultBridge?.gateway,
  });
}

/** Writes a container's address, which may be another than before, into the files of those that link to it. */
export function tellLinking(deps: EngineDeps, { id }: Container): void {
  for (const { running, record } of deps.registry.all()) {
    if (!running || record.endpoint === undefined) continue;
    if (!record.links?.some((link) => link.id === id)) continue;
    writeHosts(deps, record);
  }
}

function writeHosts(deps: EngineDeps, record: ContainerRecord): void {
  const path = `${deps.settings.containersDirectory}/${record.id}/hosts`;
  // In its place: the container has the file itself mounted.
  writeFileSync(path, hostsText(deps, record, endpointsOf(record)));
}

/** Writes a container's own addresses, which are others than before, into its file. */
export function tellHosts(deps: EngineDeps, { record }: Container): void {
  writeHosts(deps, record);
}

/** A container's links as inspect shows them. */
export function linksShown(
  registry: ContainerRegistry,
  record: ContainerRecord,
): string[] | undefined {
  return record.links?.map(
    ({ id, name, alias }) => `/${registry.find(id)?.record.name ?? name}:/${record.name}/${alias}`,
  );
}

/** The names that containers have by links to them, by id. */
export function namesByLinks(registry: ContainerRegistry): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const { record } of registry.all())
    for (const { id, alias } of record.links ?? [])
      names.set(id, [...(names.get(id) ?? []), `/${record.name}/${alias}`]);
  return names;
}

/** Takes a link away, by "linking/alias". Throws Faults in Docker's words. */
export function removeLink(deps: EngineDeps, reference: string): void {
  const [name = "", alias, ...more] = reference.replace(/^\//, "").split("/");
  if (alias === undefined) {
    deps.registry.get(name);
    throw fault(
      "conflict",
      "default-name",
      "Conflict, cannot remove the default link name of the container",
    );
  }
  const linking = deps.registry.named(name);
  const has = linking?.record.links?.some((link) => link.alias === alias);
  if (linking === undefined || !has || more.length > 0) throw noSuchContainer(reference);
  const { record } = linking;
  record.links = record.links?.filter((link) => link.alias !== alias);
  deps.database.insist(record);
}
