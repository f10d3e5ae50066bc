/** Ports of a running container published and withdrawn: clients reach it or are refused, and its process goes on. */
import { beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { echoDatagrams } from "../kits/datagrams.ts";

const daemon = daemonOfFile();
const serving =
  "mkdir /w; echo eighty > /w/index.html; mkdir /v; echo ninety > /v/index.html; httpd -p 90 -h /v; exec httpd -f -p 80 -h /w";

/** What the server says at a port of the host; "refused" when nobody is there. */
async function ask(port: string, host = "127.0.0.1"): Promise<string> {
  try {
    const url = `http://${host}:${port}/index.html`;
    return (await (await fetch(url, { keepalive: false })).text()).trim();
  } catch (error) {
    return /refused/i.test(String(error)) ? "refused" : String(error);
  }
}

/** A port that nobody has at the moment. */
function freePort(): string {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  server.stop(true);
  return String(server.port);
}

async function update(...args: string[]): Promise<void> {
  const done = await daemon.berth("update", ...args);
  expect([done.status, done.err]).toEqual([0, ""]);
}

const pidOf = (name: string) => daemon.inspect(name, "{{.State.Pid}}");
const portsOf = async (name: string) =>
  (await daemon.berth("port", name)).out.trim().split("\n").filter(Boolean).toSorted();

/** A port of every address of the host, as `port` shows it. */
const everywhere = (inside: string, port: string) =>
  ["0.0.0.0", "[::]"].map((any) => `${inside} -> ${any}:${port}`);

async function serve(name: string, ...flags: string[]): Promise<void> {
  const command = ["busybox", "sh", "-c", serving];
  const done = await daemon.berth("run", "-d", "--name", name, ...flags, ...command);
  expect(done.status).toBe(0);
  await daemon.berth(
    "exec",
    name,
    "sh",
    "-c",
    "until wget -q -O /dev/null 127.0.0.1; do usleep 10000; done",
  );
}

beforeAll(() => serve("web"));

test("a port comes and goes while the process runs on; ps, inspect and port show it", async () => {
  const pid = await pidOf("web");
  const port = freePort();
  expect(await ask(port)).toBe("refused");
  await update("-p", `${port}:80`, "web");
  expect(await ask(port)).toBe("eighty");
  expect(await portsOf("web")).toEqual(everywhere("80/tcp", port));
  const format = "{{json .HostConfig.PortBindings}} {{json .NetworkSettings.Ports}}";
  expect(await daemon.inspect("web", format)).toBe(
    `{"80/tcp":[{"HostIp":"","HostPort":"${port}"}]} {"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"${port}"},{"HostIp":"::","HostPort":"${port}"}]}`,
  );
  const listed = await daemon.docker("ps", "--format", "{{.Names}} {{.Ports}}");
  expect(listed.out).toBe(`web 0.0.0.0:${port}->80/tcp, [::]:${port}->80/tcp\n`);
  // Nobody else can have it.
  const taken = await daemon.berth("run", "--rm", "-p", `${port}:80`, "busybox", "true");
  expect([taken.status, taken.err]).toEqual([125, expect.stringContaining("already in use")]);

  await update("--publish-rm", `${port}:80`, "web");
  expect(await ask(port)).toBe("refused");
  expect(await portsOf("web")).toEqual([]);
  expect((await daemon.berth("run", "--rm", "-p", `${port}:80`, "busybox", "true")).status).toBe(0);
  expect(await pidOf("web")).toBe(pid);
});

test("ports given at the start are withdrawn as well; another address, another port in the same breath", async () => {
  const [first, second] = [freePort(), freePort()];
  await serve("moving", "-p", `${first}:80`, "-p", `127.0.0.1:${second}:80`);
  await update("--publish-rm", `127.0.0.1:${second}:80`, "moving");
  expect([await ask(first), await ask(second)]).toEqual(["eighty", "refused"]);
  // The same port of the host, to another port of the container.
  await update("--publish-rm", "80", "-p", `${first}:90`, "-p", `127.0.0.2:${second}:80`, "moving");
  expect([await ask(first), await ask(second)]).toEqual(["ninety", "refused"]);
  expect(await ask(second, "127.0.0.2")).toBe("eighty");
  // Done twice, it is done once.
  await update("-p", `${first}:90`, "moving");
  expect(await portsOf("moving")).toEqual([
    `80/tcp -> 127.0.0.2:${second}`,
    ...everywhere("90/tcp", first),
  ]);
  await daemon.berth("rm", "-f", "moving");
  expect([await ask(first), await ask(second, "127.0.0.2")]).toEqual(["refused", "refused"]);
});

test("all or nothing: a port that is taken, one that is not published, one that makes no sense", async () => {
  const [taken, free] = [freePort(), freePort()];
  const other = Bun.listen({ hostname: "0.0.0.0", port: Number(taken), socket: { data() {} } });
  const before = await daemon.inspect("web", "{{json .HostConfig}} {{json .Config}}");
  const refused = await daemon.berth("update", "-p", `${free}:80`, "-p", `${taken}:80`, "web");
  other.stop(true);
  expect(refused.status).toBe(1);
  expect(refused.err).toContain(`failed to bind host port for 0.0.0.0:${taken}`);
  expect(refused.err).toContain("address already in use");
  const missing = await daemon.berth("update", "-p", `${free}:80`, "--publish-rm", "99", "web");
  expect([missing.status, missing.err]).toEqual([
    1,
    expect.stringContaining("the container does not publish 99/tcp"),
  ]);
  const address = { "80/tcp": [{ HostIp: "fe80::1%eth0", HostPort: free }] };
  const odd = await daemon.api("POST", "/containers/web/update", {
    Berth: { PortBindings: address },
  });
  expect([odd.status, odd.text]).toEqual([
    400,
    expect.stringContaining("invalid IP address: fe80::1%eth0"),
  ]);
  const misspelt = await daemon.api("POST", "/containers/web/update", {
    Berth: { PortBinding: {} },
  });
  expect(misspelt.status).toBe(400);
  expect(await ask(free)).toBe("refused");
  expect(await daemon.inspect("web", "{{json .HostConfig}} {{json .Config}}")).toBe(before);
  expect((await daemon.berth("run", "--rm", "-p", `${free}:80`, "busybox", "true")).status).toBe(0);
});

test("ports outlive kill -9 of the daemon, can be changed by the next one, and end with the container", async () => {
  const [port, other] = [freePort(), freePort()];
  await serve("lasting");
  const pid = await pidOf("lasting");
  await update("-p", `${port}:80`, "lasting");
  await daemon.kill();
  expect(await ask(port)).toBe("eighty");
  await daemon.start();
  expect(await ask(port)).toBe("eighty");
  await update("--publish-rm", "80", "-p", `${other}:90`, "lasting");
  expect([await ask(port), await ask(other)]).toEqual(["refused", "ninety"]);
  expect(await pidOf("lasting")).toBe(pid);
  // Kept for the next start.
  expect((await daemon.berth("restart", "-t", "0", "lasting")).status).toBe(0);
  expect(await portsOf("lasting")).toEqual(everywhere("90/tcp", other));
  await daemon.berth("rm", "-f", "lasting");
  expect(await ask(other)).toBe("refused");
});

test("a daemon killed in the middle of changes leaves the whole change or nothing of it", async () => {
  const ports = Array.from({ length: 8 }, freePort);
  await serve("torn", "-p", `${ports[0]}:80`);
  const pid = await pidOf("torn");
  for (let round = 0; round < 8; round++) {
    const present = new Set((await portsOf("torn")).map((line) => line.split(":").at(-1)));
    const [gone, come] = [
      ports.filter((p) => present.has(p)),
      ports.filter((p) => !present.has(p)),
    ];
    const flags = [
      ...gone.flatMap((p) => ["--publish-rm", `${p}:80`]),
      ...come.flatMap((p) => ["-p", `${p}:80`]),
    ];
    const asked = daemon.berth("update", ...flags, "torn");
    await Bun.sleep(Math.random() * 60);
    await daemon.kill();
    await asked;
    await daemon.start();
    const lines = await portsOf("torn");
    const shown = [...new Set(lines.map((line) => line.split(":").at(-1) ?? ""))].toSorted();
    expect([gone.toSorted(), come.toSorted()]).toContainEqual(shown);
    for (const port of ports)
      expect(await ask(port)).toBe(shown.includes(port) ? "eighty" : "refused");
    // What is not published is free again.
    for (const port of ports.filter((p) => !shown.includes(p)).slice(0, 2)) {
      const free = await daemon.berth("run", "--rm", "-p", `${port}:80`, "busybox", "true");
      expect(free.err).toBe("");
    }
  }
  expect(await pidOf("torn")).toBe(pid);
  await daemon.berth("rm", "-f", "torn");
}, 120_000);

test("ranges, UDP and -P; a stopped container; several containers, of which one is missing", async () => {
  await daemon.berth(
    "create",
    "--name",
    "stopped",
    "--expose",
    "70-71",
    "busybox",
    "sleep",
    "1000",
  );
  await update("-p", "53/udp", "-P", "stopped");
  expect((await daemon.berth("start", "stopped")).status).toBe(0);
  const shown = (await portsOf("stopped")).map((line) => line.replace(/\d+$/, "N"));
  expect(shown).toEqual(
    ["53/udp", "70/tcp", "71/tcp"].flatMap((inside) => everywhere(inside, "N")),
  );
  const before = await portsOf("stopped");
  await update("--publish-rm", "70", "stopped");
  expect(await portsOf("stopped")).toEqual(before.filter((line) => !line.startsWith("70/")));
  expect(await daemon.inspect("stopped", "{{.HostConfig.PublishAllPorts}}")).toBe("false");
  const first = Number(freePort());
  const range = `127.0.0.1:${first}-${first + 20}:80`;
  const several = await daemon.berth("update", "-p", range, "missing", "stopped", "web");
  expect([several.status, several.out]).toEqual([1, "stopped\nweb\n"]);
  expect(several.err).toContain("No such container: missing");
  const chosen = (await portsOf("web")).find((line) => line.includes("127.0.0.1:"));
  expect(await ask(chosen?.split(":")[1] ?? "")).toBe("eighty");
  await update("--publish-rm", range, "stopped", "web");
  await daemon.berth("rm", "-f", "stopped");
});

test("an UDP port is led to the container, and held", async () => {
  await daemon.berth("run", "-d", "--name", "echo", "busybox", "sleep", "1000");
  const server = await echoDatagrams(await pidOf("echo"), 5000);
  const probe = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const { port } = probe;
  probe.close();
  await update("-p", `127.0.0.1:${port}:5000/udp`, "echo");
  const { promise, resolve } = Promise.withResolvers<string>();
  const client = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: { data: (_socket, data) => resolve(data.toString()) },
  });
  client.send("hello");
  expect(await promise).toBe("hello");
  client.close();
  const here = { hostname: "127.0.0.1", port };
  expect(() => Bun.udpSocket(here)).toThrow("EADDRINUSE");
  await update("--publish-rm", "5000/udp", "echo");
  (await Bun.udpSocket(here)).close();
  server.kill();
  await server.exited;
  await daemon.berth("rm", "-f", "echo");
});

