/**
 * Changing which ports a container publishes, on paper: pure.
 */
import { fault } from "../base/errors.ts";
import type { PortWish, PublishedPort } from "../network/index.ts";
import type { ContainerConfig, HostConfig, PortBinding, PortMap } from "../spec/engine-api.ts";
import type { ContainerChanges } from "../spec/extensions.ts";
import { type Binding, bindingsOf, eachExposed, parsePort } from "./ports.ts";

/** What says which ports are published. */
export interface PortConfiguration {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
}

function sameWish(a: PortWish, b: PortWish): boolean {
  return (
    a.protocol === b.protocol &&
    a.containerPort === b.containerPort &&
    a.hostAddress === b.hostAddress &&
    a.hostPorts[0] === b.hostPorts[0] &&
    a.hostPorts[1] === b.hostPorts[1]
  );
}

function isMeant(
  meant: string,
  { HostIp = "", HostPort = "" }: PortBinding,
  { key, binding }: Binding,
  published: readonly PublishedPort[],
): boolean {
  const addresses = published.map(({ hostAddress }) => hostAddress);
  const ports = published.map(({ hostPort }) => String(hostPort));
  return (
    key === meant &&
    (HostIp === "" || HostIp === (binding.HostIp ?? "") || addresses.includes(HostIp)) &&
    (HostPort === "" || HostPort === binding.HostPort || ports.includes(HostPort))
  );
}

/** What each wish has got: a port, or one of each family. */
function groupsOf(published: readonly PublishedPort[]): PublishedPort[][] {
  const groups: PublishedPort[][] = [];
  for (const port of published)
    if (port.paired) groups.at(-1)?.push(port);
    else groups.push([port]);
  return groups;
}

function portMapOf(bindings: readonly Binding[]): PortMap {
  const map: PortMap = {};
  for (const { key, binding } of bindings) map[key] = [...(map[key] ?? []), binding];
  return map;
}

/** The bindings that stay when some are taken out. `published`: in the order of the bindings, where the container runs. */
function without(
  current: readonly Binding[],
  remove: PortMap,
  published: readonly PublishedPort[],
): Binding[] {
  const gone = new Set<Binding>();
  const groups = groupsOf(published);
  for (const [text, list] of Object.entries(remove)) {
    const { port, protocol } = parsePort(text);
    const key = `${port}/${protocol}`;
    for (const binding of list?.length ? list : [{}]) {
      const meant = current.filter((one, at) => isMeant(key, binding, one, groups[at] ?? []));
      if (meant.length === 0)
        throw fault(
          "conflict",
          "port-not-published",
          `the container does not publish ${[binding.HostIp, binding.HostPort, key].filter(Boolean).join(":")}`,
        );
      for (const one of meant) gone.add(one);
    }
  }
  return current.filter((one) => !gone.has(one));
}

/**
 * The configuration with other ports published. Bindings that are there already are not doubled. Throws Faults: "invalid" in
 * Docker's words, "conflict" for a port that is to be withdrawn and is not published.
 */
export function withPorts(
  current: PortConfiguration,
  changes: ContainerChanges,
  published: readonly PublishedPort[],
): PortConfiguration {
  const { config, hostConfig } = current;
  const before = bindingsOf(config, hostConfig);
  const kept = without(before, changes.PortBindingsRemove ?? {}, published);
  // Of what -P publishes nothing can be taken out: what it stands for is written down, and -P goes.
  const all = kept.length === before.length && hostConfig.PublishAllPorts === true;
  const listed = all ? bindingsOf(config, { ...hostConfig, PublishAllPorts: false }) : kept;
  const added = bindingsOf({}, { PortBindings: changes.PortBindings ?? {} });
  const fresh = added.filter(({ wish }) => !listed.some((one) => sameWish(one.wish, wish)));
  const exposed = eachExposed(Object.fromEntries(fresh.map(({ key }) => [key, {}])));
  return {
    config: { ...config, ExposedPorts: { ...config.ExposedPorts, ...exposed } },
    hostConfig: {
      ...hostConfig,
      PortBindings: portMapOf([...listed, ...fresh]),
      PublishAllPorts: changes.PublishAllPorts ?? all,
    },
  };
}

/** What of an endpoint's ports stays, goes and comes. */
export interface PortDifference {
  /** For each new wish what it has already, or undefined. */
  readonly kept: readonly (readonly PublishedPort[] | undefined)[];
  readonly withdrawn: readonly PublishedPort[];
  readonly missing: readonly PortWish[];
}

/** Compares two lists of wishes; `published` belongs to the first, in its order. */
export function portDifference(
  before: readonly PortWish[],
  published: readonly PublishedPort[],
  after: readonly PortWish[],
): PortDifference {
  const free = new Map(groupsOf(published).map((ports, at) => [ports, before[at]]));
  const kept = after.map((wish) => {
    for (const [ports, had] of free) {
      if (had === undefined || !sameWish(had, wish)) continue;
      free.delete(ports);
      return ports;
    }
    return undefined;
  });
  const missing = after.filter((_, at) => kept[at] === undefined);
  return { kept, withdrawn: [...free.keys()].flat(), missing };
}
