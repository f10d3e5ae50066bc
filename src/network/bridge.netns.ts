/**
 * The bridge on the real kernel. bridge.test.ts runs this file in a network namespace of its own, which is "the host" here,
 * so that the machine's interfaces and rules are never touched. A neighbour namespace stands for another machine.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { helperOfFile } from "../../tests/kits/helper.ts";
import { openDatabase } from "../base/database.ts";
import type { Handle } from "../kernel/index.ts";
import { type Attached, attach } from "./attach.ts";
import type { DefaultNetworkOptions } from "./default-bridge.ts";
import { encodeRequests } from "./netlink.ts";
import { Networks } from "./networks.ts";
import type { PortWish } from "./publish.ts";
import { newAddress, newVeth, setUp } from "./rtnetlink.ts";
import type { EndpointRecord } from "./segment.ts";
import { NetworkStore } from "./store.ts";
import { defaultPools } from "./subnets.ts";

/** bridge.test.ts runs this file with each of the firewall's backends. */
const iptables = process.env.BERTH_TEST_FIREWALL === "iptables";
const HOST = "198.51.100.1";
const NEIGHBOUR = "198.51.100.2";
// Before the helper's end.
afterAll(() => networks.close(true));
const helper = helperOfFile();
const servers: Bun.Subprocess[] = [];
let networks: Networks;
let neighbour: Handle;

const options = {
  ...{ bridge: "berth0", bridgeNamed: false, forward: true, firewallLock: true },
  firewallBackend: iptables ? "iptables" : "nftables",
  defaultNetwork: { bip: "172.30.0.1/24" } as DefaultNetworkOptions,
  ...{ mtu: 1500, warm: 2, ahead: true, pools: defaultPools, seed: "test" },
} as const;
const store = new NetworkStore(openDatabase(`${helper.directory}/networks.db`, "NORMAL"));

/** A container on a network, the default bridge unless another is named. */
interface Endpoint extends Attached {
  readonly endpoint: EndpointRecord;
}

async function join(
  name: string,
  ports: readonly PortWish[] = [],
  at = { network: "", name: "bridge" },
): Promise<Endpoint> {
  const end = { ...at, interface: "eth0", leads: true };
  const made = await attach(networks, { name, ends: [end], ports });
  if (made.endpoint === undefined) throw new Error("no endpoint");
  return { ...made, endpoint: made.endpoint };
}

function run(netns: Handle, ...words: string[]): string {
  const enter = netns === 0 ? [] : ["nsenter", `--net=/proc/${helper.kernel.pid}/fd/${netns}`];
  const child = Bun.spawnSync([...enter, ...words], { stdin: "ignore" });
  return child.stdout.toString() + child.stderr.toString();
}

/** A server that tells each client from which address it came. */
async function serve(netns: Handle, port: number): Promise<void> {
  const program = `Bun.listen({ hostname: "0.0.0.0", port: ${port}, socket: {
    open(socket) { socket.end("from " + socket.remoteAddress + ":\\n"); }, data() {} } });
    console.log("listening");`;
  const path = `--net=/proc/${helper.kernel.pid}/fd/${netns}`;
  const words = ["nsenter", path, process.execPath, "-e", program];
  const server = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  servers.push(server);
  const first = await server.stdout.getReader().read();
  if (first.value === undefined) throw new Error("the server did not start");
}

/** A program that says what datagrams come to a port. */
function listen(netns: Handle, port: number) {
  const program = `await Bun.udpSocket({ hostname: "0.0.0.0", port: ${port}, socket: {
    data(_, data) { console.log(data.toString()); } } }); console.log("listening");`;
  const words = [
    "nsenter",
    `--net=/proc/${helper.kernel.pid}/fd/${netns}`,
    process.execPath,
    "-e",
    program,
  ];
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  servers.push(child);
  const reader = child.stdout.getReader();
  let heard = "";
  const until = async (text: string) => {
    while (!heard.includes(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`it has ended with ${heard}`);
      heard += new TextDecoder().decode(value);
    }
    return heard;
  };
  return { until };
}

function answer(netns: Handle, address: string, port: number, seconds: number): string {
  const words = ["timeout", String(seconds), "busybox", "nc", address, String(port)];
  return /from ([\d.]+):/.exec(run(netns, ...words))?.[1] ?? "";
}

