/**
 * Publishing containers' ports on the host. A published port is claimed by a socket that the shim then holds until the container
 * ends, so that no other program can take it and none stays claimed; an element of the firewall's maps leads to the container.
 * Where the kernel cannot lead there (from one family to the other, or from ::1), clients come to the socket, and the shim hands
 * them on.
 */
import { existsSync, readFileSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import { bracketed } from "../base/host-port.ts";
import { log } from "../base/log.ts";
import { inUserNamespace } from "../base/user-namespace.ts";
import { KernelError, type PortRequest } from "../kernel/index.ts";
import type { Family } from "./addresses.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import { type Flow, flowsIn, flowsTo, leadsTo, missesOut } from "./conntrack.ts";
import {
  isRelayed,
  type LedPort,
  type OpenedPort,
  type PortTarget,
  type PublishedPort,
} from "./firewall.ts";
import type { Firewall } from "./firewall-backend.ts";

/** A port that is to be published. */
export interface PortWish {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly containerPort: number;
  /** Empty: every address. */
  readonly hostAddress: string;
  /** The first and last port to try; 0 lets the kernel choose. */
  readonly hostPorts: readonly [number, number];
}

/** Who binds and holds ports. */
export interface PortClaimer {
  /** Binds a port and holds it; gives the port that it got, rejects with a KernelError. */
  claim(request: PortRequest): Promise<number>;
  /** Lets go of what it has claimed last, where it can. */
  letGo(): Promise<void>;
}

/** Who is to have ports. */
export interface PortOwner extends PortTarget {
  readonly endpointId: string;
}

/** How often another port is tried when a free one of IPv4 is another's in IPv6. */
const PAIR_ATTEMPTS = 16;

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
};

/** The first port that everybody may bind. */
function unprivilegedFrom(): string {
  return readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8").trim();
}

function refusal(
  wish: PortWish,
  hostAddress: string,
  port: number,
  owner: PortOwner,
  code: string,
) {
  const inside = bracketed(owner.address || (owner.address6 ?? ""));
  const { containerPort, protocol } = wish;
  const unprivileged =
    code === "EACCES" && inUserNamespace()
      ? ` (a rootless daemon cannot expose privileged port ${port}: add 'net.ipv4.ip_unprivileged_port_start=${port}' to /etc/sysctl.conf (currently ${unprivilegedFrom()}), or choose a larger port number (>= ${unprivilegedFrom()}))`
      : "";
  return new Error(
    `failed to bind host port for ${bracketed(hostAddress)}:${port}:${inside}:${containerPort}/${protocol}: ${reasons[code] ?? code}${unprivileged}`,
  );
}

