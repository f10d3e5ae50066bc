import { expect, test } from "bun:test";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { familiarReference, isSha256, parseReference } from "./reference.ts";

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
