/**
 * Publishing containers' ports on the host. A published port is claimed by a socket that the shim then holds until the container
 * ends, so that no other program can take it and none stays claimed; an element of the firewall's maps leads to the container.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { KernelError, type PortRequest } from "../kernel/index.ts";
import { NETLINK_NETFILTER, type NetlinkChannel } from "./channel.ts";
import { type Flow, flowsIn, flowsTo, leadsTo, missesOut } from "./conntrack.ts";
import type { LedPort, OpenedPort, PublishedPort } from "./firewall.ts";
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

/** Binds a port and holds it; gives the port that it got, rejects with a KernelError. */
export type PortClaimer = (request: PortRequest) => Promise<number>;

async function claimOne(
  wish: PortWish,
  address: string,
  claim: PortClaimer,
): Promise<PublishedPort> {
  const { protocol, containerPort } = wish;
  const hostAddress =
    wish.hostAddress === "" || wish.hostAddress === "::" ? "0.0.0.0" : wish.hostAddress;
  if (hostAddress.includes(":"))
    throw new Error(
      `cannot publish on ${hostAddress}: ports are published on IPv4 addresses, and not on IPv6 ones`,
    );
  const [from, to] = wish.hostPorts;
  let refusal = "";
  for (let port = from; port <= to; port++) {
    try {
      const listen = protocol !== "udp";
      const hostPort = await claim({ protocol, address: hostAddress, port, listen });
      return { protocol, containerPort, hostAddress, hostPort };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const why = {
        EADDRINUSE: "address already in use",
        EADDRNOTAVAIL: "cannot assign requested address",
        EACCES: "permission denied",
      }[error.code];
      refusal = `failed to bind host port for ${hostAddress}:${port}:${address}:${containerPort}/${protocol}: ${why ?? error.code}`;
      if (error.code !== "EADDRINUSE") break;
    }
  }
  throw new Error(refusal);
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

const ledTo = (address: string, ports: readonly PublishedPort[]): LedPort[] =>
  ports.map((port) => ({ ...port, address }));

/** Claims ports, and leads clients to containers. */
export class Publisher {
  /** What is to be in the firewall, whether others have just taken it out or not. */
  private readonly published = new Map<string, LedPort>();
  private readonly openPorts = new Map<string, OpenedPort>();

  constructor(
    private readonly channel: NetlinkChannel,
    private readonly firewall: Firewall,
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

  /** Whether a port leads to an address, and not meanwhile to another's. */
  private isOf(address: string, port: PublishedPort): boolean {
    return this.published.get(keyOf(port))?.address === address;
  }

  /**
   * Claims ports of an endpoint in their order, holding them by `claim`. Throws Faults in Docker's words for the first that cannot
   * be had; what has been claimed then is the caller's to let go.
   */
  async claim(
    name: string,
    { endpointId, address }: { readonly endpointId: string; readonly address: string },
    wishes: readonly PortWish[],
    claim: PortClaimer,
  ): Promise<PublishedPort[]> {
    try {
      const ports: PublishedPort[] = [];
      for (const wish of wishes) ports.push(await claimOne(wish, address, claim));
      return ports;
    } catch (error) {
      throw endpointFault(name, endpointId, error);
    }
  }

  /** Takes published ports of an address out of the firewall and puts others in, in one transaction. */
  async republish(
    address: string,
    before: readonly PublishedPort[],
    added: readonly PublishedPort[],
  ): Promise<void> {
    const withdrawn = before.filter((port) => this.isOf(address, port));
    if (withdrawn.length + added.length === 0) return;
    const led = ledTo(address, added);
    for (const port of withdrawn) this.forget(port);
    for (const port of led) this.note(port);
    try {
      await this.firewall.lead(ledTo(address, withdrawn), led);
    } catch (error) {
      for (const port of added) this.forget(port);
      throw error;
    } finally {
      for (const port of withdrawn) await this.forgetFlows(port, leadsTo(address, port));
      for (const port of added) await this.forgetFlows(port, missesOut(port));
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
    try {
      const flows = flowsIn(
        await this.channel.send(0, [flowsTo(port.hostPort)], NETLINK_NETFILTER),
      );
      // One by one: that one has gone by itself meanwhile is no failure.
      for (const { forget } of flows.filter(wrong))
        await this.channel.send(0, [forget], NETLINK_NETFILTER).catch(() => {});
    } catch (error) {
      log.debug("forget flows", { port: port.hostPort, error: messageOf(error) });
    }
  }

  /** Leads the clients of ports to another address of the same container, in one transaction. */
  async move(from: string, to: string, ports: readonly PublishedPort[]): Promise<void> {
    if (ports.length === 0 || from === to) return;
    for (const port of ledTo(to, ports)) this.note(port);
    await this.firewall.lead(ledTo(from, ports), ledTo(to, ports));
    for (const port of ports) await this.forgetFlows(port, leadsTo(from, port));
  }
}
