/** Where a search goes for each registry. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { FakeRegistry } from "../../tests/kits/fake-registry.ts";
import { anonymous } from "./authorization.ts";
import { searchRegistry } from "./search.ts";

const directory = mkdtempSync("/tmp/berth-search-");
const registry = new FakeRegistry();
const settings = { insecure: [], mirrors: [], certificates: [directory] };

beforeAll(async () => {
  await registry.start();
  registry.lie = ({ path }, response) => {
    response.writeHead(path.startsWith("/broken") ? 404 : 200);
    response.end('{"results":[{"name":"found"}]}');
    return true;
  };
  mkdirSync(`${directory}/docker.io`);
});
afterAll(async () => {
  await registry.stop();
  rmSync(directory, { recursive: true });
});

test("Docker's own registry is searched where hosts.toml says that it is", async () => {
  const at = `http://${registry.address}`;
  writeFileSync(
    `${directory}/docker.io/hosts.toml`,
    `server = "${at}"\n[host."${at}/broken"]\n[host."${at}/mirror/v2"]\noverride_path = true\n`,
  );
  const login = { ...anonymous, username: "ann", password: "opensesame" };
  const wish = { term: "library/busybox", limit: 3, stars: 0 };
  const found = await searchRegistry(wish, settings, login);
  expect(found.map(({ name }) => name)).toEqual(["found"]);
  // The one that cannot is passed over.
  expect(registry.asked.map(({ path }) => path)).toEqual([
    "/broken/v1/search?q=busybox&n=3&ns=docker.io",
    "/mirror/v1/search?q=busybox&n=3&ns=docker.io",
  ]);
  expect(JSON.stringify(registry.asked)).not.toContain("YW5uOm9wZW5zZXNhbWU");
});
