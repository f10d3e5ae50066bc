/**
 * nftables' netlink messages (linux/netfilter/nf_tables.h): tables, chains, sets, their elements, and rules, which are made of
 * expressions. What is in them is others' affair. Pure.
 */
import {
  attributesOf,
  decodeAnswers,
  MessageBuilder,
  type NetlinkRequest,
  NLA_F_NESTED,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
} from "./netlink.ts";

/** In the upper byte of messages' types. */
export const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NLM_F_APPEND = 0x800;

const message = {
  ...{
    newTable: 0,
    deleteTable: 2,
    newChain: 3,
    getChain: 4,
    deleteChain: 5,
    newRule: 6,
    deleteRule: 8,
  },
  ...{ newSet: 9, newElement: 12, deleteElement: 14 },
} as const;

/** Of nfgenmsg. */
const families = { inet: 1, ip: 2, ip6: 10 } as const;
/** Its length: the attributes are behind it. */
const NFGENMSG = 4;

/** A table by its name. */
export interface TableName {
  readonly family: keyof typeof families;
  readonly name: string;
}

/** Elements of one message: its attributes are 64 KiB at most. */
const ELEMENTS_AT_ONCE = 256;
/** NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST. */
const HELD = 2 | 4;
/** NFT_TABLE_F_OWNER. */
const OWNED = 2;

function request(
  { family, name }: TableName,
  kind: keyof typeof message,
  fill: (body: MessageBuilder) => unknown,
  what: string,
): NetlinkRequest {
  const body = new MessageBuilder().raw(Uint8Array.of(families[family], 0, 0, 0)).text(1, name);
  fill(body);
  const create = kind.startsWith("new") ? NLM_F_CREATE : 0;
  const flags = kind === "newRule" ? create | NLM_F_APPEND : create;
  const type = (NFNL_SUBSYS_NFTABLES << 8) | message[kind];
  return { type, flags, body: body.bytes(), what };
}

function batchMark(type: number): NetlinkRequest {
  const body = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES);
  return { type, flags: 0, body, what: "nftables batch" };
}

/**
 * Changes that are made all together or not at all. The kernel tells of each that it refuses; of the others only the last is
 * acknowledged, since thousands of acknowledgements have no room in a socket.
 */
export function transaction(requests: readonly NetlinkRequest[]): NetlinkRequest[] {
  const last = requests.length - 1;
  return [
    batchMark(NFNL_MSG_BATCH_BEGIN),
    ...requests.map((one, at) => (at === last ? { ...one, flags: one.flags | NLM_F_ACK } : one)),
    batchMark(NFNL_MSG_BATCH_END),
  ];
}

/**
 * Makes a table, unless it is there. `held`: nobody changes it but by the socket that made it, and a flush of everything leaves
 * it; when that socket is closed it stays, and is anybody's. The kernel refuses that with EOPNOTSUPP before 6.9.
 */
export function newTable(table: TableName, held = false): NetlinkRequest {
  return request(
    table,
    "newTable",
    (body) => held && body.u32be(2, HELD),
    `make table ${table.name}`,
  );
}

/** Makes a table that nobody changes but by the socket that made it, and that goes with that socket. */
export function newOwnedTable(table: TableName): NetlinkRequest {
  return request(table, "newTable", (body) => body.u32be(2, OWNED), `make table ${table.name}`);
}

/** Takes a table away with all that is in it, whether it is there or not. */
export function dropTable(table: TableName): NetlinkRequest[] {
  const drop = request(table, "deleteTable", () => {}, `delete table ${table.name}`);
  return [newTable(table), drop];
}

/** Where the kernel calls a chain. */
export interface Hook {
  readonly type: "filter" | "nat";
  readonly at: "prerouting" | "input" | "forward" | "output" | "postrouting";
  readonly priority: number;
}

const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
const hookNames = ["prerouting", "input", "forward", "output", "postrouting"] as const;

