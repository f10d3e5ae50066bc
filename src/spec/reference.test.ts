import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { familiarReference, isSha256, parseReference, type Reference } from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

test("names are completed and made familiar again", () => {
  for (const [text, domain, path, familiar] of [
    ["busybox", "docker.io", "library/busybox", "busybox:latest"],
    ["user/app:1.0", "docker.io", "user/app", "user/app:1.0"],
    ["localhost:5000/app", "localhost:5000", "app", "localhost:5000/app:latest"],
    ["index.docker.io/library/a", "docker.io", "library/a", "a:latest"],
    [`ghcr.io/x/y:t@${digest}`, "ghcr.io", "x/y", `ghcr.io/x/y:t@${digest}`],
    ["[::1]:5000/a__b/c-d", "[::1]:5000", "a__b/c-d", "[::1]:5000/a__b/c-d:latest"],
  ] as const) {
    const reference = parseReference(text);
    expect([reference.domain, reference.path]).toEqual([domain, path]);
    expect(familiarReference(reference)).toBe(familiar);
  }
});

test("what is no reference is refused in Docker's words", () => {
  for (const text of [
    "",
    ":tag",
    "a:",
    "a b",
    "a//b",
    "-a",
    "a@sha256:1",
    "../x",
    "a:ta/g:",
    "a:\0",
  ])
    expect(() => parseReference(text)).toThrow("invalid reference format");
  expect(() => parseReference("Busybox")).toThrow("must be lowercase");
  expect(() => parseReference("a".repeat(300))).toThrow("255 characters");
  expect(() => parseReference("a".repeat(64))).toThrow("64-byte hexadecimal");
});

test("only whole sha256 digests may become paths", () => {
  expect(isSha256(digest)).toBe(true);
  expect(isSha256("sha256:../../etc/passwd")).toBe(false);
});

test("whatever a name is, it is a reference or a Fault", async () => {
  const corpus = [
    "busybox",
    "localhost:5000/team/app:1.0",
    "[::1]:5000/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "docker.io/library/a:b",
    `${"a".repeat(250)}/b`,
  ];
  await checkAll(damagedText(corpus), async (text) => {
    const found = await valueOrFault(() => parseReference(text));
    if (found === undefined) return;
    const again = parseReference(familiarReference(found));
    expect(again).toEqual({ ...found, ...(found.digest ? {} : { tag: found.tag ?? "latest" }) });
    expect(`${found.domain}/${found.path}`).not.toMatch(/\.\.\/|\s|\x00/);
  });
});

test.each(["a", "a-", "a/", "-", "_", ".", ":", "@", "a.", "[", "a__"])(
  "a name of nothing but %p",
  (piece) => {
    const text = piece.repeat(200_000);
    expect(() => parseReference(text)).toThrow();
    expect(() => parseReference(`${text}!`)).toThrow();
  },
);

/** References from all the parts that there may be. */
const references = fc
  .record({
    domain: fc.constantFrom(
      "docker.io",
      "localhost",
      "localhost:5000",
      "a-b.example",
      "[::1]:5000",
      "x.y:1",
    ),
    path: fc
      .array(fc.stringMatching(/^[a-z0-9]{1,5}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}$/), {
        minLength: 1,
        maxLength: 4,
      })
      .map((parts) => parts.join("/")),
    tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined }),
    digest: fc.option(fc.stringMatching(/^sha256:[0-9a-f]{64}$/), { nil: undefined }),
  })
  .map(({ domain, path, tag, digest }) => ({
    domain,
    // A single part of the default registry's stands for the library's.
    path: domain === "docker.io" && !path.includes("/") ? `library/${path}` : path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }));

/** The whole of a reference as text. */
function wholeText({ domain, path, tag, digest }: Reference): string {
  return `${domain}/${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

test("a reference as text, whole or familiar, is the same reference again", () => {
  fc.assert(
    fc.property(references, (reference) => {
      expect(parseReference(wholeText(reference))).toEqual(reference);
      const completed =
        reference.digest === undefined && reference.tag === undefined
          ? { ...reference, tag: "latest" }
          : reference;
      expect(parseReference(familiarReference(reference))).toEqual(completed);
      expect(familiarReference(parseReference(familiarReference(reference)))).toBe(
        familiarReference(reference),
      );
    }),
    { numRuns: 500, seed: 5 },
  );
});

test("what the docker command line says of names, seen on version 28.2", () => {
  const hex = "a".repeat(64);
  const seen: [string, string][] = [
    ["a@sha256:abc", "invalid reference format"],
    [`a@sha256:${"a".repeat(33)}`, "invalid checksum digest length"],
    [`a@sha512:${hex}`, "invalid checksum digest length"],
    [`a@sha256:${"A".repeat(64)}`, "invalid checksum digest format"],
    [`a@md5:${"a".repeat(32)}`, "unsupported digest algorithm"],
    [`x@sha256+b64:${hex}`, "unsupported digest algorithm"],
    [
      `a@SHA256:${hex}`,
      "invalid reference format: repository name (library/a@SHA256) must be lowercase",
    ],
    ["a/B", "invalid reference format: repository name (a/B) must be lowercase"],
    ["localhost:5000/A", "invalid reference format: repository name (A) must be lowercase"],
    [
      "index.docker.io/A",
      "invalid reference format: repository name (library/A) must be lowercase",
    ],
    ["localhost__Z/a", "repository name must be lowercase"],
    ["a".repeat(248), "repository name must not be more than 255 characters"],
    ["", "invalid reference format"],
    ["http://a", "invalid reference format"],
    ["foo.com:/x", "invalid reference format"],
    [`a:${"t".repeat(129)}`, "invalid reference format"],
  ];
  for (const [text, message] of seen) {
    let told = "";
    try {
      parseReference(text);
    } catch (error) {
      told = (error as Error).message;
    }
    expect([text, told]).toEqual([text, message]);
  }
  for (const text of [
    "a".repeat(247),
    `b.c/${"a".repeat(255)}`,
    `a:${"t".repeat(128)}`,
    `${hex}:t`,
  ])
    expect(parseReference(text).path.length).toBeGreaterThan(0);
});
