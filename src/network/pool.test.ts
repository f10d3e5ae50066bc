/** The allocators of networks against a model that knows only sets, with daemons that die at any moment. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Address,
  formatAddress,
  parseAddress,
  parsePrefixed,
  type Subnet,
} from "./addresses.ts";
import { Bridge, type BridgePlan } from "./bridge.ts";
import type { NetlinkChannel } from "./channel.ts";
import { AddressPool } from "./pool.ts";
import type { Addressing, EndpointRecord } from "./segment.ts";

const subnet = (text: string) => {
  const parsed = parsePrefixed(text);
  if (parsed === undefined) throw new Error(text);
  return parsed.subnet;
};

/** A network's addresses on paper: small enough to be counted. */
interface Shape {
  readonly subnet: Subnet;
  readonly range: Subnet | undefined;
  /** The gateway first, then auxiliary addresses; as places in the subnet. */
  readonly reserved: readonly number[];
}

/** IPv4 from /28 to /31, IPv6 from /124 to /126, with a range anywhere in it or none. */
function shapes(family: 4 | 6): fc.Arbitrary<Shape> {
  const base = family === 4 ? subnet("10.1.3.96/27").base : subnet("fd00:1::ff60/123").base;
  const bits = family === 4 ? 32 : 128;
  return fc
    .record({
      host: fc.integer({ min: family === 4 ? 1 : 2, max: 4 }),
      ranged: fc.boolean(),
      narrower: fc.nat(4),
      at: fc.nat(15),
      reserved: fc.uniqueArray(fc.nat(15), { minLength: 1, maxLength: 4 }),
    })
    .map(({ host, ranged, narrower, at, reserved }) => {
      const size = 1 << host;
      const width = Math.max(host - narrower, 0);
      const offset = BigInt(((at % size) >> width) << width);
      return {
        subnet: { family, base, prefix: bits - host },
        range: ranged ? { family, base: base + offset, prefix: bits - width } : undefined,
        reserved: [...new Set(reserved.map((place) => place % size))],
      };
    });
}

const textAt = ({ subnet: { family, base } }: Shape, place: number) =>
  formatAddress(family, base + BigInt(place));

/** The places that a host may have: all in the model's words, by counting. */
function hosts({ subnet: { family, prefix }, reserved }: Shape): number[] {
  const size = 2 ** ((family === 4 ? 32 : 128) - prefix);
  const all = Array.from({ length: size }, (_, place) => place);
  const inner = size <= 2 ? all : all.slice(1, family === 4 ? -1 : size);
  return inner.filter((place) => !reserved.includes(place));
}

/** Those of them that are given to whoever names none. */
function offered(shape: Shape): number[] {
  const {
    range,
    subnet: { base },
  } = shape;
  if (range === undefined) return hosts(shape);
  const from = Number(range.base - base);
  const count = 2 ** ((range.family === 4 ? 32 : 128) - range.prefix);
  return hosts(shape).filter((place) => place >= from && place < from + count);
}

const addressing = (shape: Shape): Addressing => {
  const [gateway = "", ...reserved] = shape.reserved.map((place) => textAt(shape, place));
  return { subnet: shape.subnet, range: shape.range, gateway, reserved };
};

type Step =
  | {
      readonly what: "reserve";
      readonly four: number | undefined;
      readonly six: number | undefined;
    }
  | { readonly what: "release"; readonly which: number }
  | { readonly what: "crash" };

const wish = fc.option(fc.nat(17), { nil: undefined });
const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ what: fc.constant("reserve" as const), four: wish, six: wish }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ what: fc.constant("release" as const), which: fc.nat(20) }),
    },
    { weight: 1, arbitrary: fc.constant<Step>({ what: "crash" }) },
  ),
  { maxLength: 60 },
);

