/**
 * A thousand random connects, disconnects, starts, kills, restarts, removals of twelve containers over ten networks, by clients at
 * once, with the daemon killed in between. While that goes on and afterwards the kernel is asked who has which address.
 *
 * BERTH_CHURN_SEED repeats what each client asks for; BERTH_CHURN_CALLS makes it longer.
 */
import { beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { addressesOfProcess, namespaceOfProcess } from "../kits/kernel-addresses.ts";
import { pickFrom, randomFrom, seedFrom } from "../kits/random.ts";

const daemon = daemonOfFile();
const CALLS = Number(process.env.BERTH_CHURN_CALLS ?? 1000);
const CLIENTS = 6;
const KILLS = 4;
/** Of the networks one has room for five containers only, and three have IPv6. */
const networks = Array.from({ length: 10 }, (_, i) => `net${i}`);
const TIGHT = "net9";
const names = Array.from({ length: 12 }, (_, i) => `box${i}`);
const SERVE = "hostname > /tmp/index.html; exec httpd -f -h /tmp";

interface Settings {
  readonly IPAddress: string;
  readonly GlobalIPv6Address: string;
  readonly MacAddress: string;
  readonly Gateway: string;
  readonly NetworkID: string;
}

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Pid: number; readonly Running: boolean };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, Settings>>;
    readonly Ports: Readonly<
      Record<string, readonly { HostIp: string; HostPort: string }[] | null>
    >;
  };
}

const failures: string[] = [];
const counts = new Map<number, number>();
let exhausted = 0;
/** Odd while there is no daemon. */
let deaths = 0;

/** One request; whoever was cut off by the daemon's death goes on when there is another. */
async function call(method: string, path: string, body?: unknown): Promise<void> {
  const before = deaths;
  try {
    const { status, text } = await daemon.api(method, path, body);
    counts.set(status, (counts.get(status) ?? 0) + 1);
    const full = text.includes("no available IPv4 addresses on this network's address pools: net9");
    if (full) exhausted++;
    else if (status >= 500) failures.push(`${method} ${path}: ${status} ${text}`);
  } catch (error) {
    if (before === deaths && deaths % 2 === 0) failures.push(`${method} ${path}: ${error}`);
    while (deaths % 2 === 1) await Bun.sleep(10);
  }
}

const creation = (name: string, network: string) => ({
  Image: "busybox",
  Cmd: ["sh", "-c", SERVE],
  ExposedPorts: { "80/tcp": {} },
  HostConfig: {
    NetworkMode: network,
    PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
  },
  NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [`alias-${name}`] } } },
});

function operations(random: () => number): (() => Promise<void>)[] {
  const name = () => pickFrom(random, names);
  const network = () => (random() < 0.3 ? TIGHT : pickFrom(random, networks));
  const on = (path: string) => () => call("POST", `/containers/${name()}/${path}`);
  const connect = (settings: () => object) => () =>
    call("POST", `/networks/${network()}/connect`, {
      Container: name(),
      EndpointConfig: settings(),
    });
  const plain = connect(() => ({ GwPriority: Math.floor(random() * 3) }));
  const disconnect = () =>
    call("POST", `/networks/${network()}/disconnect`, {
      Container: name(),
      Force: random() < 0.2,
    });
  const remake = async () => {
    const [who, where] = [name(), network()];
    await call("DELETE", `/containers/${who}?force=1&v=1`);
    await call("POST", `/containers/create?name=${who}`, creation(who, where));
  };
  return [
    ...[plain, plain, plain, disconnect, disconnect, on("start"), on("start"), on("start")],
    ...[on("kill"), on("restart?t=0"), on("stop?t=0"), on("pause"), on("unpause"), on("unpause")],
    // An address of somebody's own, which several ask for.
    () =>
      call("POST", `/networks/${TIGHT}/connect`, {
        Container: name(),
        EndpointConfig: { IPAMConfig: { IPv4Address: `10.199.0.${2 + Math.floor(random() * 6)}` } },
      }),
    remake,
  ];
}

/** The processes that have network namespaces of containers of this daemon, one of each. */
function containerProcesses(): number[] {
  const own = namespaceOfProcess(process.pid);
  const found = new Map<string, number>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    const namespace = pid > 0 ? namespaceOfProcess(pid) : undefined;
    if (namespace !== undefined && namespace !== own) found.set(namespace, pid);
  }
  return [...found.values()];
}

