/**
 * The default bridge: an interface, a subnet, a firewall table, and the endpoints of containers.
 *
 * An endpoint's network namespace and veth pair are made ahead of time where possible. Only descriptors of the helper hold
 * them: if it dies, nothing is left. A published port is claimed by a socket that the shim then holds until the container
 * ends, so that no other program can take it and none stays claimed.
 */
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { type Handle, type Kernel, KernelError, type PortRequest } from "../kernel/index.ts";
import {
  AddressPool,
  chooseSubnet,
  formatIpv4,
  overlaps,
  parseCidr,
  parseIpv4,
  type Subnet,
} from "./addresses.ts";
import { type Flow, flowsIn, flowsTo, leadsTo, missesOut } from "./conntrack.ts";
import { type PublishedPort, publishRequests, ruleset } from "./firewall.ts";
import {
  decodeAnswers,
  encodeRequests,
  type NetlinkAnswer,
  type NetlinkRequest,
} from "./netlink.ts";
import { resolverRedirect } from "./resolver-redirect.ts";
import {
  deleteLink,
  dumpLinks,
  dumpRoutes,
  linksOf,
  newAddress,
  newBridge,
  newDefaultRoute,
  newVeth,
  routesOf,
  setHairpin,
  setUp,
} from "./rtnetlink.ts";

const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
/** Indexes inside a new namespace: lo is 1; the veth's end is asked to be 2. */
const LOOPBACK = 1;
const INTERFACE = 2;

/** How a bridge is set up. */
export interface BridgeOptions {
  /** The interface's name, at most 15 characters; also the firewall table's. */
  readonly name: string;
  /** "172.17.0.1/16"; chosen so that it touches no route of the host when absent. */
  readonly bip?: string | undefined;
  readonly mtu: number;
  /** Namespaces to hold ready. */
  readonly warm: number;
}

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

/** An endpoint as it is stored: enough to take it down after a crash. */
export interface EndpointRecord {
  readonly endpointId: string;
  readonly address: string;
  readonly prefix: number;
  readonly gateway: string;
  readonly mac: string;
  readonly ports: readonly PublishedPort[];
}

/** An endpoint with what its shim is to hold. */
export interface Endpoint {
  readonly record: EndpointRecord;
  /** The network namespace; close it once the shim has it. */
  readonly netns: Handle;
  /** Claimed ports; close them once the shim has them. */
  readonly claims: readonly Handle[];
}

interface Prepared {
  readonly netns: Handle;
  readonly address: string;
  readonly mac: string;
}

function hex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

function macOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "42", ...bytes].join(":");
}

/** Claims ports in their order. Throws an Error in Docker's words for the first that cannot be had. */
async function claimPorts(
  wishes: readonly PortWish[],
  address: string,
  claim: PortClaimer,
): Promise<PublishedPort[]> {
  const ports: PublishedPort[] = [];
  for (const wish of wishes) ports.push(await claimOne(wish, address, claim));
  return ports;
}

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
      `cannot publish on ${hostAddress}: containers on this bridge have no IPv6 address`,
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

/** How long namespaces of an earlier daemon are waited for. */
const OTHERS_MS = 2000;
/** How many empty namespaces are held ready at most: few containers are on no network. */
const MAX_EMPTY = 2;

/** One bridge network. */
export class Bridge {
  private index = 0;
  private seq = 1;
  private readonly ready: Prepared[] = [];
  /** Namespaces with nothing but a loopback that is up. */
  private readonly empty: Handle[] = [];
  private filling: Promise<void> | undefined;
  private closed = false;
  private readonly pool: AddressPool;

  private constructor(
    private readonly kernel: Kernel,
    private readonly options: BridgeOptions,
    readonly gateway: string,
    readonly subnet: Subnet,
  ) {
    this.pool = new AddressPool(subnet, gateway);
  }

  /** The interface's name; also the firewall table's. */
  get name(): string {
    return this.options.name;
  }