/** A network that has no kernel below it. */
class Paper extends Bridge {
  /** As a daemon starts: what it knows is what the records say. */
  static with(families: readonly Shape[], records: readonly EndpointRecord[]): Paper {
    const plan: BridgePlan = {
      ...{ id: "f00", network: "paper", bridge: "br-f00", alias: "", mtu: 1500 },
      ...{ internal: false, icc: true, masquerade: true, foreign: false, ownName: true },
      ...{ mode4: "nat", mode6: "nat", inhibit4: false, trusted: [] },
      subnets: families.map(addressing),
    };
    const paper = new Paper(undefined as unknown as NetlinkChannel, plan);
    paper.claimFor(records);
    return paper;
  }
}

/** What a step may give of a family, as the model sees it: undefined for a refusal. */
function allowed(shape: Shape, place: number | undefined, taken: ReadonlySet<string>) {
  const free = (places: readonly number[]) =>
    places.map((one) => textAt(shape, one)).filter((text) => !taken.has(text));
  const able =
    place === undefined
      ? free(offered(shape))
      : free(hosts(shape)).filter((text) => text === textAt(shape, place));
  return able.length === 0 ? undefined : able;
}

test("no address is handed out twice or lost, in either family, whatever is asked for and whenever the daemon dies", () => {
  fc.assert(
    fc.property(shapes(4), fc.option(shapes(6), { nil: undefined }), steps, (four, six, list) => {
      const families = six === undefined ? [four] : [four, six];
      // What endpoints' records say: all that outlives a daemon.
      let records: EndpointRecord[] = [];
      let network = Paper.with(families, records);
      for (const step of list) {
        const taken = new Set(records.flatMap(({ address, address6 = "" }) => [address, address6]));
        if (step.what === "crash") network = Paper.with(families, records);
        else if (step.what === "release") {
          const gone = records[step.which % Math.max(records.length, 1)];
          if (gone !== undefined) network.release(gone);
          records = records.filter((one) => one !== gone);
        } else {
          const ofFour = allowed(four, step.four, taken);
          const ofSix = six === undefined ? [undefined] : allowed(six, step.six, taken);
          const ask = () =>
            network.reserve({
              ...{ interface: "eth0", leads: true },
              address: step.four === undefined ? undefined : textAt(four, step.four),
              address6:
                six === undefined || step.six === undefined ? undefined : textAt(six, step.six),
            });
          if (ofFour === undefined || ofSix === undefined)
            expect(ask).toThrow(
              /Address already in use|^no available IPv[46] addresses on this network's address pools: paper \(f00\)$/,
            );
          else {
            const got = ask();
            expect(ofFour).toContain(got.address);
            expect(ofSix).toContain(got.address6);
            records.push(got);
          }
        }
        expect(network.inUse).toBe(records.length > 0);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a subnet that is full says so again and again, changes nothing, and has room for as many as are given back", () => {
  const pool = new AddressPool(subnet("10.1.0.0/29"), { network: "full", reserved: ["10.1.0.1"] });
  const given = Array.from({ length: 5 }, () => pool.allocate());
  expect(new Set(given).size).toBe(5);
  for (let tries = 0; tries < 20; tries++)
    expect(() => pool.allocate()).toThrow(/no available IPv4/);
  for (const one of given) expect(pool.claim(one)).toBe(false);
  pool.release("10.1.0.4");
  // What the network itself has is given back by nobody.
  pool.release("10.1.0.1");
  expect(pool.allocate()).toBe("10.1.0.4");
  expect(() => pool.allocate()).toThrow(/no available IPv4/);
});

test("an address that was given back comes last, and a subnet of IPv6 is as good", () => {
  const pool = new AddressPool(subnet("fd00::/64"), { network: "six", reserved: ["fd00::1"] });
  const first = pool.allocate();
  expect(first).toBe("fd00::2");
  pool.release(first);
  expect(pool.allocate()).toBe("fd00::3");
});

test("an address is one however it is written", () => {
  const pool = new AddressPool(subnet("fd00::/64"), { network: "six", reserved: [] });
  expect(pool.claim("fd00:0:0::a")).toBe(true);
  for (const same of ["fd00::a", "FD00::000A", "fd00::0.0.0.10"]) {
    expect<Address | undefined>(parseAddress(same)).toEqual(parseAddress("fd00::a"));
    expect(pool.claim(same)).toBe(false);
  }
});