test("labels at once, also for docker; the host's network only notes ports, another container's has none to give", async () => {
  await update("-l", "a=1", "-l", "b=2", "web");
  await update("--label-rm", "a", "-l", "b=3", "web");
  expect(await daemon.inspect("web", "{{json .Config.Labels}}")).toBe('{"b":"3"}');
  expect((await daemon.docker("ps", "-q", "--filter", "label=b=3")).out).not.toBe("");
  await daemon.berth("run", "-d", "--name", "hosted", "--net", "host", "busybox", "sleep", "1000");
  const warned = await daemon.berth("update", "-p", "80", "hosted");
  expect([warned.status, warned.out, warned.err]).toEqual([
    0,
    "hosted\n",
    "Published ports are discarded when using host network mode\n",
  ]);
  await daemon.berth("rm", "-f", "hosted");
  const joined = ["--name", "joined", "--net", "container:web", "busybox", "sleep", "1000"];
  await daemon.berth("run", "-d", ...joined);
  for (const name of ["joined", "stopped"]) {
    if (name === "stopped") await daemon.berth("create", "--name", name, ...joined.slice(2));
    for (const flags of [["-p", "80"], ["-P"], ["--hostname", "other"]]) {
      const refused = await daemon.berth("update", ...flags, name);
      const what = flags[0] === "--hostname" ? "hostname" : "port publishing";
      const mode =
        flags[0] === "--hostname" ? "the network mode" : "the container type network mode";
      expect([refused.status, refused.err]).toEqual([
        1,
        expect.stringContaining(`conflicting options: ${what} and ${mode}`),
      ]);
    }
    expect(await daemon.inspect(name, "{{json .HostConfig.PortBindings}}")).toBe("{}");
  }
  await daemon.berth("rm", "-f", "joined", "stopped");
});
