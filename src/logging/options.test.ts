import { expect, test } from "bun:test";
import { checkLogOptions, logTarget } from "./options.ts";
import { checkTag, detailsOf, tagOf } from "./source.ts";

test("what a driver does not take is refused in Docker's words", () => {
  const refusals = [
    ["nope", {}, "no log driver named 'nope' is registered"],
    ["json-file", { x: "1" }, "unknown log opt 'x' for json-file log driver"],
    ["local", { tag: "x" }, "unknown log opt 'tag' for local log driver"],
    ["json-file", { "max-size": "lots" }, "invalid size: 'lots'"],
    ["json-file", { "max-file": "0" }, "max-file cannot be less than 1"],
    ["json-file", { mode: "fast" }, "logging mode not supported: fast"],
    ["json-file", { "max-buffer-size": "1m" }, "only supported with 'mode=non-blocking'"],
    ["gelf", {}, "gelf-address is a required parameter"],
    ["gelf", { "gelf-address": "http://x" }, "unsupported scheme: 'http'"],
    ["syslog", { "syslog-address": "tcp://" }, "invalid address"],
    ["syslog", { "syslog-format": "rfc1" }, "rfc1"],
    ["syslog", { "syslog-facility": "nowhere" }, "invalid syslog facility"],
    ["fluentd", { "fluentd-async": "maybe" }, "ParseBool"],
  ] as const;
  for (const [driver, options, words] of refusals)
    expect(() => checkLogOptions(driver, options)).toThrow(words);
});

test("addresses have Docker's defaults", () => {
  expect(logTarget("syslog", {})).toEqual({ kind: "unixgram", path: "/dev/log" });
  const tls = logTarget("syslog", { "syslog-address": "tcp+tls://[::1]" });
  expect(tls).toEqual({ kind: "tls", host: "::1", port: 6514 });
  expect(logTarget("fluentd", {})).toEqual({ kind: "tcp", host: "localhost", port: 24_224 });
  expect(logTarget("fluentd", { "fluentd-address": "a:1" })).toEqual({
    kind: "tcp",
    host: "a",
    port: 1,
  });
  expect(logTarget("json-file", {})).toBeUndefined();
});

test("tags and details come from the container", () => {
  const source = {
    ...{ id: "ab".repeat(32), name: "web", imageId: "sha256:cd", imageName: "app", command: "" },
    ...{ created: "", hostname: "h", labels: { a: "1", b: "2", "c c": "3" }, env: ["E=5", "F=6"] },
  };
  expect(tagOf(source, "x/{{.Name}}/{{ .ID }}")).toBe("x/web/abababababab");
  expect(() => checkTag("{{.Nope}}")).toThrow("{{.FullID}}");
  const options = { labels: "a,none", "labels-regex": "^c", env: "E", tag: "{{.Name}}" };
  expect(detailsOf(source, options)).toBe("E=5,a=1,c%20c=3,tag=web");
  expect(detailsOf(source, {})).toBe("");
});
