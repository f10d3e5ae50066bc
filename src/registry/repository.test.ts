/** Mirrors, certificates, tokens, pushes: against registries in memory. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { FakeRegistry, type Lie } from "../../tests/kits/fake-registry.ts";
import { Fault } from "../base/errors.ts";
import { parseReference } from "../spec/reference.ts";
import { anonymous, type Credentials } from "./authorization.ts";
import type { RegistrySettings } from "./endpoints.ts";
import { login } from "./login.ts";
import { Repository } from "./repository.ts";

const patience = {
  answer: 2000,
  document: 2000,
  silence: 1000,
  firstWait: 1,
  waitMax: 100,
  hurry: 1000,
};
const ann: Credentials = { username: "ann", password: "opensesame", identityToken: "" };
const GOOD = `Basic ${btoa("ann:opensesame")}`;
const bytes = Buffer.alloc(300_000, "layer ");

let directory: string;
let settings: RegistrySettings;
let running: FakeRegistry[];

beforeEach(() => {
  directory = mkdtempSync("/tmp/berth-repository-");
  settings = { insecure: [], mirrors: [], certificates: [directory], patience };
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((one) => one.stop()));
  rmSync(directory, { recursive: true });
});

async function started(...args: ConstructorParameters<typeof FakeRegistry>): Promise<FakeRegistry> {
  const registry = await new FakeRegistry(...args).start();
  running.push(registry);
  return registry;
}

function open(
  name: string,
  credentials = anonymous,
  actions: "pull" | "pull,push" = "pull",
  told: string[] = [],
): Repository {
  return new Repository(parseReference(name), settings, credentials, actions, (text) => {
    told.push(text);
  });
}

/** What a registry is configured by. */
function configure(host: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(`${directory}/${host}`, { recursive: true });
  for (const [name, text] of Object.entries(files))
    writeFileSync(`${directory}/${host}/${name}`, text);
}

async function blobOf(repository: Repository, blob: { digest: string; size: number }) {
  const pieces: Uint8Array[] = [];
  for await (const piece of repository.blob(blob)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error("it worked"),
    (reason: unknown) => reason,
  );
  return error instanceof Fault ? error.message : `no Fault: ${error}`;
}

const refuse =
  (status: number): Lie =>
  (_asked, response) => {
    response.writeHead(status);
    response.end();
    return true;
  };

test("mirrors are asked in their order, each for what it may do, and the registry at the end", async () => {
  const [first, second, own] = [await started(), await started(), await started()];
  const image = own.image(bytes, "1");
  second.image(bytes, "1");
  first.lie = refuse(404);
  configure("r.example", {
    "hosts.toml": `server = "http://${own.address}"
[host."http://${first.address}"]
[host."http://${second.address}/some/v2"]
capabilities = ["pull"]
override_path = true
[host."http://${second.address}/some/v2".header]
x-key = "k"
`,
  });
  const repository = open("r.example/app:1", ann);
  expect((await repository.manifest("1")).digest).toBe(image.digest);
  expect(first.asked.map(({ path }) => path)).toEqual(["/v2/app/manifests/1?ns=r.example"]);
  expect(second.asked).toEqual([]);
  expect((await repository.manifest(image.digest)).digest).toBe(image.digest);
  expect(second.asked[0]?.path).toBe(`/some/v2/app/manifests/${image.digest}?ns=r.example`);
  expect(second.asked[0]?.headers["x-key"]).toBe("k");
  expect(own.asked.length).toBe(1);
});

test("a registry that breaks off is said not to answer, one that asks for time to be busy", async () => {
  settings = { ...settings, patience: { ...patience, firstWait: 1000, waitMax: 2000 } };
  const registry = await started();
  const image = registry.image(bytes, "1");
  const told: string[] = [];
  const lies: Lie[] = [
    (_asked, response) => {
      response.destroy();
      return true;
    },
    refuse(503),
  ];
  registry.lie = (...asked) => lies.shift()?.(...asked) ?? false;
  const repository = open(`${registry.address}/app:1`, anonymous, "pull", told);
  expect((await repository.manifest("1")).digest).toBe(image.digest);
  expect(told.map((text) => text.replace(/ in .*/, " in a while"))).toEqual([
    "The registry does not answer, trying again in a while",
    "The registry is busy, trying again in a while",
  ]);
}, 30_000);

