/**
 * The firewall's iptables backend: its chains are Docker's, what the nftables backend upholds holds, and rules of others are never
 * touched. The other tests of networks run on it with BERTH_TEST_FIREWALL=iptables.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { host } from "../kits/lan.ts";
import { HOST, MACHINE, Outside } from "../kits/outside.ts";

const daemon = daemonOfFile(["--firewall-backend=iptables"]);
let outside: Outside;

beforeAll(async () => {
  outside = await Outside.start(daemon, "elsewhere");
});
afterAll(() => outside.remove());

afterEach(async () => {
  const running = (await done("ps", "-aq", "--filter", "name=^t-")).split("\n").filter(Boolean);
  if (running.length > 0) await done("rm", "-f", ...running);
  await done("network", "prune", "-f");
});

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

/** What a new container hears from a server; empty: nothing. */
async function getFrom(network: string, address: string, port: number): Promise<string> {
  const ask = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port} | tail -1`;
  const run = ["run", "--rm", "--network", network, "busybox", "sh", "-c", ask];
  return (await daemon.berth(...run)).out.trim();
}

const rules = (program = "iptables") => host(`${program}-save`);

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 15_000; !condition(); await Bun.sleep(10))
    if (Date.now() > end) throw new Error(rules());
}

test("iptables shows what a reader of a book on Docker looks for", async () => {
  await done("network", "create", "--subnet", "10.231.0.0/24", "t-shown");
  const address = await serve("t-web", "--network", "t-shown", "-p", "18090:80");
  const filter = host("iptables", "-nL");
  expect(filter).toContain("Chain DOCKER (2 references)");
  for (const chain of ["DOCKER-USER", "DOCKER-FORWARD", "DOCKER-ISOLATION-STAGE-1"])
    expect(filter).toContain(`Chain ${chain} (1 references)`);
  expect(filter).toMatch(new RegExp(`ACCEPT .* ${address} .*tcp dpt:80\n`));
  const nat = host("iptables", "-t", "nat", "-nL");
  expect(nat).toMatch(/Chain DOCKER \(2 references\)/);
  expect(nat).toMatch(/DOCKER .* ADDRTYPE match dst-type LOCAL/);
  expect(nat).toMatch(/MASQUERADE .* 10\.231\.0\.0\/24 +0\.0\.0\.0\/0/);
  expect(nat).toMatch(new RegExp(`DNAT .*tcp dpt:18090 to:${address}:80\n`));
  expect(await done("info", "--format", "{{.FirewallBackend.Driver}}")).toBe("iptables");
  expect(host("nft", "list", "tables")).not.toContain("inet berth");
  await done("rm", "-f", "t-web");
  expect(rules()).not.toContain("18090");
  expect(rules()).not.toContain(address);
});

test("a published port is reached from the host, outside and other networks; nothing else is", async () => {
  await done("network", "create", "t-one");
  await done("network", "create", "t-two");
  const address = await serve("t-web", "--network", "t-one", "-p", "18090:80");
  expect(outside.get(HOST, 18090)).toBe("t-web");
  expect(host("curl", "-s", "-m", "20", "http://127.0.0.1:18090/").trim()).toBe("t-web");
  expect(await getFrom("t-one", HOST, 18090)).toBe("t-web");
  expect(await getFrom("t-two", HOST, 18090)).toBe("t-web");
  // By their own addresses containers are reached on their own network alone.
  expect(await getFrom("t-one", address, 80)).toBe("t-web");
  expect(await getFrom("t-two", address, 80)).toBe("");
  expect(outside.getInVain(address, 80)).toBe("");
  // What leaves has the host's address, what comes its own.
  const seen = outside.sources(9998);
  await done("exec", "t-web", "sh", "-c", `until nc -w 3 ${MACHINE} 9998 </dev/null; do :; done`);
  expect(await seen).toBe(HOST);
});

test("a port of one address is reached at that one; one of 127.0.0.1 by no neighbour (CVE-2024-29018 and moby#45610)", async () => {
  const address = await serve("t-web", "-p", "127.0.0.1:18091:80", "-p", `${HOST}:18092:80`);
  const get = (at: string, port: number) =>
    host("curl", "-s", "-m", "2", `http://${at}:${port}/`).trim();
  expect(get("127.0.0.1", 18091)).toBe("t-web");
  expect(get(HOST, 18092)).toBe("t-web");
  expect(get("127.0.0.1", 18092)).toBe("");
  expect(outside.get(HOST, 18092)).toBe("t-web");
  expect(outside.getInVain(HOST, 18091)).toBe("");
  // A neighbour sends to the loopback address by the host's own.
  outside.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
  outside.run("ip", "route", "add", "127.0.0.1/32", "via", HOST, "table", "77");
  outside.run("ip", "rule", "add", "pref", "0", "to", "127.0.0.1", "lookup", "77");
  outside.run("ip", "rule", "add", "pref", "1", "lookup", "local");
  outside.run("ip", "rule", "del", "pref", "0", "lookup", "local");
  host("sysctl", "-qw", `net.ipv4.conf.${outside.interface}.route_localnet=1`);
  expect(outside.getInVain("127.0.0.1", 18091)).toBe("");
  expect(outside.getInVain(address, 80)).toBe("");
});

