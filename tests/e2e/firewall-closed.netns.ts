/**
 * Hosts whose own firewall drops what is forwarded: ufw, a FORWARD of iptables with the policy DROP (as dockerd makes it) or with a
 * last rule that rejects, of its old kind and its new one. firewall-closed.test.ts runs this file in a network and a mount
 * namespace of its own, which is "the host" here.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { host } from "../kits/lan.ts";
import { HOST, HOST6, MACHINE, Outside } from "../kits/outside.ts";

host("ip", "link", "set", "lo", "up");
let outside: Outside;
// Before the daemon's end, with which its census is taken.
afterAll(() => outside.remove());
// The test's own, whatever others are run on.
const daemon = daemonOfFile(["--firewall-backend=auto"]);

const PORT = 18100;
const OTHER = 18101;
const CHAIN = "BERTH-";

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

/** A web server; gives its address on its network. */
async function serve(name: string, ...flags: string[]): Promise<string> {
  const script = `mkdir /w; echo ${name} >/w/index.html; exec httpd -f -p 80 -h /w`;
  await done("run", "-d", "--name", name, ...flags, "busybox", "sh", "-c", script);
  await done("exec", name, "sh", "-c", "until netstat -ltn | grep -q :80; do :; done");
  return daemon.inspect(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
}

/** Until a server answers, or answers no more: what a daemon has to notice first is not there at once. */
async function until(what: string, is: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !is(); await Bun.sleep(20))
    if (Date.now() > end) throw new Error(`${what}\n${host("nft", "list", "ruleset")}`);
}
const untilReached = (port: number, at = HOST) =>
  until(`port ${port} is not reached`, () => outside.getInVain(at, port) !== "");

const forwarding = () => done("info", "--format", "{{json .FirewallBackend.Info}}");
const saved = (program = "iptables") => host(`${program}-save`, "-t", "filter");

/** Whether a container gets an answer from outside. */
async function reachesOut(name: string): Promise<boolean> {
  const ask = `for i in 1 2 3; do nc -w 3 ${MACHINE} 9998 </dev/null && exit; done; exit 1`;
  return (await daemon.berth("exec", name, "sh", "-c", ask)).status === 0;
}

beforeAll(async () => {
  outside = await Outside.start(daemon, "distant");
  const listen =
    "Bun.listen({ hostname: '0.0.0.0', port: 9998, socket: { open(s) { s.end('x') }, data() {} } })";
  outside.begin(process.execPath, "-e", listen);
  await done("network", "create", "--ipv6", "wide");
  await done("network", "create", "apart");
  await serve("web", "--network", "wide", "-p", `${PORT}:80`);
});
afterEach(() => {
  for (const program of ["iptables", "ip6tables", "iptables-legacy"]) {
    if (program === "iptables-legacy" && !hasLegacy()) continue;
    host(program, "-P", "FORWARD", "ACCEPT");
    host(program, "-F", "FORWARD");
  }
});

/** Whether this kernel has iptables' old tables; to ask makes none. */
const hasLegacy = () => host("cat", "/proc/net/ip_tables_names").trim() === "filter";

test("a FORWARD that begins to drop while the daemon runs is noticed: ports are reached, containers reach out, networks stay apart", async () => {
  expect(outside.get(HOST, PORT)).toBe("web");
  expect(await forwarding()).toContain('["Forwarding","open"]');
  expect(saved()).not.toContain(CHAIN);
  const address = await serve("hidden", "--network", "apart");
  for (const program of ["iptables", "ip6tables"]) host(program, "-P", "FORWARD", "DROP");
  await untilReached(PORT);
  await untilReached(PORT, HOST6);
  expect(await reachesOut("web")).toBe(true);
  expect(await forwarding()).toMatch(
    /let through in iptables\S* FORWARD; let through in ip6tables/,
  );
  // What berth's own table drops is dropped still.
  expect(outside.getInVain(address, 80)).toBe("");
  const ask = `nc -w 1 ${address} 80 </dev/null`;
  expect((await daemon.berth("exec", "web", "sh", "-c", ask)).status).not.toBe(0);
  // A network that comes is let through, too, and one that goes leaves nothing.
  await done("network", "create", "late");
  await serve("later", "--network", "late", "-p", `${OTHER}:80`);
  expect(outside.get(HOST, OTHER)).toBe("later");
  await done("rm", "-f", "later", "hidden");
  const before = saved();
  await done("network", "rm", "late");
  expect(saved().split("\n").length).toBe(before.split("\n").length - 2);
  for (const program of ["iptables", "ip6tables"]) host(program, "-P", "FORWARD", "ACCEPT");
  await until("the way through stays", () => !`${saved()}${saved("ip6tables")}`.includes(CHAIN));
  expect(outside.get(HOST, PORT)).toBe("web");
});

test("what the administrator has decided on in FORWARD holds; a last rule that rejects everything does not hold for containers", async () => {
  host("iptables", "-A", "FORWARD", "-j", "REJECT", "--reject-with", "icmp-host-prohibited");
  await untilReached(PORT);
  host(
    "iptables",
    "-I",
    "FORWARD",
    "-i",
    outside.interface,
    "-p",
    "tcp",
    "--dport",
    "80",
    "-j",
    "DROP",
  );
  await until("the rule does not hold", () => outside.getInVain(HOST, PORT) === "");
  host("iptables", "-D", "FORWARD", "1");
  await untilReached(PORT);
});

