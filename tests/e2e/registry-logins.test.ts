/** Logins: of berth's and the stock command line, which share what they keep; tokens, helpers, refusals. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { type Done, daemonOfFile } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const PASSWORD = "opensesame";
const GOOD = `Basic ${btoa(`ann:${PASSWORD}`)}`;
const home = scratchDirectory("bh-");
const env = { HOME: home, PATH: `${home}/bin:${process.env.PATH}` };
/** Wants a password with each request, or a token for one. */
const basic = new FakeRegistry();
const tokens = new FakeRegistry();

beforeAll(async () => {
  await Promise.all([basic.start(), tokens.start()]);
  for (const one of [basic, tokens]) one.image(tarOf({ a: "a" }), "1");
  basic.lie = ({ headers }, response) => {
    if (headers.authorization === GOOD) return false;
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
    response.end();
    return true;
  };
  tokens.lie = ({ method, path, headers, body }, response) => {
    const form = new URLSearchParams(body);
    const known =
      method === "POST"
        ? form.get("refresh_token") === "kept-token"
        : headers.authorization === GOOD;
    if (path.startsWith("/token")) {
      response.writeHead(known ? 200 : 401);
      const details = "incorrect username or password";
      response.end(
        JSON.stringify(known ? { token: "t", refresh_token: "kept-token" } : { details }),
      );
      return true;
    }
    if (headers.authorization === "Bearer t") return false;
    const realm = `http://${tokens.address}/token`;
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="x"` });
    response.end();
    return true;
  };
});
afterAll(async () => {
  await Promise.all([basic.stop(), tokens.stop()]);
  rmSync(home, { recursive: true, force: true });
});

const daemon = daemonOfFile();
const config = () => JSON.parse(readFileSync(`${home}/.docker/config.json`, "utf8"));

function configure(value: unknown): void {
  mkdirSync(`${home}/.docker`, { recursive: true });
  writeFileSync(`${home}/.docker/config.json`, JSON.stringify(value));
}

beforeEach(() => configure({}));

const clients = {
  own: (stdin: string, ...args: string[]) => daemon.berthWith({ env, stdin }, ...args),
  stock: (stdin: string, ...args: string[]) => daemon.dockerWith({ env, stdin }, ...args),
};
const names = ["own", "stock"] as const;
const others = { own: "stock", stock: "own" } as const;

const logIn = (client: keyof typeof clients, address: string, password = PASSWORD) =>
  clients[client](`${password}\n`, "login", "-u", "ann", "--password-stdin", address);

/** Neither what was said nor what was logged repeats a secret. */
function keepsSecrets(...done: Done[]): void {
  const said = done.map(({ out, err }) => out + err).join() + daemon.log;
  expect(said).not.toContain(PASSWORD);
  expect(said).not.toContain(btoa(`ann:${PASSWORD}`));
  expect(said).not.toContain("kept-token");
}

test.each(names)("a password, by the %s command line, for both", async (client) => {
  const { address } = basic;
  const done = await logIn(client, address);
  expect(done.out).toContain("Login Succeeded");
  expect(done.err).toContain(`WARNING! Your credentials are stored unencrypted in '${home}`);
  expect(config().auths).toEqual({ [address]: { auth: btoa(`ann:${PASSWORD}`) } });
  const pulled = await clients[others[client]]("", "pull", "-q", `${address}/app:1`);
  expect(pulled).toMatchObject({ status: 0, out: `${address}/app:1\n` });
  await daemon.berth("rmi", `${address}/app:1`);
  const gone = await clients[others[client]]("", "logout", address);
  expect(gone.out).toContain(`Removing login credentials for ${address}`);
  const refused = await clients[client]("", "pull", "-q", `${address}/app:1`);
  expect(refused.status).toBe(1);
  expect(refused.err).toContain("pull access denied for");
  keepsSecrets(done, pulled, gone, refused);
});

test.each(names)(
  "a token is kept in the password's place, by the %s command line",
  async (client) => {
    const { address } = tokens;
    const done = await logIn(client, address);
    expect(done.out).toContain("Login Succeeded");
    const [kept] = Object.values(config().auths) as { identitytoken: string; auth: string }[];
    expect(kept?.identitytoken).toBe("kept-token");
    expect(atob(kept?.auth ?? "")).not.toContain(PASSWORD);
    const from = tokens.asked.length;
    for (const one of names) {
      const pulled = await clients[one]("", "pull", "-q", `${address}/app:1`);
      expect(pulled).toMatchObject({ status: 0, out: `${address}/app:1\n` });
      await daemon.berth("rmi", `${address}/app:1`);
      keepsSecrets(done, pulled);
    }
    const later = tokens.asked.slice(from);
    expect(later.some(({ body }) => body.includes("grant_type=refresh_token"))).toBe(true);
    expect(JSON.stringify(later)).not.toContain(GOOD.slice(6));
  },
);

test("a helper keeps it, for both command lines", async () => {
  mkdirSync(`${home}/bin`, { recursive: true });
  const script = `#!/bin/sh
d=${home}/kept; s=$(cat)
case $1 in
store) printf %s "$s" > $d;;
get) test -e $d && cat $d || { echo credentials not found in native keychain; exit 1; };;
erase) rm -f $d;;
esac
`;
  writeFileSync(`${home}/bin/docker-credential-shelf`, script);
  chmodSync(`${home}/bin/docker-credential-shelf`, 0o755);
  const { address } = basic;
  for (const client of names) {
    configure({ credsStore: "shelf" });
    const done = await logIn(client, address);
    expect(done).toMatchObject({ status: 0, out: "Login Succeeded\n", err: "" });
    expect(readFileSync(`${home}/.docker/config.json`, "utf8")).not.toContain('auth":');
    const pulled = await clients[others[client]]("", "pull", "-q", `${address}/app:1`);
    expect(pulled.status).toBe(0);
    await daemon.berth("rmi", `${address}/app:1`);
    await clients[others[client]]("", "logout", address);
    expect(existsSync(`${home}/kept`)).toBe(false);
    keepsSecrets(done, pulled);
  }
});

test("refusals are told in the same words, and nothing is kept", async () => {
  const cases: [string, ...string[]][] = [
    ["wrong\n", "login", "-u", "ann", "--password-stdin", basic.address],
    ["wrong\n", "login", "-u", "ann", "--password-stdin", tokens.address],
    ["x\n", "login", "--password-stdin", basic.address],
    ["x\n", "login", "-u", "ann", "-p", "x", "--password-stdin", basic.address],
    ["", "login", basic.address],
    ["", "logout", "nowhere.example"],
  ];
  for (const [stdin, ...args] of cases) {
    const [own, stock] = await Promise.all([
      clients.own(stdin, ...args),
      clients.stock(stdin, ...args),
    ]);
    expect(own.status, args.join(" ")).toBe(stock.status);
    expect(own.out, args.join(" ")).toBe(stock.out);
    expect(own.err.trim(), args.join(" ")).toBe(stock.err.trim());
  }
  expect(config().auths ?? {}).toEqual({});
  const nobody = await logIn("own", "127.0.0.1:1");
  expect(nobody.err).toContain("connect: connection refused");
  keepsSecrets(nobody);
});

test("docker-py logs in, reads both streams, and asks registries", async () => {
  const script = `
import docker, json, sys
registry = sys.argv[1]
name = registry + "/app"
client = docker.DockerClient(base_url="unix://${daemon.socket}")
low = client.api
account = {"username": "ann", "password": "${PASSWORD}"}
assert client.login(registry=registry, **account)["Status"] == "Login Succeeded"
seen = list(low.pull(name, tag="1", stream=True, decode=True, auth_config=account))
assert seen[0] == {"status": "Pulling from app", "id": "1"}, seen[0]
assert any(s.get("status") == "Pull complete" for s in seen)
assert seen[-1]["status"].startswith("Status: Downloaded newer image for"), seen[-1]
client.images.get(name + ":1").tag(name, "2")
seen = list(low.push(name, tag="2", stream=True, decode=True, auth_config=account))
assert seen[0]["status"] == f"The push refers to repository [{name}]", seen[0]
assert seen[-1]["aux"]["Tag"] == "2", seen[-1]
assert any(s.get("status") == "Layer already exists" for s in seen)
data = client.images.get_registry_data(name + ":2", auth_config=account)
assert data.id == seen[-1]["aux"]["Digest"]
assert data.has_platform("linux/amd64") and not data.has_platform("linux/s390x")
errors = [s for s in low.push(name, tag="2", stream=True, decode=True, auth_config={"username": "eve", "password": "x"}) if "error" in s]
assert "push access denied" in errors[0]["errorDetail"]["message"], errors
client.images.remove(name + ":1"); client.images.remove(name + ":2")
print("ok")
`;
  const child = Bun.spawn(["python3", "-c", script, basic.address], {
    env: { PATH: process.env.PATH ?? "", HOME: home },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ out, err }).toEqual({ out: "ok\n", err: "" });
  keepsSecrets();
});
