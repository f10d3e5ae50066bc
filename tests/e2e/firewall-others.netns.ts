/**
 * What others do to the host's firewall while containers talk: flushes, reloads, rules of their own. firewall-others.test.ts runs
 * this file in a network namespace of its own, which is "the host" here.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { host } from "../kits/lan.ts";
import { HOST, MACHINE, Outside } from "../kits/outside.ts";

host("ip", "link", "set", "lo", "up");
const daemon = daemonOfFile();
let outside: Outside;

/** Tables that only their maker changes came with Linux 6.9. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const LOCKS = major > 6 || (major === 6 && minor >= 9);
/** How often each of the others' commands is given. */
const ROUNDS = 5;

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const table = async () =>
  (await done("info", "--format", "{{(index .FirewallBackend.Info 0 1)}}")).trim();
const locked = () => done("info", "--format", "{{(index .FirewallBackend.Info 1 1)}}");

/** A container of which only the network is of interest. */
interface Place {
  readonly name: string;
  readonly pid: string;
  readonly address: string;
  readonly address6: string;
}

async function place(name: string, network: string, ...flags: string[]): Promise<Place> {
  const serve = "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www";
  const run = ["run", "-d", "--name", name, "--network", network, ...flags];
  await done(...run, "busybox", "sh", "-c", serve);
  const [pid = "", address = "", address6 = ""] = (
    await daemon.inspect(
      name,
      "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}",
    )
  ).split(" ");
  return { name, pid, address, address6 };
}

/** A program in a namespace: it says "ready" when it is, and ends when its input does. */
async function program(pid: string, text: string): Promise<() => Promise<string>> {
  const words = ["nsenter", "--target", pid, "--net", process.execPath, "-e", text];
  const child = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const next = async () => {
    const { done: over, value } = await reader.read();
    return over ? undefined : new TextDecoder().decode(value);
  };
  let said = (await next()) ?? "";
  expect(said).toStartWith("ready");
  return async () => {
    child.stdin.end();
    for (let more = await next(); more !== undefined; more = await next()) said += more;
    await child.exited;
    return said.replace(/^ready\n/, "").trim();
  };
}

const UNTIL_TOLD = `let over = false;
  (async () => { for await (const _ of console); over = true; })();`;

/** Says who has got through to it at port 9. */
const listener = (at: Place) =>
  program(
    at.pid,
    `${UNTIL_TOLD}
    const heard = new Set();
    const socket = { data(_, data) { heard.add(data.toString()); }, error() {} };
    // Of both families where there are both.
    await Bun.udpSocket({ hostname: "::", port: 9, socket })
      .catch(() => Bun.udpSocket({ hostname: "0.0.0.0", port: 9, socket }));
    console.log("ready");
    while (!over) await Bun.sleep(10);
    console.log([...heard].sort().join(" "));
    process.exit(0);`,
  );

/** Sends its name to port 9 of others, a thousand times a second. */
const sender = (name: string, pid: string, to: readonly string[]) =>
  program(
    pid,
    `${UNTIL_TOLD}
    const open = (hostname) => Bun.udpSocket({ hostname, socket: { data() {}, error() {} } });
    const four = await open("0.0.0.0");
    const six = await open("::");
    console.log("ready");
    while (!over) {
      for (const address of ${JSON.stringify(to.filter((one) => one !== ""))})
        try { (address.includes(":") ? six : four).send(${JSON.stringify(name)}, 9, address); } catch {}
      await Bun.sleep(1);
    }
    process.exit(0);`,
  );

/** Asks a published port again and again; says how often in vain, and why. */
const client = (pid: string, port: string) =>
  program(
    pid,
    `${UNTIL_TOLD}
    const failures = [];
    let asked = 0;
    const ask = async () => {
      const options = { keepalive: false, signal: AbortSignal.timeout(10000) };
      const answer = await fetch("http://${HOST}:${port}/", options).then((got) => got.text(), String);
      if (answer.trim() !== "hello") failures.push(answer);
      asked++;
    };
    await ask();
    console.log("ready");
    while (!over) { await ask(); await Bun.sleep(2); }
    console.log(asked > 20 ? "often" : "seldom", failures.length, failures[0] ?? "");
    process.exit(0);`,
  );

/** A reload of a firewall: everything goes, and its own rules come. */
const RELOAD = `flush ruleset
  table inet theirs {
    chain forward { type filter hook forward priority 0; policy accept; }
    chain input { type filter hook input priority 0; policy accept; }
  }`;