test("what others flush comes back; what they have flushed while no daemon ran does at its start", async () => {
  host("iptables", "-P", "FORWARD", "DROP");
  await untilReached(PORT);
  for (const words of [["-F"], ["-F", "FORWARD"]]) {
    host("iptables", ...words);
    await untilReached(PORT);
    await until(
      "the rule is there twice",
      () => saved().split(`-A FORWARD -j ${CHAIN}`).length === 2,
    );
  }
  await daemon.kill();
  expect(outside.get(HOST, PORT)).toBe("web");
  host("iptables", "-F");
  expect(outside.getInVain(HOST, PORT)).toBe("");
  await daemon.start();
  expect(outside.get(HOST, PORT)).toBe("web");
});

test("backends are changed while a container runs, and its port stays open all the time", async () => {
  host("iptables", "-P", "FORWARD", "DROP");
  await untilReached(PORT);
  const asker = outside.begin(
    ...[process.execPath, "-e"],
    `let failed = 0, asked = 0, over = false;
    (async () => { for await (const _ of console) over = true; over = true; })();
    while (!over) {
      const options = { keepalive: false, signal: AbortSignal.timeout(20000) };
      const answer = await fetch("http://${HOST}:${PORT}/", options).then((got) => got.text(), String);
      if (answer.trim() !== "web") failed++;
      asked++;
      await Bun.sleep(2);
    }
    console.log(asked > 20 ? "often" : "seldom", failed);
    process.exit(0);`,
  );
  for (const backend of ["iptables", "auto", "iptables", "auto"]) {
    await daemon.stop();
    await daemon.start(`--firewall-backend=${backend}`);
    await Bun.sleep(200);
    expect(saved().includes(CHAIN)).toBe(backend === "auto");
    expect(saved().includes("DOCKER")).toBe(backend === "iptables");
  }
  asker.stdin.end();
  expect((await asker.stdout.text()).trim()).toBe("often 0");
  await daemon.stop();
  await daemon.start("--firewall-backend=nftables");
  expect(saved()).not.toContain(CHAIN);
  expect(outside.getInVain(HOST, PORT)).toBe("");
  await daemon.stop();
  await daemon.start();
  expect(outside.get(HOST, PORT)).toBe("web");
});

test("a table of nftables' that drops what is forwarded is left alone, and named", async () => {
  host("nft", "add", "table", "inet", "site");
  host(
    "nft",
    "add",
    "chain",
    "inet",
    "site",
    "passing",
    "{ type filter hook forward priority 0; policy drop; }",
  );
  try {
    const listed = host("nft", "list", "table", "inet", "site");
    for (const end = Date.now() + 20_000; !(await forwarding()).includes("dropped by"); )
      expect(Date.now()).toBeLessThan(end);
    expect(await forwarding()).toContain("dropped by table inet site, chain passing");
    expect(await done("info")).not.toContain("open");
    expect(host("nft", "list", "table", "inet", "site")).toBe(listed);
    expect(daemon.log).toContain("table inet site, chain passing");
  } finally {
    host("nft", "delete", "table", "inet", "site");
  }
  for (const end = Date.now() + 20_000; (await forwarding()).includes("dropped by"); )
    expect(Date.now()).toBeLessThan(end);
});

const ufw = Bun.which("ufw");
test.if(ufw !== null)(
  "ufw, as its package has it: enabled, reloaded, asked to reject, disabled; its own rules for what is routed hold",
  async () => {
    const before = saved().includes("ufw");
    expect(before).toBe(false);
    expect(host("ufw", "--force", "enable")).toContain("Firewall is active");
    await untilReached(PORT);
    await untilReached(PORT, HOST6);
    expect(await reachesOut("web")).toBe(true);
    expect(host("ufw", "reload")).toContain("reloaded");
    await untilReached(PORT);
    expect(host("ufw", "default", "reject", "routed")).toContain("changed to 'reject'");
    await untilReached(PORT);
    expect(host("ufw", "route", "deny", "proto", "tcp", "to", "any", "port", "80")).toContain(
      "added",
    );
    await until("ufw's rule does not hold", () => outside.getInVain(HOST, PORT) === "");
    host("ufw", "route", "delete", "deny", "proto", "tcp", "to", "any", "port", "80");
    await untilReached(PORT);
    await daemon.kill();
    await daemon.start();
    expect(outside.get(HOST, PORT)).toBe("web");
    expect(host("ufw", "disable")).toContain("stopped");
    await until("the way through stays", () => !saved().includes(CHAIN));
    expect(outside.get(HOST, PORT)).toBe("web");
  },
);

// The last one: who asks for the old tables has them from then on.
test.if(Bun.which("iptables-legacy") !== null)(
  "tables of iptables' old kind, of which the kernel gives no notice, are looked at when the daemon starts or a network comes",
  async () => {
    const { exitCode } = Bun.spawnSync(["iptables-legacy", "-P", "FORWARD", "DROP"]);
    // This kernel has none: nothing can drop there.
    if (exitCode !== 0) return;
    expect(outside.getInVain(HOST, PORT)).toBe("");
    await done("network", "create", "passing");
    expect(outside.get(HOST, PORT)).toBe("web");
    expect(saved("iptables-legacy")).toContain(CHAIN);
    await done("network", "rm", "passing");
    await daemon.kill();
    host("iptables-legacy", "-F");
    await daemon.start();
    expect(outside.get(HOST, PORT)).toBe("web");
    host("iptables-legacy", "-P", "FORWARD", "ACCEPT");
    await done("network", "create", "passing");
    expect(saved("iptables-legacy")).not.toContain(CHAIN);
    await done("network", "rm", "passing");
  },
);