/** What the server said, without the client's port. */
const ask = (netns: Handle, address: string, port: number) => answer(netns, address, port, 20);

/** Empty when there is no way to the server: what does not come within a second on one host does not come. */
const askInVain = (netns: Handle, address: string, port: number) => answer(netns, address, port, 1);

const wish = (hostAddress: string, port = 0): PortWish => ({
  protocol: "tcp",
  containerPort: 80,
  hostAddress,
  hostPorts: [port, port],
});

async function letGo(endpoint: Endpoint): Promise<void> {
  await networks.release(endpoint.endpoint);
  for (const handle of [endpoint.netns, ...endpoint.claims]) await helper.kernel.close(handle);
}

function hostPort(endpoint: Endpoint): number {
  return endpoint.endpoint.ports[0]?.hostPort ?? 0;
}

beforeAll(async () => {
  run(0, "ip", "link", "set", "lo", "up");
  neighbour = await helper.kernel.newNetns();
  const peer = { name: "eth0", index: 2, mac: "02:00:00:00:00:02", netns: neighbour };
  const pair = newVeth({ name: "outside", bridgeIndex: 0, mtu: 1500, peer });
  await helper.kernel.netlink(0, 0, encodeRequests([pair], 1), 1);
  run(0, "ip", "address", "add", `${HOST}/24`, "dev", "outside");
  const inside = [newAddress(2, NEIGHBOUR, 24), setUp(2)];
  await helper.kernel.netlink(neighbour, 0, encodeRequests(inside, 1), 2);
  networks = await Networks.open(helper.kernel, options, store, []);
});

/** A server holds its namespace, and with it an interface on the bridge. */
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.kill();
    await server.exited;
  }
});

test("a container reaches the host, its neighbours on the bridge, and as the host the world", async () => {
  const [one, two] = [await join("one"), await join("two")];
  await serve(two.netns, 80);
  await serve(neighbour, 81);
  expect(ask(one.netns, two.endpoint.address, 80)).toBe(one.endpoint.address);
  expect(ask(0, two.endpoint.address, 80)).toBe("172.30.0.1");
  expect(ask(one.netns, NEIGHBOUR, 81)).toBe(HOST);
  await letGo(one);
  await letGo(two);
});

test("a published port answers at every address of the host, to the container itself too, until it is withdrawn", async () => {
  const endpoint = await join("web", [wish("")]);
  const port = hostPort(endpoint);
  await serve(endpoint.netns, 80);
  expect(ask(0, "127.0.0.1", port)).toBe("172.30.0.1");
  expect(ask(0, HOST, port)).not.toBe("");
  expect(ask(neighbour, HOST, port)).toBe(NEIGHBOUR);
  expect(ask(endpoint.netns, HOST, port)).toBe("172.30.0.1");
  await letGo(endpoint);
  expect(askInVain(neighbour, HOST, port)).toBe("");
  expect(run(0, "nft", "list", "map", "inet", "berth0", "published-any")).not.toContain("elements");
});

test("a port published on 127.0.0.1 is the host's alone (GHSA-x4rx-4gw3-53p4)", async () => {
  const endpoint = await join("local", [wish("127.0.0.1")]);
  const other = await join("other");
  const port = hostPort(endpoint);
  await serve(endpoint.netns, 80);
  expect(ask(0, "127.0.0.1", port)).toBe("172.30.0.1");
  expect(askInVain(neighbour, HOST, port)).toBe("");
  expect(askInVain(other.netns, "172.30.0.1", port)).toBe("");
  // A neighbour that routes 127.0.0.1 here.
  await helper.kernel.sysctl(neighbour, "net/ipv4/conf/eth0/route_localnet", "1");
  run(neighbour, "ip", "route", "add", "127.0.0.1", "via", HOST, "src", NEIGHBOUR);
  expect(run(neighbour, "ip", "route", "get", "127.0.0.1")).toContain(HOST);
  expect(askInVain(neighbour, "127.0.0.1", port)).toBe("");
  await letGo(endpoint);
  await letGo(other);
});

