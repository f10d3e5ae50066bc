/**
 * Links, addresses and routes (rtnetlink(7)) as requests. Pure.
 */
import {
  addressBytes,
  type Family,
  formatAddress,
  macBytes,
  type Subnet,
  subnetAt,
} from "./addresses.ts";
import {
  attributeAt,
  attributesOf,
  MessageBuilder,
  type NetlinkAnswer,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
} from "./netlink.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const IFF_UP = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_IFALIAS = 20;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const VETH_INFO_PEER = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const NLM_F_REPLACE = 0x100;
const IFA_F_NODAD = 2;

const familyCode = (family: Family) => (family === 4 ? AF_INET : AF_INET6);

/** struct ifinfomsg. */
function linkHead(index: number, up: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setInt32(4, index, true);
  view.setUint32(8, up ? IFF_UP : 0, true);
  view.setUint32(12, up ? IFF_UP : 0, true);
  return new Uint8Array(view.buffer);
}

/** Makes a bridge and sets it up. */
export function newBridge(name: string, mac: string, mtu = 0): NetlinkRequest {
  const body = new MessageBuilder().raw(linkHead(0, true)).text(IFLA_IFNAME, name);
  if (mtu !== 0) body.u32(IFLA_MTU, mtu);
  body
    .attribute(IFLA_ADDRESS, macBytes(mac))
    .nest(IFLA_LINKINFO, (info) => info.text(IFLA_INFO_KIND, "bridge"));
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the bridge ${name}`,
  };
}

/** A pair of interfaces, one end on a bridge here and up, the other born in another namespace. */
export interface VethPair {
  readonly name: string;
  readonly bridgeIndex: number;
  readonly mtu: number;
  readonly peer: {
    readonly name: string;
    readonly index: number;
    readonly mac: string;
    /** Absent: here. */
    readonly netns?: number;
  };
}

/** An interface on top of another of the host's. */
export interface UpperLink {
  readonly name: string;
  /** The lower one's index. */
  readonly parent: number;
  /** 0: the parent's. */
  readonly mtu: number;
  readonly kind: UpperKind;
}

/** What kind of interface, by the numbers of linux/if_link.h. */
export type UpperKind =
  | { readonly kind: "macvlan"; readonly mode: number }
  | { readonly kind: "ipvlan"; readonly mode: number; readonly flags: number }
  | { readonly kind: "vlan"; readonly id: number };

function upperData(data: MessageBuilder, kind: UpperKind): void {
  if (kind.kind === "macvlan") data.u32(1, kind.mode);
  else if (kind.kind === "ipvlan") data.u16(1, kind.mode).u16(2, kind.flags);
  else data.u16(1, kind.id);
}

/** Makes an interface on top of another; `inside`: born in another namespace. */
export function newUpper(
  { name, parent, mtu, kind }: UpperLink,
  inside?: { readonly mac: string; readonly netns: number },
): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(0, false))
    .text(IFLA_IFNAME, name)
    .u32(IFLA_LINK, parent);
  if (mtu !== 0) body.u32(IFLA_MTU, mtu);
  if (inside?.mac) body.attribute(IFLA_ADDRESS, macBytes(inside.mac));
  if (inside !== undefined) body.u32(IFLA_NET_NS_FD, inside.netns);
  body.nest(IFLA_LINKINFO, (info) =>
    info.text(IFLA_INFO_KIND, kind.kind).nest(IFLA_INFO_DATA, (data) => upperData(data, kind)),
  );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the ${kind.kind} interface ${name}`,
  };
}

