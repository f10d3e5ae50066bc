/** Repositories on a store that others use too, and collecting what nobody needs. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ContentStore, Downloads, Holds } from "../images/index.ts";
import { collectGarbage } from "./collection.ts";
import { RegistryDatabase } from "./database.ts";
import { parseManifest } from "./manifest.ts";
import { RegistryStore } from "./store.ts";
import type { Body } from "./uploads.ts";

const directory = mkdtempSync("/tmp/bp-");
afterAll(() => rmSync(directory, { recursive: true }));

const bytesOf = (text: string) => new TextEncoder().encode(text);
const digestOf = (data: Uint8Array | string) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
const now = { dryRun: false, deleteUntagged: false, graceMs: 0 };
let count = 0;

function open(root = `${directory}/${++count}`, elsewhere: ReadonlySet<string> = new Set()) {
  const content = new ContentStore(root);
  const data = new RegistryDatabase(new Database(`${root}/db`));
  const holds = new Holds();
  const downloads = new Downloads(content, 3);
  const shared = { content, holds, downloads, usedElsewhere: (one: string) => elsewhere.has(one) };
  return { root, content, data, holds, store: new RegistryStore(shared, data, `${root}/uploads`) };
}

/** A body of these pieces. */
function body(...pieces: string[]): Body {
  return async (take) => {
    for (const piece of pieces) take(bytesOf(piece));
  };
}

async function putBlob({ store }: ReturnType<typeof open>, repository: string, text: string) {
  const digest = digestOf(text);
  await store.uploads.finish(repository, store.uploads.begin(repository), digest, body(text));
  return digest;
}

async function putManifest(
  { store }: ReturnType<typeof open>,
  repository: string,
  document: Record<string, unknown>,
  tag?: string,
) {
  const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, ...document }));
  const digest = digestOf(bytes);
  const parsed = parseManifest(bytes, undefined);
  await store.putManifest(repository, { digest, bytes, parsed }, { tag, complete: true });
  return { digest, size: bytes.length };
}

const config = (digest: string) => ({ config: { digest, size: 1 }, layers: [] });

test("a blob goes with the last repository that has it, and not while it is held or needed elsewhere", async () => {
  const elsewhere = new Set<string>();
  const parts = open(undefined, elsewhere);
  const { store, content, holds } = parts;
  const digest = await putBlob(parts, "a", "shared");
  expect(store.mount("b", digest, "c")).toBe(false);
  expect(store.mount("b", digest, "a")).toBe(true);
  expect(store.mount("c", digest, undefined)).toBe(true);
  expect(store.removeBlob("a", digest)).toBe(true);
  expect(store.removeBlob("a", digest)).toBe(false);
  expect(store.blob("b", digest)?.size).toBe(6);
  store.removeBlob("b", digest);
  elsewhere.add(digest);
  store.removeBlob("c", digest);
  expect(content.has(digest)).toBe(true);
  elsewhere.delete(digest);
  await putBlob(parts, "a", "shared");
  await holds.during([digest], async () => {
    store.removeBlob("a", digest);
  });
  expect(content.has(digest)).toBe(true);
  await putBlob(parts, "a", "shared");
  store.removeBlob("a", digest);
  expect(content.has(digest)).toBe(false);
});

test("collection keeps what tags, indexes and subjects lead to, and what is young", async () => {
  const parts = open();
  const { store, data } = parts;
  const blobs = await Promise.all(
    ["tagged", "child", "signature", "loose"].map((text) => putBlob(parts, "a", text)),
  );
  const [tagged = "", child = "", signature = "", loose = ""] = blobs;
  const one = await putManifest(parts, "a", config(tagged), "x");
  const below = await putManifest(parts, "a", config(child));
  const index = await putManifest(parts, "a", { manifests: [below] }, "multi");
  const signed = await putManifest(parts, "a", { ...config(signature), subject: index });
  const nameless = await putManifest(parts, "a", { ...config(tagged), annotations: { n: "1" } });
  const never = await collectGarbage(store, { ...now, deleteUntagged: true, graceMs: 60_000 });
  expect(never).toEqual({ manifests: [], blobs: [], young: 1 });
  const wish = { ...now, deleteUntagged: true };
  const found = { manifests: [`a@${nameless.digest}`], blobs: [`a@${loose}`], young: 0 };
  expect(await collectGarbage(store, { ...wish, dryRun: true })).toEqual(found);
  expect(data.hasBlob("a", loose)).toBe(true);
  expect(await collectGarbage(store, wish)).toEqual(found);
  for (const { digest } of [one, below, index, signed])
    expect(store.manifest("a", { digest })?.digest).toBe(digest);
  for (const digest of [tagged, child, signature]) expect(data.hasBlob("a", digest)).toBe(true);
  data.removeTag("a", "multi");
  const rest = await collectGarbage(store, wish);
  expect(rest.manifests.toSorted()).toEqual(
    [below, index, signed].map(({ digest }) => `a@${digest}`).toSorted(),
  );
  expect(rest.blobs.toSorted()).toEqual(
    [child, signature].map((digest) => `a@${digest}`).toSorted(),
  );
});