test("from an internal network nothing leads out, whatever ways a container sets, and nothing in (CVE-2024-29018)", async () => {
  await serve(neighbour, 81);
  const free = await join("free");
  expect(ask(free.netns, NEIGHBOUR, 81)).toBe(HOST);
  const network = await networks.create({ Name: "closed", Internal: true });
  const closed = await join("closed", [], { network: network.id, name: "closed" });
  const { address } = closed.endpoint;
  const [gateway, subnet] = [address.replace(/\d+$/, "1"), address.replace(/\d+$/, "0/24")];
  run(closed.netns, "ip", "route", "add", "default", "via", gateway);
  run(neighbour, "ip", "route", "add", subnet, "via", HOST);
  // The ways are there: what is missing is leave.
  expect(run(closed.netns, "ip", "route", "get", NEIGHBOUR)).toContain(`via ${gateway}`);
  expect(run(neighbour, "ip", "route", "get", address)).toContain(HOST);
  expect(askInVain(closed.netns, NEIGHBOUR, 81)).toBe("");
  // Nor does a packet get there that wants no answer: what is sent after it is heard alone.
  const ears = listen(neighbour, 82);
  await ears.until("listening");
  const say = (netns: Handle, text: string) => {
    const program = `const socket = await Bun.udpSocket({ hostname: "0.0.0.0" });
      socket.send("${text}\\n", 82, "${NEIGHBOUR}"); setTimeout(() => process.exit(0), 100);`;
    return run(netns, process.execPath, "-e", program);
  };
  for (let i = 0; i < 3; i++) say(closed.netns, "closed");
  say(free.netns, "free");
  expect(await ears.until("free")).not.toContain("closed");
  await serve(closed.netns, 80);
  expect(askInVain(neighbour, address, 80)).toBe("");
  expect(askInVain(free.netns, address, 80)).toBe("");
  await letGo(closed);
  await letGo(free);
  await networks.remove(network.id, () => {});
});

test("a port that is not published is not reached by routing to the container", async () => {
  const endpoint = await join("private");
  await serve(endpoint.netns, 80);
  run(neighbour, "ip", "route", "add", "172.30.0.0/24", "via", HOST);
  expect(run(neighbour, "ip", "route", "get", endpoint.endpoint.address)).toContain(HOST);
  expect(askInVain(neighbour, endpoint.endpoint.address, 80)).toBe("");
  await letGo(endpoint);
});

test("a port that another has is refused in Docker's words, and the failed endpoint leaves its address", async () => {
  const first = await join("first", [wish("")]);
  const port = hostPort(first);
  const second = join("second", [wish("", port)]);
  expect(second).rejects.toThrow(
    /^driver failed programming external connectivity on endpoint second/,
  );
  await second.catch(() => {});
  await letGo(first);
  const again = await join("again", [wish("", port)]);
  expect(hostPort(again)).toBe(port);
  await letGo(again);
});

test("a port on an IPv6 address of the host never becomes a rule for another address", async () => {
  const bare = run(0, "nft", "list", "table", "inet", "berth0");
  const endpoint = await join("six", [wish("::1")]);
  expect(endpoint.endpoint.ports).toMatchObject([{ hostAddress: "::1" }]);
  const port = hostPort(endpoint);
  // The container has no IPv6: its port is handed on, and no rule leads there.
  const table = run(0, "nft", "list", "table", "inet", "berth0");
  const added = table.split("\n").filter((line) => !bare.includes(line));
  const noted = new RegExp(`^\\s*elements = { tcp . ${port} }$`);
  expect(added.join("\n")).toMatch(iptables ? /^$/ : noted);
  expect(run(0, "iptables-save")).not.toContain(`dport ${port}`);
  expect(askInVain(neighbour, HOST, port)).toBe("");
  await letGo(endpoint);
  expect(run(0, "nft", "list", "table", "inet", "berth0")).toBe(bare);
  // Nothing is claimed in place of an address that the host has not.
  expect(join("none", [wish("2001:db8::7")])).rejects.toThrow("cannot assign requested address");
});