test("a mirror that breaks off, or is gone, is left for the registry", async () => {
  const [mirror, own] = [await started(), await started()];
  const blob = own.blob(bytes, "x");
  mirror.blob(bytes, "x");
  mirror.lie = (_asked, response) => {
    response.writeHead(200);
    response.end(bytes.subarray(0, 100_000));
    return true;
  };
  const hosts = `[host."http://127.0.0.1:1"]\n[host."http://${mirror.address}"]\n`;
  configure("r.example", { "hosts.toml": `server = "http://${own.address}"\n${hosts}` });
  expect(await blobOf(open("r.example/app"), blob)).toEqual(bytes);
  expect(mirror.asked.length).toBe(1);
  expect(own.asked.map(({ headers }) => headers.range)).toEqual(["bytes=100000-"]);
});

/** A layer that is worth several requests, with each of its bytes telling where it is. */
function large(registry: FakeRegistry) {
  const numbers = Uint32Array.from({ length: 10 << 20 }, (_one, at) => at);
  const all = Buffer.from(numbers.buffer);
  return { all, blob: registry.blob(all, "x") };
}

/** The first and the last byte that a range names. */
function ends(range: string, { length }: Buffer): [first: number, last: number] {
  const [first = 0, last = length - 1] = range.match(/\d+/g)?.map(Number) ?? [];
  return [first, last];
}

/** One connection stands nearly still until others have been asked; each other gets its part. */
function slowOnce(registry: FakeRegistry, all: Buffer): { parts(): string[]; most(): number } {
  const parts: string[] = [];
  let [under, most] = [0, 0];
  registry.lie = ({ path, headers: { range } }, response) => {
    if (!path.includes("/blobs/")) return false;
    if (range === undefined) {
      response.writeHead(200, { "content-length": all.length, "accept-ranges": "bytes" });
      let at = 0;
      registry.every(5, () => {
        if (response.destroyed) return;
        const more = parts.length >= 3 ? 1 << 20 : 2000;
        response.write(all.subarray(at, at + more));
        at += more;
      });
      return true;
    }
    const [from, last] = ends(range, all);
    parts.push(range);
    most = Math.max(most, ++under);
    response.on("close", () => under--);
    response.writeHead(206, { "content-range": `bytes ${from}-${last}/${all.length}` });
    response.end(all.subarray(from, last + 1));
    return true;
  };
  return { parts: () => parts, most: () => most };
}

test("a slow connection is helped by others, and the bytes come in their order", async () => {
  settings = { ...settings, patience: { ...patience, hurry: 20 } };
  const registry = await started();
  const { all, blob } = large(registry);
  const seen = slowOnce(registry, all);
  expect(Buffer.compare(await blobOf(open(`${registry.address}/app`), blob), all)).toBe(0);
  expect(seen.parts().length).toBeGreaterThanOrEqual(3);
  expect(seen.most()).toBeLessThanOrEqual(4);
  // The parts follow each other to the end, without a gap; side by side they may be asked for in any order.
  const parts = seen
    .parts()
    .map((range) => ends(range, all))
    .sort(([a], [b]) => a - b);
  for (const [at, [first]] of parts.entries())
    if (at > 0) expect(first).toBe((parts[at - 1]?.[1] ?? 0) + 1);
  expect(parts.at(-1)?.[1]).toBe(all.length - 1);
});

test("help that sends nonsense, or breaks off, or is not wanted any more", async () => {
  settings = { ...settings, patience: { ...patience, hurry: 20 } };
  const registry = await started();
  const { all, blob } = large(registry);
  slowOnce(registry, all);
  const honest = registry.lie;
  let broken = 0;
  registry.lie = (asked, response, own) => {
    if (asked.headers.range === undefined || broken++ > 0) return honest(asked, response, own);
    // Too short, once: it is taken up where it broke.
    const [from, last] = ends(asked.headers.range, all);
    response.writeHead(206, { "content-range": `bytes ${from}-${last}/${all.length}` });
    response.end(all.subarray(from, from + 100_000));
    return true;
  };
  // Two more parts have to be asked for before the first one goes on.
  expect(Buffer.compare(await blobOf(open(`${registry.address}/app`), blob), all)).toBe(0);
  registry.lie = (asked, response, own) => {
    if (asked.headers.range === undefined) return honest(asked, response, own);
    response.writeHead(200);
    response.end(all);
    return true;
  };
  const whole = blobOf(open(`${registry.address}/app`), blob);
  expect(await failure(whole)).toContain("sends parts now and then only");
  registry.lie = honest;
  const giveUp = new AbortController();
  let got = 0;
  const reading = async () => {
    for await (const piece of open(`${registry.address}/app`).blob(blob, 0, giveUp.signal)) {
      got += piece.length;
      if (got > 5 << 20) giveUp.abort();
    }
  };
  expect(await reading().catch(() => "given up")).toBe("given up");
  expect(got).toBeLessThan(all.length);
});

