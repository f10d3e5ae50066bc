/** berth's own registry with real clients, with users and TLS, killed, collected, shared with a daemon, and as a cache. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";
import {
  DistributionClient,
  digestOf,
  listing,
  makeImage,
  refusal,
  types,
} from "../kits/distribution.ts";
import { freePort, OwnRegistry } from "../kits/own-registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const home = scratchDirectory("bs-");
const certificate = `${home}/certs/ca.crt`;
const registries: OwnRegistry[] = [];

function make(...args: ConstructorParameters<typeof OwnRegistry>): OwnRegistry {
  const one = new OwnRegistry(...args);
  registries.push(one);
  return one;
}

async function run(argv: readonly string[], stdin = "") {
  const child = Bun.spawn([...argv], {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, HOME: home },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

async function ok(argv: readonly string[], stdin = ""): Promise<string> {
  const done = await run(argv, stdin);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
}

beforeAll(async () => {
  await ok(["mkdir", "-p", `${home}/certs`]);
  await ok([
    ..."openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
    ...["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", `${home}/key.pem`, "-out", certificate],
  ]);
});
afterAll(async () => {
  await Promise.all(registries.map((one) => one.destroy()));
  rmSync(home, { recursive: true, force: true });
});

const daemonPort = freePort();
// After the hooks above: the registries have gone when the census is taken.
const daemon = daemonOfFile(["--registry", `127.0.0.1:${daemonPort}`]);
const here = `127.0.0.1:${daemonPort}`;
const berth = async (...args: string[]) => {
  const done = await daemon.berthWith({ env: { HOME: home } }, ...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};

/** Blobs that are stored, of which there may be several repositories. */
const blobsIn = (content: string) => readdirSync(`${content}/blobs/sha256`).sort();
const memoryOf = (pid: number, field: "VmHWM" | "VmRSS") =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) *
  1024;

