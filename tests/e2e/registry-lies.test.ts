/** Registries that send without an end: the daemon stays small, answers others meanwhile, and logs no secret. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { lyingCases } from "../kits/lying-registry.ts";

const registry = new FakeRegistry();
const PASSWORD = "opensesame";

beforeAll(async () => {
  await registry.start();
  registry.image(tarOf({ "a.txt": randomBytes(150_000).toString("base64") }), "1");
});
afterAll(() => registry.stop());

const daemon = daemonOfFile();

/** Bytes that the daemon has in memory. */
function memory(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

async function pull(): Promise<string> {
  const auth = btoa(JSON.stringify({ username: "ann", password: PASSWORD }));
  const response = await fetch(`http://x/images/create?fromImage=${registry.address}/app&tag=1`, {
    method: "POST",
    unix: daemon.socket,
    headers: { "X-Registry-Auth": auth },
  });
  return response.text();
}

const greedy = [
  "a layer without an end",
  "a manifest without an end",
  "a token without an end",
  "lists in lists in lists",
  "objects in objects in objects",
  "a header without an end",
  "a refusal that repeats what it was told in confidence",
];

test.each(greedy)("%s", async (name) => {
  const layer = [...registry.blobs.keys()][0] ?? "";
  const found = lyingCases({ layer, elsewhere: "" }).find((one) => one.name === name);
  registry.lie = found?.lie ?? registry.lie;
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, memory());
  }, 5);
  const [said, ping] = await Promise.all([pull(), daemon.berth("ps", "-q")]);
  clearInterval(watch);
  expect(ping.status).toBe(0);
  expect(
    JSON.parse(said.trim().split("\n").at(-1) ?? "") as { message?: string; error?: string },
  ).toSatisfy(({ message = "", error = "" }) => found?.says.test(message || error) === true);
  expect(Math.max(most, memory())).toBeLessThan(250e6);
  expect((await daemon.berth("images", "-q")).out).toBe("");
  expect(readdirSync(`${daemon.directory}/data/content/blobs/sha256`)).toEqual([]);
  expect(said + daemon.log).not.toContain(PASSWORD);
  expect(said + daemon.log).not.toContain(btoa(`ann:${PASSWORD}`));
});
