import { expect, test } from "bun:test";
import { checkLogOptions, logTarget } from "./options.ts";
import { attributesText, checkTag, detailsText, logAttributes, tagOf } from "./source.ts";

test("what a driver does not take is refused in Docker's words", () => {
  const refusals = [
    ["nope", {}, "no log driver named 'nope' is registered"],
    ["json-file", { x: "1" }, "unknown log opt 'x' for json-file log driver"],
    ["local", { tag: "x" }, "unknown log opt 'tag' for log driver local"],
    ["local", { "max-size": "lots" }, "invalid value for max-size: invalid size: 'lots'"],
    ["local", { "max-file": "1", compress: "1" }, "compression cannot be enabled"],
    ["json-file", { "max-size": "0" }, "max-size must be a positive number"],
    ["json-file", { "max-file": "x" }, 'strconv.Atoi: parsing "x": invalid syntax'],
    ["json-file", { "max-file": "1", compress: "true" }, "compress cannot be true when max-file"],
    ["json-file", { "max-size": "-1", compress: "true" }, "compress cannot be true when max-file"],
    ["json-file", { "cache-disabled": "x" }, "invalid value for option cache-disabled: x"],
    ["json-file", { "cache-max-size": "x" }, "invalid size: 'x'"],
    ["json-file", { mode: "non-blocking", "max-buffer-size": "x" }, "error parsing option max-b"],
    ["json-file", { "max-size": "lots" }, "invalid size: 'lots'"],
    ["json-file", { "max-file": "0" }, "max-file cannot be less than 1"],
    ["json-file", { mode: "fast" }, "logging mode not supported: fast"],
    ["json-file", { "max-buffer-size": "1m" }, "only supported with 'mode=non-blocking'"],
    ["gelf", {}, "gelf-address is a required parameter"],
    ["gelf", { "gelf-address": "http://x" }, "unsupported scheme: 'http'"],
    ["syslog", { "syslog-address": "tcp://" }, "invalid address"],
    ["syslog", { "syslog-format": "rfc1" }, "Invalid syslog format"],
    ["gelf", { "gelf-address": "udp://x", "gelf-compression-level": "10" }, 'unknown value "10"'],
    ["syslog", { "syslog-facility": "nowhere" }, "invalid syslog facility"],
    ["fluentd", { "fluentd-async": "maybe" }, "ParseBool"],
  ] as const;
  for (const [driver, options, words] of refusals)
    expect(() => checkLogOptions(driver, options)).toThrow(words);
});

test("what Docker takes is taken", () => {
  const copy = { "cache-disabled": "true", "cache-max-size": "1m", "cache-max-file": "2" };
  for (const [driver, options] of [
    ["json-file", { "max-size": "-1", "max-file": "3", ...copy }],
    ["json-file", { compress: "true", mode: "non-blocking", "max-buffer-size": "4m" }],
    ["local", { "max-file": "1", compress: "false", "max-size": "0" }],
    ["syslog", { "syslog-format": "rfc5424", "cache-compress": "false", ...copy }],
  ] as const)
    checkLogOptions(driver, options);
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
  const attributes = logAttributes(source, options);
  expect(detailsText(attributes)).toBe("E=5,a=1,c+c=3,tag=web");
  expect(attributesText(attributes)).toBe('{"E":"5","a":"1","c c":"3","tag":"web"}');
  expect(detailsText(logAttributes(source, {}))).toBe("");
  expect(attributesText({})).toBe("");
  // Both as dockerd writes them.
  const odd = { W: "a b", 'w"o': "<x>&é (!)" };
  expect(attributesText(odd)).toBe('{"W":"a b","w\\"o":"\\u003cx\\u003e\\u0026é (!)"}');
  expect(detailsText(odd)).toBe("W=a+b,w%22o=%3Cx%3E%26%C3%A9+%28%21%29");
});