function others(name: string): [words: string[], script?: string][] {
  const iptables = ["iptables", "iptables-legacy", "iptables-nft"].filter((one) => Bun.which(one));
  return [
    [["nft", "flush", "ruleset"]],
    [["nft", "-f", "-"], RELOAD],
    [["nft", "delete", "table", "inet", name]],
    [["nft", "flush", "chain", "inet", name, "forward"]],
    ...iptables.flatMap((one): [string[]][] => [
      [[one, "-F"]],
      [[one, "-X"]],
      [[one, "-t", "nat", "-F"]],
      [[one, "-t", "raw", "-F"]],
      [[one, "-P", "FORWARD", "ACCEPT"]],
    ]),
  ];
}

let left: Place;
let right: Place;
let inner: Place;
let plain: Place;
let friend: Place;
let machine: Place;

const published = (name: string) =>
  daemon.inspect(name, '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}');

beforeAll(async () => {
  outside = await Outside.start(daemon, "outside");
  const pid = await daemon.inspect("outside", "{{.State.Pid}}");
  machine = { name: "machine", pid, address: MACHINE, address6: "" };
  for (const name of ["left", "right"]) await done("network", "create", "--ipv6", name);
  await done("network", "create", "--internal", "inner");
  left = await place("left", "left", "-p", "0.0.0.0::80", "-p", "127.0.0.1::81");
  friend = await place("friend", "left");
  right = await place("right", "right", "-p", "127.0.0.1::80");
  inner = await place("inner", "inner");
  plain = await place("plain", "bridge");
});
afterAll(() => outside.remove());

/** Everybody tries to reach everybody while something is done; gives who has been reached by whom. */
async function attempts(during: () => Promise<void>): Promise<Record<string, string>> {
  const places = [left, right, inner, plain, friend];
  const heard = new Map<string, () => Promise<string>>();
  for (const one of [...places, machine]) heard.set(one.name, await listener(one));
  const senders: (() => Promise<string>)[] = [];
  for (const from of [...places, machine]) {
    const to = [...places, machine].filter((one) => one !== from);
    const addresses = to.flatMap(({ address, address6 }) => [address, address6]);
    senders.push(await sender(from.name, from.pid, addresses));
  }
  await during();
  for (const end of senders) await end();
  const reached: Record<string, string> = {};
  for (const [name, end] of heard) reached[name] = await end();
  return reached;
}

/** Who may reach whom: those of one network, and the world is reached but by internal networks. */
const ALLOWED = {
  ...{ left: "friend", friend: "left", right: "", inner: "", plain: "" },
  machine: "friend left plain right",
};

test.if(LOCKS)(
  "isolation holds and ports answer while others flush and reload all the time (moby#22054, #48657, #12294; GHSA-4vq8-7jfc-9cvp, GHSA-x4rx-4gw3-53p4)",
  async () => {
    expect(await locked()).toBe("true");
    const name = await table();
    const asker = await client(machine.pid, await published("left"));
    const reached = await attempts(async () => {
      await othersAtWork(name, ROUNDS);
    });
    expect(reached).toEqual(ALLOWED);
    expect(await asker()).toBe("often 0");
    expect(daemon.log).not.toContain("others have changed");
  },
);

/** Others flush and reload, in every way, again and again. */
async function othersAtWork(name: string, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++)
    for (const [words, script = ""] of others(name)) {
      await Bun.spawn(words, { stdin: Buffer.from(script), stderr: "ignore" }).exited;
      await Bun.sleep(20);
    }
}

test.if(LOCKS)(
  "while no daemon runs isolation holds and ports answer, whatever others flush; the next one has the table for itself again",
  async () => {
    const name = await table();
    const port = await published("left");
    // Two generations: what the second one's containers keep is what the first one's daemon had.
    for (const generation of ["first", "second"]) {
      await done("run", "-d", "--name", generation, "busybox", "sleep", "1000");
      await daemon.kill();
      let reached: unknown;
      try {
        reached = await attempts(() => othersAtWork(name, 1));
        expect(host("nft", "delete", "table", "inet", name)).toContain("not permitted");
        expect(outside.get(HOST, Number(port))).toBe("hello");
      } finally {
        await daemon.start();
      }
      expect(reached).toEqual(ALLOWED);
      expect(await locked()).toBe("true");
      expect(host("nft", "delete", "table", "inet", name)).toContain("not permitted");
      expect(outside.get(HOST, Number(port))).toBe("hello");
      expect(daemon.log).not.toContain("refuses");
    }
    await done("rm", "-f", "first", "second");
  },
);

