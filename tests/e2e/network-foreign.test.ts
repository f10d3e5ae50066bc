/** What others have on the host (ports, interfaces, routes) and in namespaces is respected, and errors name it. */
import { afterEach, expect, test } from "bun:test";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

async function refused(words: string, ...args: string[]): Promise<void> {
  const { status, err } = await daemon.berth(...args);
  expect(err, args.join(" ")).toContain(words);
  expect(status).not.toBe(0);
}

function host(...words: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(words);
  expect(`${exitCode} ${stderr}`, words.join(" ")).toBe("0 ");
  return stdout.toString().trim();
}

/** A process of somebody's that has a port of the host. */
async function occupy(hostname: string, udp = false): Promise<{ port: number; stop(): void }> {
  if (udp) {
    const socket = await Bun.udpSocket({ hostname });
    return { port: socket.port, stop: () => socket.close() };
  }
  const server = Bun.listen({ hostname, port: 0, socket: { data() {} } });
  return { port: server.port, stop: () => server.stop(true) };
}

for (const [where, protocol] of [
  ["0.0.0.0", "tcp"],
  ["127.0.0.1", "tcp"],
  ["0.0.0.0", "udp"],
  ["127.0.0.1", "udp"],
] as const)
  test(`a port that a process has at ${where} (${protocol}) is its own, until it ends`, async () => {
    const taken = await occupy(where, protocol === "udp");
    cleanups.push(() => daemon.berth("rm", "-f", "late"));
    const publish = ["-p", `${taken.port}:80/${protocol}`];
    await refused(
      `failed to bind host port for 0.0.0.0:${taken.port}:`,
      ...["run", "-d", "--name", "late", ...publish, "busybox", "sleep", "1000"],
    );
    expect((await daemon.berth("start", "late")).err).toContain("address already in use");
    expect(await daemon.inspect("late", "{{.State.Status}} {{.NetworkSettings.IPAddress}}")).toBe(
      "created",
    );
    // At another address it is nobody's.
    const beside = ["-p", `127.0.0.9:${taken.port}:80/${protocol}`];
    if (where !== "0.0.0.0") await done("run", "--rm", ...beside, "busybox", "true");
    taken.stop();
    await done("start", "late");
    const led = ["0.0.0.0", "[::]"].map((any) => `80/${protocol} -> ${any}:${taken.port}`);
    expect(await done("port", "late")).toBe(led.join("\n"));
  });

test("what is published stays published while no daemon is there: nobody else gets the port", async () => {
  cleanups.push(() => daemon.berth("rm", "-f", "holder"));
  await done("run", "-d", "--name", "holder", "-p", "127.0.0.1::80", "busybox", "sleep", "1000");
  const port = Number((await done("port", "holder", "80")).split(":")[1]);
  await daemon.kill();
  const steal = () => Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
  try {
    expect(steal).toThrow();
  } finally {
    await daemon.start();
  }
  expect(steal).toThrow();
});

test("a stopped container's port that somebody takes meanwhile is told at its start, and is had back after", async () => {
  cleanups.push(() => daemon.berth("rm", "-f", "web"));
  const free = await occupy("127.0.0.1");
  free.stop();
  await done(
    "run",
    "-d",
    "--name",
    "web",
    "-p",
    `127.0.0.1:${free.port}:80`,
    "busybox",
    "sleep",
    "1000",
  );
  await done("kill", "web");
  await done("wait", "web");
  const server = Bun.listen({ hostname: "127.0.0.1", port: free.port, socket: { data() {} } });
  await refused("address already in use", "start", "web");
  expect(await daemon.inspect("web", "{{.State.Running}}")).toBe("false");
  server.stop(true);
  await done("start", "web");
});