/** Addresses that two namespaces have at once: read once more, since a sample is not one moment. */
function doubled(): string[] {
  const owners = new Map<string, number>();
  const found: string[] = [];
  for (const pid of containerProcesses())
    for (const address of addressesOfProcess(pid)) {
      const other = owners.get(address);
      owners.set(address, pid);
      // A process may have gone to the other's namespace since it was found in one of its own.
      const still = () =>
        other !== undefined &&
        namespaceOfProcess(other) !== namespaceOfProcess(pid) &&
        [other, pid].every((one) => addressesOfProcess(one).includes(address));
      if (still() && still()) found.push(`${address}: ${other}, ${pid}`);
    }
  return found;
}

async function storm(seed: number): Promise<{ samples: number; found: string[] }> {
  let left = CALLS;
  const client = async (number: number) => {
    const random = randomFrom(seed + number);
    const all = operations(random);
    while (left-- > 0) await pickFrom(random, all)();
  };
  const killer = async () => {
    for (let kill = 1; kill <= KILLS; kill++) {
      while (left > CALLS - (CALLS * kill) / (KILLS + 1) && left > 0) await Bun.sleep(5);
      deaths++;
      await daemon.kill();
      await daemon.start();
      deaths++;
    }
  };
  let samples = 0;
  let over = false;
  const found: string[] = [];
  const watcher = async () => {
    for (; !over; samples++) {
      found.push(...doubled());
      await Bun.sleep(20);
    }
  };
  const watching = watcher();
  await Promise.all([killer(), ...Array.from({ length: CLIENTS }, (_, number) => client(number))]);
  over = true;
  await watching;
  return { samples, found };
}

async function inspect(name: string): Promise<Inspected | undefined> {
  const { status, text } = await daemon.api("GET", `/containers/${name}/json`);
  return status === 200 ? (JSON.parse(text) as Inspected) : undefined;
}

async function all(): Promise<Inspected[]> {
  const list = await Promise.all(names.map(inspect));
  return list.filter((one) => one !== undefined);
}

/** All, once what has ended has given its addresses back: that comes a moment after the end is known. */
async function settled(): Promise<Inspected[]> {
  const unfinished = (one: Inspected) => !one.State.Running && told(one).length > 0;
  for (const end = Date.now() + 10_000; Date.now() < end; await Bun.sleep(20)) {
    const list = await all();
    if (!list.some(unfinished)) return list;
  }
  return all();
}

const told = ({ NetworkSettings: { Networks } }: Inspected) =>
  Object.values(Networks)
    .flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address])
    .filter((address) => address !== "")
    .toSorted();

/** Every name asked in a container, and what it answers: "box3 10.1.0.4". */
async function answers(name: string): Promise<string[]> {
  const script = `for n in ${names.join(" ")}; do timeout 3 nslookup -type=a $n 127.0.0.11 2>/dev/null | sed -n "s/^Address: \\([0-9.]*\\)$/$n \\1/p"; done`;
  const { out, err } = await daemon.berth("exec", name, "sh", "-c", script);
  // What a shell says of who is ended: whoever gets no answer has none in the list.
  expect(err.replaceAll("Terminated\n", "")).toBe("");
  return out.trim().split("\n").filter(Boolean).toSorted();
}

/** What is to be known of a container whose resolver says nothing. */
function resolverOf(one: Inspected): string {
  const seen = [
    ["nft", "list", "ruleset"],
    ["cat", "/proc/net/udp"],
    ["cat", "/proc/net/tcp"],
  ].map((words) => namespaceOf(one, ...words));
  return [one.Name, JSON.stringify(one.State), ...seen].join("\n");
}

/** The addresses that each name may have: those of whoever is on a network with it. */
function addressesByName(one: Inspected, others: readonly Inspected[]): Map<string, string[]> {
  const own = Object.keys(one.NetworkSettings.Networks);
  const entries = others.map(({ Name, NetworkSettings: { Networks } }) => {
    const shared = own.flatMap((network) => Networks[network]?.IPAddress || []);
    return [Name.slice(1), shared] as const;
  });
  return new Map(entries.filter(([, shared]) => shared.length > 0));
}

const host = (...words: string[]) => Bun.spawnSync(words).stdout.toString();

function namespaceOf({ State }: Inspected, ...words: string[]): string {
  return host("nsenter", "-t", String(State.Pid), "-n", ...words);
}

beforeAll(async () => {
  for (const [i, name] of networks.entries()) {
    const subnet = name === TIGHT ? ["--subnet", "10.199.0.0/29"] : [];
    const made = await daemon.berth(
      "network",
      "create",
      ...subnet,
      ...(i < 3 ? ["--ipv6"] : []),
      name,
    );
    expect(made.err).toBe("");
  }
  for (const [i, name] of names.entries()) {
    await call("POST", `/containers/create?name=${name}`, creation(name, networks[i % 10] ?? ""));
    await call("POST", `/containers/${name}/start`);
  }
  expect(failures).toEqual([]);
});

