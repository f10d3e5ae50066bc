/** Ports published on IPv6 addresses: led to containers that have IPv6, handed on by the shim to those that have not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";
import { echoDatagrams } from "../kits/datagrams.ts";
import { HOST, HOST6, MACHINE6, Outside } from "../kits/outside.ts";

const daemon = daemonOfFile();
let outside: Outside;

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

/** A web server that says who asks, and one that says what it was sent. */
const SERVE = `mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who
head -c 20000000 /dev/urandom > /w/large; echo here > /w/index.html
nc -ll -p 91 -e sha256sum & nc -ll -p 92 -e cat & exec httpd -f -p 80 -h /w`;

async function serve(name: string, ...flags: string[]): Promise<void> {
  await done("run", "-d", "--name", name, ...flags, "busybox", "sh", "-c", SERVE);
  await done(
    "exec",
    name,
    "sh",
    "-c",
    "until wget -q -O /dev/null 127.0.0.1 2>/dev/null; do usleep 10000; done",
  );
}

interface Mapping {
  readonly HostIp: string;
  readonly HostPort: string;
}

async function mapped(name: string, port = "80/tcp"): Promise<Mapping[]> {
  const format = "{{json .NetworkSettings.Ports}}";
  return (JSON.parse(await daemon.inspect(name, format)) as Record<string, Mapping[]>)[port] ?? [];
}

const portOf = async (name: string, port = "80/tcp") =>
  Number((await mapped(name, port))[0]?.HostPort);

async function get(address: string, port: number, path = "/"): Promise<string> {
  try {
    return (
      await (await fetch(`http://${address}:${port}${path}`, { keepalive: false })).text()
    ).trim();
  } catch (error) {
    return String(error);
  }
}

/** Sends everything, ends its half, and gives what comes until the other half ends. */
function converse(address: string, port: number, data: Uint8Array): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parts: Buffer[] = [];
  const socket = connect({ host: address, port, allowHalfOpen: true }, () => socket.end(data));
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("end", () => resolve(Buffer.concat(parts)));
  socket.on("error", reject);
  return promise;
}

/** A datagram's echo; empty when none comes. */
async function echo(address: string, port: number): Promise<string> {
  const socket = createSocket("udp6");
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on("message", (data, from) => resolve(`${data} from ${from.address}`));
  const timer = setInterval(() => socket.send("hello", port, address), 100);
  const late = setTimeout(() => resolve(""), 10_000);
  const answer = await promise;
  clearInterval(timer);
  clearTimeout(late);
  socket.close();
  return answer;
}

beforeAll(async () => {
  outside = await Outside.start(daemon, "elsewhere");
});
afterAll(() => outside.remove());

test("a port without an address is published on both families under one number, and shown as docker shows it", async () => {
  await serve("four", "-p", "80", "-p", "91", "-p", "92", "-p", "7/udp");
  const port = await portOf("four");
  expect(await mapped("four")).toEqual([
    { HostIp: "0.0.0.0", HostPort: `${port}` },
    { HostIp: "::", HostPort: `${port}` },
  ]);
  expect(await done("port", "four", "80")).toBe(`0.0.0.0:${port}\n[::]:${port}`);
  const shown = await done("ps", "--filter", "name=four", "--format", "{{.Ports}}");
  expect(shown.split(", ")).toContain(`[::]:${port}->80/tcp`);
  expect((await daemon.docker("port", "four", "80")).out.trim()).toBe(
    `0.0.0.0:${port}\n[::]:${port}`,
  );
  for (const address of ["127.0.0.1", "[::1]", `[${HOST6}]`])
    expect([address, await get(address, port)]).toEqual([address, "here"]);
  expect(outside.get(HOST6, port)).toBe("here");
  expect(outside.get(HOST, port)).toBe("here");
});

test("what is handed on arrives whole, in both directions, and each end by itself", async () => {
  const [web, sums] = [await portOf("four"), await portOf("four", "91/tcp")];
  const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
  const large = await (await fetch(`http://[::1]:${web}/large`)).bytes();
  expect(digest(large)).toBe(
    (await done("exec", "four", "sha256sum", "/w/large")).split(" ")[0] ?? "",
  );
  const said = await converse("::1", sums, large);
  expect(said.toString().split(" ")[0]).toBe(digest(large));
});

test("forty clients at once are each served", async () => {
  const port = await portOf("four");
  const answers = await Promise.all(Array.from({ length: 40 }, () => get("[::1]", port)));
  expect(answers.filter((answer) => answer !== "here")).toEqual([]);
}, 60_000);