  /**
   * Makes or finds the bridge, and puts the firewall's table in place with the ports of containers that run. Throws a Fault
   * "failed" that names the route when the wanted subnet is taken.
   */
  static async open(
    kernel: Kernel,
    options: BridgeOptions,
    running: readonly EndpointRecord[],
  ): Promise<Bridge> {
    const ask = async (request: NetlinkRequest) =>
      decodeAnswers(await kernel.netlink(0, NETLINK_ROUTE, encodeRequests([request], 1), 1));
    const links = linksOf(await ask(dumpLinks()));
    const existing = links.find((link) => link.name === options.name);
    const first = running[0];
    const wanted =
      options.bip ?? (existing && first ? `${first.gateway}/${first.prefix}` : undefined);
    const taken = routesOf(await ask(dumpRoutes())).map(({ address, prefix }) => ({
      base: parseIpv4(address) ?? 0,
      prefix,
    }));
    let gateway: string;
    let subnet: Subnet;
    if (wanted === undefined) {
      subnet = chooseSubnet(taken);
      gateway = formatIpv4(subnet.base + 1);
    } else {
      ({ address: gateway, subnet } = parseCidr(wanted));
      const clash = existing ? undefined : taken.find((route) => overlaps(route, subnet));
      if (clash !== undefined)
        throw fault(
          "failed",
          "subnet-taken",
          `the subnet of ${wanted} overlaps with the host's route to ${formatIpv4(clash.base)}/${clash.prefix}: choose another with --bip`,
        );
    }
    const bridge = new Bridge(kernel, options, gateway, subnet);
    for (const endpoint of running) bridge.pool.claim(endpoint.address);
    // Without a container on it, a bridge that a crash has left is made anew, as the options want it.
    const keep = existing !== undefined && running.length > 0;
    if (existing !== undefined && !keep) await bridge.send(0, [deleteLink(existing.index)]);
    try {
      await bridge.setUp(keep ? existing.index : undefined, running);
      if (keep) await bridge.othersGone(running.length);
    } catch (error) {
      if (!keep) await bridge.close(true);
      throw error;
    }
    bridge.refill();
    return bridge;
  }

  /**
   * The namespaces that an earlier daemon held ready die with it, but not at once. Until then they answer at addresses that
   * this one is about to give away: a while is waited for that.
   */
  private async othersGone(running: number): Promise<void> {
    for (const end = Date.now() + OTHERS_MS; Date.now() < end; await Bun.sleep(5)) {
      const links = linksOf(await this.send(0, [dumpLinks()]));
      const ends = links.filter(({ name, master }) => master === this.index && /^veth/.test(name));
      if (ends.length <= running) return;
    }
    log.warn("interfaces of nobody known are on the bridge", { bridge: this.options.name });
  }

  /** "172.17.0.0/16". */
  get cidr(): string {
    return `${formatIpv4(this.subnet.base)}/${this.subnet.prefix}`;
  }

  private async setUp(
    index: number | undefined,
    running: readonly EndpointRecord[],
  ): Promise<void> {
    const { name } = this.options;
    if (index === undefined) {
      await this.send(0, [newBridge(name, macOf(this.gateway))]);
      const buffer = encodeRequests([dumpLinks()], 1);
      const links = linksOf(decodeAnswers(await this.kernel.netlink(0, NETLINK_ROUTE, buffer, 1)));
      this.index = links.find((link) => link.name === name)?.index ?? 0;
      await this.send(0, [newAddress(this.index, this.gateway, this.subnet.prefix)]);
    } else this.index = index;
    // A container's forged router advertisement must not change the host's routes (CVE-2020-13401).
    await this.kernel.sysctl(0, `net/ipv6/conf/${name}/accept_ra`, "0").catch(() => {});
    await this.kernel.sysctl(0, `net/ipv4/conf/${name}/route_localnet`, "1");
    await this.kernel.sysctl(0, "net/ipv4/ip_forward", "1");
    const ports = running.flatMap((endpoint) =>
      endpoint.ports.map((port) => ({ ...port, address: endpoint.address })),
    );
    await this.nft(ruleset(this.options.name, name, this.cidr, ports));
  }

  private async nft(script: string): Promise<void> {
    const child = Bun.spawn(["nft", "-f", "-"], {
      stdin: new TextEncoder().encode(script),
      stdout: "ignore",
      stderr: "pipe",
    });
    const errors = await child.stderr.text();
    if ((await child.exited) !== 0)
      throw fault("failed", "firewall", `nft refused berth's firewall table: ${errors.trim()}`);
  }