test("berth, docker and skopeo push and pull over TLS with a password, and nobody without one", async () => {
  const users = `ann:${await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })}\n`;
  // As Apache's htpasswd writes it.
  writeFileSync(`${home}/users`, users.replace("$2b$", "$2y$"));
  const registry = make(() => [
    ...["--delete", "--htpasswd", `${home}/users`],
    ...["--tls-cert", certificate, "--tls-key", `${home}/key.pem`],
  ]);
  await registry.start();
  const name = `${registry.address}/team/app`;
  await berth("run", "--rm", "busybox", "true");
  await berth("tag", "busybox", `${name}:1`);
  const refused = await daemon.berthWith({ env: { HOME: home } }, "push", `${name}:1`);
  expect(refused.err).toContain("push access denied");
  const login = ["login", "-u", "ann", "--password-stdin", registry.address];
  const wrong = await daemon.berthWith({ env: { HOME: home }, stdin: "wrong" }, ...login);
  expect(wrong.err).toContain("401 Unauthorized");
  const right = await daemon.berthWith({ env: { HOME: home }, stdin: "secret" }, ...login);
  expect(right.out).toBe("Login Succeeded\n");
  const digest = /digest: (\S+)/.exec(await berth("push", `${name}:1`))?.[1];
  await berth("rmi", `${name}:1`);
  await berth("pull", `${name}:1`);
  expect(await berth("run", "--rm", `${name}:1`, "echo", "back")).toBe("back\n");
  const stock = (...args: string[]) => daemon.dockerWith({ env: { HOME: home } }, ...args);
  await stock("tag", `${name}:1`, `${name}:2`);
  expect(await stock("push", `${name}:2`)).toMatchObject({ status: 0 });
  await stock("rmi", `${name}:1`, `${name}:2`);
  expect((await stock("pull", "-q", `${name}:2`)).out).toBe(`${name}:2\n`);
  const search = async (word: string, ...more: string[]) => {
    const words = ["search", "--format", "{{.Name}}", ...more, `${registry.address}/${word}`];
    const [theirs, ours] = await Promise.all([
      stock(...words),
      daemon.berthWith({ env: { HOME: home } }, ...words),
    ]);
    expect(ours).toEqual(theirs);
    return theirs.out;
  };
  expect(await search("app")).toBe("team/app\n");
  expect(await search("nothing")).toBe("");
  expect(await search("team", "--filter", "stars=1")).toBe("");
  const stranger = await daemon.berth("search", `${registry.address}/app`);
  expect([stranger.status, stranger.err]).toEqual([1, expect.stringContaining("authentication")]);
  const skopeo = ["skopeo", "--insecure-policy"];
  const access = ["--creds", "ann:secret", "--cert-dir", `${home}/certs`];
  const seen = JSON.parse(await ok([...skopeo, "inspect", ...access, `docker://${name}:2`]));
  expect(seen).toMatchObject({ Digest: digest, RepoTags: ["1", "2"], Architecture: "amd64" });
  const layout = `oci:${home}/layout:x`;
  const [from, to] = ["--src-creds", "--dest-creds"].map((flag) => [
    ...[flag, "ann:secret", flag.replace("creds", "cert-dir"), `${home}/certs`],
  ]);
  await ok([...skopeo, "copy", ...(from ?? []), `docker://${name}:1`, layout]);
  await ok([...skopeo, "copy", ...(to ?? []), layout, `docker://${name}:oci`]);
  await ok([
    ...skopeo,
    "copy",
    ...(from ?? []),
    ...(to ?? []),
    `docker://${name}:oci`,
    `docker://${registry.address}/other:x`,
  ]);
  const copied = JSON.parse(
    await ok([...skopeo, "inspect", "--raw", ...access, `docker://${registry.address}/other:x`]),
  );
  expect(copied.mediaType).toBe(types.manifest);
  await ok([...skopeo, "delete", ...access, `docker://${registry.address}/other:x`]);
  const deleted = await run([
    ...[...skopeo, "inspect", ...access],
    `docker://${registry.address}/other:x`,
  ]);
  expect(deleted.err).toContain("manifest unknown");
  const tags = JSON.parse(await ok([...skopeo, "list-tags", ...access, `docker://${name}`]));
  expect(tags.Tags).toEqual(["1", "2", "oci"]);
  const nobody = await run([
    ...skopeo,
    "inspect",
    "--cert-dir",
    `${home}/certs`,
    "--no-creds",
    `docker://${name}:1`,
  ]);
  expect(nobody.err).toContain("unauthorized");
  // A user who is taken out is out, without a restart.
  writeFileSync(`${home}/users`, "# nobody\n");
  const out = await run([...skopeo, "inspect", ...access, `docker://${name}:1`]);
  expect(out.err).toContain("unauthorized");
  expect(registry.log).not.toContain("secret");
});

test("an image that the daemon has costs no second copy, and each side keeps what it needs", async () => {
  const content = `${daemon.directory}/data/content`;
  const remote = new DistributionClient(`http://${here}`, "shared/app");
  await berth("create", "--name", "base", "busybox", "true");
  await berth("commit", "base", `${here}/shared/app:1`);
  await berth("rm", "base");
  await berth("push", `${here}/shared/app:1`);
  const pushed = blobsIn(content);
  await berth("push", `${here}/shared/app:1`);
  expect(blobsIn(content)).toEqual(pushed);
  const manifest = await remote.request("manifests/1");
  const { layers } = (await manifest.json()) as { layers: { digest: string }[] };
  const whole = async () => {
    for (const { digest } of layers) {
      const blob = await remote.request(`blobs/${digest}`);
      expect(digestOf(new Uint8Array(await blob.arrayBuffer()))).toBe(digest);
    }
  };
  await berth("rmi", `${here}/shared/app:1`);
  await whole();
  await berth("system", "prune", "-af");
  await whole();
  await daemon.kill();
  await daemon.start();
  await whole();
  expect(await berth("pull", `${here}/shared/app:1`)).toContain("Downloaded newer image");
  // Now the registry lets go of it, and the image stays.
  const digest = manifest.headers.get("docker-content-digest");
  expect((await remote.request(`manifests/${digest}`, { method: "DELETE" })).status).toBe(405);
  await berth("run", "--rm", `${here}/shared/app:1`, "true");
});

