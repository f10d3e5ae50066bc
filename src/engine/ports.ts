/**
 * Published ports: from the API's maps to wishes for the network. Pure.
 */

import { fault } from "../base/errors.ts";
import { type PortWish, type PublishedPort, parseIpv4 } from "../network/index.ts";
import type { ContainerConfig, HostConfig, Port, PortMap } from "../spec/engine-api.ts";
import { exposedPorts } from "../spec/exposed-ports.ts";

function parsePort(text: string): { port: number; protocol: PortWish["protocol"] } {
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

/** The ports that a container wants published. Throws Faults "invalid" in Docker's words. */
export function portWishes(config: ContainerConfig, hostConfig: HostConfig): PortWish[] {
  const bindings: PortMap = { ...hostConfig.PortBindings };
  if (hostConfig.PublishAllPorts)
    for (const exposed of Object.keys(config.ExposedPorts ?? {}))
      if (!bindings[exposed]?.length) bindings[exposed] = [{ HostIp: "", HostPort: "" }];
  return Object.entries(bindings).flatMap(([text, list]) => {
    const { port, protocol } = parsePort(text);
    return (list ?? []).map(({ HostIp = "", HostPort = "" }): PortWish => {
      if (HostIp !== "" && HostIp !== "::" && parseIpv4(HostIp) === undefined)
        throw fault(
          "invalid",
          "host-address",
          `invalid IP address: ${HostIp}: ports can be published on IPv4 addresses`,
        );
      return { protocol, containerPort: port, hostAddress: HostIp, hostPorts: hostRange(HostPort) };
    });
  });
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
