/** What comes from outside, as it may come: paths, ranges, Accept, manifests. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { accepts } from "./accept.ts";
import { RegistryError } from "./errors.ts";
import { type ParsedManifest, parseManifest } from "./manifest.ts";
import { parseContentRange, parseRange } from "./ranges.ts";
import { isRepositoryName, isTag, parseTarget } from "./target.ts";

const digest = `sha256:${"a".repeat(64)}`;
const id = "01234567-89ab-4def-8123-456789abcdef";

function codeOf(work: () => unknown): string {
  try {
    return JSON.stringify(work());
  } catch (error) {
    if (error instanceof RegistryError) return error.code;
    throw error;
  }
}

test("paths mean what the standard says", () => {
  expect(parseTarget("/v2")).toEqual({ kind: "base" });
  expect(parseTarget("/v2/")).toEqual({ kind: "base" });
  expect(parseTarget("/v2/_catalog")).toEqual({ kind: "catalog" });
  expect(parseTarget("/v1/search")).toEqual({ kind: "search" });
  expect(parseTarget("/v2/a/b/tags/list")).toEqual({ kind: "tags", name: "a/b" });
  expect(parseTarget("/v2/a/manifests/v1.0_x-y")).toEqual({
    ...{ kind: "manifest", name: "a" },
    tag: "v1.0_x-y",
  });
  expect(parseTarget(`/v2/a/manifests/${digest}`)).toEqual({
    ...{ kind: "manifest", name: "a" },
    digest,
  });
  expect(parseTarget(`/v2/a/blobs/${digest}`)).toEqual({ kind: "blob", name: "a", digest });
  for (const path of ["/v2/a/blobs/uploads/", "/v2/a/blobs/uploads"])
    expect(parseTarget(path)).toEqual({ kind: "uploads", name: "a" });
  expect(parseTarget(`/v2/a/blobs/uploads/${id}`)).toEqual({ kind: "upload", name: "a", id });
  expect(parseTarget(`/v2/a/referrers/${digest}`)).toEqual({
    kind: "referrers",
    name: "a",
    digest,
  });
  // A repository may be called like a part of the protocol.
  expect(parseTarget("/v2/blobs/uploads/manifests/tags/list")).toEqual({
    kind: "tags",
    name: "blobs/uploads/manifests",
  });
  for (const path of ["/", "/v1/", "/v2/a", "/v2/a/b/c", "/v2/%zz/tags/list"])
    expect(parseTarget(path)).toBeUndefined();
});

test("what can be no name gets its code", () => {
  for (const [path, code] of [
    ["/v2/A/tags/list", "NAME_INVALID"],
    ["/v2/../../etc/tags/list", "NAME_INVALID"],
    ["/v2/a%00b/tags/list", "NAME_INVALID"],
    [`/v2/${"a".repeat(256)}/tags/list`, "NAME_INVALID"],
    ["/v2/a/manifests/.x", "TAG_INVALID"],
    [`/v2/a/manifests/${"t".repeat(129)}`, "TAG_INVALID"],
    ["/v2/a/manifests/sha256:short", "DIGEST_INVALID"],
    [`/v2/a/blobs/sha512:${"a".repeat(128)}`, "DIGEST_INVALID"],
    [`/v2/a/blobs/${digest.toUpperCase()}`, "DIGEST_INVALID"],
    ["/v2/a/blobs/uploads/..", "BLOB_UPLOAD_UNKNOWN"],
  ] as const)
    expect([path, codeOf(() => parseTarget(path))]).toEqual([path, code]);
});

test("no path leads out of the names that are allowed, and none throws anything else", () => {
  const part = fc.oneof(
    fc.constantFrom(
      "v2",
      "..",
      ".",
      "",
      "manifests",
      "blobs",
      "uploads",
      "tags",
      "list",
      "%2e%2e",
      "%2f",
      "%00",
      "_catalog",
      "referrers",
      digest,
      id,
      "a",
      "B",
    ),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      let target: ReturnType<typeof parseTarget>;
      try {
        target = parseTarget(`/${parts.join("/")}`);
      } catch (error) {
        expect(error).toBeInstanceOf(RegistryError);
        return;
      }
      if (target === undefined) return;
      if ("name" in target) expect(isRepositoryName(target.name)).toBe(true);
      if ("tag" in target) expect(isTag(target.tag ?? "")).toBe(true);
      if ("digest" in target) expect(target.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    }),
    { numRuns: 2000 },
  );
});

test("ranges", () => {
  expect(parseRange(undefined, 10)).toBeUndefined();
  expect(parseRange("bytes=0-", 10)).toEqual({ start: 0, end: 10 });
  expect(parseRange("bytes=9-9", 10)).toEqual({ start: 9, end: 10 });
  expect(parseRange("bytes=-4", 10)).toEqual({ start: 6, end: 10 });
  expect(parseRange("bytes=-40", 10)).toEqual({ start: 0, end: 10 });
  expect(parseRange("bytes=10-", 10)).toBe("unsatisfiable");
  expect(parseRange("bytes=-0", 10)).toBe("unsatisfiable");
  expect(parseRange("bytes=0-0", 0)).toBe("unsatisfiable");
  for (const ignored of ["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=x-y"])
    expect(parseRange(ignored, 10)).toBeUndefined();
  expect(parseContentRange("0-4")).toEqual({ start: 0, end: 5 });
  expect(parseContentRange("bytes 5-9/10")).toEqual({ start: 5, end: 10 });
  for (const bad of ["", "5-4", "a-b", "0-", "-1", "0-99999999999999999999"])
    expect(parseContentRange(bad)).toBeUndefined();
  fc.assert(
    fc.property(fc.string(), fc.nat(), (header, size) => {
      const span = parseRange(`bytes=${header}`, size);
      if (typeof span !== "object") return;
      expect(span.start).toBeGreaterThanOrEqual(0);
      expect(span.end).toBeGreaterThan(span.start);
      expect(span.end).toBeLessThanOrEqual(size);
    }),
  );
});

test("Accept", () => {
  const index = "application/vnd.oci.image.index.v1+json";
  for (const header of [
    undefined,
    "",
    "*/*",
    "application/*",
    index,
    `a/b, ${index};q=0.5`,
    index.toUpperCase(),
  ])
    expect([header, accepts(header, index)]).toEqual([header, true]);
  for (const header of ["a/b", `${index};q=0`, "image/*"])
    expect([header, accepts(header, index)]).toEqual([header, false]);
});