test("a manifest whose blob goes while it is stored is refused, and leaves nothing", async () => {
  const parts = open();
  const digest = await putBlob(parts, "a", "config");
  const storing = putManifest(parts, "a", config(digest), "x");
  parts.store.removeBlob("a", digest);
  await expect(storing).rejects.toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
  expect(parts.data.tagged("a", "x")).toBeUndefined();
  expect(parts.data.allBlobs()).toEqual([]);
  expect(readdirSync(`${parts.root}/blobs/sha256`)).toEqual([]);
});

test("an upload goes on in another process, whose hash is that of the file", async () => {
  const first = open();
  const id = first.store.uploads.begin("a");
  expect(await first.store.uploads.append("a", id, body("one ", "two "))).toBe(8);
  const { store, content } = open(first.root);
  expect(store.uploads.size("a", id)).toBe(8);
  await store.uploads.finish("a", id, digestOf("one two three"), body("three"));
  expect(readFileSync(content.path(digestOf("one two three")), "utf8")).toBe("one two three");
  expect(readdirSync(`${first.root}/uploads`)).toEqual([]);
});

test("a chunk that is not what it says leaves the upload as it was; one that breaks off leaves what came", async () => {
  const { store } = open();
  const { uploads } = store;
  const id = uploads.begin("a");
  await uploads.append("a", id, body("abc"), { start: 0, end: 3 });
  for (const [pieces, span] of [
    [["de"], { start: 3, end: 6 }],
    [["de", "fghi"], { start: 3, end: 6 }],
  ] as const)
    await expect(uploads.append("a", id, body(...pieces), span)).rejects.toMatchObject({
      code: "SIZE_INVALID",
    });
  await expect(uploads.append("a", id, body("x"), { start: 2, end: 3 })).rejects.toMatchObject({
    code: "RANGE_INVALID",
  });
  expect(uploads.size("a", id)).toBe(3);
  const broken: Body = async (take) => {
    take(bytesOf("def"));
    throw new Error("gone");
  };
  await expect(uploads.append("a", id, broken)).rejects.toThrow("gone");
  expect(uploads.size("a", id)).toBe(6);
  await uploads.finish("a", id, digestOf("abcdefghi"), body("ghi"));
  expect(store.blob("a", digestOf("abcdefghi"))?.size).toBe(9);
});

test("an upload belongs to its repository, and one that lies is gone", async () => {
  const { store } = open();
  const id = store.uploads.begin("a");
  const unknown = { code: "BLOB_UPLOAD_UNKNOWN" };
  await expect(store.uploads.append("b", id, body("x"))).rejects.toMatchObject(unknown);
  await expect(store.uploads.finish("a", id, digestOf("y"), body("x"))).rejects.toMatchObject({
    code: "DIGEST_INVALID",
  });
  await expect(store.uploads.append("a", id, body("x"))).rejects.toMatchObject(unknown);
});

test("old uploads, and files that no upload has, are swept; others are not", async () => {
  const { store, data, root } = open();
  const kept = store.uploads.begin("a");
  await store.uploads.append("a", kept, body("kept"));
  data.addUpload({ id: "00000000-0000-4000-8000-000000000000", repository: "a", started: 1 });
  writeFileSync(`${root}/uploads/00000000-0000-4000-8000-000000000000`, "old");
  writeFileSync(`${root}/uploads/nobody`, "left by a crash");
  expect(await store.uploads.sweep(1000)).toBe(1);
  expect(readdirSync(`${root}/uploads`)).toEqual([kept]);
  expect(data.uploads().map(({ id }) => id)).toEqual([kept]);
});

test("two uploads of the same blob at once are one blob", async () => {
  const parts = open();
  const digests = await Promise.all(Array.from({ length: 5 }, () => putBlob(parts, "a", "same")));
  expect(new Set(digests).size).toBe(1);
  expect(existsSync(parts.content.path(digestOf("same")))).toBe(true);
  expect(readdirSync(`${parts.root}/uploads`)).toEqual([]);
});
