/**
 * Published and exposed ports (`-p`, `--expose`), in all the forms that Docker takes.
 */

/** Ports as the API wants them. */
export interface PortOptions {
  readonly exposed: Record<string, Record<string, never>>;
  readonly bindings: Record<string, { HostIp: string; HostPort: string }[]>;
}

function parseRange(text: string, whole: string): [number, number] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first > 65535 || last > 65535) throw new Error(`invalid containerPort: ${whole}`);
  if (last < first) throw new Error(`invalid range specified for port: ${whole}`);
  return [first, last];
}

function splitSpec(spec: string): { ip: string; host: string; container: string } {
  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]*|[^[\]]*:[^[\]]*:[^[\]]*)):)?([\d-]*):([\d-]+)$/.exec(
    spec,
  );
  if (match)
    return { ip: match[1] ?? match[2] ?? "", host: match[3] ?? "", container: match[4] ?? "" };
  if (spec.includes(":")) {
    const parts = spec.split(":");
    if (parts.at(-1) === "") throw new Error(`no port specified: ${spec}<empty>`);
    throw new Error(`invalid hostPort: ${parts.at(-2) ?? ""}`);
  }
  return { ip: "", host: "", container: spec };
}

const keys = new Set(["target", "published", "protocol", "mode"]);

/** `target=80,published=8080,protocol=tcp` as the short form. */
function fromLongForm(spec: string): string {
  const fields = new Map<string, string>();
  for (const part of spec.split(",")) {
    const [key = "", value] = part.split("=", 2);
    if (value === undefined || !keys.has(key)) throw new Error(`invalid field ${part}`);
    fields.set(key, value);
  }
  return `${fields.get("published") ?? ""}:${fields.get("target") ?? ""}/${fields.get("protocol") ?? "tcp"}`;
}

function addPublished(given: string, ports: PortOptions): void {
  const spec = given.includes("=") ? fromLongForm(given) : given;
  const [addresses = "", protocol = "tcp", more] = spec.split("/");
  const proto = protocol.toLowerCase();
  if (more !== undefined || !["tcp", "udp", "sctp"].includes(proto))
    throw new Error(`invalid proto: ${protocol}`);
  const { ip, host, container } = splitSpec(addresses);
  if (container === "") throw new Error(`no port specified: ${given}<empty>`);
  if (ip !== "" && !/^[\d.]+$/.test(ip) && !/^[\da-f:.]+$/i.test(ip))
    throw new Error(`invalid IP address: ${ip}`);
  const [first, last] = parseRange(container, container);
  const [hostFirst, hostLast] = host === "" ? [0, 0] : parseRange(host, host);
  if (host !== "" && hostLast - hostFirst !== last - first && first !== last)
    throw new Error(
      `invalid ranges specified for container and host Ports: ${container} and ${host}`,
    );
  for (let port = first; port <= last; port++) {
    const key = `${port}/${proto}`;
    ports.exposed[key] = {};
    let hostPort = host === "" ? "" : String(hostFirst + port - first);
    if (host !== "" && first === last && hostFirst !== hostLast) hostPort = host;
    ports.bindings[key] = [...(ports.bindings[key] ?? []), { HostIp: ip, HostPort: hostPort }];
  }
}

/** Reads `-p` and `--expose` values. Throws an Error in Docker's words. */
export function parsePorts(publish: readonly string[], expose: readonly string[]): PortOptions {
  const ports: PortOptions = { exposed: {}, bindings: {} };
  for (const spec of publish) addPublished(spec, ports);
  for (const spec of expose) {
    if (spec.includes(":")) throw new Error(`invalid port format for --expose: ${spec}`);
    const [range = "", proto = "tcp"] = spec.split("/");
    const match = /^\d+(-\d+)?$/.test(range);
    if (!match) throw new Error(`invalid range format for --expose: ${spec}, error: invalid port`);
    const [first, last] = parseRange(range, range);
    for (let port = first; port <= last; port++) ports.exposed[`${port}/${proto}`] = {};
  }
  return ports;
}