test("mirrors of Docker's own registry by a flag, and no login for any mirror", async () => {
  const mirror = await started();
  mirror.image(bytes, "1");
  settings = { ...settings, mirrors: [`http://${mirror.address}/`] };
  const repository = open("busybox:1", ann);
  await repository.manifest("1");
  expect(mirror.asked[0]?.path).toBe("/v2/library/busybox/manifests/1?ns=docker.io");
  mirror.lie = (_asked, response) => {
    response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
    response.end();
    return true;
  };
  await blobOf(repository, { digest: `sha256:${"0".repeat(64)}`, size: 1 }).catch(() => {});
  expect(JSON.stringify(mirror.asked)).not.toContain("authorization");
});

/** An authority, and certificates of it for this machine. */
function authority(name: string) {
  const at = (file: string) => `${directory}/${name}-${file}`;
  const ssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", `/CN=${name}`];
  ssl("req", "-x509", ...fresh, "-keyout", at("ca.key"), "-out", at("ca"), ...subject);
  const alternative = ["-addext", "subjectAltName=IP:127.0.0.1"];
  ssl("req", ...fresh, "-keyout", at("key"), "-out", at("csr"), ...subject, ...alternative);
  const by = ["-CA", at("ca"), "-CAkey", at("ca.key"), "-copy_extensions", "copy"];
  ssl("x509", "-req", "-in", at("csr"), ...by, "-out", at("cert"));
  const read = (file: string) => readFileSync(at(file), "utf8");
  return { ca: read("ca"), cert: read("cert"), key: read("key") };
}

test("certificates: a registry's authority, this client's own, and none of it", async () => {
  const [good, other] = [authority("good"), authority("other")];
  const registry = await started({ ...good, clients: good.ca });
  registry.image(bytes, "1");
  const hosts = (rest: string) => `[host."https://${registry.address}"]\n${rest}\n`;
  const server = `server = "https://${registry.address}"\n`;
  const files = { "ca.pem": good.ca, "c.pem": good.cert, "k.pem": good.key, "other.pem": other.ca };
  const tried = async (toml: string) => {
    configure("r.example", { ...files, "hosts.toml": toml });
    return failure((async () => open("r.example/app").manifest("1"))());
  };
  const client = 'client = [["c.pem", "k.pem"]]';
  expect(await tried(`${server}ca = "ca.pem"\n${client}`)).toBe("no Fault: Error: it worked");
  expect(await tried(`${server}skip_verify = true\n${client}`)).toContain("it worked");
  expect(await tried(`${server}ca = "other.pem"\n${client}`)).toContain(
    "x509: certificate signed by unknown authority",
  );
  expect(await tried(`${server}ca = "ca.pem"`)).toContain("wants a client certificate");
  expect(await tried(`${server}ca = "none.pem"`)).toContain("none.pem cannot be read");
  // As dockerd has them: by their endings.
  rmSync(`${directory}/r.example`, { recursive: true });
  const own = { "c.cert": good.cert, "c.key": good.key };
  configure(registry.address, own);
  expect(await failure(open(`${registry.address}/app`).manifest("1"))).toContain("it worked");
  rmSync(`${directory}/${registry.address}/c.key`);
  expect(await failure((async () => open(`${registry.address}/app`).manifest("1"))())).toContain(
    "missing key c.key for client certificate c.cert",
  );
  rmSync(`${directory}/${registry.address}/c.cert`);
  configure(registry.address, { "c.key": good.key });
  expect(await failure((async () => open(`${registry.address}/app`).manifest("1"))())).toContain(
    "missing client certificate c.cert for key c.key",
  );
  // A mirror elsewhere does not see this client's certificate for the registry.
  rmSync(`${directory}/${registry.address}`, { recursive: true });
  configure("r.example", { ...own, "hosts.toml": hosts("skip_verify = true") });
  expect(await failure(open("r.example/app").manifest("1"))).not.toContain("it worked");
});

