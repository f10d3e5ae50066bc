/** `--network` as Docker's command line reads it (28.2, seen). */
import { expect, test } from "bun:test";
import { parseFlags } from "../flags.ts";
import { containerFlags } from "./flags.ts";
import { containerNetworks } from "./networks.ts";

const read = (...argv: string[]) =>
  containerNetworks(parseFlags([...argv, "busybox"], containerFlags, false));

test("the short form is a name, the long one has fields", () => {
  expect(read()).toEqual([["default", {}]]);
  for (const name of ["front", "alias", "=", "gw-priority=", "a,b", "container:web"])
    expect(read("--network", name)).toEqual([[name, {}]]);
  const long = "NAME=front,alias=a,Alias=b,ip=10.0.0.2,ip6=fd00::2,link-local-ip=169.254.1.1";
  const more = "mac-address=02:00:00:00:00:01,gw-priority=-3,driver-opt=k=v=w,driver-opt=l=m";
  expect(read("--network", `${long},${more}`, "--network", "back")).toEqual([
    [
      "front",
      {
        Aliases: ["a", "b"],
        IPAMConfig: {
          IPv4Address: "10.0.0.2",
          IPv6Address: "fd00::2",
          LinkLocalIPs: ["169.254.1.1"],
        },
        MacAddress: "02:00:00:00:00:01",
        GwPriority: -3,
        DriverOpts: { k: "v=w", l: "m" },
      },
    ],
    ["back", {}],
  ]);
});

test("options beside it are of the first network", () => {
  const argv = ["--network", "a", "--network", "b", "--network-alias", "q", "--ip", "10.0.0.1"];
  expect(read(...argv)).toEqual([
    ["a", { Aliases: ["q"], IPAMConfig: { IPv4Address: "10.0.0.1" } }],
    ["b", {}],
  ]);
});

const argument = (value: string) =>
  `invalid argument ${JSON.stringify(value)} for "--network" flag: `;
const refused: readonly [argv: string[], words: string][] = [
  [["--network", ""], "no name set for network"],
  [["--network", "x=y"], `${argument("x=y")}invalid field key x`],
  [["--network", "name=a,alias"], `${argument("name=a,alias")}invalid field alias`],
  [["--network", "alias=b"], `${argument("alias=b")}network name/id is not specified`],
  [
    ["--network", "gw-priority=x"],
    `${argument("gw-priority=x")}invalid gw-priority (x): invalid syntax`,
  ],
  [
    ["--network", "name=a,gw-priority=99999999999999999999"],
    `${argument("name=a,gw-priority=99999999999999999999")}invalid gw-priority (99999999999999999999): value out of range`,
  ],
  [
    ["--network", "name=a,driver-opt=q"],
    `${argument("name=a,driver-opt=q")}invalid key value pair format in driver options`,
  ],
  [
    ["--network", 'name=a,"b=c'],
    `${argument('name=a,"b=c')}parse error on line 1, column 12: extraneous or missing " in quoted-field`,
  ],
  [["--network", "name=a", "--network", "name=a"], 'network "a" is specified multiple times'],
  [
    ["--network", "name=a,ip=10.0.0.9", "--ip", "10.0.0.1"],
    "conflicting options: cannot specify both --ip and per-network IPv4 address",
  ],
  [
    ["--network", "name=a,alias=b", "--network-alias", "q"],
    "conflicting options: cannot specify both --network-alias and per-network alias",
  ],
  [
    ["--network", "a", "--network", "host"],
    "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
  ],
  [
    ["--network", "name=bridge,alias=x"],
    "network-scoped aliases are only supported for user-defined networks",
  ],
];

for (const [argv, words] of refused)
  test(`refused: ${argv.join(" ")}`, () => {
    expect(() => read(...argv)).toThrow(words);
  });
