/**
 * Command lines as Docker reads them.
 */
import { expect, test } from "bun:test";
import { parseBytes, readSize } from "../base/sizes.ts";
import { parseMount, parseVolumes } from "./container-options/mounts.ts";
import { parsePorts } from "./container-options/ports.ts";
import { parseRestart } from "./container-options/request.ts";
import { parseDevice, parseUlimit } from "./container-options/resources.ts";
import { parseDuration, readNanos } from "./flag-values.ts";
import { flag, parseFlags } from "./flags.ts";

const flags = [
  flag("interactive", "i", "bool", "x"),
  flag("tty", "t", "bool", "x"),
  flag("publish", "p", "list", "x"),
  flag("memory", "m", "bytes", "x"),
  flag("sig-proxy", "", "bool", "x", "true"),
];

test("short flags join, values follow with or without a space or an equals sign", () => {
  const parsed = parseFlags(
    ["-itp80:80", "-p=1", "-p", "2", "--publish=3", "--publish", "4"],
    flags,
    false,
  );
  expect([parsed.on("interactive"), parsed.on("tty")]).toEqual([true, true]);
  expect(parsed.all("publish")).toEqual(["80:80", "1", "2", "3", "4"]);
});

test("flags end at the first argument unless they may be mixed", () => {
  expect(parseFlags(["a", "-i"], flags, false).args).toEqual(["a", "-i"]);
  expect(parseFlags(["a", "-i"], flags, true).on("interactive")).toBe(true);
  expect(parseFlags(["--", "-i"], flags, true).args).toEqual(["-i"]);
  expect(parseFlags(["--sig-proxy=false"], flags, true).on("sig-proxy", true)).toBe(false);
});

test.each([
  [["--foo"], "unknown flag: --foo"],
  [["-ix"], "unknown shorthand flag: 'x' in -x"],
  [["--publish"], "flag needs an argument: --publish"],
  [["-p"], "flag needs an argument: 'p' in -p"],
  [["-m", "x"], `invalid argument "x" for "-m, --memory" flag: invalid size: 'x'`],
  [
    ["--tty=no"],
    `invalid argument "no" for "-t, --tty" flag: strconv.ParseBool: parsing "no": invalid syntax`,
  ],
])("%p is refused in pflag's words", (argv, message) => {
  expect(() => parseFlags(argv, flags, true)).toThrow(message);
});

// As docker 28.2 says of each.
test.each([
  ["0x10", 'strconv.ParseFloat: parsing "0x10": invalid syntax'],
  [" 5m", 'strconv.ParseFloat: parsing " 5": invalid syntax'],
  ["5  mb", 'strconv.ParseFloat: parsing "5 ": invalid syntax'],
  ["1e400", 'strconv.ParseFloat: parsing "1e400": value out of range'],
  ["5.5.5m", 'strconv.ParseFloat: parsing "5.5.5": invalid syntax'],
  ["-5x", "invalid size: '-5x'"],
  ["-5m", "invalid size: '-5m'"],
  ["", "invalid size: ''"],
  ["inf", "invalid size: 'inf'"],
  ["5X", "invalid suffix: 'x'"],
  ["5ki", "invalid suffix: 'ki'"],
  ["5kibx", "invalid suffix: 'kibx'"],
  ["5e", "invalid suffix: 'e'"],
])("a size %p is refused in docker's words", (size, mistake) => {
  expect(readSize(size)).toEqual({ mistake });
});

test("sizes that docker takes", () => {
  const sizes = [
    "1e3",
    "1e3m",
    "5.m",
    "1_0k",
    "+5m",
    "-0",
    "5 mb",
    "5 ",
    "1e-1",
    ".5k",
    "5B",
    "1PiB",
  ];
  expect(sizes.map(parseBytes)).toEqual([
    ...[1000, 1000 << 20, 5 << 20, 10240, 5 << 20, 0, 5 << 20, 5, 0, 512, 5, 2 ** 50],
  ]);
});

test("a number of processors may be a fraction", () => {
  expect(["1/2", "5e-1", "1.5000000000", "-1", "1/1000000000"].map(readNanos)).toEqual([
    ...[5e8, 5e8, 1.5e9, -1e9, 1],
  ]);
  expect(["1/3", "1e-10", "1/0", ""].map(readNanos)).toEqual([
    ...["value is too precise", "value is too precise"],
    ...["failed to parse 1/0 as a rational number", "failed to parse  as a rational number"],
  ]);
});

test("sizes and durations", () => {
  expect(["64m", "1.5GiB", "10", "2kb", "x", "1x"].map(parseBytes)).toEqual([
    67108864,
    1610612736,
    10,
    2048,
    undefined,
    undefined,
  ]);
  expect(["1m30s", "500ms", "0", "5", ""].map(parseDuration)).toEqual([
    9e10,
    5e8,
    0,
    undefined,
    undefined,
  ]);
});

test.each([
  ["80", { "80/tcp": [{ HostIp: "", HostPort: "" }] }],
  ["8080:80/udp", { "80/udp": [{ HostIp: "", HostPort: "8080" }] }],
  ["127.0.0.1::80", { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] }],
  ["[::1]:8080:80", { "80/tcp": [{ HostIp: "::1", HostPort: "8080" }] }],
  [
    "8000-8001:80-81",
    { "80/tcp": [{ HostIp: "", HostPort: "8000" }], "81/tcp": [{ HostIp: "", HostPort: "8001" }] },
  ],
  ["8000-8010:80", { "80/tcp": [{ HostIp: "", HostPort: "8000-8010" }] }],
  ["target=80,published=8080,protocol=udp", { "80/udp": [{ HostIp: "", HostPort: "8080" }] }],
])("-p %s", (spec, bindings) => {
  expect(parsePorts([spec], []).bindings).toEqual(bindings);
});

test("ranges of different length are refused", () => {
  expect(() => parsePorts(["8000-8002:80-81"], [])).toThrow("invalid ranges specified");
  expect(() => parsePorts(["80/x"], [])).toThrow("invalid proto: x");
});

test("mounts", () => {
  expect(parseMount('type=bind,src=/a,"dst=/b,c",ro')).toEqual({
    Type: "bind",
    Source: "/a",
    Target: "/b,c",
    ReadOnly: true,
  });
  expect(parseMount("dst=/v,volume-label=a=b").VolumeOptions?.Labels).toEqual({ a: "b" });
  expect(() => parseMount("type=bind,src=/a")).toThrow("target is required");
  expect(() => parseMount("dst=/a,tmpfs-size=1m")).toThrow(
    "cannot mix 'tmpfs-*' options with mount type 'volume'",
  );
  expect(parseVolumes(["/a", "n:/b:ro"])).toEqual({ binds: ["n:/b:ro"], anonymous: { "/a": {} } });
  expect(parseVolumes(["./x:/y"]).binds).toEqual([`${process.cwd()}/x:/y`]);
});

test("devices, limits, restart policies", () => {
  expect(parseDevice("/dev/a:r")).toEqual({
    PathOnHost: "/dev/a",
    PathInContainer: "/dev/a",
    CgroupPermissions: "r",
  });
  expect(parseUlimit("nofile=1:2")).toEqual({ Name: "nofile", Soft: 1, Hard: 2 });
  expect(() => parseUlimit("nofile=3:2")).toThrow(
    "soft limit must be less than or equal to hard limit: 3 > 2",
  );
  expect(parseRestart("on-failure:3")).toEqual({ Name: "on-failure", MaximumRetryCount: 3 });
  expect(() => parseRestart("always:x")).toThrow("maximum retry count must be an integer");
});