test("a bridge opened anew keeps what runs: its address is taken, its port still answers", async () => {
  const endpoint = await join("kept", [wish("")]);
  await serve(endpoint.netns, 80);
  await networks.close(false);
  // What another daemon has left dies a little later.
  const left = await helper.kernel.newNetns();
  const index = Number(/^(\d+): berth0/m.exec(run(0, "ip", "-o", "link"))?.[1]);
  const peer = { name: "eth0", index: 2, mac: "02:42:ac:1e:00:63", netns: left };
  const pair = newVeth({ name: "vethleft", bridgeIndex: index, mtu: 1500, peer });
  await helper.kernel.netlink(0, 0, encodeRequests([pair], 1), 1);
  setTimeout(() => helper.kernel.close(left), 150);
  await networks.close(false);
  networks = await Networks.open(helper.kernel, options, store, [endpoint.endpoint]);
  expect(run(0, "ip", "-o", "link")).not.toContain("vethleft");
  const other = await join("next");
  expect(other.endpoint.address).not.toBe(endpoint.endpoint.address);
  expect(ask(neighbour, HOST, hostPort(endpoint))).toBe(NEIGHBOUR);
  expect(ask(other.netns, endpoint.endpoint.address, 80)).toBe(other.endpoint.address);
  await letGo(endpoint);
  await letGo(other);
});