test.if(LOCKS)(
  "a shim whose socket has been deleted keeps no table from the next daemon",
  async () => {
    const other = new TestDaemon();
    await other.start();
    try {
      expect(
        (await other.berth("run", "-d", "--name", "mute", "busybox", "sleep", "1000")).status,
      ).toBe(0);
      const about = ["info", "--format", "{{json .FirewallBackend.Info}}"];
      const before = (await other.berth(...about)).out;
      expect(before).toContain('["Locked","true"]');
      await other.kill();
      host("find", other.directory, "-name", "shim.sock", "-delete");
      await other.start();
      expect((await other.berth(...about)).out).toBe(before);
    } finally {
      await other.destroy();
    }
  },
);

test("rules of the host's own hold for what is published, and stay whatever berth does (moby#22054, #4737)", async () => {
  const port = Number(await published("left"));
  const rules = `table inet site {
    chain forward {
      type filter hook forward priority 10; policy accept;
      ip saddr ${MACHINE} meta l4proto tcp ct status dnat ct original proto-dst ${port} drop
    }
  }`;
  const load = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(rules) });
  expect(load.stderr.toString()).toBe("");
  const listed = host("nft", "list", "table", "inet", "site");
  expect(outside.getInVain(HOST, port)).toBe("");
  expect(host("curl", "-s", "-m", "20", `http://127.0.0.1:${port}/`).trim()).toBe("hello");
  await daemon.kill();
  await daemon.start();
  await done("network", "create", "passing");
  await done("run", "--rm", "--network", "passing", "-p", "80", "busybox", "true");
  await done("network", "rm", "passing");
  expect(host("nft", "list", "table", "inet", "site")).toBe(listed);
  expect(outside.getInVain(HOST, port)).toBe("");
  host("nft", "delete", "table", "inet", "site");
  expect(outside.get(HOST, port)).toBe("hello");
});

/** Says by which addresses a server in a container is asked. */
const sources = (pid: string, port: number) =>
  program(
    pid,
    `${UNTIL_TOLD}
    const heard = new Set();
    Bun.listen({ hostname: "0.0.0.0", port: ${port}, socket: {
      open(socket) { heard.add(socket.remoteAddress); socket.end("HTTP/1.0 200 OK\\r\\n\\r\\nhello"); }, data() {} } });
    console.log("ready");
    while (!over) await Bun.sleep(10);
    console.log([...heard].sort().join(" "));
    process.exit(0);`,
  );

test("a client from outside is known by its own address (moby#15086, #46026)", async () => {
  const at = await place("asked", "left", "-p", "0.0.0.0::8000");
  const [, port = ""] = (await done("port", "asked", "8000")).split(":");
  const heard = await sources(at.pid, 8000);
  expect(outside.get(HOST, Number(port))).toBe("hello");
  expect(await heard()).toBe(MACHINE);
  await done("rm", "-f", "asked");
});

/** The processes that have sockets which listen at ports. */
function holders(ports: ReadonlySet<number>): Set<string> {
  return new Set(
    host("ss", "-Hltnp")
      .split("\n")
      .filter((line) => ports.has(Number(line.split(/\s+/)[3]?.split(":").at(-1))))
      .flatMap((line) => [...line.matchAll(/pid=(\d+)/g)].map(([, pid = ""]) => pid)),
  );
}

/** The number of a process's parent. */
function parentOf(pid: string): string {
  const [, rest = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
  return rest.split(" ")[1] ?? "";
}

/** How many children a process has. */
const children = (pid: string) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").length;

test("no process comes with a published port: the container's shim holds fifty (moby#14856)", async () => {
  const at = await place("fifty", "left", "-p", "127.0.0.1:21000-21049:100-149");
  const ports = new Set(Array.from({ length: 50 }, (_, number) => 21000 + number));
  expect([...holders(ports)]).toEqual([parentOf(at.pid)]);
  // That shim has one child, as that of a container without ports has.
  expect(children(parentOf(at.pid))).toBe(children(parentOf(plain.pid)));
  await done("rm", "-f", "fifty");
});
