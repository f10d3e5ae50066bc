/** A cache before a registry that lies, breaks off, and goes away. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { fault } from "../base/errors.ts";
import { ContentStore, Downloads, Holds } from "../images/index.ts";
import { parseRegistryConfig } from "./config.ts";
import { RegistryDatabase } from "./database.ts";
import { PullThrough, type UpstreamRepository } from "./pull-through.ts";
import { Registry } from "./registry.ts";
import { RegistryStore } from "./store.ts";

const directory = mkdtempSync("/tmp/bp-");
const closing: Registry[] = [];
afterAll(async () => {
  await Promise.all(closing.map((one) => one.close(0)));
  rmSync(directory, { recursive: true });
});

const digestOf = (data: Uint8Array) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
const blob = new Uint8Array(1_000_000).map((_, at) => at % 251);
const name = "a/b";

function away(): Error {
  return fault("failed", "registry-unreachable", "Get: connection refused");
}

/** An upstream that has one blob, and whose parts can be made to fail. */
function upstream(parts: Partial<UpstreamRepository> = {}): UpstreamRepository & { asked: number } {
  const own: UpstreamRepository & { asked: number } = {
    asked: 0,
    manifest: () => Promise.reject(away()),
    digestOf: () => Promise.reject(away()),
    tags: () => Promise.reject(away()),
    blobSize: async (digest) => (digest === digestOf(blob) ? blob.length : undefined),
    async *blob(_, from = 0) {
      own.asked++;
      for (let at = from; at < blob.length; at += 100_000) {
        await Bun.sleep(1);
        yield blob.subarray(at, at + 100_000);
      }
    },
    ...parts,
  };
  return own;
}

let count = 0;

function partsOf() {
  const root = `${directory}/${++count}`;
  const content = new ContentStore(root);
  const data = new RegistryDatabase(new Database(":memory:"));
  const holds = new Holds();
  const downloads = new Downloads(content, 3);
  const shared = { content, holds, downloads, usedElsewhere: () => false };
  return { shared, data, uploadsDirectory: `${root}/uploads` };
}

async function serve(source: UpstreamRepository) {
  const parts = partsOf();
  const registry = new Registry(parts);
  closing.push(registry);
  const config = parseRegistryConfig(
    undefined,
    { REGISTRY_PROXY_REMOTEURL: "https://x" },
    () => {},
  );
  const address = { host: "127.0.0.1", port: 0 };
  const port = await registry.serve({
    ...{ config, address, tls: undefined, accessLog: undefined },
    open: () => source,
  });
  return { base: `http://127.0.0.1:${port}/v2/${name}`, ...parts };
}

/** What a client gets: the digest of a whole body, or that there was none. */
async function fetched(url: string): Promise<string> {
  try {
    const response = await fetch(url);
    if (!response.ok) return `${response.status}`;
    return digestOf(new Uint8Array(await response.arrayBuffer()));
  } catch {
    return "broken off";
  }
}

test("many ask, one download; what is here is not asked for again", async () => {
  const source = upstream();
  const { base } = await serve(source);
  const url = `${base}/blobs/${digestOf(blob)}`;
  const all = await Promise.all(Array.from({ length: 10 }, () => fetched(url)));
  expect(new Set(all)).toEqual(new Set([digestOf(blob)]));
  expect(await fetched(url)).toBe(digestOf(blob));
  expect(source.asked).toBe(1);
});

test("a blob that is not what its digest says reaches nobody whole, and is not kept", async () => {
  const source = upstream({
    async *blob() {
      yield blob.subarray(0, blob.length - 1);
      yield new Uint8Array([7]);
    },
  });
  const { base, data, shared } = await serve(source);
  const digest = digestOf(blob);
  expect(await fetched(`${base}/blobs/${digest}`)).toBe("broken off");
  expect(data.hasBlob(name, digest)).toBe(false);
  expect(shared.content.has(digest)).toBe(false);
  expect(existsSync(shared.content.partial(digest))).toBe(false);
});

test("a download that breaks off is taken up where it was by the next who asks", async () => {
  const from: number[] = [];
  const source = upstream({
    async *blob(_, at = 0) {
      from.push(at);
      yield blob.subarray(at, at + 400_000);
      if (at + 400_000 < blob.length) throw fault("failed", "registry-broken", "it broke");
    },
  });
  const { base } = await serve(source);
  const url = `${base}/blobs/${digestOf(blob)}`;
  expect(await fetched(url)).toBe("broken off");
  expect(await fetched(url)).toBe("broken off");
  expect(await fetched(url)).toBe(digestOf(blob));
  expect(from).toEqual([0, 400_000, 800_000]);
});

test("a client that leaves stops the download when nobody else waits for it", async () => {
  let ended = false;
  const source = upstream({
    async *blob(_, _from, signal) {
      yield blob.subarray(0, 10);
      while (!signal?.aborted) await Bun.sleep(1);
      ended = true;
      throw signal.reason;
    },
  });
  const { base } = await serve(source);
  const abort = new AbortController();
  const response = await fetch(`${base}/blobs/${digestOf(blob)}`, { signal: abort.signal });
  await response.body?.getReader().read();
  abort.abort();
  while (!ended) await Bun.sleep(1);
});

test("what nobody behind it knows, and what cannot be asked", async () => {
  const { base } = await serve(upstream());
  expect(await fetched(`${base}/blobs/sha256:${"0".repeat(64)}`)).toBe("404");
  expect(await fetched(`${base}/manifests/x`)).toBe("503");
  const denied = upstream({
    manifest: () => Promise.reject(fault("not-found", "registry-denied", "pull access denied")),
  });
  expect(await fetched(`${(await serve(denied)).base}/manifests/x`)).toBe("403");
});

test("a tag that is gone behind it is gone here, though not while nobody answers", async () => {
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: digestOf(blob),
    size: blob.length,
  };
  const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, config, layers: [] }));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const digest = digestOf(bytes);
  let answer: () => Promise<string> = async () => digest;
  const source = upstream({
    manifest: async () => ({ digest: await answer(), mediaType, bytes }),
    digestOf: () => answer(),
  });
  const { base, data } = await serve(source);
  expect(await fetched(`${base}/manifests/x`)).toBe(digest);
  answer = () => Promise.reject(fault("not-found", "manifest-unknown", "gone"));
  expect(await fetched(`${base}/manifests/x`)).toBe("404");
  expect(data.tagged(name, "x")).toBeUndefined();
  answer = async () => digest;
  expect(await fetched(`${base}/manifests/x`)).toBe(digest);
  answer = () => Promise.reject(away());
  expect(await fetched(`${base}/manifests/x`)).toBe(digest);
});

test("what nobody has asked for is forgotten, with its bytes", async () => {
  const parts = partsOf();
  const store = new RegistryStore(parts.shared, parts.data, parts.uploadsDirectory);
  const { downloads, content } = parts.shared;
  const cache = new PullThrough({ store, downloads, open: () => upstream() });
  const digest = await content.put(blob);
  parts.data.putBlob(name, digest);
  expect(cache.expire(Date.now() - 60_000)).toBe(0);
  expect(content.has(digest)).toBe(true);
  expect(cache.expire(Date.now())).toBe(1);
  expect(content.has(digest)).toBe(false);
});
