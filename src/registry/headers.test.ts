/** What registries say in headers: examples, and hostile ones. */
import { expect, test } from "bun:test";
import { checkAll, damagedText } from "../../tests/kits/fuzz.ts";
import {
  chooseChallenge,
  parseChallenges,
  parseContentRange,
  parseMediaType,
  parseNextLink,
  parseRateLimit,
  parseRetryAfter,
  parseUploadRange,
} from "./headers.ts";

test("challenges, one and several", () => {
  expect(parseChallenges('Bearer realm="https://a/b",service="c, \\"d\\"",scope=e')).toEqual([
    { scheme: "bearer", parameters: { realm: "https://a/b", service: 'c, "d"', scope: "e" } },
  ]);
  expect(parseChallenges(null)).toEqual([]);
  expect(parseChallenges('Negotiate dG9rZW4=, Basic realm="x", Digest a=b')).toMatchObject([
    { scheme: "negotiate" },
    { scheme: "basic", parameters: { realm: "x" } },
    { scheme: "digest", parameters: { a: "b" } },
  ]);
  expect(chooseChallenge('Basic realm="x", Bearer realm="y"')?.parameters.realm).toBe("y");
  expect(chooseChallenge("Negotiate, BASIC")?.scheme).toBe("basic");
  expect(chooseChallenge("Negotiate")).toBeUndefined();
});

test("how long to wait", () => {
  const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
  expect(parseRetryAfter("120", now)).toBe(120_000);
  expect(parseRetryAfter("Wed, 21 Oct 2026 07:28:30 GMT", now)).toBe(30_000);
  expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:00 GMT", now)).toBe(0);
  for (const text of [null, "", "-5", "1e3", "soon", "NaN", "Infinity"])
    expect(parseRetryAfter(text, Date.parse("2030-01-01")) ?? 0, String(text)).toBe(0);
});

test("ranges", () => {
  expect(parseContentRange("bytes 5-9/10")).toEqual({ first: 5, last: 9, total: 10 });
  expect(parseContentRange("Bytes 5-9/*")).toEqual({ first: 5, last: 9, total: undefined });
  for (const text of [null, "bytes */10", "bytes 9-5/10", "bytes 0-10/10", "0-5/9", "bytes 0-1/x"])
    expect(parseContentRange(text), String(text)).toBeUndefined();
  expect(parseContentRange(`bytes 0-${"9".repeat(40)}/*`)).toBeUndefined();
  expect(parseUploadRange("0-1023")).toBe(1024);
  expect(parseUploadRange("bytes=0-0")).toBe(0);
  for (const text of [null, "", "1-5", "0-x", `0-${"9".repeat(30)}`])
    expect(parseUploadRange(text), String(text)).toBeUndefined();
});

test("pages, limits, types", () => {
  expect(parseNextLink('</v2/a/tags/list?n=1&last=b>; rel="next"')).toBe(
    "/v2/a/tags/list?n=1&last=b",
  );
  expect(parseNextLink("<a>; rel=prev, <b>; title=x; rel=next")).toBe("b");
  expect(parseNextLink("<a>; rel=nextish")).toBeUndefined();
  expect(parseRateLimit("98;w=21600")).toEqual({ count: 98, window: 21600 });
  expect(parseRateLimit("0")).toEqual({ count: 0, window: undefined });
  expect(parseRateLimit("many")).toBeUndefined();
  expect(parseMediaType("application/json; charset=utf-8")).toBe("application/json");
});

const corpus = [
  'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
  'Basic realm="Registry Realm"',
  'Digest a="b\\"c", Basic',
  "bytes 0-1023/146515",
  '</v2/_catalog?last=b&n=2>; rel="next", <x>; rel=prev',
  "Wed, 21 Oct 2026 07:28:00 GMT",
  "100;w=21600",
  "0-65535",
];

test("whatever is in a header, it is a value or nothing", async () => {
  await checkAll(damagedText(corpus), (text) => {
    for (const { scheme, parameters } of parseChallenges(text)) {
      expect(scheme).toMatch(/^\S+$/);
      for (const value of Object.values(parameters)) expect(typeof value).toBe("string");
    }
    const range = parseContentRange(text);
    if (range !== undefined) expect(range.last).toBeGreaterThanOrEqual(range.first);
    expect(parseUploadRange(text) ?? 0).toBeGreaterThanOrEqual(0);
    expect(parseRetryAfter(text, 0) ?? 0).toBeGreaterThanOrEqual(0);
    expect(parseRateLimit(text)?.count ?? 0).toBeGreaterThanOrEqual(0);
    expect(parseNextLink(text) ?? "").not.toMatch(/[<>]/);
  });
});

test.each(["a", "<", "=", '"', "\\", ",", " ", "a=", '="', "<a>;", "Basic a=b,", "bytes 1"])(
  "a header of nothing but %p",
  (piece) => {
    // Anything that grows with the square of it would not come to an end here.
    const text = piece.repeat(2_000_000 / piece.length);
    parseChallenges(text);
    parseContentRange(text);
    parseNextLink(text);
    parseRetryAfter(text, 0);
    parseUploadRange(text);
    parseRateLimit(text);
    expect(parseMediaType(text).length).toBeLessThan(10_000);
  },
);
