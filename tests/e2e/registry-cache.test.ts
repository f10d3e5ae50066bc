/** berth's registry as a cache before another one, which goes away, and which gives half of a blob. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import {
  DistributionClient,
  digestOf,
  listing,
  makeImage,
  refusal,
  types,
} from "../kits/distribution.ts";
import { OwnRegistry } from "../kits/own-registry.ts";
import { TestRegistry } from "../kits/registry.ts";

const before = takeCensus();
const caches: OwnRegistry[] = [];
afterAll(async () => {
  await Promise.all(caches.map((one) => one.destroy()));
  expect(await settledLeftover(before)).toEqual([]);
});

function make(...args: ConstructorParameters<typeof OwnRegistry>): OwnRegistry {
  const one = new OwnRegistry(...args);
  caches.push(one);
  return one;
}

test("a cache: one download for many, what is known is served when nobody answers behind it", async () => {
  const behind = await new TestRegistry().start();
  const cache = await make((directory) => {
    writeFileSync(
      `${directory}/c.yml`,
      `version: 0.1\nproxy:\n  remoteurl: http://${behind.address}\n`,
    );
    return [`${directory}/c.yml`];
  }).start();
  const name = "cached/app";
  const source = new DistributionClient(`http://${behind.address}`, name);
  const client = new DistributionClient(`http://${cache.address}`, name);
  try {
    const image = makeImage(`cached${"y".repeat(5_000_000)}`);
    await source.pushImage(image, "1");
    const layer = digestOf(image.layer);
    const accept = { Accept: types.manifest };
    const read = async (reference: string) => {
      const answer = await client.request(`manifests/${reference}`, { headers: accept });
      return [answer.status, digestOf(await answer.text())];
    };
    expect(await read("1")).toEqual([200, image.digest]);
    expect(
      (await client.request(`blobs/${layer}`, { method: "HEAD" })).headers.get("content-length"),
    ).toBe(String(image.layer.length));
    const many = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const answer = await client.request(`blobs/${layer}`);
        return digestOf(new Uint8Array(await answer.arrayBuffer()));
      }),
    );
    expect(new Set(many)).toEqual(new Set([layer]));
    const part = await client.request(`blobs/${digestOf(image.config)}`, {
      headers: { Range: "bytes=0-3" },
    });
    expect([part.status, await part.text()]).toEqual([206, '{"ar']);
    // The tag moves there, and here with it.
    const moved = makeImage("moved");
    await source.pushImage(moved, "1");
    expect(await read("1")).toEqual([200, moved.digest]);
    expect(await refusal(await client.request("manifests/none"))).toBe("404 MANIFEST_UNKNOWN");
    expect(await refusal(await client.request("blobs/uploads/", { method: "POST" }))).toBe(
      "405 UNSUPPORTED",
    );
    await source.pushImage(makeImage("never asked for"), "2");
    expect((await listing(await client.request("tags/list"))).tags).toEqual(["1", "2"]);
    await behind.stop();
    expect(await read("1")).toEqual([200, moved.digest]);
    expect(await read(image.digest)).toEqual([200, image.digest]);
    expect((await client.request(`blobs/${layer}`)).status).toBe(200);
    expect((await listing(await client.request("tags/list"))).tags).toEqual(["1"]);
    expect(await refusal(await client.request("manifests/2"))).toBe("503 UNAVAILABLE");
    const unknown = await client.request(`blobs/${digestOf("unknown")}`);
    expect(await refusal(unknown)).toBe("503 UNAVAILABLE");
    await cache.kill();
    await cache.start();
    expect(await read("1")).toEqual([200, moved.digest]);
  } finally {
    await behind.stop();
  }
});

test("a cache that is killed in the middle of a blob goes on where it was", async () => {
  const image = makeImage(`halves${"z".repeat(2_000_000)}`);
  const layer = digestOf(image.layer);
  const ranges: (string | null)[] = [];
  let whole = false;
  const behind = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith("/manifests/1"))
        return new Response(image.manifest, { headers: { "Content-Type": types.manifest } });
      if (!pathname.endsWith(layer)) return new Response("{}");
      const range = request.headers.get("range");
      ranges.push(range);
      const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      const size = image.layer.length;
      const headers = { "Content-Range": `bytes ${from}-${size - 1}/${size}` };
      if (whole) return new Response(image.layer.slice(from), { status: 206, headers });
      // The second half never comes.
      const half = new ReadableStream({
        start: (to) => to.enqueue(image.layer.slice(0, 1_000_000)),
      });
      return new Response(half, { headers: { "Content-Length": String(size) } });
    },
  });
  const cache = await make(() => ["--proxy", `http://127.0.0.1:${behind.port}`]).start();
  try {
    const client = new DistributionClient(`http://${cache.address}`, "halves");
    expect((await client.request("manifests/1")).status).toBe(200);
    const first = client.request(`blobs/${layer}`).then((answer) => answer.arrayBuffer());
    const partial = `${cache.root}/content/ingest/${layer.slice(7)}.partial`;
    while (!existsSync(partial) || statSync(partial).size < 1_000_000) await Bun.sleep(5);
    await cache.kill();
    await expect(first).rejects.toThrow();
    whole = true;
    await cache.start();
    const again = await client.request(`blobs/${layer}`);
    expect(digestOf(new Uint8Array(await again.arrayBuffer()))).toBe(layer);
    expect(ranges).toEqual([null, "bytes=1000000-"]);
  } finally {
    await behind.stop(true);
  }
});
