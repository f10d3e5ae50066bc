/** The API over TLS: who a certificate says that a client is, to plugins and in the audit log; and clients that take their time. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { freePort, makeCertificates } from "../../kits/certificates.ts";
import { daemonOfFile } from "../../kits/daemon.ts";
import { giveToDaemon, scratchDirectory } from "../../kits/scratch.ts";
import { attacks, smuggled } from "../../kits/smuggling.ts";

const home = scratchDirectory("bt-tls-");
const name = `bt-tls-${process.pid}`;
const places = "/run/docker/plugins";
mkdirSync(places, { recursive: true });
makeCertificates(home);
giveToDaemon(`${home}/server-key.pem`);

interface Asked {
  readonly User: string;
  readonly UserAuthNMethod: string;
  readonly RequestUri: string;
  readonly ResponseBody?: string;
}
const asked: Asked[] = [];
let allowed: (user: string) => boolean = () => true;
const plugin = Bun.serve({
  unix: `${places}/${name}.sock`,
  async fetch(request) {
    if (new URL(request.url).pathname === "/Plugin.Activate")
      return Response.json({ Implements: ["authz"] });
    const question = (await request.json()) as Asked;
    asked.push(question);
    return Response.json({ Allow: allowed(question.User), Msg: `not for ${question.User}` });
  },
});
giveToDaemon(`${places}/${name}.sock`);
const port = await freePort();
const audit = `${home}/audit`;
const daemon = daemonOfFile([
  ...["-H", `tcp://127.0.0.1:${port}`, "--tlsverify", "--tlscacert", `${home}/ca.pem`],
  ...["--tlscert", `${home}/server.pem`, "--tlskey", `${home}/server-key.pem`],
  ...["--authorization-plugin", name, "--audit-log", audit],
]);
afterAll(async () => {
  await plugin.stop(true);
  rmSync(`${places}/${name}.sock`, { force: true });
  rmSync(home, { recursive: true });
});

const over = (cert: string) => [
  ...["--tlsverify", "-H", `tcp://127.0.0.1:${port}`, "--tlscacert", `${home}/ca.pem`],
  ...["--tlscert", `${home}/${cert}.pem`, "--tlskey", `${home}/${cert}-key.pem`],
];
const entries = () =>
  readFileSync(audit, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { path: string; who: Record<string, unknown> });

test("plugins and the audit log have the name of the client's certificate, and a stranger's gets nowhere", async () => {
  asked.length = 0;
  for (const client of ["docker", "berth"] as const) {
    const done = await daemon[client](...over("client"), "volume", "inspect", `by-${client}`);
    expect(done.status).toBe(1);
    expect(entries().find(({ path }) => path === `/volumes/by-${client}`)?.who).toEqual({
      certificate: "client",
      address: "127.0.0.1",
    });
  }
  const own = asked.filter(({ RequestUri }) => RequestUri.includes("/volumes/by-"));
  expect(own.length).toBeGreaterThan(1);
  for (const { User, UserAuthNMethod } of own)
    expect([User, UserAuthNMethod]).toEqual(["client", "TLS"]);
  // Over the Unix socket nobody has such a name, and none can be claimed by a header.
  asked.length = 0;
  await fetch("http://x/volumes/local", { unix: daemon.socket, headers: { User: "client" } });
  expect(asked.map(({ User, UserAuthNMethod }) => [User, UserAuthNMethod])).toEqual([["", ""]]);
  asked.length = 0;
  expect((await daemon.berth(...over("stranger"), "ps")).status).toBe(1);
  expect(asked).toEqual([]);
  allowed = (user) => user !== "client";
  const refused = await daemon.docker(...over("client"), "ps");
  expect([refused.status, refused.err]).toEqual([
    1,
    expect.stringContaining(`authorization denied by plugin ${name}: not for client`),
  ]);
  allowed = () => true;
});

test("upgraded connections are the same client's", async () => {
  asked.length = 0;
  const done = await daemon.dockerWith(
    { stdin: "through TLS" },
    ...[...over("client"), "run", "--rm", "-i", "busybox", "cat"],
  );
  expect([done.out, done.err]).toEqual(["through TLS", ""]);
  const attach = asked.filter(({ RequestUri }) => RequestUri.includes("/attach"));
  expect(attach.map(({ User }) => User)).toContain("client");
  const attached = entries().filter(({ path }) => path.endsWith("/attach"));
  expect(attached.at(-1)?.who).toMatchObject({ certificate: "client" });
});

/** A connection of the client's. */
function connected() {
  const certificate = {
    ...{ ca: readFileSync(`${home}/ca.pem`), cert: readFileSync(`${home}/client.pem`) },
    key: readFileSync(`${home}/client-key.pem`),
  };
  const socket = connectTls({ host: "127.0.0.1", port, servername: "localhost", ...certificate });
  socket.on("error", () => {});
  return socket;
}

/** What is answered to bytes, until the connection ends. */
function raw(bytes: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connected();
  let out = "";
  socket.on("data", (data) => {
    out += data;
  });
  socket.on("close", () => resolve(out));
  socket.write(bytes);
  return promise;
}

test("requests that can be read in two ways are refused here, too (CWE-444)", async () => {
  const closing = smuggled.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
  for (const [what, bytes] of Object.entries(attacks)) {
    asked.length = 0;
    const answer = await raw(`${bytes}${closing}`);
    expect([what, answer.slice(0, 10)]).toEqual([what, "HTTP/1.1 4"]);
    expect([what, answer.includes("HTTP/1.1 200")]).toEqual([what, false]);
    const others = asked.filter(({ RequestUri }) => RequestUri !== "/containers/prune");
    expect([what, others]).toEqual([what, []]);
  }
  expect(await raw(closing)).toStartWith("HTTP/1.1 200");
});

test("who connects and says nothing, or half of something, keeps nobody else waiting, by hundreds", async () => {
  const silent = Array.from({ length: 400 }, (_, n) => {
    const socket = n % 2 === 0 ? connect(port, "127.0.0.1") : connect(daemon.socket);
    socket.on("error", () => {});
    if (n % 4 === 1) socket.write("POST /containers/create HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    if (n % 4 === 3)
      socket.write(
        "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
      );
    return socket;
  });
  const half = connected();
  half.write("GET /info HTTP/1.1\r\n");
  try {
    for (let n = 0; n < 5; n++) {
      expect((await daemon.docker(...over("client"), "ps", "-q")).status).toBe(0);
      expect((await daemon.berth("run", "--rm", "busybox", "echo", "well")).out).toBe("well\n");
    }
  } finally {
    for (const socket of silent) socket.destroy();
    half.destroy();
  }
});
