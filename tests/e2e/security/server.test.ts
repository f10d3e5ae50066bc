/** The API's server: who is let in, who is asked before, what is noted, and requests that are meant to be read in two ways. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { daemonOfFile, TestDaemon } from "../../kits/daemon.ts";
import { giveToDaemon, scratchDirectory } from "../../kits/scratch.ts";
import { attacks, smuggled } from "../../kits/smuggling.ts";

/** What the plugin was asked. */
interface Asked {
  readonly RequestMethod: string;
  readonly RequestUri: string;
  readonly RequestBody?: string;
  readonly RequestHeaders: Record<string, string>;
  readonly ResponseStatusCode?: number;
  readonly ResponseBody?: string;
}

const scratch = scratchDirectory("bt-server-");
const places = "/run/docker/plugins";
const name = `bt-authz-${process.pid}`;
const asked: { kind: string; question: Asked }[] = [];
let rule: (kind: string, question: Asked) => object = () => ({ Allow: true });
mkdirSync(places, { recursive: true });
const socket = `${places}/${name}.sock`;
const open = () => {
  const server = Bun.serve({
    unix: socket,
    maxRequestBodySize: 64 << 20,
    async fetch(request) {
      const kind = new URL(request.url).pathname.slice(1);
      if (kind === "Plugin.Activate") return Response.json({ Implements: ["authz"] });
      const question = (await request.json()) as Asked;
      asked.push({ kind: kind.replace("AuthZPlugin.", ""), question });
      return Response.json(rule(kind, question));
    },
  });
  giveToDaemon(socket);
  return server;
};
let plugin = open();
const audit = `${scratch}/audit`;
const daemon = daemonOfFile(["--authorization-plugin", name, "--audit-log", audit]);
beforeAll(() => {
  asked.length = 0;
});
afterAll(async () => {
  await plugin.stop(true);
  rmSync(socket, { force: true });
  rmSync(scratch, { recursive: true, force: true });
});

const bodyOf = (question: Asked | undefined) =>
  Buffer.from(question?.RequestBody ?? "", "base64").toString();
const entries = () =>
  readFileSync(audit, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown> & { who: Record<string, unknown> });

/** Waits for something that comes to be so. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries++) {
    if (tries === 400) throw new Error("it does not come to be so");
    await Bun.sleep(25);
  }
}

/** What a server answers to bytes on a connection of its own, until it closes or nothing more comes. */
function raw(bytes: string, path = daemon.socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(path);
  let out = "";
  socket.on("data", (data) => {
    out += data;
  });
  socket.on("error", () => resolve(out));
  socket.on("close", () => resolve(out));
  socket.write(bytes);
  return promise;
}

test("plugins see what handlers read, decide, and see the answer", async () => {
  asked.length = 0;
  const body = { Image: "busybox", Cmd: ["true"], HostConfig: { Privileged: true } };
  const made = await daemon.api("POST", "/v1.44/containers/create?name=seen", body);
  expect(made.status).toBe(201);
  const [before, after] = asked;
  expect(before).toMatchObject({
    kind: "AuthZReq",
    question: { RequestMethod: "POST", RequestUri: "/v1.44/containers/create?name=seen" },
  });
  expect(bodyOf(before?.question)).toBe(JSON.stringify(body));
  expect(after).toMatchObject({ kind: "AuthZRes", question: { ResponseStatusCode: 201 } });
  expect(Buffer.from(after?.question.ResponseBody ?? "", "base64").toString()).toContain(
    (JSON.parse(made.text) as { Id: string }).Id,
  );
  rule = (_kind, question) => ({
    Allow: !bodyOf(question).includes("Privileged"),
    Msg: "no privileges here",
  });
  const denied = await daemon.docker("run", "--privileged", "busybox", "true");
  expect([denied.status, denied.err]).toEqual([
    125,
    expect.stringContaining(`authorization denied by plugin ${name}: no privileges here`),
  ]);
  expect((await daemon.api("POST", "/containers/create", body)).status).toBe(403);
  rule = (kind) => ({ Allow: !kind.includes("AuthZRes"), Msg: "not to be seen" });
  const hidden = await daemon.api("GET", "/containers/seen/json");
  expect([hidden.status, JSON.parse(hidden.text).message]).toEqual([
    403,
    `authorization denied by plugin ${name}: not to be seen`,
  ]);
  rule = () => ({ Err: "no idea" });
  const failed = await daemon.api("GET", "/info");
  expect([failed.status, JSON.parse(failed.text).message]).toEqual([
    500,
    `plugin ${name} failed with error: no idea`,
  ]);
  rule = () => ({ Allow: true });
  expect((await daemon.docker("run", "--rm", "-i", "busybox", "cat")).status).toBe(0);
  expect(
    (await daemon.dockerWith({ stdin: "through" }, "run", "--rm", "-i", "busybox", "cat")).out,
  ).toBe("through");
  await daemon.berth("rm", "seen");
});

