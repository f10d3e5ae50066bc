/** Images to a registry and back: Debian's docker-registry is the other side. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const registry = new TestRegistry();
// ann:secret
const guarded = new TestRegistry(
  `ann:${await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })}\n`,
);
const home = scratchDirectory("bh-");
const env = { HOME: home };

beforeAll(() => Promise.all([registry.start(), guarded.start()]));
afterAll(async () => {
  await Promise.all([registry.stop(), guarded.stop()]);
  rmSync(home, { recursive: true, force: true });
});

// After the hooks above: the registries have gone when the census is taken.
const daemon = daemonOfFile();

const ok = async (...args: string[]) => {
  const done = await daemon.berthWith({ env }, ...args);
  expect(done).toMatchObject({ status: 0 });
  return done.out;
};

test("an image is pushed, removed, pulled, run, and known by its digest", async () => {
  const name = `${registry.address}/team/app:1.0`;
  await ok("create", "--name", "warm", "busybox", "true");
  await ok("tag", "busybox", name);
  const pushed = await ok("push", name);
  expect(pushed).toContain(`The push refers to repository [${registry.address}/team/app]`);
  const digest = /1\.0: digest: (sha256:[0-9a-f]{64}) size: \d+/.exec(pushed)?.[1] ?? "";
  expect(digest).not.toBe("");
  expect(await ok("push", name)).toContain("Layer already exists");
  const shown = await ok("inspect", "--format", "{{json .RepoDigests}}", name);
  expect(shown).toContain(`${registry.address}/team/app@${digest}`);

  await ok("rm", "warm");
  await ok("rmi", "busybox", name);
  expect((await daemon.berth("images", "-q")).out).toBe("");
  const pulled = await ok("pull", name);
  expect(pulled).toContain("1.0: Pulling from team/app\n");
  expect(pulled).toContain("Pull complete");
  expect(pulled).toContain(`Digest: ${digest}`);
  expect(pulled).toEndWith(`Status: Downloaded newer image for ${name}\n${name}\n`);
  expect(await ok("pull", name)).toContain(`Status: Image is up to date for ${name}`);
  expect(await ok("run", "--rm", name, "echo", "back")).toBe("back\n");
  expect(await ok("run", "--rm", `${registry.address}/team/app@${digest}`, "echo", "named")).toBe(
    "named\n",
  );
  const removed = await ok("rmi", name);
  expect(removed).toContain(`Untagged: ${name}\n`);
  expect(removed).toContain(`Untagged: ${registry.address}/team/app@${digest}\n`);
  expect(removed).toContain("Deleted: sha256:");
});

test("the stock command line pulls and pushes, by tag, by digest and with every tag", async () => {
  const repository = `${registry.address}/stock`;
  await ok("run", "--rm", "busybox", "true");
  for (const tag of ["a", "b"]) await ok("tag", "busybox", `${repository}:${tag}`);
  const pushed = await daemon.docker("push", "-a", repository);
  expect(pushed).toMatchObject({ status: 0 });
  expect(pushed.out).toMatch(/a: digest: sha256:\w+ size: \d+\n/);
  expect(pushed.out).toMatch(/b: digest: sha256:\w+ size: \d+\n/);
  await ok("rmi", `${repository}:a`, `${repository}:b`);
  expect((await daemon.docker("pull", "-q", "-a", repository)).out).toBe(`${repository}\n`);
  const listed = await daemon.docker(
    "images",
    "--digests",
    "--format",
    "{{.Tag}} {{.Digest}}",
    repository,
  );
  expect(listed.out).toMatch(
    /^b sha256:\w{64}\na sha256:\w{64}\n$|^a sha256:\w{64}\nb sha256:\w{64}\n$/,
  );
});

test("a container's changes travel as a compressed layer, the same each time", async () => {
  const name = `${registry.address}/team/changed`;
  await ok("run", "--name", "changed", "busybox", "sh", "-c", "yes | head -c 100000 > /grown");
  await ok("commit", "changed", name);
  const first = await ok("push", name);
  const second = await ok("push", name);
  const digest = (text: string) => /digest: (\S+)/.exec(text)?.[1];
  expect(digest(first)).toBe(digest(second));
  await ok("rm", "changed");
  await ok("rmi", name);
  await ok("pull", name);
  expect(await ok("run", "--rm", name, "wc", "-c", "/grown")).toBe("100000 /grown\n");
});

test("what is not there is said in docker's words, with its status, and nothing stays", async () => {
  const before = await daemon.berth("images", "-q");
  const unknown = await daemon.api(
    "POST",
    `/images/create?fromImage=${registry.address}/none&tag=x`,
  );
  expect(unknown.status).toBe(404);
  expect(JSON.parse(unknown.text).message).toMatch(
    new RegExp(`^manifest for ${registry.address}/none:x not found: manifest unknown`),
  );
  const nobody = await daemon.berth("pull", "127.0.0.1:1/app");
  expect(nobody.status).toBe(1);
  expect(nobody.err).toContain("connect: connection refused");
  const missing = await daemon.berth("push", `${registry.address}/never-made`);
  expect(missing.status).toBe(1);
  expect(missing.err).toContain("never-made");
  expect((await daemon.berth("images", "-q")).out).toBe(before.out);
});

test("a registry with passwords: refused, logged in, pushed, pulled, logged out", async () => {
  const name = `${guarded.address}/private`;
  await ok("run", "--rm", "busybox", "true");
  await ok("tag", "busybox", name);
  const refused = await daemon.berthWith({ env }, "push", name);
  expect(refused.status).toBe(1);
  expect(refused.err).toContain("push access denied for");
  const wrong = await daemon.berthWith(
    { env, stdin: "wrong\n" },
    ...["login", "-u", "ann", "--password-stdin", guarded.address],
  );
  expect(wrong.status).toBe(1);
  expect(wrong.err).toContain("401 Unauthorized");
  const login = await daemon.berthWith(
    { env, stdin: "secret\n" },
    ...["login", "-u", "ann", "--password-stdin", guarded.address],
  );
  expect(login.out).toBe("Login Succeeded\n");
  expect(JSON.parse(readFileSync(`${home}/.docker/config.json`, "utf8")).auths).toEqual({
    [guarded.address]: { auth: btoa("ann:secret") },
  });
  await ok("push", name);
  await ok("rmi", name);
  // The stock command line finds the same credentials.
  expect((await daemon.dockerWith({ env }, "pull", "-q", name)).out).toBe(`${name}:latest\n`);
  expect(await ok("logout", guarded.address)).toBe(
    `Removing login credentials for ${guarded.address}\n`,
  );
  await ok("rmi", name);
  const again = await daemon.berthWith({ env }, "pull", name);
  expect(again.err).toContain("repository does not exist or may require 'docker login'");
  expect(daemon.log).not.toContain("secret");
});

test("a registry that lies about a layer leaves nothing", async () => {
  const name = `${registry.address}/broken:1`;
  await ok("run", "--name", "odd", "busybox", "sh", "-c", "head -c 300000 /dev/urandom > /odd");
  await ok("commit", "odd", name);
  await ok("rm", "odd");
  await ok("push", name);
  await ok("rmi", name);
  const lying = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const answer = await fetch(`http://${registry.address}${pathname}`, {
        headers: request.headers,
      });
      const bytes = new Uint8Array(await answer.arrayBuffer());
      // The largest blob is the layer that was made above.
      if (pathname.includes("/blobs/") && bytes.length > 250_000) bytes.fill(0, 1000, 1010);
      return new Response(bytes, { status: answer.status, headers: answer.headers });
    },
  });
  try {
    const pulled = await daemon.berth("pull", `127.0.0.1:${lying.port}/broken:1`);
    expect(pulled.status).toBe(1);
    expect(pulled.err).toContain("filesystem layer verification failed for digest sha256:");
    expect((await daemon.berth("images", "--format", "{{.Repository}}")).out).not.toContain(
      "broken",
    );
    expect(readdirSync(`${daemon.directory}/data/content/ingest`)).toEqual([]);
  } finally {
    await lying.stop(true);
  }
});

test("a download that breaks off is taken up where it broke", async () => {
  const name = `${registry.address}/cut:1`;
  await ok("run", "--name", "cut", "busybox", "sh", "-c", "head -c 3000000 /dev/urandom > /odd");
  await ok("commit", "cut", name);
  await ok("rm", "cut");
  await ok("push", name);
  await ok("rmi", name);
  const ranges: string[] = [];
  const cutting = createServer(async (request, response) => {
    const range = request.headers.range;
    const answer = await fetch(`http://${registry.address}${request.url}`, {
      headers: { accept: request.headers.accept ?? "", ...(range && { range }) },
    });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    const isLayer = request.url?.includes("/blobs/") && bytes.length > 100_000;
    if (isLayer) ranges.push(range ?? "whole");
    if (isLayer && ranges.length <= 2)
      response.write(bytes.subarray(0, 1_000_000), () => response.socket?.destroy());
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => cutting.listen(0, "127.0.0.1", resolve));
  try {
    const again = `127.0.0.1:${(cutting.address() as AddressInfo).port}/cut:1`;
    await ok("pull", again);
    expect(ranges.length).toBe(3);
    expect(ranges[0]).toBe("whole");
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
    expect(await ok("run", "--rm", again, "wc", "-c", "/odd")).toBe("3000000 /odd\n");
  } finally {
    await new Promise((resolve) => cutting.close(resolve));
  }
});