test(`${CALLS} random calls over ten networks with ${KILLS} deaths of the daemon: no address is anybody else's`, async () => {
  const { samples, found } = await storm(seedFrom("BERTH_CHURN_SEED"));
  expect(found).toEqual([]);
  expect(failures).toEqual([]);
  expect(samples).toBeGreaterThan(20);
  // Each kind of answer has come often, and the small network was full at times: the calls have done something.
  for (const status of [200, 201, 204, 403])
    expect([status, counts.get(status)]).not.toEqual([status, undefined]);
  expect(exhausted).toBeGreaterThan(0);
}, 600_000);

test("what is shown of each is what its namespace has, and the other way round", async () => {
  for (const name of names) await daemon.api("POST", `/containers/${name}/unpause`);
  const list = await settled();
  const running = list.filter(({ State }) => State.Running);
  expect(running.length).toBeGreaterThan(0);
  const used = new Map<string, number>();
  for (const one of list) {
    if (!one.State.Running) {
      expect(told(one), one.Name).toEqual([]);
      continue;
    }
    expect(addressesOfProcess(one.State.Pid), one.Name).toEqual(told(one));
    for (const [network, { MacAddress, IPAddress }] of Object.entries(
      one.NetworkSettings.Networks,
    )) {
      used.set(network, (used.get(network) ?? 0) + 1);
      const shown =
        namespaceOf(one, "ip", "-o", "addr", "show", "to", IPAddress).split(" ")[1] ?? "";
      expect(namespaceOf(one, "ip", "-o", "link", "show", shown), one.Name).toContain(MacAddress);
    }
    const ways = namespaceOf(one, "ip", "-4", "route", "show", "default").trim().split("\n");
    expect(ways).toHaveLength(1);
  }
  // Each bridge has as many ends as containers are said to be on it, and the network says the same.
  for (const name of networks) {
    const { text } = await daemon.api("GET", `/networks/${name}`);
    const { Id, Containers } = JSON.parse(text) as { Id: string; Containers: object };
    const expected = used.get(name) ?? 0;
    expect([name, Object.keys(Containers).length]).toEqual([name, expected]);
    // The kernel takes the ends of a namespace away a moment after its last process.
    const ends = () => readdirSync(`/sys/class/net/br-${Id.slice(0, 12)}/brif`).length;
    for (const end = Date.now() + 10_000; ends() !== expected && Date.now() < end; )
      await Bun.sleep(20);
    expect([name, ends()]).toEqual([name, expected]);
  }
}, 60_000);

test("every name leads to those who have it, and every published port to its container", async () => {
  const list = await settled();
  const running = list.filter(({ State }) => State.Running);
  for (const one of running) {
    const onUsers = Object.keys(one.NetworkSettings.Networks).length > 0;
    const may = addressesByName(one, running);
    const given = onUsers ? await answers(one.Name.slice(1)) : [];
    // As with Docker a name has one answer although two networks are shared.
    const about = onUsers && given.length === 0 ? resolverOf(one) : one.Name;
    expect(given.map((line) => line.split(" ")[0]).toSorted(), about).toEqual(
      [...may.keys()].toSorted(),
    );
    for (const line of given) {
      const [name = "", address = ""] = line.split(" ");
      expect(may.get(name), line).toContain(address);
    }
    const [port] = one.NetworkSettings.Ports["80/tcp"] ?? [];
    if (!onUsers || port === undefined) continue;
    const page = host("curl", "-sS", "-m", "5", `http://127.0.0.1:${port.HostPort}/`).trim();
    expect(page, one.Name).toBe(one.Id.slice(0, 12));
  }
}, 60_000);

test("afterwards every address of the smallest network can be had again, and no more", async () => {
  await daemon.berth("rm", "-f", "-v", ...names);
  const given: string[] = [];
  for (let i = 0; i < 5; i++) {
    const { err } = await daemon.berth(
      "run",
      "-d",
      "--name",
      `last${i}`,
      "--network",
      TIGHT,
      "busybox",
      "sleep",
      "1000",
    );
    expect(err).toBe("");
    given.push(await daemon.inspect(`last${i}`, "{{.NetworkSettings.Networks.net9.IPAddress}}"));
  }
  expect(given.toSorted()).toEqual([2, 3, 4, 5, 6].map((end) => `10.199.0.${end}`));
  const { status, err } = await daemon.berth(
    "run",
    "--network",
    TIGHT,
    "--name",
    "over",
    "busybox",
    "true",
  );
  expect(err).toContain("no available IPv4 addresses on this network's address pools: net9");
  expect(status).toBe(125);
  expect((await daemon.berth("network", "prune", "-f")).out).not.toContain(TIGHT);
});