test("no body reaches a handler unseen: large, chunked, of an odd length, of another type (CVE-2024-41110, CVE-2026-34040)", async () => {
  rule = (_kind, question) => ({
    Allow: question.RequestMethod === "GET" || bodyOf(question).includes("fine"),
  });
  const evil = JSON.stringify({ Image: "busybox", HostConfig: { Privileged: true } });
  const head = "POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  const json = "Content-Type: application/json\r\n";
  const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  const padded = `${evil.slice(0, -1)},"Labels":{"pad":"${"x".repeat(2 << 20)}","word":"fine"}}`;
  for (const [what, bytes] of [
    ["plain", `${head}${json}Content-Length: ${evil.length}\r\n\r\n${evil}`],
    ["chunked", `${head}${json}Transfer-Encoding: chunked\r\n\r\n${chunked(evil)}`],
    ["no length", `${head}${json}Content-Length: 0\r\n\r\n${evil}`],
    ["larger than a megabyte", `${head}${json}Content-Length: ${padded.length}\r\n\r\n${padded}`],
    ["larger, chunked", `${head}${json}Transfer-Encoding: chunked\r\n\r\n${chunked(padded)}`],
    [
      "type with parameters",
      `${head}Content-Type: Application/JSON ; charset=utf-8\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`,
    ],
    ["no type", `${head}Content-Length: ${evil.length}\r\n\r\n${evil}`],
    [
      "another type",
      `${head}Content-Type: text/plain\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`,
    ],
    [
      "two types",
      `${head}Content-Type: text/plain\r\n${json}Content-Length: ${evil.length}\r\n\r\n${evil}`,
    ],
    [
      "upgrade",
      `POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${json}Content-Length: ${evil.length}\r\n\r\n${evil}`,
    ],
    [
      "a login's path",
      `POST /auth/../containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${json}Content-Length: ${evil.length}\r\n\r\n${evil}`,
    ],
  ] as const) {
    const answer = await raw(bytes);
    // Who still sends when the answer comes may not get it: what counts is that nothing has come of it, below.
    const refused = what.startsWith("larger") ? /^(HTTP\/1.1 4\d\d)?$/ : /^HTTP\/1.1 4\d\d$/;
    expect([what, answer.slice(0, 12)]).toEqual([what, expect.stringMatching(refused)]);
  }
  expect((await daemon.api("GET", "/containers/json?all=1")).text.trim()).toBe("[]");
  const fine = JSON.stringify({ Image: "busybox", Labels: { word: "fine" } });
  expect(await raw(`${head}${json}Transfer-Encoding: chunked\r\n\r\n${chunked(fine)}`)).toStartWith(
    "HTTP/1.1 201",
  );
  rule = () => ({ Allow: true });
  // A password of a registry is nobody's but the registry's, and neither are headers with one.
  asked.length = 0;
  await daemon.api("POST", "/auth", {
    username: "u",
    password: "hidden-word",
    serveraddress: "127.0.0.1:9",
  });
  await fetch("http://x/images/create?fromImage=127.0.0.1:9/x", {
    method: "POST",
    unix: daemon.socket,
    headers: { "X-Registry-Auth": Buffer.from('{"password":"hidden-word"}').toString("base64url") },
  }).then((response) => response.text());
  await fetch("http://x/build?remote=http://127.0.0.1:9/x", {
    method: "POST",
    unix: daemon.socket,
    headers: {
      "X-Berth-Secrets": Buffer.from('{"token":"hidden-word"}').toString("base64url"),
      Authorization: "Basic hidden-word",
    },
  }).then((response) => response.text());
  expect(asked.length).toBeGreaterThan(2);
  expect(JSON.stringify(asked)).not.toMatch(/hidden-word|x-registry-auth|x-berth-secrets/);
  expect(JSON.stringify(asked)).not.toContain(
    Buffer.from("hidden-word").toString("base64").slice(0, 12),
  );
  for (const { question } of asked) expect(bodyOf(question)).not.toContain("hidden-word");
  const [made] = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as {
    Id: string;
  }[];
  await daemon.berth("rm", made?.Id ?? "");
});