test("deleting in the daemon's registry leaves the image, and the bytes go with the last that needs them", async () => {
  const content = `${daemon.directory}/data/content`;
  writeFileSync(`${home}/delete.yml`, "version: 0.1\nstorage:\n  delete:\n    enabled: true\n");
  await daemon.stop();
  const other = daemonFlags(["--registry-config", `${home}/delete.yml`]);
  try {
    await daemon.start();
    const remote = new DistributionClient(`http://${here}`, "shared/gone");
    const image = makeImage("only in the registry");
    await remote.pushImage(image, "1");
    await berth("tag", `${here}/shared/app:1`, `${here}/shared/gone:app`);
    await berth("push", `${here}/shared/gone:app`);
    const list = await listing(await remote.request("tags/list"));
    expect(list.tags).toEqual(["1", "app"]);
    for (const tag of ["1", "app"]) {
      const digest = (await remote.request(`manifests/${tag}`)).headers.get(
        "docker-content-digest",
      );
      expect((await remote.request(`manifests/${digest}`, { method: "DELETE" })).status).toBe(202);
    }
    const young = await berth("registry", "garbage-collect", "--daemon");
    expect(young).toContain("blobs kept that a push may be about to name");
    const dry = await berth(
      "registry",
      "garbage-collect",
      "--daemon",
      "--grace",
      "0s",
      "--dry-run",
    );
    expect(dry).toContain(`would delete blob shared/gone@${digestOf(image.layer)}`);
    expect(blobsIn(content)).toContain(digestOf(image.layer).slice(7));
    await berth("registry", "garbage-collect", "--daemon", "--grace", "0s");
    expect(blobsIn(content)).not.toContain(digestOf(image.layer).slice(7));
    // The image that was in both is whole: pushed again from what the daemon has.
    await berth("push", `${here}/shared/gone:app`);
    expect((await remote.request("manifests/app")).status).toBe(200);
  } finally {
    other.restore();
  }
});

/** Gives the daemon more flags from its next start on. */
function daemonFlags(more: readonly string[]) {
  const flags = (daemon as unknown as { flags: string[] }).flags;
  flags.push(...more);
  return { restore: () => flags.splice(flags.length - more.length) };
}

test("kill -9 at any moment: what was acknowledged is there, and an upload goes on where it was", async () => {
  const registry = await make().start();
  const client = new DistributionClient(`http://${registry.address}`, "killed/app");
  const acknowledged: string[] = [];
  for (let round = 0; round < 6; round++) {
    let going = true;
    const pushing = Promise.all(
      Array.from({ length: 4 }, async (_, worker) => {
        for (let n = 0; going; n++) {
          const image = makeImage(`${round}/${worker}/${n}${"x".repeat(200_000)}`);
          const tag = `t${round}-${worker}-${n}`;
          const done = await client.pushImage(image, tag).then(
            () => true,
            () => false,
          );
          if (done) acknowledged.push(`${tag} ${image.digest} ${digestOf(image.layer)}`);
          else going = false;
        }
      }),
    );
    const enough = acknowledged.length + 5 + round;
    while (acknowledged.length < enough) await Bun.sleep(2);
    await registry.kill();
    await pushing;
    await registry.start();
    for (const line of acknowledged.slice(-30)) {
      const [tag = "", digest = "", layer = ""] = line.split(" ");
      const manifest = await client.request(`manifests/${tag}`);
      expect(digestOf(await manifest.text())).toBe(digest);
      const blob = await client.request(`blobs/${layer}`);
      expect(digestOf(new Uint8Array(await blob.arrayBuffer()))).toBe(layer);
    }
  }
  // Whatever file there is is whole and has a row: what no row names was swept at the start.
  const content = `${registry.root}/content`;
  for (const hex of blobsIn(content))
    expect(digestOf(readFileSync(`${content}/blobs/sha256/${hex}`))).toBe(`sha256:${hex}`);

  const url = await client.begin();
  const half = await client.request(url, { method: "PATCH", body: Buffer.from("first half, ") });
  expect(half.headers.get("range")).toBe("0-11");
  await registry.kill();
  await registry.start();
  const state = await client.request(url);
  expect([state.status, state.headers.get("range")]).toEqual([204, "0-11"]);
  const end = new URL(url);
  end.searchParams.set("digest", digestOf("first half, second half"));
  const stored = await client.request(end.href, {
    method: "PUT",
    body: Buffer.from("second half"),
  });
  expect(stored.status).toBe(201);
});

