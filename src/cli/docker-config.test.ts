/** config.json of the docker command line: what is found in it, and files that are none. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import fc from "fast-check";
import { checkAll, damaged, damagedJson } from "../../tests/kits/fuzz.ts";
import {
  addressOf,
  authHeaders,
  forgetLogin,
  HUB_ADDRESS,
  keepLogin,
  loginFor,
} from "./docker-config.ts";

let directory: string;
const before = { config: process.env.DOCKER_CONFIG, path: process.env.PATH };

beforeAll(() => {
  directory = mkdtempSync("/tmp/berth-config-");
  process.env.DOCKER_CONFIG = `${directory}/made`;
  process.env.PATH = `${directory}:${before.path}`;
});
afterAll(() => {
  rmSync(directory, { recursive: true });
  if (before.config === undefined) delete process.env.DOCKER_CONFIG;
  else process.env.DOCKER_CONFIG = before.config;
  process.env.PATH = before.path ?? "";
});

function write(config: unknown): void {
  mkdirSync(`${directory}/made`, { recursive: true });
  writeFileSync(
    `${directory}/made/config.json`,
    config instanceof Uint8Array ? config : JSON.stringify(config),
  );
}
const read = () => JSON.parse(readFileSync(`${directory}/made/config.json`, "utf8")) as unknown;
const login = { username: "ann", password: "open:sesame", identityToken: "" };

test("the registry of a name", () => {
  expect(addressOf("busybox")).toBe(HUB_ADDRESS);
  expect(addressOf("team/app")).toBe(HUB_ADDRESS);
  expect(addressOf("docker.io/team/app")).toBe(HUB_ADDRESS);
  expect(addressOf("localhost/app")).toBe("localhost");
  expect(addressOf("r.io:5000/app:1")).toBe("r.io:5000");
});

test("what is kept is found, by whatever form of the address", () => {
  rmSync(`${directory}/made`, { recursive: true, force: true });
  expect(loginFor("r.io")).toBeUndefined();
  expect(keepLogin("r.io", login)).toBeUndefined();
  expect(read()).toEqual({ auths: { "r.io": { auth: btoa("ann:open:sesame") } } });
  expect(loginFor("r.io")).toEqual(login);
  for (const key of [
    "https://r.io",
    "http://r.io/",
    "https://r.io/v1/",
    "r.io/v2",
    "https://r.io/any",
  ]) {
    write({ auths: { [key]: { auth: btoa("ann:open:sesame") } } });
    expect(loginFor("r.io"), key).toEqual(login);
    expect(loginFor("other.io")).toBeUndefined();
  }
  write({ auths: { "r.io": { username: "ann", password: "open:sesame" } } });
  expect(loginFor("r.io")).toEqual(login);
});

test("what else is in the file stays, and the file is its owner's alone", () => {
  write({ proxies: { default: {} }, HttpHeaders: { A: "b" }, auths: { "x.io": { auth: "eDp5" } } });
  keepLogin("r.io", { username: "ann", password: "", identityToken: "kept" });
  expect(read()).toEqual({
    proxies: { default: {} },
    HttpHeaders: { A: "b" },
    auths: { "x.io": { auth: "eDp5" }, "r.io": { auth: btoa("ann:"), identitytoken: "kept" } },
  });
  expect(loginFor("r.io")).toMatchObject({ identityToken: "kept" });
  const { mode } = statSync(`${directory}/made/config.json`);
  expect(mode & 0o077).toBe(0);
  expect(forgetLogin("r.io")).toBe(true);
  expect(forgetLogin("r.io")).toBe(false);
  expect(read()).toMatchObject({ auths: { "x.io": { auth: "eDp5" } } });
});

/** A credential helper that keeps one line for each server. */
function helper(name: string, script: string): void {
  const path = `${directory}/docker-credential-${name}`;
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

test("helpers, for all registries and for one", () => {
  helper(
    "one",
    `d=${directory}/kept; s=$(cat)
case $1 in
store) printf %s "$s" > $d;;
get) grep -q "\\"ServerURL\\":\\"$s\\"" $d 2>/dev/null && cat $d || { echo credentials not found in native keychain; exit 1; };;
erase) rm $d;;
esac`,
  );
  write({ credsStore: "one", auths: {} });
  expect(loginFor("r.io")).toBeUndefined();
  expect(keepLogin("r.io", login)).toBe("one");
  // The file has no password then.
  expect(read()).toEqual({ credsStore: "one", auths: { "r.io": {} } });
  expect(loginFor("r.io")).toEqual(login);
  keepLogin("r.io", { username: "ann", password: "", identityToken: "kept" });
  expect(loginFor("r.io")).toMatchObject({ identityToken: "kept" });
  expect(forgetLogin("r.io")).toBe(true);
  expect(loginFor("r.io")).toBeUndefined();
  write({ credHelpers: { "r.io": "one" }, auths: { "x.io": { auth: btoa("ann:open:sesame") } } });
  expect(loginFor("x.io")).toEqual(login);
  expect(keepLogin("r.io", login)).toBe("one");
  expect(authHeaders("r.io/app")["X-Registry-Auth"]).toBeDefined();
});

test("helpers that fail", () => {
  write({ credsStore: "none" });
  expect(() => loginFor("r.io")).toThrow("executable file not found in $PATH");
  helper("bad", "echo broken; exit 1");
  write({ credsStore: "bad" });
  expect(() => loginFor("r.io")).toThrow(
    "error getting credentials - err: exit status 1, out: `broken`",
  );
  helper("odd", 'echo "no json but opensesame"');
  write({ credsStore: "odd" });
  expect(() => loginFor("r.io")).toThrow("docker-credential-odd");
  expect(() => loginFor("r.io")).not.toThrow("opensesame");
  // The name of a helper is not a path.
  write({ credsStore: "../../../bin/sh" });
  expect(() => loginFor("r.io")).toThrow("not found");
});

test("whatever a helper says, it is a login, none or an error that repeats none of it", async () => {
  helper("says", `cat ${directory}/said`);
  write({ credsStore: "says" });
  const corpus = [
    { ServerURL: "r.io", Username: "ann", Secret: "opensesame" },
    { ServerURL: "r.io", Username: "<token>", Secret: "opensesame" },
  ];
  const answers = fc.oneof(
    damagedJson(corpus).map((value) => Buffer.from(JSON.stringify(value) ?? "")),
    damaged(corpus.map((one) => JSON.stringify(one))),
  );
  // Each is a process.
  const few = fc.array(answers, { minLength: 40, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(few, async (list) => {
      for (const bytes of list) {
        writeFileSync(`${directory}/said`, bytes);
        let found: unknown;
        try {
          found = loginFor("r.io");
        } catch (error) {
          expect((error as Error).message).toContain("docker-credential-says");
          expect((error as Error).message).not.toContain("opensesame");
          continue;
        }
        const texts = { username: expect.any(String), password: expect.any(String) };
        if (found !== undefined)
          expect(found).toEqual({ ...texts, identityToken: expect.any(String) });
      }
    }),
    { numRuns: 2, seed: 5 },
  );
});

test("whatever is in the file, it is a login, none or an error of the file's", async () => {
  const corpus = [
    {
      auths: {
        "r.io": { auth: btoa("ann:open:sesame"), identitytoken: "t" },
        "https://r.io/v1/": {},
      },
      credHelpers: { "x.io": "none" },
    },
    { auths: { "r.io": { username: "a", password: "b" } } },
  ];
  const files = fc.oneof(
    damagedJson(corpus).map((value) => Buffer.from(JSON.stringify(value) ?? "")),
    damaged(corpus.map((one) => JSON.stringify(one))),
  );
  await checkAll(files, (bytes) => {
    write(bytes);
    let found: unknown;
    try {
      found = loginFor("r.io");
    } catch (error) {
      expect((error as Error).message).toMatch(
        /config.json cannot be read|error getting credentials/,
      );
      return;
    }
    if (found !== undefined)
      expect(found).toEqual({
        username: expect.any(String),
        password: expect.any(String),
        identityToken: expect.any(String),
      });
  });
});
