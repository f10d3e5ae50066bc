/**
 * Asking registries what they have, without fetching it.
 */
import { expect } from "bun:test";
import { FakeRegistry } from "../kits/fake-registry.ts";
import type { Caller } from "./caller.ts";
import type { Scenarios } from "./steps.ts";

async function within(use: (registry: FakeRegistry) => Promise<void>): Promise<void> {
  const registry = await new FakeRegistry().start();
  try {
    await use(registry);
  } finally {
    await registry.stop();
  }
}

async function search(api: Caller): Promise<void> {
  await within(async (registry) => {
    const found = ["a", "b", "c"].map((name, at) => ({
      name,
      description: `about ${name}`,
      star_count: at * 10,
      is_official: at > 0,
      is_automated: false,
    }));
    registry.lie = ({ path }, response) => {
      if (!path.startsWith("/v1/search?q=word&n=")) return false;
      response.end(JSON.stringify({ results: found }));
      return true;
    };
    const term = `${registry.address}/word`;
    const all = await api.call("ImageSearch", { query: { term } });
    all.shows("query term", all.values[0], found);
    const two = await api.call("ImageSearch", { query: { term, limit: 2 } });
    two.shows("query limit", two.each("name"), ["a", "b"]);
    const filters = { stars: ["15"], "is-official": ["true"], "is-automated": ["false"] };
    const some = await api.call("ImageSearch", { query: { term, filters } });
    some.shows("query filters", some.each("name"), ["c"]);
    await api.call("ImageSearch", { query: { term, limit: 101 }, status: 400 });
    await api.call("ImageSearch", { query: { term: `${term}/none` }, status: 500 });
  });
}

async function described(api: Caller): Promise<void> {
  await within(async (registry) => {
    const arm = registry.image(new Uint8Array(1024), "arm", { architecture: "arm" });
    const platform = {
      os: "linux",
      architecture: "arm",
      variant: "v7",
      "os.version": "9",
      "os.features": ["win32k"],
    };
    registry.index([{ ...arm, platform }], "1");
    const name = `${registry.address}/app`;
    const answer = await api.call("DistributionInspect", { path: { name: `${name}:1` } });
    answer.shows("path name", answer.at("Platforms"), [platform]);
    const one = await api.call("DistributionInspect", { path: { name: `${name}:arm` } });
    expect(one.at("Descriptor")).toEqual(arm);
    await api.call("DistributionInspect", { path: { name: `${name}:none` }, status: 404 });
    registry.lie = ({ headers }, response) => {
      if (headers.authorization === `Basic ${btoa("ann:opensesame")}`) return false;
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
      response.end();
      return true;
    };
    await api.call("DistributionInspect", { path: { name: `${name}:arm` }, status: 401 });
    const login = JSON.stringify({ username: "ann", password: "opensesame" });
    const headers = { "X-Registry-Auth": Buffer.from(login).toString("base64url") };
    await api.call("DistributionInspect", { path: { name: `${name}:arm` }, headers });
  });
}

/** Asking registries. */
export const registryScenarios: Scenarios = {
  "search of a registry": search,
  "what a registry has under a name": described,
};