test("a port is free once its container is gone, however that and its daemon have ended (moby#20486, #36591)", async () => {
  const free = await occupy("0.0.0.0");
  free.stop();
  const publish = ["-p", `${free.port}:80`, "-p", `${free.port}:80/udp`];
  const run = ["run", "-d", "--name", "holder", ...publish, "busybox", "sleep", "1000"];
  cleanups.push(() => daemon.berth("rm", "-f", "holder"));
  const ends: readonly (() => Promise<unknown>)[] = [
    async () => process.kill(Number(await daemon.inspect("holder", "{{.State.Pid}}")), "SIGKILL"),
    async () => {
      const pid = Number(await daemon.inspect("holder", "{{.State.Pid}}"));
      await daemon.kill();
      process.kill(pid, "SIGKILL");
      await daemon.start();
    },
    async () => {
      const pid = await daemon.inspect("holder", "{{.State.Pid}}");
      const shim = /^PPid:\s+(\d+)/m.exec(await Bun.file(`/proc/${pid}/status`).text())?.[1];
      await daemon.kill();
      process.kill(Number(shim), "SIGKILL");
      await daemon.start();
    },
    () => daemon.berth("kill", "holder"),
  ];
  for (const end of ends) {
    await done(...run);
    await end();
    await daemon.until("holder", "{{.State.Running}}", "false");
    // The host's own programs have it as well as the next container.
    (await occupyAt(free.port)).stop();
    await done("start", "holder");
    await done("rm", "-f", "holder");
  }
});

/** Takes a port as soon as whoever has ended has let go of it; throws after ten seconds. */
async function occupyAt(port: number): Promise<{ stop(): void }> {
  for (let tries = 0; ; tries++)
    try {
      const server = Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } });
      return { stop: () => server.stop(true) };
    } catch (error) {
      if (tries === 1000) throw error;
      await Bun.sleep(10);
    }
}

test("a container's files are removed while somebody's mount namespace still shows them (moby#22260)", async () => {
  await done("run", "-d", "--name", "shown", "busybox", "sleep", "1000");
  // A copy of all mounts that there are now.
  const copy = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sleep", "1000"]);
  cleanups.push(() => copy.kill());
  await done("rm", "-f", "shown");
  expect((await daemon.berth("inspect", "shown")).status).not.toBe(0);
  await done("run", "--rm", "--name", "shown", "busybox", "true");
});

test("there are subnets for more networks than thirty-one, each with its containers (for-linux#599)", async () => {
  const names = Array.from({ length: 48 }, (_, number) => `many${number}`);
  for (const name of names) await done("network", "create", name);
  cleanups.push(() => daemon.berth("network", "rm", ...names));
  const gateways = await Promise.all(
    names.map((name) => daemon.inspect(name, "{{(index .IPAM.Config 0).Gateway}}")),
  );
  expect(new Set(gateways).size).toBe(names.length);
  const ping = ["busybox", "ping", "-c1", "-W2", gateways.at(-1) ?? ""];
  await done("run", "--rm", "--network", names.at(-1) ?? "", ...ping);
});

test("an interface of somebody's is no bridge of a network's, and one that has taken a bridge's place is left alone", async () => {
  host("ip", "link", "add", "theirs0", "type", "veth", "peer", "name", "theirs1");
  cleanups.push(() => host("ip", "link", "delete", "theirs0"));
  const named = (name: string) => ["-o", `com.docker.network.bridge.name=${name}`];
  await refused(
    "existing interface theirs0 is not a bridge",
    ...["network", "create", ...named("theirs0"), "not"],
  );
  const id = await done("network", "create", "--subnet", "10.44.0.0/24", "gone");
  await done("network", "create", "--subnet", "10.45.0.0/24", "stays");
  const bridge = `br-${id.slice(0, 12)}`;
  await daemon.kill();
  host("ip", "link", "delete", bridge);
  host("ip", "link", "add", bridge, "type", "veth", "peer", "name", "theirs2");
  cleanups.push(() => host("ip", "link", "delete", "theirs2"));
  await daemon.start();
  await refused(bridge, "run", "--rm", "--network", "gone", "busybox", "true");
  await done("run", "--rm", "--network", "stays", "busybox", "true");
  expect(host("ip", "-d", "-o", "link", "show", bridge)).toContain("veth");
  // Where it is free again, the network is there again.
  host("ip", "link", "set", bridge, "name", "theirs5");
  await done("run", "--rm", "--network", "gone", "busybox", "ping", "-c1", "-W2", "10.44.0.1");
  await done("network", "rm", "gone", "stays");
});