test("a plugin that has gone allows nothing; a daemon that is to have one does not start without", async () => {
  await plugin.stop(true);
  rmSync(`${places}/${name}.sock`, { force: true });
  const { status, text } = await daemon.api("GET", "/info");
  expect([status, text]).toEqual([
    500,
    expect.stringContaining(`plugin ${name} failed with error: plugin \\"${name}\\" not found`),
  ]);
  plugin = open();
  expect((await daemon.api("GET", "/info")).status).toBe(200);
  const other = new TestDaemon(["--authorization-plugin", "nosuch"]);
  expect(other.start()).rejects.toThrow(
    /Error validating authorization plugin: nosuch: plugin .*nosuch.* not found/,
  );
  await other.start().catch(() => {});
  rmSync(other.directory, { recursive: true, force: true });
});

test("who, what, on which object, with which result: noted, rotated, and without any password", async () => {
  rule = () => ({ Allow: false });
  await daemon.api("POST", "/containers/create", { Image: "busybox" });
  rule = () => ({ Allow: true });
  await daemon.berth("create", "--name", "noted", "busybox", "true");
  await daemon.berth("rm", "noted");
  await daemon.berth("rm", "nobody");
  const remote = encodeURIComponent("http://user:hidden-word@127.0.0.1:9/x.git");
  await daemon.api(
    "POST",
    `/build?remote=${remote}&buildargs=${encodeURIComponent('{"TOKEN":"hidden-word"}')}`,
  );
  await daemon.api("POST", `/images/create?fromSrc=${remote}`);
  await daemon.api("POST", "/containers/create", {
    Image: "busybox",
    Env: ["TOKEN=hidden-word"],
    Cmd: ["x"],
    Labels: { a: "b" },
  });
  const all = entries();
  const of = (method: string, path: string) =>
    all.filter((one) => one.method === method && one.path === path);
  const [removed] = of("DELETE", "/containers/noted");
  expect(removed).toMatchObject({
    object: "noted",
    status: 204,
    who: { uid: process.getuid?.(), gid: process.getgid?.() },
  });
  expect(removed?.who.pid).toBeGreaterThan(1);
  expect(removed?.time).toMatch(/^\d{4}-\d\d-\d\dT/);
  expect(of("DELETE", "/containers/nobody")[0]).toMatchObject({ status: 404 });
  expect(of("POST", "/containers/create").some(({ status }) => status === 403)).toBe(true);
  expect(readFileSync(audit, "utf8")).not.toContain("hidden-word");
  expect((statSync(audit).mode & 0o777).toString(8)).toBe("600");
  // Another user's process is told apart, however many connections come at once.
  await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      n % 2 === 0
        ? daemon.api("GET", `/volumes/own-${n}`)
        : Bun.spawn([
            "python3",
            "-c",
            `import os,socket; os.setgid(12345); os.setuid(12345 if os.stat("${daemon.socket}").st_gid == 12345 else 0); s=socket.socket(socket.AF_UNIX); s.connect("${daemon.socket}"); s.sendall(b"GET /volumes/other-${n} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"); s.recv(65536)`,
          ]).exited,
    ),
  );
  for (const one of entries().filter(({ path }) => /^\/volumes\/(own|other)-/.test(String(path))))
    expect([one.path, one.who.gid]).toEqual([
      one.path,
      String(one.path).includes("own") ? process.getgid?.() : 12345,
    ]);
  expect(
    entries().filter(({ path }) => /^\/volumes\/(own|other)-/.test(String(path))),
  ).toHaveLength(12);
  const [made] = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as {
    Id: string;
  }[];
  await daemon.berth("rm", made?.Id ?? "");
});