test("plain HTTP where TLS is spoken, and the other way round", async () => {
  const registry = await started();
  registry.image(bytes, "1");
  // On this machine, both are tried.
  await open(`${registry.address}/app`).manifest("1");
  configure("r.example", { "hosts.toml": `server = "https://${registry.address}"` });
  expect(await failure(open("r.example/app").manifest("1"))).toContain(
    "http: server gave HTTP response to HTTPS client",
  );
});

/** A registry with tokens, each of which is good for a few requests. */
function withTokens(registry: FakeRegistry, uses: number): { readonly given: string[] } {
  const given: string[] = [];
  let left = 0;
  registry.lie = ({ path, headers }, response) => {
    if (path.startsWith("/token")) {
      left = uses;
      given.push(new URL(path, "http://x").searchParams.getAll("scope").join(" "));
      const known = headers.authorization === GOOD;
      response.writeHead(known ? 200 : 401);
      response.end(JSON.stringify({ token: `t${given.length}` }));
      return true;
    }
    if (headers.authorization === `Bearer t${given.length}` && left-- > 0) return false;
    const scope = path.includes("mount=") ? ',scope="repository:app:pull,push extra"' : "";
    response.writeHead(401, {
      "www-authenticate": `Bearer realm="http://${registry.address}/token",service="x"${scope}`,
    });
    response.end();
    return true;
  };
  return { given };
}

test("tokens that expire in the middle of it are asked for anew", async () => {
  const registry = await started();
  const image = registry.image(bytes, "1");
  const tokens = withTokens(registry, 2);
  const repository = open(`${registry.address}/app:1`, ann);
  for (let round = 0; round < 4; round++) await repository.manifest(image.digest);
  const blob = { digest: [...registry.blobs.keys()][0] ?? "", size: bytes.length };
  expect(await blobOf(repository, blob)).toEqual(bytes);
  expect(tokens.given).toEqual(Array(3).fill("repository:app:pull"));
  expect(await failure(open(`${registry.address}/app:1`).manifest("1"))).toContain("unauthorized");
});

test("layers that come side by side share a token", async () => {
  const registry = await started();
  const blobs = ["a", "b", "c", "d"].map((text) => registry.blob(text, "x"));
  const tokens = withTokens(registry, 100);
  const repository = open(`${registry.address}/app:1`, ann);
  const got = await Promise.all(blobs.map((blob) => blobOf(repository, blob)));
  expect(got.map(String)).toEqual(["a", "b", "c", "d"]);
  expect(tokens.given.length).toBe(1);
});

test("a mount names the repository that it is from in its scope, too", async () => {
  const registry = await started();
  const { digest } = registry.blob(bytes, "x");
  const tokens = withTokens(registry, 9);
  const repository = open(`${registry.address}/app`, ann, "pull,push");
  expect(await repository.beginUpload(digest, "other")).toBeUndefined();
  expect(tokens.given).toEqual(["repository:app:pull,push repository:other:pull extra"]);
});

test("a push: begun, broken off, gone on with where the registry is", async () => {
  const registry = await started();
  const path = `${directory}/blob`;
  writeFileSync(path, bytes);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  let troubles = 3;
  registry.lie = ({ method }, response) => {
    if (method !== "PATCH" || troubles-- <= 0) return false;
    response.writeHead(503);
    response.end();
    return true;
  };
  const counted: number[] = [];
  const count = (at: number) => counted.push(at);
  const repository = open(`${registry.address}/app`, anonymous, "pull,push");
  expect(await repository.hasBlob(digest)).toBe(false);
  await (await repository.beginUpload(digest))?.send(path, { digest, count });
  expect(registry.blobs.get(digest)).toEqual(bytes);
  expect(counted.at(-1)).toBe(bytes.length);
  expect(await repository.hasBlob(digest)).toBe(true);
  const empty = `${directory}/empty`;
  writeFileSync(empty, "");
  const nothing = `sha256:${new Bun.CryptoHasher("sha256").update("").digest("hex")}`;
  await (await repository.beginUpload(nothing))?.send(empty, { digest: nothing, count });
  expect(registry.blobs.get(nothing)?.length).toBe(0);
});