  /** Sends requests in one buffer; throws the first refusal. */
  private async send(
    netns: Handle,
    requests: readonly NetlinkRequest[],
    protocol = NETLINK_ROUTE,
  ): Promise<NetlinkAnswer[]> {
    const first = this.seq;
    this.seq = (this.seq + requests.length) % 0x7fffffff || 1;
    const last = requests.findLastIndex((request) => (request.flags & 4) !== 0);
    const data = await this.kernel.netlink(
      netns,
      protocol,
      encodeRequests(requests, first),
      first + last,
    );
    const answers = decodeAnswers(data);
    const refused = answers.find((answer) => answer.error !== undefined && answer.error !== 0);
    if (refused !== undefined) {
      const what = requests[refused.seq - first]?.what ?? "netlink";
      throw new KernelError(refused.error ?? 0, `errno ${refused.error}`, what);
    }
    return answers;
  }

  private get wanting(): boolean {
    const { warm } = this.options;
    return (
      !this.closed && (this.ready.length < warm || this.empty.length < Math.min(warm, MAX_EMPTY))
    );
  }

  private refill(): void {
    if (this.filling !== undefined || !this.wanting) return;
    this.filling = this.fill()
      .catch((error) => log.warn("cannot prepare a network namespace", { error: messageOf(error) }))
      .finally(() => {
        this.filling = undefined;
      });
  }

  private async fill(): Promise<void> {
    while (this.wanting) {
      if (this.ready.length < this.options.warm) this.ready.push(await this.prepare());
      else this.empty.push(await this.makeEmpty());
    }
  }

  private async makeEmpty(): Promise<Handle> {
    const netns = await this.kernel.newNetns();
    try {
      await this.send(netns, [setUp(LOOPBACK)]);
      return netns;
    } catch (error) {
      await this.kernel.close(netns).catch(() => {});
      throw error;
    }
  }

  /** A network namespace that is on no network; the caller closes it. */
  async isolated(): Promise<Handle> {
    const ready = this.empty.shift();
    if (ready === undefined) return this.makeEmpty();
    this.refillSoon();
    return ready;
  }

  /** Not at once: the container's own start comes first. */
  private refillSoon(): void {
    setTimeout(() => this.refill(), 20);
  }

  private async prepare(address = this.pool.allocate(), mac = macOf(address)): Promise<Prepared> {
    let netns: Handle = 0;
    try {
      netns = await this.kernel.newNetns();
      const { outside, inside } = this.wiring(netns, address, mac);
      const quiet = this.kernel
        .sysctl(netns, "net/ipv6/conf/default/disable_ipv6", "1")
        .catch(() => {});
      await Promise.all([
        quiet,
        this.send(0, outside),
        this.send(netns, inside),
        this.send(netns, resolverRedirect(), NETLINK_NETFILTER),
      ]);
      return { netns, address, mac };
    } catch (error) {
      this.pool.release(address);
      if (netns !== 0) await this.kernel.close(netns).catch(() => {});
      throw error;
    }
  }

  private wiring(
    netns: Handle,
    address: string,
    mac: string,
  ): { outside: NetlinkRequest[]; inside: NetlinkRequest[] } {
    const name = `veth${hex(4).slice(0, 7)}`;
    const veth = newVeth({
      name,
      bridgeIndex: this.index,
      mtu: this.options.mtu,
      peer: { name: "eth0", index: INTERFACE, mac, netns },
    });
    const inside = [
      setUp(LOOPBACK),
      newAddress(INTERFACE, address, this.subnet.prefix),
      setUp(INTERFACE),
      newDefaultRoute(this.gateway, INTERFACE),
    ];
    return { outside: [veth, setHairpin(name)], inside };
  }

  private async take(address: string | undefined, mac: string | undefined): Promise<Prepared> {
    if (address !== undefined) {
      if (!this.pool.claim(address))
        throw fault("conflict", "address-in-use", `Address already in use: ${address}`);
      return this.prepare(address, mac);
    }
    if (mac !== undefined) return this.prepare(this.pool.allocate(), mac);
    const ready = this.ready.shift();
    if (ready === undefined) return this.prepare();
    this.refillSoon();
    return ready;
  }

