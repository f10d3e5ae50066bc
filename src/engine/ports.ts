/**
 * Published ports: from the API's maps to wishes for the network. Pure.
 */

import { fault } from "../base/errors.ts";
import {
  formatAddress,
  type PortWish,
  type PublishedPort,
  parseAddress,
} from "../network/index.ts";
import type {
  ContainerConfig,
  HostConfig,
  Port,
  PortBinding,
  PortMap,
} from "../spec/engine-api.ts";
import { exposedPorts } from "../spec/exposed-ports.ts";

/** "80/tcp". Throws a Fault "invalid" in Docker's words. */
export function parsePort(text: string): { port: number; protocol: PortWish["protocol"] } {
  const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65535)
    throw fault("invalid", "port", `invalid port specification: "${text}"`);
  return { port, protocol: (match[2] ?? "tcp") as PortWish["protocol"] };
}

function hostRange(text: string): [number, number] {
  if (text === "") return [0, 0];
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last > 65535 || first > last)
    throw fault("invalid", "host-port", `invalid port specification: "${text}"`);
  return [first, last];
}

/** Ports as a client or an image declares them, each by itself. Throws a Fault "invalid" in Docker's words. */
export function eachExposed(declared: ContainerConfig["ExposedPorts"]): Record<string, object> {
  const keys = Object.keys(declared ?? {}).flatMap((key) => {
    const ports = exposedPorts(key);
    if (ports === undefined) throw fault("invalid", "port", `invalid port specification: "${key}"`);
    return ports;
  });
  return Object.fromEntries(keys.map((key) => [key, {}]));
}

/** One wish of a container to have a port published, with the words that say so. */
export interface Binding {
  /** "80/tcp". */
  readonly key: string;
  readonly binding: PortBinding;
  readonly wish: PortWish;
}

/** What stands above the last 32 bits of an IPv4 address in the form of IPv6 (RFC 4291, 2.5.5.2). */
const MAPPED = 0xffffn;

/** An address of the host in its one form. */
function hostAddressOf(text: string): string {
  if (text === "") return text;
  const parsed = parseAddress(text);
  if (parsed === undefined) throw fault("invalid", "host-address", `invalid IP address: ${text}`);
  const { family, value } = parsed;
  return value >> 32n === MAPPED
    ? formatAddress(4, value & 0xffffffffn)
    : formatAddress(family, value);
}

function bindingOf(text: string, binding: PortBinding): Binding {
  const { port, protocol } = parsePort(text);
  const { HostIp = "", HostPort = "" } = binding;
  return {
    key: `${port}/${protocol}`,
    binding,
    wish: {
      protocol,
      containerPort: port,
      hostAddress: hostAddressOf(HostIp),
      hostPorts: hostRange(HostPort),
    },
  };
}

/** Everything that a container wants published, by -p and then by -P. Throws Faults "invalid" in Docker's words. */
export function bindingsOf(config: ContainerConfig, hostConfig: HostConfig): Binding[] {
  const asked = Object.entries(hostConfig.PortBindings ?? {}).flatMap(([text, list]) =>
    (list ?? []).map((binding) => bindingOf(text, binding)),
  );
  if (!hostConfig.PublishAllPorts) return asked;
  const published = new Set(asked.map(({ key }) => key));
  const others = Object.keys(config.ExposedPorts ?? {}).filter((key) => !published.has(key));
  return [...asked, ...others.map((key) => bindingOf(key, { HostIp: "", HostPort: "" }))];
}

/** The ports that a container wants published. Throws Faults "invalid" in Docker's words. */
export function portWishes(config: ContainerConfig, hostConfig: HostConfig): PortWish[] {
  return bindingsOf(config, hostConfig).map(({ wish }) => wish);
}

/** Published ports as inspect shows them; exposed ones that are not published are null. */
export function portMap(config: ContainerConfig, published: readonly PublishedPort[]): PortMap {
  const map: PortMap = {};
  for (const exposed of Object.keys(config.ExposedPorts ?? {})) map[exposed] = null;
  for (const { protocol, containerPort, hostAddress, hostPort } of published) {
    const key = `${containerPort}/${protocol}`;
    map[key] = [...(map[key] ?? []), { HostIp: hostAddress, HostPort: String(hostPort) }];
  }
  return map;
}

/** Published and exposed ports as the list shows them. */
export function portList(config: ContainerConfig, published: readonly PublishedPort[]): Port[] {
  return Object.entries(portMap(config, published)).flatMap(([key, bindings]): Port[] => {
    const { port, protocol } = parsePort(key);
    if (bindings === null) return [{ PrivatePort: port, Type: protocol }];
    return bindings.map(({ HostIp = "", HostPort = "" }) => ({
      IP: HostIp,
      PrivatePort: port,
      PublicPort: Number(HostPort),
      Type: protocol,
    }));
  });
}
