/**
 * Pulling from registries that lie, break and dawdle: what is said of it, what stays in the store, and who was told what.
 */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tarOf } from "../../tests/clients/tars.ts";
import { type Asked, FakeRegistry } from "../../tests/kits/fake-registry.ts";
import { idleKernel } from "../../tests/kits/idle-kernel.ts";
import { lyingCases } from "../../tests/kits/lying-registry.ts";
import { Fault } from "../base/errors.ts";
import { type RegistrySettings, Repository } from "../registry/index.ts";
import { openDriver } from "../storage/index.ts";
import { ImageStore } from "./store.ts";

const credentials = { username: "ann", password: "opensesame", identityToken: "" };
const secret = /opensesame|YW5uOm9wZW5zZXNhbWU/;
const patience = {
  answer: 2000,
  document: 400,
  silence: 400,
  firstWait: 2,
  waitMax: 1000,
  hurry: 1000,
};
const settings: RegistrySettings = { insecure: [], mirrors: [], certificates: [], patience };
const layer = tarOf({ "a/file": randomBytes(150_000).toString("base64"), "b/file": "b" });

let dir: string;
let store: ImageStore;
let registry: FakeRegistry;
/** Another host, which asks for what it must not get. */
let elsewhere: FakeRegistry;
let told: string[];

beforeEach(async () => {
  dir = mkdtempSync("/tmp/berth-lies-");
  told = [];
  store = new ImageStore({
    root: `${dir}/content`,
    db: new Database(":memory:"),
    driver: await openDriver("overlay2", `${dir}/overlay2`, idleKernel),
    repository: (reference, who, actions, notice) =>
      new Repository(reference, settings, who, actions, notice),
  });
  registry = await new FakeRegistry().start();
  registry.image(layer, "1");
  elsewhere = await new FakeRegistry().start();
  elsewhere.lie = ({ path }, response) => {
    const realm = `http://${elsewhere.address}/token`;
    response.writeHead(401, {
      "www-authenticate": path.startsWith("/password")
        ? 'Basic realm="give"'
        : `Bearer realm="${realm}",service="give"`,
    });
    response.end();
    return true;
  };
});
afterEach(async () => {
  await Promise.all([registry.stop(), elsewhere.stop()]);
  rmSync(dir, { recursive: true, force: true });
});

function pull(name = `${registry.address}/app:1`): Promise<void> {
  const report = (step: object) => told.push(JSON.stringify(step));
  return store.pull(name, { credentials, report, signal: new AbortController().signal });
}

const scene = () => ({
  layer: [...registry.blobs.keys()][0] ?? "",
  elsewhere: elsewhere.address,
});
const names = lyingCases({ layer: "", elsewhere: "" }).map(({ name }) => name);

test.each(names)("%s", async (name) => {
  const { lie, says, survived } = lyingCases(scene()).find((one) => one.name === name) ?? {};
  registry.lie = lie ?? registry.lie;
  const error: unknown = await pull().catch((reason: unknown) => reason);
  if (survived === true) expect(error).toBeUndefined();
  else {
    expect(error).toBeInstanceOf(Fault);
    const { message } = error as Fault;
    expect(message).toMatch(says ?? /^$/);
    expect(message.length).toBeLessThan(2000);
    // What a terminal would obey does not get to one.
    expect(message).not.toMatch(/[\x00-\x1f]/);
    expect(message).not.toMatch(secret);
  }
  expect(told.join("\n")).not.toMatch(secret);
  // Nothing half-visible: no image, no blob, no layer; what is kept to be taken up again is not seen.
  expect(store.list().length).toBe(survived === true ? 1 : 0);
  const left = readdirSync(`${dir}/content/ingest`);
  expect(left.filter((one) => !one.endsWith(".partial"))).toEqual([]);
  if (survived !== true) expect(readdirSync(`${dir}/overlay2`).join()).not.toMatch(/[0-9a-f]{64}/);
  const heard = (one: Asked) => JSON.stringify(one);
  for (const one of elsewhere.asked) {
    expect(heard(one)).not.toMatch(secret);
    expect(one.headers.authorization).toBeUndefined();
    expect(one.path).not.toStartWith("/token?");
  }
  expect(registry.asked.length).toBeLessThan(40);
});

test("whatever was told, the truth is taken afterwards", async () => {
  for (const name of ["another content of the layer", "a layer that is always cut off"]) {
    const lying = lyingCases(scene()).find((one) => one.name === name);
    registry.lie = lying?.lie ?? registry.lie;
    expect(await pull().catch((error: unknown) => error)).toBeInstanceOf(Fault);
  }
  registry.lie = () => false;
  await pull();
  expect(store.list().length).toBe(1);
});

test("what was begun with a lie is begun anew", async () => {
  const { layer: digest } = scene();
  // Half of other bytes, then the connection breaks for good.
  registry.lie = ({ path, headers }, response) => {
    if (!path.includes(digest)) return false;
    if (headers.range !== undefined) response.destroy();
    else {
      response.writeHead(200, { "content-length": layer.length });
      response.write(Buffer.alloc(90_000, 7), () => response.socket?.destroy());
    }
    return true;
  };
  expect(await pull().catch((error: unknown) => error)).toBeInstanceOf(Fault);
  expect(readdirSync(`${dir}/content/ingest`).length).toBe(1);
  registry.lie = () => false;
  await pull();
  expect(store.list().length).toBe(1);
});

test("one that dawdles does not hold up the others", async () => {
  const slow = lyingCases(scene()).find(({ name }) => name === "a layer that drips");
  const other = await new FakeRegistry().start();
  try {
    other.image(tarOf({ c: "c" }), "1");
    registry.lie = slow?.lie ?? registry.lie;
    const first = pull();
    first.catch(() => {});
    await pull(`${other.address}/app:1`);
    expect(store.list().length).toBe(1);
    expect(await first.catch((error: unknown) => error)).toBeInstanceOf(Fault);
  } finally {
    await other.stop();
  }
});

test("giving up is not waiting for the registry", async () => {
  registry.lie = (_asked, response) => {
    response.writeHead(429, { "retry-after": "1" });
    response.end();
    return true;
  };
  const giveUp = new AbortController();
  const report = (step: object) => {
    told.push(JSON.stringify(step));
    giveUp.abort();
  };
  const pulled = store.pull(`${registry.address}/app:1`, {
    credentials,
    report,
    signal: giveUp.signal,
  });
  expect(await pulled.catch((error: Error) => error.name)).toBe("AbortError");
  expect(told).toEqual(['{"status":"The registry is busy, trying again in 1 s"}']);
  expect(registry.asked.length).toBe(1);
});
