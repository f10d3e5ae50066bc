/** hosts.toml: what containerd's documentation shows, what is wrong, and noise. */
import { expect, test } from "bun:test";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { parseHosts } from "./hosts-file.ts";

const parse = (text: string) => parseHosts(text, "/etc/berth/certs.d/r.io/hosts.toml", "r.io");
const everything = `
server = "https://r.io"
capabilities = ["pull", "resolve"]
ca = "own.crt"

[host."https://mirror.example"]
  capabilities = ["pull"]
  ca = ["a.crt", "/etc/b.crt"]
  client = [["me.cert", "me.key"], ["other.cert", ""]]
  [host."https://mirror.example".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."http://plain:5000/prefix/v2"]
  override_path = true
  skip_verify = true
  client = "both.pem"

[host."third"]
`;

test("everything that a file may say", () => {
  const { hosts, server } = parse(everything);
  expect(server).toMatchObject({
    url: "https://r.io/v2",
    ca: ["/etc/berth/certs.d/r.io/own.crt"],
    capabilities: new Set(["pull", "resolve"]),
  });
  expect(hosts).toEqual([
    {
      url: "https://mirror.example/v2",
      capabilities: new Set(["pull"] as const),
      skipVerify: false,
      ca: ["/etc/berth/certs.d/r.io/a.crt", "/etc/b.crt"],
      client: {
        cert: "/etc/berth/certs.d/r.io/me.cert",
        key: "/etc/berth/certs.d/r.io/me.key",
      },
      headers: { "x-one": "1", "x-two": "2, 3" },
    },
    {
      url: "http://plain:5000/prefix/v2",
      capabilities: undefined,
      skipVerify: true,
      ca: [],
      client: {
        cert: "/etc/berth/certs.d/r.io/both.pem",
        key: "/etc/berth/certs.d/r.io/both.pem",
      },
      headers: {},
    },
    expect.objectContaining({ url: "https://third/v2" }),
  ]);
  expect(parse("")).toEqual({ hosts: [], server: undefined });
  expect(parse("skip_verify = true").server).toMatchObject({
    url: "https://r.io/v2",
    skipVerify: true,
  });
});

test.each([
  ["server = 1", "server is no string"],
  ["host = 1", "host is no table"],
  ['host."https://a" = 1', "is no table"],
  ['[host."ftp://a"]', "is no address of a registry"],
  ['[host."https://ann:pw@a"]', "is no address of a registry"],
  ['[host."a"]\nskip_verify = "yes"', "neither true nor false"],
  ['[host."a"]\ncapabilities = ["fly"]', 'unknown capability "fly"'],
  ['[host."a"]\ncapabilities = [1]', "neither a string nor a list"],
  ['[host."a"]\nca = 5', "neither a string nor a list"],
  ['[host."a".header]\n"a b" = "1"', "is no header"],
  ['[host."a".header]\na = "1\\n2"', "is no header"],
  ["a = [", "invalid registry configuration /etc/berth"],
])("%s is refused", (text, why) => {
  expect(() => parse(text)).toThrow(why);
});

test("whatever is in the file, it is a value or a Fault", async () => {
  await checkAll(damagedText([everything]), async (text) => {
    const file = await valueOrFault(() => parse(text));
    for (const { url } of file?.hosts ?? []) expect(url).toMatch(/^https?:\/\/[^/]+/);
  });
});