/** Makes an interface that leads nowhere. */
export function newDummy(name: string): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(0, false))
    .text(IFLA_IFNAME, name)
    .nest(IFLA_LINKINFO, (info) => info.text(IFLA_INFO_KIND, "dummy"));
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the dummy interface ${name}`,
  };
}

/** Renames a link, which has to be down. */
export function renameLink(index: number, name: string): NetlinkRequest {
  const body = new MessageBuilder().raw(linkHead(index, false)).text(IFLA_IFNAME, name);
  return { type: RTM_NEWLINK, flags: NLM_F_ACK, body: body.bytes(), what: `rename to ${name}` };
}

/** Makes a pair in one message: moving an end afterwards would cost 30 times as much. */
export function newVeth(pair: VethPair): NetlinkRequest {
  const peer = new MessageBuilder()
    .raw(linkHead(pair.peer.index, false))
    .text(IFLA_IFNAME, pair.peer.name)
    .attribute(IFLA_ADDRESS, macBytes(pair.peer.mac))
    .u32(IFLA_MTU, pair.mtu);
  if (pair.peer.netns !== undefined) peer.u32(IFLA_NET_NS_FD, pair.peer.netns);
  const body = new MessageBuilder()
    .raw(linkHead(0, true))
    .text(IFLA_IFNAME, pair.name)
    .u32(IFLA_MTU, pair.mtu)
    .u32(IFLA_MASTER, pair.bridgeIndex)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .text(IFLA_INFO_KIND, "veth")
        .nest(IFLA_INFO_DATA, (data) => data.attribute(VETH_INFO_PEER, peer.bytes())),
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the interface ${pair.name}`,
  };
}

