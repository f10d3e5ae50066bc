/**
 * Published and exposed ports (`-p`, `--expose`), in all the forms that Docker takes.
 */
import { net } from "../late-modules.ts";

/** Ports as the API wants them. */
export interface PortOptions {
  readonly exposed: Record<string, Record<string, never>>;
  readonly bindings: Record<string, { HostIp: string; HostPort: string }[]>;
}

function parsePort(text: string): number {
  const wrong = (why: string) =>
    new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`);
  if (!/^\d+$/.test(text)) throw wrong("invalid syntax");
  if (Number(text) > 65535) throw wrong("value out of range");
  return Number(text);
}

/** `80` or `80-90`. Throws in Go's words. */
function parseRange(text: string): [first: number, last: number] {
  if (text === "") throw new Error("empty string specified for ports");
  const [from = "", to = from] = text.split("-");
  const first = parsePort(from);
  const last = parsePort(to);
  if (last < first) throw new Error(`invalid range specified for port: ${text}`);
  return [first, last];
}

function rangeOf(text: string, what: string): [first: number, last: number] {
  try {
    return parseRange(text);
  } catch {
    throw new Error(`invalid ${what}: ${text}`);
  }
}

/** `80/udp`; without a port there is no protocol. */
function splitProtocol(text: string): { protocol: string; port: string } {
  const [port = "", protocol] = text.split("/");
  return port === "" ? { protocol: "", port: "" } : { protocol: protocol || "tcp", port };
}

/** `target=80,published=8080,protocol=tcp` as the short form. */
function fromLongForm(spec: string): string {
  const fields = new Map([["protocol", "tcp"]]);
  for (const part of spec.split(",")) {
    const [key = "", value] = part.split(/=(.*)/s, 2);
    if (value === undefined || key === "")
      throw new Error(`invalid publish opts format (should be name=value but got '${part}')`);
    fields.set(key, value);
  }
  const field = (name: string) => fields.get(name) ?? "";
  return `${field("published")}:${field("target")}/${field("protocol")}`;
}

function addressOf(text: string): string {
  const bracketed = text.startsWith("[");
  const [, inside] = /^\[([^\]]*)\]$/.exec(text) ?? [];
  if (bracketed && inside === undefined)
    throw new Error(`invalid IP address ${text}: address ${text}:: missing ']' in address`);
  const ip = inside ?? text;
  // An address with a zone is none of the host's to publish on.
  if (ip !== "" && (net().isIP(ip) === 0 || ip.includes("%")))
    throw new Error(`invalid IP address: ${ip}`);
  return ip;
}

function addPublished(given: string, ports: PortOptions): void {
  const spec = given.includes("=") ? fromLongForm(given) : given;
  const parts = spec.split(":");
  const { protocol, port: container } = splitProtocol(parts.at(-1) ?? "");
  const host = parts.at(-2) ?? "";
  const ip = addressOf(parts.slice(0, -2).join(":"));
  if (container === "") throw new Error(`no port specified: ${spec}<empty>`);
  const [first, last] = rangeOf(container, "containerPort");
  const [hostFirst, hostLast] = host === "" ? [0, 0] : rangeOf(host, "hostPort");
  // A range on the host for one port is where a free one is looked for.
  if (host !== "" && hostLast - hostFirst !== last - first && first !== last)
    throw new Error(
      `invalid ranges specified for container and host Ports: ${container} and ${host}`,
    );
  if (!["tcp", "udp", "sctp"].includes(protocol.toLowerCase()))
    throw new Error(`invalid proto: ${protocol}`);
  for (let port = first; port <= last; port++) {
    const key = `${port}/${protocol.toLowerCase()}`;
    ports.exposed[key] = {};
    let hostPort = host === "" ? "" : String(hostFirst + port - first);
    if (first === last && hostFirst !== hostLast) hostPort = `${hostFirst}-${hostLast}`;
    ports.bindings[key] = [...(ports.bindings[key] ?? []), { HostIp: ip, HostPort: hostPort }];
  }
}

function addExposed(spec: string, ports: PortOptions): void {
  if (spec.includes(":")) throw new Error(`invalid port format for --expose: ${spec}`);
  const { protocol, port } = splitProtocol(spec);
  let range: [number, number];
  try {
    range = parseRange(port);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`invalid range format for --expose: ${spec}, error: ${why}`);
  }
  for (let at = range[0]; at <= range[1]; at++) ports.exposed[`${at}/${protocol}`] = {};
}

/** Reads `-p` and `--expose` values. Throws an Error in Docker's words. */
export function parsePorts(publish: readonly string[], expose: readonly string[]): PortOptions {
  const ports: PortOptions = { exposed: {}, bindings: {} };
  for (const spec of publish) addPublished(spec, ports);
  for (const spec of expose) addExposed(spec, ports);
  return ports;
}
