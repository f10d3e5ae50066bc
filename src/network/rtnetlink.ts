/**
 * Links, addresses and routes (rtnetlink(7)) as requests. Pure.
 */
import { ipv4Bytes, macBytes } from "./addresses.ts";
import {
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
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const IFF_UP = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_MODE = 4;
const VETH_INFO_PEER = 1;
const AF_INET = 2;

/** struct ifinfomsg. */
function linkHead(index: number, up: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setInt32(4, index, true);
  view.setUint32(8, up ? IFF_UP : 0, true);
  view.setUint32(12, up ? IFF_UP : 0, true);
  return new Uint8Array(view.buffer);
}

/** Makes a bridge and sets it up. */
export function newBridge(name: string, mac: string): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(0, true))
    .text(IFLA_IFNAME, name)
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
    readonly netns: number;
  };
}

/** Makes a pair in one message: moving an end afterwards would cost 30 times as much. */
export function newVeth(pair: VethPair): NetlinkRequest {
  const peer = new MessageBuilder()
    .raw(linkHead(pair.peer.index, false))
    .text(IFLA_IFNAME, pair.peer.name)
    .attribute(IFLA_ADDRESS, macBytes(pair.peer.mac))
    .u32(IFLA_MTU, pair.mtu)
    .u32(IFLA_NET_NS_FD, pair.peer.netns);
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

/** Lets a bridge send a frame back by the port it came from: a container that calls its own published port. */
export function setHairpin(name: string): NetlinkRequest {
  const body = new MessageBuilder()
    .raw(linkHead(0, false))
    .text(IFLA_IFNAME, name)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .text(IFLA_INFO_SLAVE_KIND, "bridge")
        .nest(IFLA_INFO_SLAVE_DATA, (data) => data.u8(IFLA_BRPORT_MODE, 1)),
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_ACK,
    body: body.bytes(),
    what: `set ${name} to hairpin mode`,
  };
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

/** Adds an IPv4 address. */
export function newAddress(index: number, address: string, prefix: number): NetlinkRequest {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint8(0, AF_INET);
  head.setUint8(1, prefix);
  head.setUint32(4, index, true);
  const bytes = ipv4Bytes(address);
  const broadcast = bytes.map(
    (byte, at) => byte | (0xff >> Math.min(Math.max(prefix - at * 8, 0), 8)),
  );
  const body = new MessageBuilder()
    .raw(new Uint8Array(head.buffer))
    .attribute(2, bytes)
    .attribute(1, bytes)
    .attribute(4, broadcast);
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_ACK | NLM_F_CREATE,
    body: body.bytes(),
    what: `set the address ${address}/${prefix}`,
  };
}

/** Adds the default route. */
export function newDefaultRoute(gateway: string, index: number): NetlinkRequest {
  const head = Uint8Array.of(AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0);
  const body = new MessageBuilder().raw(head).attribute(5, ipv4Bytes(gateway)).u32(4, index);
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_ACK | NLM_F_CREATE,
    body: body.bytes(),
    what: `set the route by ${gateway}`,
  };
}

/** Asks for every link. */
export function dumpLinks(): NetlinkRequest {
  return { type: RTM_GETLINK, flags: NLM_F_DUMP, body: linkHead(0, false), what: "list links" };
}

/** Asks for every IPv4 route. */
export function dumpRoutes(): NetlinkRequest {
  const head = new Uint8Array(12);
  head[0] = AF_INET;
  return { type: RTM_GETROUTE, flags: NLM_F_DUMP, body: head, what: "list routes" };
}

/** Names and indexes of links, with the bridge that each belongs to. */
export function linksOf(
  answers: readonly NetlinkAnswer[],
): { name: string; index: number; master: number }[] {
  return answers
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(({ body }) => {
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      const attributes = attributesOf(body, 16);
      const master = attributes.get(IFLA_MASTER);
      const name = attributes.get(IFLA_IFNAME) ?? new Uint8Array(1);
      return {
        name: new TextDecoder().decode(name.subarray(0, -1)),
        index: view.getInt32(4, true),
        master:
          master === undefined
            ? 0
            : new DataView(master.buffer, master.byteOffset, 4).getUint32(0, true),
      };
    });
}

/** Destinations of IPv4 routes other than the default one. */
export function routesOf(answers: readonly NetlinkAnswer[]): { address: string; prefix: number }[] {
  return answers
    .filter(({ type }) => type === RTM_NEWROUTE)
    .flatMap(({ body }) => {
      const destination = attributesOf(body, 12).get(1);
      const prefix = body[1] ?? 0;
      return destination === undefined || prefix === 0
        ? []
        : [{ address: [...destination].join("."), prefix }];
    });
}
