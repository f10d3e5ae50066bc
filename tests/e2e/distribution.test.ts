/**
 * Every endpoint of the distribution specification, walked in one way over three registries: Debian's docker-registry, which
 * shows that the walk is true, berth's own, and the one in berth's daemon. What the first does not know yet is left out there.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import {
  DistributionClient,
  digestOf,
  listing,
  makeImage,
  refusal,
  types,
} from "../kits/distribution.ts";
import { freePort, OwnRegistry } from "../kits/own-registry.ts";
import { TestRegistry } from "../kits/registry.ts";

const before = takeCensus();
const debian = new TestRegistry();
const own = new OwnRegistry();
const port = freePort();
const config = `/tmp/bc-${process.pid}.yml`;
const daemon = new TestDaemon(["--registry", `127.0.0.1:${port}`, "--registry-config", config]);

beforeAll(async () => {
  await Bun.write(config, "version: 0.1\nstorage:\n  delete:\n    enabled: true\n");
  await Promise.all([debian.start(), own.start(), daemon.start()]);
});
afterAll(async () => {
  await Promise.all([debian.stop(), own.destroy(), daemon.destroy(), Bun.file(config).delete()]);
  expect(await settledLeftover(before)).toEqual([]);
});

const text = (words: string) => new TextEncoder().encode(words);

function walk(base: string, isDebian: boolean) {
  let count = 0;
  const repository = (name = `walk/r${++count}`) => new DistributionClient(base, name);
  const beyondDebian = isDebian ? test.skip : test;

  test("the base says which protocol is spoken", async () => {
    const response = await fetch(`${base}/v2/`);
    expect(response.status).toBe(200);
    expect(response.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
    expect(await response.json()).toEqual({});
  });

  test("a blob in two requests: stored, read whole, in part, and asked after", async () => {
    const client = repository();
    const bytes = text("0123456789");
    const digest = digestOf(bytes);
    const missing = await client.request(`blobs/${digest}`);
    expect(await refusal(missing)).toBe("404 BLOB_UNKNOWN");
    expect((await client.request(`blobs/${digest}`, { method: "HEAD" })).status).toBe(404);
    const pushed = await client.push(bytes);
    expect(pushed.status).toBe(201);
    expect(pushed.headers.get("docker-content-digest")).toBe(digest);
    const where = new URL(pushed.headers.get("location") ?? "", base).href;
    const whole = await client.request(where);
    expect(whole.headers.get("docker-content-digest")).toBe(digest);
    expect(await whole.text()).toBe("0123456789");
    const head = await client.request(where, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "10"]);
    for (const [range, part, content] of [
      ["bytes=2-4", "bytes 2-4/10", "234"],
      ["bytes=7-", "bytes 7-9/10", "789"],
      ["bytes=-3", "bytes 7-9/10", "789"],
      ["bytes=5-500", "bytes 5-9/10", "56789"],
    ] as const) {
      const answer = await client.request(where, { headers: { Range: range } });
      expect([answer.status, answer.headers.get("content-range")]).toEqual([206, part]);
      expect(await answer.text()).toBe(content);
    }
    const beyond = await client.request(where, { headers: { Range: "bytes=10-" } });
    expect(beyond.status).toBe(416);
    if (!isDebian) expect(beyond.headers.get("content-range")).toBe("bytes */10");
    const known = await client.request(where, { headers: { "If-None-Match": `"${digest}"` } });
    expect([known.status, await known.text()]).toEqual([304, ""]);
  });

  test("a blob of no bytes", async () => {
    const client = repository();
    expect((await client.push(text(""))).status).toBe(201);
    const read = await client.request(`blobs/${digestOf("")}`);
    expect([read.status, await read.text()]).toEqual([200, ""]);
  });

  beyondDebian("a blob in one request", async () => {
    const client = repository();
    const digest = digestOf("single");
    const stored = await client.request(`blobs/uploads/?digest=${digest}`, {
      method: "POST",
      body: text("single"),
    });
    expect(stored.status).toBe(201);
    expect(await (await client.request(`blobs/${digest}`)).text()).toBe("single");
    const lie = await client.request(`blobs/uploads/?digest=${digest}`, {
      method: "POST",
      body: text("another"),
    });
    expect(await refusal(lie)).toBe("400 DIGEST_INVALID");
  });

  test("a blob in chunks, with its state between them", async () => {
    const client = repository();
    const begun = await client.request("blobs/uploads/", { method: "POST" });
    expect(begun.headers.get("docker-upload-uuid")).toMatch(/^[0-9a-f-]{36}$/);
    expect(begun.headers.get("range")).toBe("0-0");
    const send = (url: string, words: string, range?: string) =>
      client.request(url, {
        method: "PATCH",
        body: text(words),
        headers: {
          "Content-Type": "application/octet-stream",
          ...(range === undefined ? {} : { "Content-Range": range }),
        },
      });
    const next = (response: Response) => new URL(response.headers.get("location") ?? "", base).href;
    let answer = await send(next(begun), "hello", "0-4");
    expect([answer.status, answer.headers.get("range")]).toEqual([202, "0-4"]);
    if (!isDebian) {
      // It takes a chunk wherever it says that it belongs.
      const wrong = await send(next(answer), "world", "7-11");
      expect([wrong.status, wrong.headers.get("range")]).toEqual([416, "0-4"]);
      const short = await send(next(answer), "w", "5-8");
      expect(await refusal(short)).toBe("400 SIZE_INVALID");
    }
    const state = await client.request(next(answer));
    expect([state.status, state.headers.get("range")]).toEqual([204, "0-4"]);
    answer = await send(next(state), " wor", "5-8");
    expect(answer.headers.get("range")).toBe("0-8");
    const end = new URL(next(answer));
    end.searchParams.set("digest", digestOf("hello world"));
    const stored = await client.request(end.href, { method: "PUT", body: text("ld") });
    expect(stored.status).toBe(201);
    expect(await (await client.request(`blobs/${digestOf("hello world")}`)).text()).toBe(
      "hello world",
    );
    const over = await client.request(next(answer));
    expect(await refusal(over)).toBe("404 BLOB_UPLOAD_UNKNOWN");
  });

  test("an upload that is not what it should be, and one that is given up", async () => {
    const client = repository();
    const url = new URL(await client.begin());
    url.searchParams.set("digest", digestOf("right"));
    const stored = await client.request(url.href, { method: "PUT", body: text("wrong") });
    expect(await refusal(stored)).toBe("400 DIGEST_INVALID");
    expect((await client.request(`blobs/${digestOf("wrong")}`)).status).toBe(404);
    const other = await client.begin();
    expect((await client.request(other, { method: "DELETE" })).status).toBe(204);
    expect(await refusal(await client.request(other))).toBe("404 BLOB_UPLOAD_UNKNOWN");
    expect(await refusal(await client.request(other, { method: "DELETE" }))).toBe(
      "404 BLOB_UPLOAD_UNKNOWN",
    );
  });

  test("a blob is taken over from another repository, if that has it", async () => {
    const [source, target] = [repository(), repository()];
    const digest = digestOf("mounted");
    const mount = () =>
      target.request(`blobs/uploads/?mount=${digest}&from=${source.name}`, { method: "POST" });
    expect((await mount()).status).toBe(202);
    await source.push(text("mounted"));
    const mounted = await mount();
    expect(mounted.status).toBe(201);
    expect(await (await target.request(`blobs/${digest}`)).text()).toBe("mounted");
  });

  test("manifests by tag and by digest", async () => {
    const client = repository();
    const image = makeImage("one");
    expect(await refusal(await client.request("manifests/latest"))).toBe("404 MANIFEST_UNKNOWN");
    await client.pushImage(image, "latest");
    for (const reference of ["latest", image.digest]) {
      const headers = { Accept: types.manifest };
      const read = await client.request(`manifests/${reference}`, { headers });
      expect(read.headers.get("content-type")).toBe(types.manifest);
      expect(read.headers.get("docker-content-digest")).toBe(image.digest);
      expect(await read.text()).toBe(image.manifest);
      const head = await client.request(`manifests/${reference}`, { method: "HEAD", headers });
      expect(head.headers.get("content-length")).toBe(String(image.manifest.length));
      const known = await client.request(`manifests/${reference}`, {
        headers: { ...headers, "If-None-Match": `"${image.digest}"` },
      });
      expect(known.status).toBe(304);
    }
    const other = await client.putManifest(digestOf("other"), image.manifest);
    expect(await refusal(other)).toBe("400 DIGEST_INVALID");
  });

  test("what a client cannot read it does not get by tag; an index gives it its first image", async () => {
    const client = repository();
    const image = makeImage("entry");
    await client.pushImage(image);
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: types.index,
      manifests: [
        {
          mediaType: types.manifest,
          digest: image.digest,
          size: image.manifest.length,
          platform: { os: "linux", architecture: "amd64" },
        },
      ],
    });
    expect((await client.putManifest("multi", index, types.index)).status).toBe(201);
    const get = (accept: string) =>
      client.request("manifests/multi", { headers: { Accept: accept } });
    expect((await get(`${types.index}, ${types.manifest}`)).headers.get("content-type")).toBe(
      types.index,
    );
    if (!isDebian) {
      expect(await (await get(types.manifest)).text()).toBe(image.manifest);
      expect(await refusal(await get(types.schema2))).toBe("404 MANIFEST_UNKNOWN");
    }
    const incomplete = index.replace(image.digest, digestOf("elsewhere"));
    const refused = await client.putManifest("bad", incomplete, types.index);
    expect(await refusal(refused)).toMatch(/^40\d MANIFEST_BLOB_UNKNOWN$/);
  });

  test("a manifest that names what is not there, or is none, is refused", async () => {
    const client = repository();
    const image = makeImage("absent");
    expect(await refusal(await client.putManifest("x", image.manifest))).toMatch(
      /^40\d MANIFEST_BLOB_UNKNOWN$/,
    );
    expect(await refusal(await client.putManifest("x", "{"))).toBe("400 MANIFEST_INVALID");
    const huge = JSON.stringify({ schemaVersion: 2, annotations: { a: "x".repeat(5 << 20) } });
    const large = await client.putManifest("x", huge);
    expect(await refusal(large)).toMatch(/^4\d\d MANIFEST_INVALID$/);
  });

  test("tags, page by page", async () => {
    const client = repository();
    expect(await refusal(await client.request("tags/list"))).toBe("404 NAME_UNKNOWN");
    const image = makeImage("tagged");
    for (const tag of ["c", "a", "b", "latest"]) await client.pushImage(image, tag);
    const all = await client.request("tags/list");
    const { name, tags } = await listing(all);
    expect([name, tags?.toSorted()]).toEqual([client.name, ["a", "b", "c", "latest"]]);
    if (isDebian) return; // It has neither order nor pages of tags yet.
    expect(tags).toEqual(["a", "b", "c", "latest"]);
    const first = await client.request("tags/list?n=2");
    expect((await listing(first)).tags).toEqual(["a", "b"]);
    const link = /^<([^>]+)>; rel="next"$/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    const second = await client.request(new URL(link, base).href);
    expect((await listing(second)).tags).toEqual(["c", "latest"]);
    expect(second.headers.get("link")).toBeNull();
    expect((await listing(await client.request("tags/list?n=0"))).tags).toEqual([]);
    expect(await refusal(await client.request("tags/list?n=x"))).toBe(
      "400 PAGINATION_NUMBER_INVALID",
    );
  });

  test("the catalogue, page by page", async () => {
    for (const name of ["cat/a", "cat/b"])
      await new DistributionClient(base, name).pushImage(makeImage("cat"), "x");
    const page = await fetch(`${base}/v2/_catalog?n=1&last=cat`);
    expect(await listing(page)).toEqual({ repositories: ["cat/a"] });
    const link = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1] ?? "";
    const next = (await (await fetch(new URL(link, base).href)).json()) as {
      repositories: string[];
    };
    expect(next.repositories).toEqual(["cat/b"]);
  });

  test("what is deleted is gone: manifests with their tags, and blobs", async () => {
    const client = repository();
    const [image, other] = [makeImage("deleted"), makeImage("kept")];
    await client.pushImage(image, "a");
    await client.pushImage(image, "b");
    await client.pushImage(other, "c");
    expect((await client.request(`manifests/${image.digest}`, { method: "DELETE" })).status).toBe(
      202,
    );
    expect((await client.request(`manifests/${image.digest}`)).status).toBe(404);
    expect((await listing(await client.request("tags/list"))).tags).toEqual(["c"]);
    const again = await client.request(`manifests/${image.digest}`, { method: "DELETE" });
    expect(await refusal(again)).toBe("404 MANIFEST_UNKNOWN");
    const layer = digestOf(image.layer);
    expect((await client.request(`blobs/${layer}`, { method: "DELETE" })).status).toBe(202);
    expect((await client.request(`blobs/${layer}`)).status).toBe(404);
    if (isDebian) return; // It deletes no tags yet.
    expect((await client.request("manifests/c", { method: "DELETE" })).status).toBe(202);
    expect((await client.request("manifests/c")).status).toBe(404);
    expect((await client.request(`manifests/${other.digest}`)).status).toBe(200);
  });

  beyondDebian("what refers to a manifest is listed, all or of one type", async () => {
    const client = repository();
    const image = makeImage("subject");
    const nothing = await client.request(`referrers/${image.digest}`);
    expect(nothing.headers.get("content-type")).toBe(types.index);
    expect((await listing(nothing)).manifests).toEqual([]);
    const subject = {
      mediaType: types.manifest,
      digest: image.digest,
      size: image.manifest.length,
    };
    const signature = makeImage("signature", {
      subject,
      artifactType: "test/signature",
      annotations: { by: "ann" },
    });
    const sbom = makeImage("sbom", { subject });
    await client.pushImage(signature);
    await client.pushImage(sbom);
    const stored = await client.putManifest("again", signature.manifest);
    expect(stored.headers.get("oci-subject")).toBe(image.digest);
    const list = await listing(await client.request(`referrers/${image.digest}`));
    expect(list).toMatchObject({ schemaVersion: 2, mediaType: types.index });
    const entries = new Map<string, object>((list.manifests ?? []).map((one) => [one.digest, one]));
    expect(entries.get(signature.digest)).toEqual({
      mediaType: types.manifest,
      digest: signature.digest,
      size: signature.manifest.length,
      artifactType: "test/signature",
      annotations: { by: "ann" },
    });
    expect(entries.get(sbom.digest)).toMatchObject({ artifactType: types.config });
    const some = await client.request(`referrers/${image.digest}?artifactType=test%2Fsignature`);
    expect(some.headers.get("oci-filters-applied")).toBe("artifactType");
    expect((await listing(some)).manifests).toHaveLength(1);
    const page = await client.request(`referrers/${image.digest}?n=1`);
    expect((await listing(page)).manifests).toHaveLength(1);
    expect(page.headers.get("link")).toContain('rel="next"');
    await client.request(`manifests/${signature.digest}`, { method: "DELETE" });
    expect(
      (await listing(await client.request(`referrers/${image.digest}`))).manifests,
    ).toHaveLength(1);
  });

  test("names that can be none, and what is not to be done, are refused", async () => {
    const image = makeImage("none");
    const bad = new DistributionClient(base, "Upper/Case");
    expect((await bad.request("tags/list")).status).toBeOneOf([400, 404]);
    const client = repository();
    expect((await client.request("manifests/..%2f..%2fetc")).status).toBeOneOf([301, 400, 404]);
    const away = await client.request("blobs/sha256:..%2f..%2f..%2fetc%2fpasswd");
    expect(away.status).toBeOneOf([301, 400, 404]);
    expect((await client.putManifest("-bad", image.manifest)).status).toBeOneOf([400, 404]);
    const method = await client.request("tags/list", { method: "DELETE" });
    expect(method.status).toBe(405);
    if (isDebian) return;
    expect(await refusal(await bad.request("tags/list"))).toBe("400 NAME_INVALID");
    expect(await refusal(await client.request("blobs/sha256:1234"))).toBe("400 DIGEST_INVALID");
    expect(await refusal(await client.request("manifests/-bad"))).toBe("400 TAG_INVALID");
    expect(method.headers.get("allow")).toBe("GET, HEAD");
    expect(await refusal(method)).toBe("405 UNSUPPORTED");
  });
}

describe("docker-registry", () => walk(`http://${debian.address}`, true));
describe("berth registry serve", () => walk(`http://${own.address}`, false));
describe("berth daemon --registry", () => walk(`http://127.0.0.1:${port}`, false));