test("requests that can be read in two ways are refused, and what is behind them is not read (CWE-444)", async () => {
  for (const [what, bytes] of Object.entries(attacks)) {
    asked.length = 0;
    const closing = smuggled.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    const answer = await raw(`${bytes}${closing}`);
    expect([what, answer.slice(0, 10)]).toEqual([what, "HTTP/1.1 4"]);
    const known = what.startsWith("a chunk");
    expect([
      what,
      known
        ? 0
        : asked.filter(({ question }) => question.RequestUri === "/containers/prune").length,
    ]).toEqual([what, 0]);
    expect([what, answer.includes("HTTP/1.1 200")]).toEqual([what, false]);
  }
  expect((await daemon.api("GET", "/_ping")).status).toBe(200);
});

test("a path has one spelling: plugins do not see another than the one that is routed", async () => {
  asked.length = 0;
  // A plugin of the usual kind, which looks for what it forbids in the address.
  rule = (_kind, { RequestUri }) => ({ Allow: !/^(\/v[^/]+)?\/info(\?|$)/.test(RequestUri) });
  try {
    for (const target of [
      ...["/info", "/v1.44/info?x=1", "/info/", "/v1.44/info/?x=1", "/info#x", "/v1.44/info#"],
      ...[
        "/in%66o",
        "/in%66o?",
        "/%49nfo",
        "http://x/info",
        "HTTP://x/info",
        "http://x/v1.44/info",
      ],
      ...["//info", "/./info", "/x/../info", "/info;x=1", "/info%2f", "/info%3fx", "info", "*"],
    ]) {
      const answer = await raw(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect([target, answer.slice(0, 10)]).toEqual([
        target,
        expect.stringMatching(/^HTTP\/1.1 4/),
      ]);
      expect([target, answer.includes("DockerRootDir")]).toEqual([target, false]);
    }
  } finally {
    rule = () => ({ Allow: true });
  }
});

test("who goes before the end of a request is noted all the same: what has come was carried out", async () => {
  await daemon.berth("create", "--name", "early", "busybox", "true");
  const tar = Buffer.alloc(1024);
  tar.write("planted");
  tar.write("0000644\u00000000000\u00000000000\u000000000000005\u000000000000000\u0000", 100);
  tar.write("        0", 148);
  tar.write("ustar\u000000", 257);
  const sum = tar.subarray(0, 512).reduce((all, byte) => all + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148);
  tar.write("hello", 512);
  const socket = connect(daemon.socket);
  socket.write(
    "PUT /containers/early/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  socket.write(`${tar.length.toString(16)}\r\n`);
  socket.write(tar);
  // It is there before the archive has ended.
  await until(async () => (await daemon.berth("cp", "early:/planted", "-")).status === 0);
  socket.destroy();
  const noted = () =>
    entries().filter(({ method, object }) => method === "PUT" && object === "early");
  await until(() => noted().length > 0);
  expect(noted()).toEqual([
    expect.objectContaining({
      path: "/containers/early/archive",
      query: { path: "/" },
      status: 499,
    }),
  ]);
  await daemon.berth("rm", "early");
});

test("no name becomes a path that leads out", async () => {
  const ways = [
    "../../../../../../tmp/bt-traversal",
    "..%2f..%2f..%2f..%2f..%2ftmp%2fbt-traversal",
    "%2e%2e",
    "..",
    ".",
    "%2ftmp%2fbt-traversal",
    "a%00b",
    "a%5c..%5cb",
  ];
  for (const way of ways) {
    const name = decodeURIComponent(way);
    // As they are: who calls fetch has such paths made plain before anybody sees them.
    for (const [method, path] of [
      ["POST", `/containers/${way}/rename?name=${way}`],
      ["GET", `/containers/${way}/archive?path=/`],
      ["GET", `/images/${way}/get`],
      ["GET", `/exec/${way}/json`],
      ["DELETE", `/volumes/${way}`],
      ["DELETE", `/networks/${way}`],
      ["GET", `/plugins/${way}/json`],
      ["POST", `/containers/create?name=${way}`],
      ["POST", `/images/busybox/tag?repo=${way}`],
      ["POST", `/build?dockerfile=${way}`],
    ])
      expect([
        method,
        path,
        await raw(
          `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
        ),
      ]).toEqual([method, path, expect.stringMatching(/^HTTP\/1.1 4/)]);
    const withHost = (HostConfig: object) =>
      ["/containers/create", { Image: "busybox", HostConfig }] as const;
    for (const [path, body] of [
      ["/volumes/create", { Name: name }],
      ["/volumes/create", { Name: "vt", Driver: name }],
      ["/networks/create", { Name: "nt", Driver: name }],
      withHost({ LogConfig: { Type: name } }),
      withHost({ Runtime: name }),
      withHost({ Mounts: [{ Type: "volume", Source: name, Target: "/x" }] }),
    ] as const) {
      const { status, text } = await daemon.api("POST", path, body);
      expect([way, JSON.stringify(body), Math.floor(status / 100), text]).toEqual([
        way,
        JSON.stringify(body),
        4,
        expect.not.stringContaining("internal error"),
      ]);
    }
  }
  const found = new Bun.Glob("bt-traversal*").scanSync({ cwd: "/tmp", onlyFiles: false });
  expect(Array.from(found)).toEqual([]);
  expect((await daemon.api("GET", "/containers/json?all=1")).text.trim()).toBe("[]");
});

/** A browser on this host lets any page send such requests to any address, with the page's origin; the answer alone it keeps from it. */
async function noPageMayAsk(open: TestDaemon, port: number): Promise<void> {
  const ask = (host: string, more: Record<string, string>) =>
    fetch(`http://127.0.0.1:${port}/volumes/prune`, {
      method: "POST",
      headers: { Host: host, ...more },
    }).then(({ status }) => status);
  const here = `127.0.0.1:${port}`;
  for (const [host, origin] of [
    [here, "http://evil.example"],
    [here, "null"],
    [here, "http://127.0.0.1:1"],
    // A name of the page's that has come to lead here.
    [`evil.example:${port}`, `http://evil.example:${port}`],
  ] as const)
    expect([host, origin, await ask(host, { Origin: origin })]).toEqual([host, origin, 403]);
  // Programs send no origin, or their server's; one that passes on what a browser has asked it says so.
  expect(await ask(here, {})).toBe(200);
  expect(await ask(`docker.example:${port}`, {})).toBe(200);
  expect(await ask(here, { Origin: `http://${here}` })).toBe(200);
  const passed = { Origin: "https://board.example", "X-Forwarded-For": "192.0.2.1" };
  expect(await ask(here, passed)).toBe(200);
  expect(await ask(`evil.example:${port}`, passed)).toBe(403);
  const unix = await fetch("http://x/volumes/prune", {
    method: "POST",
    unix: open.socket,
    headers: { Origin: "https://board.example" },
  });
  expect(unix.status).toBe(200);
}

test("a socket is root's and a group's; TCP without certificates is refused unless somebody says so, and warned of", async () => {
  const group = Bun.spawnSync([
    "sh",
    "-c",
    "getent group docker || getent group berth",
  ]).stdout.toString();
  expect(statSync(daemon.socket).gid).toBe(Number(group.split(":")[2] ?? 0));
  expect((statSync(daemon.socket).mode & 0o777).toString(8)).toBe("660");
  const port = 22_000 + (process.pid % 20_000);
  const refused = new TestDaemon(["-H", `tcp://127.0.0.1:${port}`]);
  expect(refused.start()).rejects.toThrow(/would be served to whoever reaches it/);
  await refused.start().catch(() => {});
  rmSync(refused.directory, { recursive: true, force: true });
  const grouped = await new TestDaemon([
    "--group",
    "12345",
    "-H",
    `tcp://127.0.0.1:${port}`,
    "--tlsverify=false",
  ]).start();
  try {
    expect(statSync(grouped.socket).gid).toBe(12345);
    expect(grouped.log).toContain("is root on this host");
    expect((await fetch(`http://127.0.0.1:${port}/_ping`)).status).toBe(200);
    await noPageMayAsk(grouped, port);
  } finally {
    await grouped.destroy();
  }
});