const bytesOf = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 3 };

test("a manifest says what it names", () => {
  const image = {
    schemaVersion: 2,
    config,
    layers: [
      { digest, size: 5 },
      { digest, size: 6, urls: ["https://x"] },
    ],
    subject: { digest, size: 1 },
    annotations: { a: "b" },
  };
  expect(parseManifest(bytesOf(image), undefined)).toEqual({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    isIndex: false,
    blobs: [
      { digest, size: 3, elsewhere: false },
      { digest, size: 5, elsewhere: false },
      { digest, size: 6, elsewhere: true },
    ],
    children: [],
    subject: digest,
    artifactType: config.mediaType,
    annotations: { a: "b" },
  } satisfies ParsedManifest);
  const index = {
    schemaVersion: 2,
    manifests: [{ digest, size: 1, platform: { os: "linux", architecture: "arm64" } }],
  };
  const parsed = parseManifest(
    bytesOf(index),
    "application/vnd.docker.distribution.manifest.list.v2+json; charset=x",
  );
  expect([parsed.isIndex, parsed.children[0]?.architecture]).toEqual([true, "arm64"]);
});

test("what is no manifest is refused", () => {
  const image = { schemaVersion: 2, config, layers: [] };
  for (const [bad, type] of [
    ["", undefined],
    ["[]", undefined],
    ["null", undefined],
    [{ ...image, schemaVersion: 1 }, undefined],
    [{ ...image, mediaType: "text/plain" }, undefined],
    [{ ...image, mediaType: "application/vnd.oci.image.index.v1+json" }, undefined],
    [image, "application/vnd.oci.image.index.v1+json"],
    // Two readers could see two images in this (CVE-2021-41190).
    [{ ...image, manifests: [] }, "application/vnd.oci.image.manifest.v1+json"],
    [{ ...image, config: undefined }, "application/vnd.oci.image.manifest.v1+json"],
    [{ ...image, config: { ...config, digest: "sha256:../../etc/passwd" } }, undefined],
    [{ ...image, config: { ...config, size: -1 } }, undefined],
    [{ ...image, config: { ...config, size: 1.5 } }, undefined],
    [{ ...image, layers: {} }, undefined],
    [{ ...image, layers: [null] }, undefined],
    [{ ...image, annotations: { a: 1 } }, undefined],
    [{ ...image, artifactType: 7 }, undefined],
  ] as const)
    expect(codeOf(() => parseManifest(bytesOf(bad), type))).toBe("MANIFEST_INVALID");
  expect(codeOf(() => parseManifest(new Uint8Array([0x22, 0xff, 0x22]), undefined))).toBe(
    "MANIFEST_INVALID",
  );
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (any, other) => {
      for (const value of [
        any,
        { schemaVersion: 2, config: any, layers: [other] },
        { schemaVersion: 2, manifests: any, annotations: other },
      ])
        codeOf(() => parseManifest(bytesOf(value), undefined));
    }),
  );
});