/** A pair of interfaces that leads into a namespace: this end is up, and has the index that it is given. */
export function newUplink(
  own: { readonly name: string; readonly index: number },
  inside: { readonly name: string; readonly index: number; readonly netns: number },
  mtu: number,
): NetlinkRequest {
  const peer = new MessageBuilder()
    .raw(linkHead(inside.index, false))
    .text(IFLA_IFNAME, inside.name)
    .u32(IFLA_MTU, mtu)
    .u32(IFLA_NET_NS_FD, inside.netns);
  const body = new MessageBuilder()
    .raw(linkHead(own.index, true))
    .text(IFLA_IFNAME, own.name)
    .u32(IFLA_MTU, mtu)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .text(IFLA_INFO_KIND, "veth")
        .nest(IFLA_INFO_DATA, (data) => data.attribute(VETH_INFO_PEER, peer.bytes())),
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the interface ${own.name}`,
  };
}

/** Any: both ends of the pair have it, so that neither asks for the other's. */
const LOOP_MAC = "02:00:00:00:00:01";
const IFF_NOARP = 0x80;

/** A pair of interfaces of the host's, of which what is put into one comes out of the other, whatever its addresses. */
export function newLoop(into: string, out: string): NetlinkRequest {
  const end = (name: string) => {
    const head = linkHead(0, false);
    const view = new DataView(head.buffer);
    view.setUint32(8, IFF_NOARP, true);
    view.setUint32(12, IFF_NOARP, true);
    const body = new MessageBuilder().raw(head).text(IFLA_IFNAME, name);
    return body.attribute(IFLA_ADDRESS, macBytes(LOOP_MAC));
  };
  const body = end(into).nest(IFLA_LINKINFO, (info) =>
    info
      .text(IFLA_INFO_KIND, "veth")
      .nest(IFLA_INFO_DATA, (data) => data.attribute(VETH_INFO_PEER, end(out).bytes())),
  );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: body.bytes(),
    what: `make the interface ${into}`,
  };
}

/** How a bridge treats one of its ports. */
export interface BridgePort {
  /** It may send a frame back by the port it came from: a container that calls its own published port. */
  readonly hairpin: boolean;
  /** It exchanges no frames with other isolated ports, only with the bridge itself. */
  readonly isolated: boolean;
}

/** Sets how a bridge treats a port. */
export function setBridgePort(name: string, port: BridgePort): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(0, false))
    .text(IFLA_IFNAME, name)
    .nest(IFLA_LINKINFO, (info) =>
      info.text(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, (data) => {
        data.u8(IFLA_BRPORT_MODE, port.hairpin ? 1 : 0);
        if (port.isolated) data.u8(IFLA_BRPORT_ISOLATED, 1);
      }),
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK,
    body: body.bytes(),
    what: `set up the port ${name}`,
  };
}

/** Gives a link a text by which its maker knows it again. */
export function setAlias(index: number, alias: string): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(index, false))
    .attribute(IFLA_IFALIAS, new TextEncoder().encode(alias));
  return { type: RTM_NEWLINK, flags: NLM_F_ACK, body: body.bytes(), what: "name a link's maker" };
}

/** Sets a link up. */
export function setUp(index: number): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK,
    body: linkHead(index, true),
    what: "set a link up",
  };
}

/** Removes a link. */
export function deleteLink(index: number): NetlinkRequest {
  return {
    type: RTM_DELLINK,
    flags: NLM_F_ACK,
    body: linkHead(index, false),
    what: "remove a link",
  };
}

/** Removes a link by its name. */
export function deleteLinkNamed(name: string): NetlinkRequest {
  const body = new MessageBuilder().raw(linkHead(0, false)).text(IFLA_IFNAME, name);
  return { type: RTM_DELLINK, flags: NLM_F_ACK, body: body.bytes(), what: `remove ${name}` };
}

/** Adds an address. */
export function newAddress(index: number, address: string, prefix: number): NetlinkRequest {
  const bytes = addressBytes(address);
  const family: Family = bytes.length === 4 ? 4 : 6;
  const head = new DataView(new ArrayBuffer(8));
  head.setUint8(0, familyCode(family));
  head.setUint8(1, prefix);
  // berth hands out each address once: the second that the kernel would spend asking around delays a container's start.
  head.setUint8(2, family === 6 ? IFA_F_NODAD : 0);
  head.setUint32(4, index, true);
  const body = new MessageBuilder()
    .raw(new Uint8Array(head.buffer))
    .attribute(2, bytes)
    .attribute(1, bytes);
  if (family === 4)
    body.attribute(
      4,
      bytes.map((byte, at) => byte | (0xff >> Math.min(Math.max(prefix - at * 8, 0), 8))),
    );
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_ACK | NLM_F_CREATE,
    body: body.bytes(),
    what: `set the address ${address}/${prefix}`,
  };
}

const routeHead = (family: Family) =>
  Uint8Array.of(familyCode(family), 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0);

/** Sets the default route, by a gateway or, without one, straight by an interface. */
export function setDefaultRoute(gateway: string | Family, index: number): NetlinkRequest {
  const direct = typeof gateway === "number";
  const bytes = direct ? new Uint8Array() : addressBytes(gateway);
  const family: Family = direct ? gateway : bytes.length === 4 ? 4 : 6;
  const body = new MessageBuilder().raw(routeHead(family));
  if (!direct) body.attribute(5, bytes);
  body.u32(4, index);
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
    body: body.bytes(),
    what: `set the route by ${gateway}`,
  };
}

/** Takes the default route of a family away. */
export function deleteDefaultRoute(family: Family): NetlinkRequest {
  const head = routeHead(family);
  // Whoever has set it, wherever it leads.
  head[5] = 0;
  head[6] = 255;
  head[7] = 0;
  return {
    type: RTM_DELROUTE,
    flags: NLM_F_ACK,
    body: new MessageBuilder().raw(head).bytes(),
    what: "remove the default route",
  };
}

/** Asks for one link by its name; refused when there is none. */
export function getLink(name: string): NetlinkRequest {
  const body = new MessageBuilder().raw(linkHead(0, false)).text(IFLA_IFNAME, name);
  return { type: RTM_GETLINK, flags: NLM_F_ACK, body: body.bytes(), what: `look at ${name}` };
}

/** Asks for one link by its number; refused when there is none. */
export function getLinkAt(index: number): NetlinkRequest {
  const what = `look at link ${index}`;
  return { type: RTM_GETLINK, flags: NLM_F_ACK, body: linkHead(index, false), what };
}

/** Asks for every address of a family. */
export function dumpAddresses(family: Family): NetlinkRequest {
  const head = new Uint8Array(8);
  head[0] = familyCode(family);
  return { type: RTM_GETADDR, flags: NLM_F_DUMP, body: head, what: "list addresses" };
}

/** The addresses of a link, each with its prefix length. */
export function addressesOf(
  answers: readonly NetlinkAnswer[],
  index: number,
): { address: string; prefix: number }[] {
  return answers
    .filter(({ type, body }) => {
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      return type === RTM_NEWADDR && view.getUint32(4, true) === index;
    })
    .flatMap(({ body }) => {
      const attributes = attributesOf(body, 8);
      const bytes = attributes.get(2) ?? attributes.get(1);
      if (bytes === undefined) return [];
      return [{ address: addressText(bytes), prefix: body[1] ?? 0 }];
    });
}

function addressText(bytes: Uint8Array): string {
  const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return formatAddress(bytes.length === 4 ? 4 : 6, value);
}

/** Asks for every link. */
export function dumpLinks(): NetlinkRequest {
  return { type: RTM_GETLINK, flags: NLM_F_DUMP, body: linkHead(0, false), what: "list links" };
}

/** Asks for every route of a family. */
export function dumpRoutes(family: Family): NetlinkRequest {
  const head = new Uint8Array(12);
  head[0] = familyCode(family);
  return { type: RTM_GETROUTE, flags: NLM_F_DUMP, body: head, what: "list routes" };
}

/** A network interface. */
export interface Link {
  readonly name: string;
  readonly index: number;
  /** The interface that it is on top of; 0: none. */
  readonly parent: number;
  /** The bridge that it belongs to; 0: none. */
  readonly master: number;
  /** "bridge", "veth" and so on; "" for hardware. */
  readonly kind: string;
  readonly alias: string;
}

/** The links of an answer. */
export function linksOf(answers: readonly NetlinkAnswer[]): Link[] {
  const text = (bytes: Uint8Array | undefined) =>
    new TextDecoder().decode(bytes ?? new Uint8Array(0)).replace(/\0$/, "");
  return answers
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(({ body }) => {
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      const attributes = attributesOf(body, 16);
      const number = (bytes: Uint8Array | undefined) =>
        bytes === undefined
          ? 0
          : new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
      const info = attributesOf(attributes.get(IFLA_LINKINFO) ?? new Uint8Array(0), 0);
      return {
        name: text(attributes.get(IFLA_IFNAME)),
        index: view.getInt32(4, true),
        parent: number(attributes.get(IFLA_LINK)),
        master: number(attributes.get(IFLA_MASTER)),
        kind: text(info.get(IFLA_INFO_KIND)),
        alias: text(attributes.get(IFLA_IFALIAS)),
      };
    });
}

const RT_TABLE_LOCAL = 255;
const RTN_UNICAST = 1;

/** A route's destination and the interface that it leads to. */
export interface RouteTo {
  readonly subnet: Subnet;
  readonly index: number;
}

const NO_INTERFACES: ReadonlySet<number> = new Set();

/**
 * Destinations of routes other than the default one. Those by some interfaces are passed over, at little cost each: a thousand bridges
 * have several thousand routes.
 */
export function routesOf(
  answers: readonly NetlinkAnswer[],
  besides: ReadonlySet<number> = NO_INTERFACES,
): RouteTo[] {
  const routes: RouteTo[] = [];
  for (const { type, body } of answers) {
    const prefix = body[1] ?? 0;
    if (type !== RTM_NEWROUTE || prefix === 0) continue;
    // IPv6 lists what is local and what every link has among the others.
    const isFour = body[0] === AF_INET;
    if (!isFour && (body[4] === RT_TABLE_LOCAL || body[7] !== RTN_UNICAST)) continue;
    const out = attributeAt(body, 12, 4);
    const index = out < 0 ? 0 : uint32(body, out);
    if (besides.has(index)) continue;
    const at = attributeAt(body, 12, 1);
    if (at < 0) continue;
    const destination = body.subarray(at, at + (isFour ? 4 : 16));
    const value = destination.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    if (!isFour && value >> 118n === 0x3fan) continue;
    routes.push({ subnet: subnetAt(isFour ? 4 : 6, value, prefix), index });
  }
  return routes;
}

function uint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at, true);
}
