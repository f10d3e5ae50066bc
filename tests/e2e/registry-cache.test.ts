/** berth's registry as a cache before another one, which goes away, and which gives half of a blob. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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

/** Of a blob. */
const HALF = 1_000_000;
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
  const ranges: (string | undefined)[] = [];
  let whole = false;
  const behind = createServer((request, response) => {
    const path = request.url ?? "";
    if (path.endsWith("/manifests/1")) {
      response.writeHead(200, { "Content-Type": types.manifest }).end(image.manifest);
    } else if (!path.endsWith(layer)) response.end("{}");
    else {
      const { range } = request.headers;
      ranges.push(range);
      const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      const size = image.layer.length;
      if (whole) {
        const headers = { "Content-Range": `bytes ${from}-${size - 1}/${size}` };
        response.writeHead(206, headers).end(image.layer.subarray(from));
      } else {
        // The rest comes a byte at a time: a reader may hold back what it has while nothing comes at all.
        response.writeHead(200, { "Content-Length": size }).write(image.layer.subarray(0, HALF));
        let at = HALF;
        const drip = setInterval(() => response.write(image.layer.subarray(at, ++at)), 50);
        response.on("close", () => clearInterval(drip));
      }
    }
  });
  await new Promise<void>((resolve) => behind.listen(0, "127.0.0.1", resolve));
  const { port } = behind.address() as AddressInfo;
  const cache = await make(() => ["--proxy", `http://127.0.0.1:${port}`]).start();
  try {
    const client = new DistributionClient(`http://${cache.address}`, "halves");
    expect((await client.request("manifests/1")).status).toBe(200);
    const first = client
      .request(`blobs/${layer}`)
      .then((answer) => answer.arrayBuffer())
      .then(
        () => "whole",
        () => "broken off",
      );
    const partial = `${cache.root}/content/ingest/${layer.slice(7)}.partial`;
    while (!existsSync(partial) || statSync(partial).size === 0) await Bun.sleep(5);
    await cache.kill();
    expect(await first).toBe("broken off");
    const stored = statSync(partial).size;
    whole = true;
    await cache.start();
    const again = await client.request(`blobs/${layer}`);
    expect(digestOf(new Uint8Array(await again.arrayBuffer()))).toBe(layer);
    expect(ranges).toEqual([undefined, `bytes=${stored}-`]);
  } finally {
    behind.close();
    behind.closeAllConnections();
  }
});

test("a cache before a registry with passwords reads as its user, and never says the password", async () => {
  const hash = await Bun.password.hash("hushhush", { algorithm: "bcrypt", cost: 4 });
  const behind = await new TestRegistry(`ann:${hash}\n`).start();
  const cache = await make(() => ["--proxy", `http://${behind.address}`]).start({
    REGISTRY_PROXY_USERNAME: "ann",
    REGISTRY_PROXY_PASSWORD: "hushhush",
  });
  const stranger = await make(() => ["--proxy", `http://${behind.address}`]).start({
    REGISTRY_PROXY_USERNAME: "ann",
    REGISTRY_PROXY_PASSWORD: "hushwrong",
  });
  try {
    const image = makeImage("guarded");
    const Authorization = `Basic ${btoa("ann:hushhush")}`;
    await new DistributionClient(`http://${behind.address}`, "own/app", {
      Authorization,
    }).pushImage(image, "1");
    const read = (registry: OwnRegistry, path: string) =>
      new DistributionClient(`http://${registry.address}`, "own/app").request(path, {
        headers: { Accept: types.manifest },
      });
    expect(await (await read(cache, "manifests/1")).text()).toBe(image.manifest);
    const blob = await read(cache, `blobs/${digestOf(image.layer)}`);
    expect(digestOf(new Uint8Array(await blob.arrayBuffer()))).toBe(digestOf(image.layer));
    const refused = await read(stranger, "manifests/1");
    const text = await refused.clone().text();
    expect(await refusal(refused)).toBe("403 DENIED");
    for (const told of [text, cache.log, stranger.log]) expect(told).not.toContain("hush");
  } finally {
    await behind.stop();
  }
});