/** Claims a port of one address, or says by the error's code why not. */
async function claimAt(
  wish: PortWish,
  hostAddress: string,
  port: number,
  { claim }: PortClaimer,
): Promise<PublishedPort | string> {
  const { protocol, containerPort } = wish;
  try {
    const listen = protocol !== "udp";
    const hostPort = await claim({ protocol, address: hostAddress, port, listen });
    return { protocol, containerPort, hostAddress, hostPort };
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
}

/** The same port at each of the addresses; of IPv6 none where the host has none, or a guard's policy (EPERM). */
async function claimAll(
  wish: PortWish,
  addresses: readonly string[],
  port: number,
  claimer: PortClaimer,
): Promise<{ ports: PublishedPort[] } | { refused: string; code: string }> {
  const ports: PublishedPort[] = [];
  for (const address of addresses) {
    const [first] = ports;
    const got = await claimAt(wish, address, first?.hostPort ?? port, claimer);
    if (typeof got !== "string") ports.push(first === undefined ? got : { ...got, paired: true });
    else if (first === undefined || !/^EAFNOSUPPORT|^EADDRNOTAVAIL|^EPERM/.test(got)) {
      for (const _ of ports) await claimer.letGo();
      return { refused: address, code: got };
    }
  }
  return { ports };
}

async function claimWish(
  wish: PortWish,
  owner: PortOwner,
  families: readonly Family[],
  claimer: PortClaimer,
): Promise<PublishedPort[]> {
  const every = families
    .filter((family) => family === 4 || existsSync("/proc/net/if_inet6"))
    .map((family) => (family === 4 ? "0.0.0.0" : "::"));
  const addresses = wish.hostAddress === "" ? every : [wish.hostAddress];
  const [from, to] = wish.hostPorts;
  for (let port = from, attempt = 1; ; attempt++) {
    const got = await claimAll(wish, addresses, port, claimer);
    if ("ports" in got) return got.ports;
    const again = from === 0 ? addresses.length > 1 && attempt < PAIR_ATTEMPTS : port < to;
    if (got.code !== "EADDRINUSE" || !again)
      throw refusal(wish, got.refused, port, owner, got.code);
    if (from !== 0) port++;
  }
}

/** A published port whose clients are handed on, with where to. */
export interface Relay {
  readonly protocol: PublishedPort["protocol"];
  readonly address: string;
  readonly port: number;
  readonly target: string;
  readonly targetPort: number;
}

/**
 * The ports of an endpoint whose clients are handed on by its shim. `all`: the networks are apart from where ports are published,
 * so that the kernel leads nobody over.
 */
export function relaysOf(
  endpoint: PortTarget & { readonly ports: readonly PublishedPort[] },
  all = inUserNamespace(),
): Relay[] {
  const { address, address6 = "" } = endpoint;
  return endpoint.ports
    .filter((port) => all || isRelayed({ ...port, address, address6 }))
    .map(({ protocol, hostAddress, hostPort, containerPort }) => {
      const own = hostAddress.includes(":") ? address6 : address;
      const target = own || address || address6;
      return { protocol, address: hostAddress, port: hostPort, target, targetPort: containerPort };
    });
}

/** What to say of ports that cannot be published; bugs and the kernel's own words as they are. */
function endpointFault(name: string, endpointId: string, error: unknown): unknown {
  if (error instanceof KernelError || !(error instanceof Error)) return error;
  return fault(
    "failed",
    "endpoint",
    `driver failed programming external connectivity on endpoint ${name} (${endpointId}): ${error.message}`,
    error,
  );
}

/** What a published port has for itself alone. */
const keyOf = ({ protocol, hostAddress, hostPort }: PublishedPort): string =>
  `${protocol} ${hostAddress} ${hostPort}`;

const openKey = ({ address, protocol, port }: OpenedPort): string =>
  `${address} ${protocol} ${port}`;

const led = (port: PublishedPort, { address, address6 }: PortTarget): LedPort => ({
  ...port,
  address,
  address6,
});

/** Claims ports, and leads clients to containers. */
export class Publisher {
  /** What is to be in the firewall, whether others have just taken it out or not. */
  private readonly published = new Map<string, LedPort>();
  private readonly openPorts = new Map<string, OpenedPort>();

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly firewall: Firewall,
    /** Of which ports one is chosen where none is named; undefined: the kernel chooses. */
    private readonly freePorts?: readonly [number, number],
  ) {}

  /** Every published port, with the address of its container. */
  all(): LedPort[] {
    return [...this.published.values()];
  }

  /** Every port that is reached at a container's own address. */
  opened(): OpenedPort[] {
    return [...this.openPorts.values()];
  }

  /** Takes over ports of containers that run already; the whole table is made with them. */
  adopt(ports: readonly LedPort[], opened: readonly OpenedPort[]): void {
    for (const port of ports) this.note(port);
    for (const port of opened) this.openPorts.set(openKey(port), port);
  }

  private note(port: LedPort): void {
    this.published.set(keyOf(port), port);
  }

  private forget(port: PublishedPort): void {
    this.published.delete(keyOf(port));
  }

  /** Whether a port leads to these addresses, and not meanwhile to another's. */
  private isOf({ address, address6 }: PortTarget, port: PublishedPort): boolean {
    const known = this.published.get(keyOf(port));
    return known?.address === address && known.address6 === address6;
  }

  /**
   * Claims ports of an endpoint in their order; a wish that names no address gives a port of each of the families, the second
   * paired with the first. Throws Faults in Docker's words for the first that cannot be had; what has been claimed then is the
   * caller's to let go.
   */
  async claim(
    name: string,
    owner: PortOwner,
    families: readonly Family[],
    wishes: readonly PortWish[],
    claimer: PortClaimer,
  ): Promise<PublishedPort[]> {
    try {
      const ports: PublishedPort[] = [];
      for (const wish of wishes) {
        const hostPorts = wish.hostPorts[0] === 0 ? (this.freePorts ?? [0, 0]) : wish.hostPorts;
        ports.push(...(await claimWish({ ...wish, hostPorts }, owner, families, claimer)));
      }
      return ports;
    } catch (error) {
      throw endpointFault(name, owner.endpointId, error);
    }
  }

  /** Takes published ports of a container out of the firewall and puts others in, in one transaction. */
  async republish(
    target: PortTarget,
    before: readonly PublishedPort[],
    added: readonly PublishedPort[],
  ): Promise<void> {
    const going = before.filter((port) => this.isOf(target, port)).map((port) => led(port, target));
    const coming = added.map((port) => led(port, target));
    if (going.length + coming.length === 0) return;
    for (const port of going) this.forget(port);
    for (const port of coming) this.note(port);
    try {
      await this.firewall.lead(going, coming);
    } catch (error) {
      for (const port of coming) this.forget(port);
      throw error;
    } finally {
      for (const port of going) await this.forgetFlows(port, leadsTo(port));
      for (const port of coming) await this.forgetFlows(port, missesOut(port));
    }
  }

  /** Lets ports be reached at containers' own addresses, or no longer, in one transaction. */
  async open(ports: readonly OpenedPort[], open: boolean): Promise<void> {
    const changed = ports.filter((port) => this.openPorts.has(openKey(port)) !== open);
    if (changed.length === 0) return;
    for (const port of changed)
      if (open) this.openPorts.set(openKey(port), port);
      else this.openPorts.delete(openKey(port));
    await this.firewall.expose(changed, open);
  }

  /** Makes the kernel forget where it has led datagrams. Where it cannot, they go there until their sender pauses. */
  private async forgetFlows(port: PublishedPort, wrong: (flow: Flow) => boolean): Promise<void> {
    if (port.protocol !== "udp") return;
    const family = port.hostAddress.includes(":") ? 6 : 4;
    try {
      const answers = await this.channel.send(
        0,
        [flowsTo(port.hostPort, family)],
        NETLINK_NETFILTER,
      );
      // One by one: that one has gone by itself meanwhile is no failure.
      for (const { forget } of flowsIn(answers, family).filter(wrong))
        await this.channel.send(0, [forget], NETLINK_NETFILTER).catch(() => {});
    } catch (error) {
      log.debug("forget flows", { port: port.hostPort, error: messageOf(error) });
    }
  }

  /** Leads the clients of ports to other addresses of the same container, in one transaction. */
  async move(from: PortTarget, to: PortTarget, ports: readonly PublishedPort[]): Promise<void> {
    const same = from.address === to.address && from.address6 === to.address6;
    if (ports.length === 0 || same) return;
    const [left, reached] = [from, to].map((target) => ports.map((port) => led(port, target)));
    for (const port of reached ?? []) this.note(port);
    await this.firewall.lead(left ?? [], reached ?? []);
    for (const port of left ?? []) await this.forgetFlows(port, leadsTo(port));
  }
}