/** Makes a chain, unless it is there; what reaches the end of one that the kernel calls is let through. */
export function newChain(table: TableName, chain: string, hook?: Hook): NetlinkRequest {
  return request(
    table,
    "newChain",
    (body) => {
      body.text(3, chain);
      if (hook === undefined) return;
      body.nest(4 | NLA_F_NESTED, (one) =>
        one.u32be(1, hooks[hook.at]).u32be(2, hook.priority & 0xffffffff),
      );
      body.text(7, hook.type);
    },
    `make chain ${chain}`,
  );
}

/** Asks for a chain; the kernel refuses that with ENOENT when there is none. */
export function getChain(table: TableName, chain: string): NetlinkRequest {
  const get = request(table, "getChain", (body) => body.text(3, chain), `look for chain ${chain}`);
  return { ...get, flags: NLM_F_ACK };
}

/** Asks for all chains of all tables. */
export function listChains(): NetlinkRequest {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | message.getChain;
  return { type, flags: NLM_F_DUMP, body: Uint8Array.of(0, 0, 0, 0), what: "list chains" };
}

/** A chain that the kernel calls, as it tells of it. */
export interface BaseChain {
  /** "inet filter". */
  readonly table: string;
  readonly name: string;
  readonly at: Hook["at"] | undefined;
  /** What is not decided by its rules is dropped. */
  readonly drops: boolean;
}

/** Reads what the kernel tells of a chain, in an answer or a notice; undefined: it calls it not, but others lead to it. */
export function baseChain(body: Uint8Array): BaseChain | undefined {
  const attributes = attributesOf(body, NFGENMSG);
  const hook = attributes.get(4);
  if (hook === undefined) return undefined;
  const text = (type: number) => decodeText(attributes.get(type));
  const family = Object.entries(families).find(([, number]) => number === body[0])?.[0] ?? "";
  const number = attributesOf(hook, 0).get(1)?.at(-1);
  const at = hookNames.find((name) => hooks[name] === number);
  const isCalled = family !== "" && at !== undefined;
  const drops = attributes.get(5)?.every((byte) => byte === 0) ?? false;
  return { table: `${family} ${text(1)}`, name: text(3), at: isCalled ? at : undefined, drops };
}

/** What a notice tells of. */
export interface Notice {
  /** As `linux/netfilter/nf_tables.h` numbers them. */
  readonly kind: number;
  readonly table: string;
  readonly body: Uint8Array;
}

/** The notices of nftables among messages. */
export function noticesIn(messages: Uint8Array): Notice[] {
  return decodeAnswers(messages)
    .filter(({ type }) => type >> 8 === NFNL_SUBSYS_NFTABLES)
    .map(({ type, body }) => {
      const table = decodeText(attributesOf(body, NFGENMSG).get(1));
      return { kind: type & 0xff, table, body };
    });
}

function decodeText(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes).replace(/\0$/, "");
}

/** Takes all rules out of a chain. */
export function emptyChain(table: TableName, chain: string): NetlinkRequest {
  return request(table, "deleteRule", (body) => body.text(2, chain), `empty chain ${chain}`);
}

/** Takes a chain away that has no rules and that nothing leads to. */
export function deleteChain(table: TableName, chain: string): NetlinkRequest {
  return request(table, "deleteChain", (body) => body.text(3, chain), `delete chain ${chain}`);
}

/** A type of sets' keys and of what maps lead to: nft's number for listings, and how long it is in registers. */
export interface SetType {
  readonly number: number;
  readonly length: number;
}

/** Of maps that lead to verdicts. */
export const verdictType: SetType = { number: 0xffffff00, length: 0 };

/** The types that make up a concatenation: nft's numbers, bytes. */
const simpleTypes = {
  ipv4_addr: [7, 4],
  ipv6_addr: [8, 16],
  inet_proto: [12, 4],
  inet_service: [13, 4],
  ifname: [41, 16],
} as const;