test("a push that is led to another host tells it nothing, and ends when its client goes", async () => {
  const [registry, elsewhere] = [await started(), await started()];
  registry.lie = ({ method, headers }, response) => {
    if (headers.authorization !== GOOD)
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
    else if (method === "POST")
      response.writeHead(202, { location: `http://${elsewhere.address}/v2/app/blobs/uploads/9` });
    else return false;
    response.end();
    return true;
  };
  const path = `${directory}/blob`;
  writeFileSync(path, bytes);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  const repository = open(`${registry.address}/app`, ann, "pull,push");
  await (await repository.beginUpload(digest))?.send(path, { digest, count: () => {} });
  expect(elsewhere.blobs.get(digest)).toEqual(bytes);
  for (const { headers } of elsewhere.asked) expect(headers.authorization).toBeUndefined();
  const giveUp = new AbortController();
  elsewhere.lie = () => {
    giveUp.abort();
    return true;
  };
  const upload = await repository.beginUpload(digest);
  const sent = upload?.send(path, { digest, count: () => {}, signal: giveUp.signal });
  expect(await sent?.catch(() => "given up")).toBe("given up");
});

test("tags, page by page, and pages without an end", async () => {
  const registry = await started();
  const page =
    (tags: unknown, next?: string): Lie =>
    (_asked, response) => {
      response.writeHead(200, next === undefined ? {} : { link: `<${next}>; rel="next"` });
      response.end(JSON.stringify({ name: "app", tags }));
      return true;
    };
  registry.lie = (asked, response, own) =>
    asked.path.includes("last=b")
      ? page(["c"])(asked, response, own)
      : page(["a", "b"], "/v2/app/tags/list?last=b")(asked, response, own);
  const repository = open(`${registry.address}/app`);
  expect(await repository.tags()).toEqual(["a", "b", "c"]);
  registry.lie = page(null);
  expect(await repository.tags()).toEqual([]);
  registry.lie = page(["a/../b"]);
  expect(await failure(repository.tags())).toContain("is no tag");
  registry.lie = page(7);
  expect(await failure(repository.tags())).toContain("this is no list");
  registry.lie = page(["a"], "http://other.example/");
  expect(await failure(repository.tags())).toContain("go on at another host");
  registry.lie = page(Array(60_000).fill("a"), "/v2/app/tags/list");
  expect(await failure(repository.tags())).toContain("are more than 100000");
});

test("the quota is told when it comes to an end", async () => {
  const registry = await started();
  registry.image(bytes, "1");
  let left = "5;w=21600";
  registry.lie = (asked, response, own) => {
    response.setHeader("ratelimit-limit", "100;w=21600");
    response.setHeader("ratelimit-remaining", left);
    return asked.path === own.address;
  };
  const told: string[] = [];
  await open(`${registry.address}/app`, anonymous, "pull", told).manifest("1");
  expect(told).toEqual(["The registry allows 5 of 100 more pulls within 360 min"]);
  left = "99;w=21600";
  await open(`${registry.address}/app`, anonymous, "pull", told).manifest("1");
  expect(told.length).toBe(1);
});

test("what is named by another digest than sha256 is not taken unseen", async () => {
  const registry = await started();
  registry.image(bytes, "1");
  const digest = `sha512:${"a".repeat(128)}`;
  expect(await failure(open(`${registry.address}/app`).manifest(digest))).toContain(
    "unsupported digest algorithm",
  );
  expect(registry.asked).toEqual([]);
});

test("a login sends what the configuration says, and the password to the registry alone", async () => {
  const registry = await started();
  registry.lie = ({ headers }, response) => {
    response.writeHead(headers.authorization === GOOD && headers["x-key"] === "k" ? 200 : 401, {
      "www-authenticate": 'Negotiate, Basic realm="x"',
    });
    response.end();
    return true;
  };
  const at = { ...ann, serverAddress: "r.example" };
  const mirror = await started();
  configure("r.example", {
    "hosts.toml": `server = "http://${registry.address}"
[header]
x-key = "k"
[host."http://${mirror.address}"]
`,
  });
  expect(await login(at, settings)).toEqual({ identityToken: "" });
  expect(registry.asked.map(({ headers }) => headers.authorization)).toEqual([undefined, GOOD]);
  expect(mirror.asked).toEqual([]);
});
