import { expect, test } from "bun:test";
import { registrySettings } from "./registries.ts";

test("mirrors and insecure registries, as they may be told", () => {
  const hosts = ["lab:5000", "http://old", "10.0.0.0/8", "fd00::/8", "[::1]:5000", "1.2.3.4"];
  const settings = registrySettings(hosts, ["https://mirror", "http://m:1/"]);
  expect(settings.insecure).toEqual(hosts.map((host) => host.replace("http://", "")));
  expect(settings.mirrors).toEqual(["https://mirror/", "http://m:1/"]);
});

test.each([
  ["mirror", "no scheme specified"],
  ["ftp://mirror", "unsupported scheme"],
  ["https://a/path", "path, query, or fragment"],
  ["https://a/?q", "path, query, or fragment"],
  ["https://[", "is not a valid URI"],
  ["https://ann:opensesame@a", "username/password not allowed"],
])("the mirror %s is refused", (mirror, why) => {
  expect(() => registrySettings([], [mirror])).toThrow(why);
  expect(() => registrySettings([], [mirror])).not.toThrow("opensesame");
});

test.each(["", "a b", "a:0", "a:99999", "10.0.0.0/33", "a/b", "-a", "10.0.0.0/"])(
  "the insecure registry '%s' is refused",
  (host) => {
    expect(() => registrySettings([host], [])).toThrow("is not valid");
  },
);