/** A concatenation of types. */
export function setType(...parts: readonly (keyof typeof simpleTypes)[]): SetType {
  return {
    number: parts.reduce((sum, part) => sum * 64 + simpleTypes[part][0], 0),
    length: parts.reduce((sum, part) => sum + simpleTypes[part][1], 0),
  };
}

/** A set, or a map when it leads to something. */
export interface SetOf {
  readonly key: SetType;
  readonly data?: SetType;
  /** Its elements are ranges of keys. */
  readonly interval?: boolean;
}

/** For nft's listings, which would read names from their end: NFTNL_UDATA_SET_KEYBYTEORDER, 4 bytes, the host's order. */
const hostOrder = Uint8Array.of(0, 4, 1, 0, 0, 0);

/** Makes a set or a map. `id`: a number that no other set of the transaction has. */
export function newSet(table: TableName, set: string, of: SetOf, id: number): NetlinkRequest {
  const { key, data, interval } = of;
  return request(
    table,
    "newSet",
    (body) => {
      body
        .text(2, set)
        .u32be(3, (interval ? 4 : 0) | (data ? 8 : 0))
        .u32be(4, key.number)
        .u32be(5, key.length);
      if (data !== undefined) body.u32be(6, data.number).u32be(7, data.length);
      body.u32be(10, id);
      if (key.number === simpleTypes.ifname[0]) body.attribute(13, hostOrder);
    },
    `make set ${set}`,
  );
}

/** What to do with a packet. */
export type Verdict = "accept" | "drop" | "return" | { readonly jump: string };

/** One element of a set. */
export interface SetElement {
  readonly key: Uint8Array;
  /** What it leads to, in a map. */
  readonly data?: Uint8Array | Verdict;
  /** The range of keys that began with the one below ends here. */
  readonly ends?: boolean;
}

const codes = { drop: 0, accept: 1, return: -5 } as const;
const JUMP = -3;

/** Bytes, or a verdict, as the kernel takes them. */
export function fillData(inner: MessageBuilder, data: Uint8Array | Verdict): MessageBuilder {
  if (data instanceof Uint8Array) return inner.attribute(1, data);
  return inner.nest(2 | NLA_F_NESTED, (verdict) => {
    if (typeof data === "string") return verdict.u32be(1, codes[data] >>> 0);
    return verdict.u32be(1, JUMP >>> 0).text(2, data.jump);
  });
}

/** Puts elements into a set, or takes them out. */
export function elementRequests(
  table: TableName,
  set: string,
  elements: readonly SetElement[],
  add: boolean,
  what: string,
): NetlinkRequest[] {
  const requests: NetlinkRequest[] = [];
  for (let at = 0; at < elements.length; at += ELEMENTS_AT_ONCE)
    requests.push(
      request(
        table,
        add ? "newElement" : "deleteElement",
        (body) =>
          body.text(2, set).nest(3 | NLA_F_NESTED, (list) => {
            for (const element of elements.slice(at, at + ELEMENTS_AT_ONCE))
              list.nest(1 | NLA_F_NESTED, (one) => fillElement(one, element, add));
          }),
        what,
      ),
    );
  return requests;
}

function fillElement(one: MessageBuilder, { key, data, ends }: SetElement, add: boolean): void {
  one.nest(1 | NLA_F_NESTED, (value) => value.attribute(1, key));
  if (add && data !== undefined) one.nest(2 | NLA_F_NESTED, (value) => fillData(value, data));
  if (ends) one.u32be(3, 1);
}

/** Appends itself to a rule. */
export type Expression = (list: MessageBuilder) => void;
/** What follows a rule's statements is carried out for what they let through. */
export type Rule = readonly (readonly Expression[])[];

/** Appends a rule to a chain. */
export function newRule(table: TableName, chain: string, rule: Rule): NetlinkRequest {
  return request(
    table,
    "newRule",
    (body) =>
      body.text(2, chain).nest(4 | NLA_F_NESTED, (list) => {
        for (const add of rule.flat()) add(list);
      }),
    `make a rule of ${chain}`,
  );
}