/** Asks an UDP port again and again from one port of the neighbour's, which is one flow for the kernel. */
async function flow(port: number): Promise<{ ask(): Promise<string>; end(): void }> {
  const program = `const heard = [];
    const socket = await Bun.udpSocket({ hostname: "0.0.0.0", port: 5999, socket: {
      data(_, data) { heard.push(data.toString()); }, error() {} } });
    for await (const _ of console) {
      heard.length = 0;
      for (let tries = 0; tries < 20 && heard.length === 0; tries++) {
        socket.send("?", ${port}, "${HOST}");
        await Bun.sleep(25);
      }
      console.log(heard[0] ?? "nobody");
    }`;
  const path = `--net=/proc/${helper.kernel.pid}/fd/${neighbour}`;
  const client = Bun.spawn(["nsenter", path, process.execPath, "-e", program], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  servers.push(client);
  const reader = client.stdout.getReader();
  return {
    ask: async () => {
      client.stdin.write("\n");
      client.stdin.flush();
      return new TextDecoder().decode((await reader.read()).value).trim();
    },
    end: () => client.kill(),
  };
}

/** Answers each datagram with its name. */
async function name(netns: Handle, port: number, text: string): Promise<void> {
  const program = `await Bun.udpSocket({ hostname: "0.0.0.0", port: ${port}, socket: {
    data(socket, _, port, address) { socket.send("${text}", port, address); } } });
    console.log("ready");`;
  const enter = netns === 0 ? [] : ["nsenter", `--net=/proc/${helper.kernel.pid}/fd/${netns}`];
  const server = Bun.spawn([...enter, process.execPath, "-e", program], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  servers.push(server);
  await server.stdout.getReader().read();
}

test("datagrams of a sender that never pauses follow a port that is published, moved and withdrawn", async () => {
  const [one, two] = [await join("one"), await join("two")];
  await name(one.netns, 5000, "one");
  await name(two.netns, 5000, "two");
  const port = 5998;
  const client = await flow(port);
  expect(await client.ask()).toBe("nobody");
  const published = {
    protocol: "udp",
    containerPort: 5000,
    hostAddress: "0.0.0.0",
    hostPort: port,
  } as const;
  await networks.publisher.republish(one.endpoint, [], [published]);
  expect(await client.ask()).toBe("one");
  await networks.publisher.republish(one.endpoint, [published], []);
  await networks.publisher.republish(two.endpoint, [], [published]);
  expect(await client.ask()).toBe("two");
  await networks.publisher.republish(two.endpoint, [published], []);
  expect(await client.ask()).toBe("nobody");
  client.end();
  await letGo(one);
  await letGo(two);
});

const openAnother = (bip: string | undefined) =>
  Networks.open(
    helper.kernel,
    { ...options, bridge: "berth1", defaultNetwork: { bip } },
    store,
    [],
  );

/** Waits until a client gets through again. */
async function answers(netns: Handle, address: string, port: number): Promise<boolean> {
  for (let tries = 0; tries < 200; tries++) {
    if (answer(netns, address, port, 1) !== "") return true;
    await Bun.sleep(10);
  }
  return false;
}

/** Whether the firewall has its rules, and a port. */
function hasAll(port: number): boolean {
  if (iptables) {
    const [nat, filter] = [run(0, "iptables-save"), run(0, "iptables-save", "-t", "filter")];
    return nat.includes(`--dport ${port} -j DNAT`) && filter.includes("-A FORWARD -j DOCKER-USER");
  }
  const table = run(0, "nft", "list", "table", "inet", "berth0");
  return table.includes(`tcp . ${port} : `) && table.includes("iifname @internal return");
}

/** Opens the networks anew, with a table that others can change or cannot. */
async function reopen(firewallLock: boolean): Promise<void> {
  await networks.close(false);
  networks = await Networks.open(helper.kernel, { ...options, firewallLock }, store, []);
}

/** What others do who mean the host's own rules, or berth's. */
const losses = iptables
  ? [
      ["nft", "flush", "ruleset"],
      ["iptables", "-F"],
      ["iptables", "-t", "nat", "-F"],
      ["iptables", "-t", "nat", "-F", "DOCKER"],
      ["iptables", "-D", "FORWARD", "-j", "DOCKER-FORWARD"],
    ]
  : [
      ["flush", "ruleset"],
      ["delete", "table", "inet", "berth0"],
      ["flush", "chain", "inet", "berth0", "prerouting"],
      ["flush", "map", "inet", "berth0", "published-any"],
    ].map((words) => ["nft", ...words]);

test.skipIf(iptables)(
  "a locked table withstands a flush of everything, and nobody else changes it (moby#48657)",
  async () => {
    const one = await join("one", [wish("")]);
    await serve(one.netns, 80);
    const listed = run(0, "nft", "list", "table", "inet", "berth0");
    expect(listed).toContain("flags owner");
    run(0, "nft", "add", "table", "inet", "theirs");
    for (const words of losses) {
      expect(run(0, ...words)).toMatch(words[2] === "ruleset" ? /^$/ : /not permitted/);
      expect(run(0, "nft", "list", "ruleset").trim()).toBe(listed.trim());
      expect(ask(neighbour, HOST, hostPort(one))).toBe(NEIGHBOUR);
    }
    await letGo(one);
  },
);

test("rules that others take away come back: a flush of everything, of a chain, of the ports, and the table alone (moby#48657)", async () => {
  await reopen(false);
  const one = await join("one", [wish("")]);
  await serve(one.netns, 80);
  const port = hostPort(one);
  expect(await answers(neighbour, HOST, port)).toBe(true);
  for (const words of losses) {
    expect(run(0, ...words)).toBe("");
    while (!hasAll(port)) await Bun.sleep(10);
    expect([words, await answers(neighbour, HOST, port)]).toEqual([words, true]);
  }
  await letGo(one);
});

test("ports come and go, and networks, while others flush all the time; in the end all is as it should be", async () => {
  let flushing = true;
  const flushes = (async () => {
    while (flushing) {
      await Bun.spawn(["nft", "flush", "ruleset"]).exited;
      await Bun.sleep(25);
    }
  })();
  const kept = await join("kept", [wish("")]);
  try {
    await serve(kept.netns, 80);
    for (let round = 0; round < 8; round++) {
      const network = await networks.create({ Name: `round${round}` });
      await letGo(await join("one", [wish("")]));
      await networks.remove(network.id, () => {});
    }
  } finally {
    flushing = false;
    await flushes;
  }
  expect(await answers(neighbour, HOST, hostPort(kept))).toBe(true);
  const table = iptables
    ? run(0, "iptables-save")
    : run(0, "nft", "list", "table", "inet", "berth0");
  expect(table.match(iptables ? /-j DNAT/g : /tcp \. \d+ : /g)).toHaveLength(1);
  expect(table).not.toContain("br-");
  await letGo(kept);
  await reopen(true);
});

test("a subnet that a route of the host has is refused by name, and removal leaves neither bridge nor table", async () => {
  const clash = openAnother("198.51.100.1/25");
  expect(clash).rejects.toThrow("198.51.100.0/24");
  await clash.catch(() => {});
  const second = await openAnother(undefined);
  expect(second.defaultBridge?.cidr).toBe("172.17.0.0/16");
  await second.close(true);
  expect(run(0, "ip", "-br", "link")).not.toContain("berth1");
  expect(run(0, "nft", "list", "ruleset")).not.toContain("berth1");
  expect(run(0, "nft", "list", "tables")).toContain(iptables ? "table ip nat" : "inet berth0");
});

/** A container on a network of a user's. */
async function joinNetwork(network: string): Promise<Endpoint> {
  const end = { network, name: "users", interface: "eth0", leads: true };
  const made = await attach(networks, { name: "guest", ends: [end], ports: [] });
  if (made.endpoint === undefined) throw new Error("no endpoint");
  return { ...made, endpoint: made.endpoint };
}

test("two networks are apart, by either family, and their containers meet the world as the host", async () => {
  const left = await networks.create({ Name: "left", EnableIPv6: true });
  const right = await networks.create({ Name: "right", EnableIPv6: true });
  const [one, two, three] = [
    await joinNetwork(left.id),
    await joinNetwork(left.id),
    await joinNetwork(right.id),
  ];
  const ping = (to: string | undefined) =>
    run(one.netns, "busybox", "ping", "-c1", "-W1", to ?? "").includes(" 0% packet loss");
  // The first packet to a new neighbour may be lost while that one is looked for.
  const reaches = (to: string | undefined) => [1, 2, 3, 4, 5].some(() => ping(to));
  expect(reaches(two.endpoint.address)).toBe(true);
  expect(reaches(two.endpoint.address6)).toBe(true);
  expect(ping(three.endpoint.address)).toBe(false);
  expect(ping(three.endpoint.address6)).toBe(false);
  await serve(neighbour, 82);
  expect(ask(one.netns, NEIGHBOUR, 82)).toBe(HOST);
  // By IPv6, too, the neighbour knows the host alone.
  run(0, "ip", "address", "add", "2001:db8::1/64", "dev", "outside", "nodad");
  run(neighbour, "ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad");
  expect(reaches("2001:db8::2")).toBe(true);
  run(neighbour, "ip", "route", "add", "fd00::/8", "via", "2001:db8::1");
  const back = run(neighbour, "busybox", "ping", "-c1", "-W1", one.endpoint.address6 ?? "");
  expect(back).toContain("100% packet loss");
  for (const endpoint of [one, two, three]) await letGo(endpoint);
  for (const { id } of [left, right]) await networks.remove(id, () => {});
  expect(run(0, "ip", "-br", "link")).not.toContain("br-");
  expect(run(0, "nft", "list", "table", "inet", "berth0")).not.toContain("br-");
});

test("of a network that was being made, or removed, when the daemon died, nothing is left", async () => {
  const half = await networks.create({ Name: "half" });
  store.setReady(half.id, false);
  const whole = await networks.create({ Name: "whole" });
  await networks.close(false);
  networks = await Networks.open(helper.kernel, options, store, []);
  expect(networks.all().map(({ name }) => name)).toEqual(["whole"]);
  const links = run(0, "ip", "-br", "link");
  expect(links).not.toContain(half.bridge);
  expect(links).toContain(whole.bridge);
  await networks.remove(whole.id, () => {});
});

test("a network that somebody is on cannot be removed, whatever is recorded", async () => {
  const record = await networks.create({ Name: "busy" });
  const endpoint = await joinNetwork(record.id);
  const outcome = await networks.remove(record.id, () => {}).catch((error: Error) => error.message);
  expect(String(outcome)).toContain("has active endpoints");
  await letGo(endpoint);
  await networks.remove(record.id, () => {});
});

test("a bridge of somebody else's is neither taken nor removed", async () => {
  run(0, "ip", "link", "add", "theirs", "type", "bridge");
  const record = await networks.create({
    Name: "guest",
    Options: { "com.docker.network.bridge.name": "theirs" },
  });
  await networks.remove(record.id, () => {});
  expect(run(0, "ip", "-br", "link")).toContain("theirs");
  // What berth has made is known by its mark; what has come to bear the name since is not berth's.
  const own = await networks.create({
    Name: "own",
    Options: { "com.docker.network.bridge.name": "mine" },
  });
  run(0, "ip", "link", "delete", "mine");
  run(0, "ip", "link", "add", "mine", "type", "bridge");
  await networks.remove(own.id, () => {});
  expect(run(0, "ip", "-br", "link")).toContain("mine");
  for (const name of ["mine", "theirs"]) run(0, "ip", "link", "delete", name);
});