test("networks without icc, and internal ones, are what they are", async () => {
  await done("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "t-apart");
  await done("network", "create", "--internal", "t-inner");
  const apart = await serve("t-web", "--network", "t-apart", "-p", "18090:80");
  const inner = await serve("t-inside", "--network", "t-inner");
  expect(await getFrom("t-apart", apart, 80)).toBe("");
  expect(await getFrom("t-inner", inner, 80)).toBe("t-inside");
  expect(await getFrom("t-inner", HOST, 18090)).toBe("");
  expect(await getFrom("t-inner", MACHINE, 80)).toBe("");
  expect(await getFrom("bridge", inner, 80)).toBe("");
  expect(outside.getInVain(inner, 80)).toBe("");
});

test("IPv6: networks are apart, and reach the world as the host", async () => {
  await done("network", "create", "--ipv6", "--subnet", "fd00:231::/64", "t-six");
  await serve("t-web", "--network", "t-six");
  const six = await daemon.inspect(
    "t-web",
    "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}",
  );
  const nat = host("ip6tables", "-t", "nat", "-nL");
  expect(nat).toMatch(/MASQUERADE .*fd00:231::\/64/);
  expect(await getFrom("t-six", six, 80)).toBe("t-web");
  expect(outside.getInVain(six, 80)).toBe("");
  await done("network", "create", "--ipv6", "t-other");
  expect(await getFrom("t-other", six, 80)).toBe("");
  await done("rm", "-f", "t-web");
  await done("network", "rm", "t-six", "t-other");
  expect(rules("ip6tables")).not.toContain("DOCKER");
});

test("DOCKER-USER is the administrator's, and rules of others stay as they are", async () => {
  await serve("t-web", "-p", "18090:80");
  const own = [
    ["-A", "FORWARD", "-p", "tcp", "--dport", "7", "-j", "DROP"],
    ["-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "--dport", "7", "-j", "ACCEPT"],
    ["-A", "DOCKER", "-p", "tcp", "--dport", "7", "-j", "RETURN"],
    ["-I", "DOCKER-USER", "-i", outside.interface, "-p", "tcp", "--dport", "80", "-j", "DROP"],
  ];
  for (const rule of own) host("iptables", ...rule);
  expect(outside.getInVain(HOST, 18090)).toBe("");
  await serve("t-more", "-p", "18093:80");
  await done("network", "create", "t-new");
  await done("network", "rm", "t-new");
  await done("rm", "-f", "t-more");
  await daemon.kill();
  await daemon.start();
  expect(outside.getInVain(HOST, 18090)).toBe("");
  const kept = rules();
  for (const rule of [
    "FORWARD -p tcp",
    "POSTROUTING -p tcp",
    "DOCKER -p tcp -m tcp",
    "DOCKER-USER -i ",
  ])
    expect(kept.split("\n").filter((line) => line.startsWith(`-A ${rule}`))).toHaveLength(1);
  for (const rule of own)
    host("iptables", ...rule.map((word) => (word === "-A" || word === "-I" ? "-D" : word)));
  expect(outside.get(HOST, 18090)).toBe("t-web");
});

test("what others take away comes back, and what was there is there once", async () => {
  await serve("t-web", "-p", "18090:80");
  const before = rules().replace(/^[#:].*\n/gm, "");
  for (const words of [["-F"], ["-t", "nat", "-F"], ["-t", "nat", "-F", "DOCKER"]]) {
    host("iptables", ...words);
    await until(() => rules().replace(/^[#:].*\n/gm, "") === before);
    expect(outside.get(HOST, 18090)).toBe("t-web");
  }
});

test("a daemon with the other backend takes everything over", async () => {
  await serve("t-web", "-p", "18090:80");
  await daemon.stop();
  await daemon.start("--firewall-backend=nftables");
  expect(host("nft", "list", "ruleset")).not.toContain("DOCKER");
  expect(outside.get(HOST, 18090)).toBe("t-web");
  await daemon.stop();
  await daemon.start();
  expect(host("nft", "list", "tables")).not.toContain("inet berth");
  expect(outside.get(HOST, 18090)).toBe("t-web");
});
