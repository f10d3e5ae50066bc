/** Whatever is asked, in whatever order: no failure of the registry's own, and a store that is consistent. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import fc from "fast-check";
import { ContentStore, Downloads, Holds } from "../images/index.ts";
import { parseRegistryConfig } from "./config.ts";
import { RegistryDatabase } from "./database.ts";
import { Registry } from "./registry.ts";

const root = mkdtempSync("/tmp/bp-");
const content = new ContentStore(root);
const data = new RegistryDatabase(new Database(`${root}/db`));
const registry = new Registry({
  shared: {
    content,
    holds: new Holds(),
    downloads: new Downloads(content, 1),
    usedElsewhere: () => false,
  },
  data,
  uploadsDirectory: `${root}/uploads`,
});
const env = { REGISTRY_STORAGE_DELETE_ENABLED: "true" };
const port = await registry.serve({
  config: parseRegistryConfig(undefined, env, () => {}),
  address: { host: "127.0.0.1", port: 0 },
  ...{ tls: undefined, accessLog: undefined },
  open: () => {
    throw new Error("it is no cache");
  },
});
afterAll(async () => {
  await registry.close(0);
  rmSync(root, { recursive: true });
});

const digestOf = (text: string) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;
const texts = ["", "a", "bb"];
const manifests = texts.map((text) =>
  JSON.stringify({
    schemaVersion: 2,
    config: { digest: digestOf(text), size: text.length },
    layers: [],
  }),
);
const digests = [...texts, ...manifests].map(digestOf);
const uploads: string[] = [];

const one = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const name = one("a", "b/c", "A", "..", "a/../b");
const digest = one(...digests, `sha256:${"0".repeat(64)}`, "sha256:x", "md5:1");
const upload = fc.nat(5).map((at) => uploads.at(-1 - at) ?? "/v2/a/blobs/uploads/none");
const path = fc.oneof(
  fc.tuple(name, digest).map(([n, d]) => `/v2/${n}/blobs/${d}`),
  fc.tuple(name, one("x", "y", "-", ...digests)).map(([n, r]) => `/v2/${n}/manifests/${r}`),
  fc.tuple(name, digest).map(([n, d]) => `/v2/${n}/referrers/${d}`),
  fc
    .tuple(name, one("", "?n=1", "?n=-1", "?last=x", "?n=9999999999"))
    .map(([n, q]) => `/v2/${n}/tags/list${q}`),
  name.map((n) => `/v2/${n}/blobs/uploads/`),
  fc.tuple(name, digest, name).map(([n, d, f]) => `/v2/${n}/blobs/uploads/?mount=${d}&from=${f}`),
  fc.tuple(name, digest).map(([n, d]) => `/v2/${n}/blobs/uploads/?digest=${d}`),
  upload,
  fc.tuple(upload, digest).map(([u, d]) => `${u}?digest=${d}`),
  one(
    "/",
    "/v2/",
    "/v2/_catalog",
    "/v2/_catalog?n=2",
    "/v1/search?q=a&n=x",
    "//",
    "/v2/%ff/tags/list",
    "/v2/a",
  ),
  fc.webPath(),
);
const request = fc.record({
  method: one("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
  path,
  body: one(...texts, ...manifests, "{", "null"),
  headers: fc.record(
    {
      range: one("bytes=0-0", "bytes=5-", "bytes=-1", "x"),
      "content-range": one("0-0", "0-1", "1-1", "9-1", "x"),
      "content-type": one("application/vnd.oci.image.manifest.v1+json", "x"),
      accept: one("*/*", "text/html", ";;,"),
      "if-none-match": one('"x"', ...digests),
      authorization: one("Basic x", "Bearer y"),
    },
    { requiredKeys: [] },
  ),
});

test("any requests, side by side: each is answered or refused, and the store stays whole", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 20, maxLength: 60 }), async (requests) => {
      const answers = requests.map(async ({ method, path: where, body, headers }) => {
        const response = await fetch(`http://127.0.0.1:${port}${where}`, {
          method,
          headers,
          redirect: "manual",
          ...(method === "GET" || method === "HEAD" ? {} : { body }),
        });
        const text = await response.text();
        expect([method, where, response.status < 500]).toEqual([method, where, true]);
        const isJson = response.headers.get("content-type")?.startsWith("application/json");
        if (response.status >= 400 && method !== "HEAD" && isJson)
          expect(JSON.parse(text).errors[0].code).toMatch(/^[A-Z_]+$/);
        const location = response.headers.get("location");
        if (response.status === 202 && location !== null)
          uploads.push(new URL(location, "http://x").pathname);
      });
      const collected = registry.collect({ dryRun: false, deleteUntagged: true, graceMs: 0 });
      await Promise.all([...answers, collected]);
      // Every row has its file, and every file a row.
      const files = readdirSync(`${root}/blobs/sha256`).map((hex) => `sha256:${hex}`);
      expect(files.toSorted()).toEqual(data.allBlobs().toSorted());
      expect(readdirSync(`${root}/ingest`)).toEqual([]);
    }),
    { numRuns: 40, seed: 7 },
  );
  // It has not merely refused.
  expect(uploads.length).toBeGreaterThan(20);
}, 60_000);
