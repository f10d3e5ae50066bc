/** What registries may say in headers: something sound, or nothing. */
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

const headers = damagedText([
  'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull"',
  'Basic realm="x", Bearer realm="y\\"z", error=invalid_token',
  '</v2/_catalog?last=a&n=2>; rel="next", <x>; rel=prev',
  "bytes 5-9/10",
  "bytes 0-0/*",
  "0-1023",
  "bytes=0-9007199254740993",
  "98;w=21600",
  "Wed, 21 Oct 2026 07:28:00 GMT",
  "120",
  "application/vnd.oci.image.index.v1+json; charset=utf-8",
  `${'a="'.repeat(3000)}`,
  "<".repeat(9000),
  "a =".repeat(4000),
]);

test("every header gives something sound or nothing", async () => {
  await checkAll(headers, (header) => {
    for (const { scheme, parameters } of parseChallenges(header)) {
      expect(scheme).toBe(scheme.toLowerCase());
      for (const value of Object.values(parameters)) expect(value).toBeString();
    }
    expect(["basic", "bearer", undefined]).toContain(chooseChallenge(header)?.scheme);
    const range = parseContentRange(header);
    if (range !== undefined) {
      expect(range.first).toBeLessThanOrEqual(range.last);
      expect(Number.isSafeInteger(range.last)).toBe(true);
    }
    const uploaded = parseUploadRange(header);
    if (uploaded !== undefined) expect(Number.isSafeInteger(uploaded)).toBe(true);
    const wait = parseRetryAfter(header, 0);
    if (wait !== undefined) expect(wait).toBeGreaterThanOrEqual(0);
    const limit = parseRateLimit(header);
    if (limit !== undefined) expect(Number.isSafeInteger(limit.count)).toBe(true);
    expect(parseNextLink(header) ?? "").not.toContain(">");
    expect(parseMediaType(header)).not.toContain(";");
  });
});