test("datagrams are answered from the address that they were sent to", async () => {
  const server = await echoDatagrams(await daemon.inspect("four", "{{.State.Pid}}"), 7);
  const port = await portOf("four", "7/udp");
  expect(await echo(HOST6, port)).toBe(`hello from ${HOST6}`);
  expect(await echo("::1", port)).toBe("hello from ::1");
  server.kill();
  await server.exited;
});

test("without a daemon clients of both families are served, and open connections stay open", async () => {
  const port = await portOf("four", "92/tcp");
  const socket = connect({ host: "::1", port });
  const next = (wanted: Socket) =>
    new Promise<string>((resolve) => wanted.once("data", (data) => resolve(String(data))));
  socket.write("before");
  expect(await next(socket)).toBe("before");
  await daemon.kill();
  socket.write("during");
  expect(await next(socket)).toBe("during");
  await daemon.start();
  socket.write("after");
  expect(await next(socket)).toBe("after");
  socket.destroy();
  expect(outside.get(HOST6, await portOf("four"))).toBe("here");
});

test("a container with IPv6 sees the client's own address", async () => {
  await done("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six");
  await serve("both", "--network", "six", "-p", "80");
  const port = await portOf("both");
  expect(outside.get(HOST6, port)).toBe("here");
  const who = outside.run("curl", "-s", "-m", "20", `http://[${HOST6}]:${port}/cgi-bin/who`);
  expect(who.trim().replace(/[[\]]/g, "")).toBe(MACHINE6);
  for (const address of ["127.0.0.1", "[::1]"]) expect(await get(address, port)).toBe("here");
});

test("a container without IPv4 is reached by both", async () => {
  await done("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd00:78::/64", "only6");
  await serve("alone", "--network", "only6", "-p", "80");
  const port = await portOf("alone");
  for (const address of ["127.0.0.1", "[::1]"])
    expect([address, await get(address, port)]).toEqual([address, "here"]);
  expect(outside.get(HOST, port)).toBe("here");
  expect(outside.get(HOST6, port)).toBe("here");
});

test("a port is reached where it is bound, and nowhere else", async () => {
  await serve("bound", "--network", "six", "-p", "[::1]::80", "-p", `[${HOST6}]::80`);
  const [own, out] = await mapped("bound");
  expect([own?.HostIp, out?.HostIp]).toEqual(["::1", HOST6]);
  expect(await get("[::1]", Number(own?.HostPort))).toBe("here");
  expect(outside.getInVain(HOST6, Number(own?.HostPort))).toBe("");
  expect(outside.get(HOST6, Number(out?.HostPort))).toBe("here");
  expect(await get("[::1]", Number(out?.HostPort))).toContain("REFUSED");
  expect(await get("127.0.0.1", Number(out?.HostPort))).toContain("REFUSED");
});

test("clients follow a container to other networks, and new ports come while it runs", async () => {
  const port = await portOf("four");
  await done("network", "create", "elsewhere4");
  await done("network", "connect", "elsewhere4", "four");
  await done("network", "disconnect", "bridge", "four");
  expect(await get("[::1]", port)).toBe("here");
  await done("update", "-p", "[::1]:0:80", "four");
  const late = (await mapped("four")).at(-1);
  expect(late?.HostIp).toBe("::1");
  expect(await get("[::1]", Number(late?.HostPort))).toBe("here");
});

test("an internal network's containers do not get out by a port of the host's", async () => {
  await done("network", "create", "--internal", "--ipv6", "--subnet", "fd00:79::/64", "inner");
  const port = await portOf("four");
  const ask = async (network: string, address: string) => {
    const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address} ${port}`;
    const words = ["run", "--rm", "--network", network, "busybox", "sh", "-c", script];
    return (await daemon.berth(...words)).out;
  };
  expect(await ask("six", "fd00:77::1")).toContain("here");
  expect(await ask("inner", "fd00:79::1")).toBe("");
});

test("somebody else's port of IPv6 is respected", async () => {
  const server = createServer();
  await new Promise<void>((resolve) =>
    server.listen({ host: "::", port: 0, ipv6Only: true }, resolve),
  );
  const { port } = server.address() as { port: number };
  const refused = await daemon.berth("run", "--rm", "-p", `${port}:80`, "busybox", "true");
  expect(refused.err).toContain(`failed to bind host port for [::]:${port}:`);
  expect(refused.err).toContain("address already in use");
  server.close();
  const { out, err } = await daemon.berth(
    "run",
    "--rm",
    "-p",
    `${port}:80`,
    "busybox",
    "echo",
    "ok",
  );
  expect([out, err]).toEqual(["ok\n", ""]);
  const bad = await daemon.berth("create", "-p", "[fe80::1%eth0]:1:80", "busybox");
  expect(bad.status).toBe(125);
});