test("a client that breaks off leaves what it sent, and another request takes over from one that hangs", async () => {
  const registry = await make().start();
  const client = new DistributionClient(`http://${registry.address}`, "broken/app");
  const [host = "", port = ""] = registry.address.split(":");
  const send = async (path: string, words: string) => {
    const socket = connect(Number(port), host);
    socket.on("error", () => {});
    socket.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${words}`);
    return socket;
  };
  const stored = async (url: string, range: string) => {
    for (;;) {
      const state = await client.request(url);
      if (state.headers.get("range") === range) return;
      await Bun.sleep(5);
    }
  };
  const url = await client.begin();
  const hanging = await send(new URL(url).pathname, "abc");
  await stored(url, "0-2");
  const next = await client.request(url, {
    method: "PATCH",
    body: Buffer.from("def"),
    headers: { "Content-Range": "3-5" },
  });
  expect([next.status, next.headers.get("range")]).toEqual([202, "0-5"]);
  hanging.destroy();
  const leaving = await send(new URL(url).pathname, "ghi");
  await stored(url, "0-8");
  leaving.destroy();
  const end = new URL(url);
  end.searchParams.set("digest", digestOf("abcdefghi"));
  expect((await client.request(end.href, { method: "PUT" })).status).toBe(201);
  expect(readdirSync(`${registry.root}/content/uploads`)).toEqual([]);
});

test("clients that leave early leave nothing open", async () => {
  const registry = await make().start();
  const client = new DistributionClient(`http://${registry.address}`, "leaving");
  const blob = new Uint8Array(8 << 20);
  await client.push(blob);
  const [host = "", port = ""] = registry.address.split(":");
  const urls = await Promise.all(Array.from({ length: 60 }, () => client.begin()));
  await Promise.all(
    urls.map(async (url) => {
      const abort = new AbortController();
      const read = await client.request(`blobs/${digestOf(blob)}`, { signal: abort.signal });
      const reader = read.body?.getReader();
      reader?.closed.catch(() => {});
      await reader?.read();
      abort.abort();
      // This one has gone before the registry has looked at what it sent.
      const { promise: gone, resolve } = Promise.withResolvers<void>();
      const socket = connect(Number(port), host);
      socket.on("close", () => resolve()).on("error", () => {});
      const head = `PATCH ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n`;
      socket.write(`${head}abc`, () => socket.destroy());
      await gone;
    }),
  );
  const open = () =>
    readdirSync(`/proc/${registry.pid}/fd`).flatMap((fd) => {
      try {
        const target = readlinkSync(`/proc/${registry.pid}/fd/${fd}`);
        return target.startsWith(`${registry.root}/content`) ? [target] : [];
      } catch {
        return [];
      }
    });
  for (let tries = 0; tries < 1000 && open().length > 0; tries++) await Bun.sleep(10);
  expect(open()).toEqual([]);
});

test("what ends in the middle is not told of as a success", async () => {
  const registry = await make().start();
  const [host = "", port = ""] = registry.address.split(":");
  const { manifest } = makeImage("cut");
  for (const head of [`Content-Length: ${manifest.length + 1}`, "Transfer-Encoding: chunked"]) {
    const chunk = head.startsWith("T")
      ? `${manifest.length.toString(16)}\r\n${manifest}\r\n`
      : manifest;
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect({ host, port: Number(port), allowHalfOpen: true });
    let answer = "";
    socket.on("data", (data) => {
      answer += data;
    });
    socket.on("error", () => resolve(answer)).on("close", () => resolve(answer));
    socket.on("end", () => socket.end());
    socket.write(`PUT /v2/cut/manifests/x HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${chunk}`);
    await Bun.sleep(50);
    socket.end();
    expect(await promise).not.toMatch(/^HTTP\/1.1 2/);
  }
  const client = new DistributionClient(`http://${registry.address}`, "cut");
  expect((await client.request("manifests/x")).status).toBe(404);
});

test("a full disk refuses what does not fit, and what is there is served", async () => {
  const small = scratchDirectory("bf-");
  await ok(["mount", "-t", "tmpfs", "-o", "size=12m", "small", small]);
  const registry = make(() => ["--root", `${small}/root`]);
  try {
    await registry.start();
    const client = new DistributionClient(`http://${registry.address}`, "full/app");
    const image = makeImage("fits");
    await client.pushImage(image, "x");
    for (let times = 0; times < 3; times++) {
      const url = await client.begin();
      const body = new Uint8Array(20 << 20);
      const sent = await client.request(url, { method: "PATCH", body });
      expect(await refusal(sent)).toBe("507 UNAVAILABLE");
      expect((await client.request(url, { method: "DELETE" })).status).toBe(204);
    }
    writeFileSync(`${small}/fill`, "");
    await run(["sh", "-c", `cat /dev/zero > ${small}/fill`]);
    const begun = await client.request("blobs/uploads/", { method: "POST" });
    expect(begun.status).toBeOneOf([202, 507]);
    expect(await (await client.request("manifests/x")).text()).toBe(image.manifest);
    expect((await client.request(`blobs/${digestOf(image.layer)}`)).status).toBe(200);
    rmSync(`${small}/fill`);
    await client.pushImage(makeImage("fits again"), "y");
  } finally {
    await registry.stop();
    await ok(["umount", small]);
    rmSync(small, { recursive: true });
  }
});

test("garbage goes while others push, and nothing of theirs with it", async () => {
  const registry = await make().start();
  const base = `http://${registry.address}`;
  const old = new DistributionClient(base, "garbage/old");
  const image = makeImage("old");
  await old.pushImage(image, "x");
  const untagged = makeImage("untagged");
  await old.pushImage(untagged);
  const signature = makeImage("signature", {
    subject: { mediaType: types.manifest, digest: image.digest, size: image.manifest.length },
  });
  await old.pushImage(signature);
  let going = true;
  const collecting = (async () => {
    while (going) await registry.collect("-m");
  })();
  const pushed = await Promise.all(
    Array.from({ length: 3 }, async (_, worker) => {
      const client = new DistributionClient(base, `garbage/new${worker}`);
      const images = Array.from({ length: 12 }, (_, n) => makeImage(`${worker} ${n}`));
      for (const [n, one] of images.entries()) await client.pushImage(one, `t${n}`);
      return images.map((one) => [client, one] as const);
    }),
  );
  going = false;
  await collecting;
  for (const [client, one] of pushed.flat())
    expect(await (await client.request(`blobs/${digestOf(one.layer)}`)).arrayBuffer()).toEqual(
      one.layer.slice().buffer,
    );
  // Nobody pushes any more. What a tag or a subject leads to stays.
  const done = await registry.collect("-m", "--grace", "0s");
  expect(done).toContain(`deleted manifest garbage/old@${untagged.digest}`);
  expect(done).toContain(`deleted blob garbage/old@${digestOf(untagged.layer)}`);
  expect(done).toContain("1 manifests, 2 blobs deleted");
  for (const kept of [image, signature])
    expect((await old.request(`blobs/${digestOf(kept.layer)}`)).status).toBe(200);
  expect((await old.request(`manifests/${untagged.digest}`)).status).toBe(404);
  const files = blobsIn(`${registry.root}/content`);
  expect(files).not.toContain(digestOf(untagged.layer).slice(7));
  // The same without a server.
  await old.request(`manifests/${image.digest}`, { method: "DELETE" });
  await registry.stop();
  expect(await registry.collect("--grace", "0s")).toContain("0 manifests, 2 blobs deleted");
  expect(blobsIn(`${registry.root}/content`)).not.toContain(digestOf(image.layer).slice(7));
});

test("a large blob goes in and out, to slow readers too, without being held in memory", async () => {
  const registry = await make().start();
  const client = new DistributionClient(`http://${registry.address}`, "large/app");
  const size = 256 << 20;
  writeFileSync(`${home}/large`, "");
  await ok(["sh", "-c", `head -c ${size} /dev/urandom > ${home}/large`]);
  const digest = `sha256:${(await ok(["sha256sum", `${home}/large`])).split(" ")[0]}`;
  const before = memoryOf(registry.pid, "VmHWM");
  const url = new URL(await client.begin());
  url.searchParams.set("digest", digest);
  await ok(["curl", "-sf", "-T", `${home}/large`, url.href]);
  const address = `http://${registry.address}/v2/large/app/blobs/${digest}`;
  const slow = Array.from({ length: 20 }, async () => {
    const response = await fetch(address);
    const reader = response.body?.getReader();
    await reader?.read();
    return () => reader?.cancel();
  });
  const readers = await Promise.all(slow);
  const got = await ok(["sh", "-c", `curl -sf ${address} | sha256sum`]);
  expect(`sha256:${got.split(" ")[0]}`).toBe(digest);
  for (const cancel of readers) await cancel();
  expect(memoryOf(registry.pid, "VmHWM") - before).toBeLessThan(100 << 20);
});

test("a read-only registry, and one that deletes nothing", async () => {
  const registry = make(() => []);
  await registry.start();
  const client = new DistributionClient(`http://${registry.address}`, "ro/app");
  const image = makeImage("read only");
  await client.pushImage(image, "x");
  const kept = await client.request(`manifests/${image.digest}`, { method: "DELETE" });
  expect(await refusal(kept)).toBe("405 UNSUPPORTED");
  await registry.stop();
  await registry.start({ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "true" });
  expect(await refusal(await client.request("blobs/uploads/", { method: "POST" }))).toBe(
    "405 UNSUPPORTED",
  );
  expect(await (await client.request("manifests/x")).text()).toBe(image.manifest);
});

test("what a configuration says is done: prefix, addresses, headers, the oldest TLS", async () => {
  const registry = await make((directory) => {
    const tls = `{certificate: ${certificate}, key: ${home}/key.pem, minimumtls: tls1.3}`;
    writeFileSync(
      `${directory}/c.yml`,
      `version: 0.1\nhttp:\n  prefix: /below\n  relativeurls: true\n  tls: ${tls}\n  headers:\n    X-Told: [a, b]\n`,
    );
    return [`${directory}/c.yml`];
  }).start();
  const curl = ["curl", "-si", "--cacert", certificate];
  const base = `https://${registry.address}`;
  const begun = await ok([...curl, "-X", "POST", `${base}/below/v2/a/blobs/uploads/`]);
  expect(begun).toMatch(/^HTTP\/1.1 202 /);
  expect(begun).toMatch(/^Location: \/below\/v2\/a\/blobs\/uploads\/[0-9a-f-]{36}\r$/m);
  expect(begun).toMatch(/^X-Told: a\r\nX-Told: b\r$/m);
  expect(await ok([...curl, `${base}/v2/`])).toMatch(/^HTTP\/1.1 404 /);
  const old = await run([...curl, "--tls-max", "1.2", `${base}/below/v2/`]);
  expect([old.status, old.out]).toEqual([35, ""]);
});

test("what a configuration must not leave unsaid", async () => {
  const start = async (text: string) => {
    writeFileSync(`${home}/bad.yml`, text);
    const executable = `${import.meta.dir}/../../dist/berth`;
    const root = ["--root", `${home}/never`];
    return run([executable, "registry", "serve", ...root, `${home}/bad.yml`]);
  };
  const token = await start("version: 0.1\nauth:\n  token:\n    realm: x\n");
  expect(token).toMatchObject({ status: 1 });
  expect(token.err).toContain(
    `${home}/bad.yml: auth.token is not supported: only auth.htpasswd is`,
  );
  const typo = await start("version: 0.1\nhttp:\n  adr: 127.0.0.1:1\n");
  expect(typo.err).toContain("http.adr is not a known key");
  expect(existsSync(`${home}/never`)).toBe(false);
});

test("a registry ends in order: what is under way may end, what comes later is refused", async () => {
  const registry = await make().start();
  const client = new DistributionClient(`http://${registry.address}`, "ending");
  const url = new URL(await client.begin());
  url.searchParams.set("digest", digestOf("first second"));
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const sent = client.request(url.href, { method: "PUT", body: readable });
  await writer.write(Buffer.from("first "));
  while (readdirSync(`${registry.root}/content/uploads`).length === 0) await Bun.sleep(5);
  const ended = registry.stop();
  while (!registry.log.includes("shutting down")) await Bun.sleep(5);
  await expect(fetch(`http://${registry.address}/v2/`)).rejects.toThrow();
  await writer.write(Buffer.from("second"));
  await writer.close();
  expect((await sent).status).toBe(201);
  expect(await ended).toBe(0);
  await registry.start();
  expect((await client.request(`blobs/${digestOf("first second")}`)).status).toBe(200);
});