  /** Makes a container's endpoint and publishes its ports. Throws Faults in Docker's words; nothing is left then. */
  async attach(input: {
    readonly name: string;
    readonly ports: readonly PortWish[];
    readonly address?: string | undefined;
    readonly mac?: string | undefined;
  }): Promise<Endpoint> {
    const prepared = await this.take(input.address, input.mac);
    const endpointId = hex(32);
    const claims: Handle[] = [];
    const hold: PortClaimer = async (request) => {
      const claim = await this.kernel.socket({ netns: 0, ...request });
      claims.push(claim.handle);
      return claim.port;
    };
    let ports: PublishedPort[] = [];
    try {
      ports = await claimPorts(input.ports, prepared.address, hold);
      await this.republish(prepared.address, [], ports);
    } catch (error) {
      for (const handle of [prepared.netns, ...claims])
        await this.kernel.close(handle).catch(() => {});
      this.pool.release(prepared.address);
      throw endpointFault(input.name, endpointId, error);
    }
    const { address, mac, netns } = prepared;
    const record = {
      endpointId,
      address,
      prefix: this.subnet.prefix,
      gateway: this.gateway,
      mac,
      ports,
    };
    return { record, netns, claims };
  }

  /**
   * Publishes more ports of an endpoint that is in use, holding them by `claim`. Throws Faults in Docker's words; what has been
   * claimed then is the caller's to let go.
   */
  async claimMore(
    name: string,
    { endpointId, address }: EndpointRecord,
    ports: readonly PortWish[],
    claim: PortClaimer,
  ): Promise<PublishedPort[]> {
    try {
      return await claimPorts(ports, address, claim);
    } catch (error) {
      throw endpointFault(name, endpointId, error);
    }
  }

  /** Takes published ports of an address out of the firewall and puts others in, in one transaction. */
  async republish(
    address: string,
    withdrawn: readonly PublishedPort[],
    added: readonly PublishedPort[],
  ): Promise<void> {
    if (withdrawn.length + added.length === 0) return;
    const requests = publishRequests(this.options.name, address, withdrawn, added);
    try {
      await this.send(0, requests, NETLINK_NETFILTER);
    } finally {
      for (const port of withdrawn) await this.forgetFlows(port, leadsTo(address, port));
      for (const port of added) await this.forgetFlows(port, missesOut(port));
    }
  }

  /** Makes the kernel forget where it has led datagrams. Where it cannot, they go there until their sender pauses. */
  private async forgetFlows(port: PublishedPort, wrong: (flow: Flow) => boolean): Promise<void> {
    if (port.protocol !== "udp") return;
    try {
      const flows = flowsIn(await this.send(0, [flowsTo(port.hostPort)], NETLINK_NETFILTER));
      // One by one: that one has gone by itself meanwhile is no failure.
      for (const { forget } of flows.filter(wrong))
        await this.send(0, [forget], NETLINK_NETFILTER).catch(() => {});
    } catch (error) {
      log.debug("forget flows", { port: port.hostPort, error: messageOf(error) });
    }
  }

  /** Takes an endpoint down by its record; fine if it is gone. The dying namespace takes the interfaces along. */
  async detach(record: EndpointRecord): Promise<void> {
    await this.republish(record.address, record.ports, []).catch((error) =>
      log.debug("withdraw ports", { error: messageOf(error) }),
    );
    this.pool.release(record.address);
  }

  /** Lets go of prepared namespaces; with `remove`, takes bridge and firewall table away. */
  async close(remove: boolean): Promise<void> {
    this.closed = true;
    await this.filling;
    const held = [...this.ready.splice(0).map(({ netns }) => netns), ...this.empty.splice(0)];
    for (const netns of held) await this.kernel.close(netns).catch(() => {});
    if (!remove) return;
    await this.send(0, [deleteLink(this.index)]).catch((error) =>
      log.warn("remove the bridge", { error: messageOf(error) }),
    );
    await this.nft(
      `table ip ${this.options.name} {}\ndelete table ip ${this.options.name}\n`,
    ).catch(() => {});
  }
}
