import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { proxyVariables } from "./proxies.ts";

const before = process.env.DOCKER_CONFIG;
const directory = mkdtempSync("/tmp/berth-proxies-");

beforeAll(() => {
  process.env.DOCKER_CONFIG = directory;
});
afterAll(() => {
  if (before === undefined) delete process.env.DOCKER_CONFIG;
  else process.env.DOCKER_CONFIG = before;
  rmSync(directory, { recursive: true });
});

const write = (file: object) => writeFileSync(`${directory}/config.json`, JSON.stringify(file));

test("each proxy has two names, a daemon's own come in the place of the default ones, and what is given stays", () => {
  const own = { httpsProxy: "http://b:2" };
  write({ proxies: { default: { httpProxy: "http://a:1", noProxy: "x" }, "tcp://h:1": own } });
  expect(proxyVariables("unix:///s", ["http_proxy"])).toEqual([
    ["HTTP_PROXY", "http://a:1"],
    ["NO_PROXY", "x"],
    ["no_proxy", "x"],
  ]);
  expect(proxyVariables("tcp://h:1", [])).toEqual([
    ["HTTPS_PROXY", "http://b:2"],
    ["https_proxy", "http://b:2"],
  ]);
});

test("what is no proxy is none", () => {
  for (const proxies of [
    undefined,
    null,
    [],
    "x",
    { default: 1 },
    { default: { httpProxy: {} } },
  ]) {
    write({ proxies });
    expect(proxyVariables("unix:///s", [])).toEqual([]);
  }
});