test("the name of the daemon's own bridge is nobody's by force: the daemon says who has it, and starts when it is free", async () => {
  const other = new TestDaemon(["--bridge", "theirs3"]);
  host("ip", "link", "add", "theirs3", "type", "veth", "peer", "name", "theirs4");
  await expect(other.start()).rejects.toThrow(/theirs3/);
  expect(host("ip", "-d", "-o", "link", "show", "theirs3")).toContain("veth");
  host("ip", "link", "delete", "theirs3");
  await other.destroy();
});

test("a route of somebody's is named by what would cover it, and what has it already goes on (for-linux#418)", async () => {
  await done("network", "create", "--subnet", "10.46.0.0/24", "first");
  cleanups.push(() => daemon.berth("network", "rm", "first"));
  host("ip", "link", "add", "vpn0", "type", "bridge");
  cleanups.push(() => host("ip", "link", "delete", "vpn0"));
  host("ip", "link", "set", "vpn0", "up");
  for (const route of ["10.46.0.0/16", "10.47.0.0/28"])
    host("ip", "route", "add", route, "dev", "vpn0");
  for (const [subnet, route] of [
    ["10.46.1.0/24", "10.46.0.0/16"],
    ["10.47.0.0/24", "10.47.0.0/28"],
  ] as const)
    await refused(
      `overlaps with the host's route to ${route} by vpn0`,
      ...["network", "create", "--subnet", subnet, "second"],
    );
  // The VPN came after the network: the next daemon takes the network up as it was.
  await daemon.kill();
  await daemon.start();
  await done("run", "--rm", "--network", "first", "busybox", "ping", "-c1", "-W2", "10.46.0.1");
});

test("a name of an interface is one's own in each container, whoever has made it", async () => {
  await done("network", "create", "--subnet", "10.48.0.0/24", "one");
  await done("network", "create", "--subnet", "10.49.0.0/24", "two");
  cleanups.push(() => daemon.berth("network", "rm", "one", "two"));
  cleanups.push(() => daemon.berth("rm", "-f", "maker", "named"));
  const ifname = (name: string) => `driver-opt=com.docker.network.endpoint.ifname=${name}`;
  await refused(
    "lan0",
    ...[
      "run",
      "--rm",
      "--network",
      `name=one,${ifname("lan0")}`,
      "--network",
      `name=two,${ifname("lan0")}`,
    ],
    ...["busybox", "true"],
  );
  for (const bad of ["lo", "a/b", "..", "x".repeat(16), "a b"])
    await refused(
      "invalid interface name: ",
      "run",
      "--rm",
      "--network",
      `name=one,${ifname(bad)}`,
      "busybox",
      "true",
    );
  await done(
    "run",
    "-d",
    "--name",
    "named",
    "--network",
    `name=one,${ifname("eth1")}`,
    "busybox",
    "sleep",
    "1000",
  );
  // What another has by name is stepped over.
  await done("network", "connect", "two", "named");
  expect(
    await done("exec", "named", "ip", "-o", "-4", "addr", "show", "to", "10.49.0.0/24"),
  ).not.toContain("eth1");
  // Somebody in the container has made one of the name that comes next.
  await done(
    "run",
    "-d",
    "--name",
    "maker",
    "--network",
    "one",
    "--cap-add",
    "NET_ADMIN",
    "busybox",
    "sleep",
    "1000",
  );
  await done("exec", "maker", "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "mine");
  await refused("eth1", "network", "connect", "two", "maker");
  expect(await daemon.inspect("maker", "{{len .NetworkSettings.Networks}}")).toBe("1");
  await done("exec", "maker", "ip", "link", "delete", "eth1");
  await done("network", "connect", "two", "maker");
  expect(await done("exec", "maker", "ip", "-o", "-4", "addr", "show", "eth1")).toContain(
    "10.49.0.",
  );
});
