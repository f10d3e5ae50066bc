/** Networks of users' own, through both command lines: who reaches whom, by which names, and what outlives whom. */
import { beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const host = (...words: string[]) => {
  const { stdout, stderr } = Bun.spawnSync(words);
  return stdout.toString() + stderr.toString();
};

/** Starts a container that sleeps; what comes before the image. */
const sleeper = (name: string, ...flags: string[]) =>
  done("run", "-d", "--name", name, ...flags, "busybox", "sleep", "10000");

const inside = async (name: string, script: string) =>
  (await daemon.berth("exec", name, "sh", "-c", script)).out;

/** Whether a name or an address answers. */
const reaches = async (from: string, to: string) =>
  (await daemon.berth("exec", from, "ping", "-c1", "-W2", to)).status === 0;

/** The addresses that a name has, as its resolver says. */
async function resolve(from: string, name: string): Promise<string[]> {
  const out = await inside(from, `nslookup -type=a ${name} 127.0.0.11 2>/dev/null`);
  return [...out.matchAll(/Address: ([\d.]+)\n/g)].map(([, address = ""]) => address);
}

const address = (name: string, network: string) =>
  daemon.inspect(name, `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`);

const HTTP = "mkdir -p /w && hostname > /w/index.html && exec httpd -f -p 80 -h /w";
const get = (url: string) => host("curl", "-sS", "-m", "5", url).trim();

beforeAll(async () => {
  await done("network", "create", "--subnet", "10.210.0.0/24", "--label", "side=left", "left");
  const right = ["network", "create", "--subnet", "10.211.0.0/24", "--ip-range", "10.211.0.128/25"];
  expect((await daemon.docker(...right, "--gateway", "10.211.0.1", "right")).status).toBe(0);
  await sleeper("first", "--network", "left", "--network-alias", "pair");
  await sleeper("second", "--network", "left", "--network-alias", "pair");
  await sleeper("third", "--network", "name=right,ip=10.211.0.77,alias=far");
});

test("both command lines list and show a network alike", async () => {
  const rows = (await done("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")).split(
    "\n",
  );
  expect(rows).toEqual([
    ...["bridge bridge local", "host host local", "left bridge local"],
    ...["none null local", "right bridge local"],
  ]);
  for (const args of [["ls"], ["ls", "-q", "-f", "label=side=left"], ["inspect", "left", "right"]])
    expect((await daemon.docker("network", ...args)).out).toBe(
      `${await done("network", ...args)}\n`,
    );
});

test("containers find each other on their network by every name, and nobody elsewhere", async () => {
  const [one, two] = [await address("first", "left"), await address("second", "left")];
  const id = (await done("ps", "-aqf", "name=second")).trim();
  for (const name of ["second", "SECOND", id, "second.left"])
    expect(await resolve("first", name), name).toEqual([two]);
  expect((await resolve("first", "pair")).toSorted()).toEqual([one, two].toSorted());
  expect(await resolve("first", "third")).toEqual([]);
  expect(await reaches("first", "second")).toBe(true);
  const reverse = two.split(".").toReversed().join(".");
  expect(await inside("first", `nslookup -type=ptr ${reverse}.in-addr.arpa`)).toContain(
    "name = second.left",
  );
});

test("an alias of several leads to each of them in turn", async () => {
  const seen = new Set<string>();
  for (let tries = 0; tries < 10; tries++) seen.add((await resolve("first", "pair"))[0] ?? "");
  expect(seen.size).toBe(2);
});

test("containers of different networks do not reach each other, but by what is published", async () => {
  expect(await reaches("first", "10.211.0.77")).toBe(false);
  await done(
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "right",
    "-p",
    "127.0.0.1::80",
    "-p",
    "0.0.0.0::81",
    "busybox",
    "sh",
    "-c",
    HTTP.replace("-p 80", "-p 81"),
  );
  const port = (await done("port", "web", "81")).split(":")[1];
  const gateway = "10.210.0.1";
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${gateway} ${port}`;
  await daemon.until("web", "{{.State.Running}}", "true");
  let page = "";
  for (let tries = 0; tries < 50 && page === ""; tries++) page = await inside("first", script);
  expect(page).toContain("200 OK");
  await done("rm", "-f", "web");
});

test("a running container is connected and disconnected, names and ports go along, and a restart changes nothing", async () => {
  await done(
    "run",
    "-d",
    "--name",
    "mover",
    "--network",
    "left",
    "-p",
    "127.0.0.1::80",
    "busybox",
    "sh",
    "-c",
    HTTP,
  );
  const url = `http://${await done("port", "mover", "80")}/`;
  for (let tries = 0; tries < 50 && !/^[0-9a-f]{12}$/.test(get(url)); tries++) await Bun.sleep(50);
  expect(
    (
      await daemon.docker(
        "network",
        "connect",
        "--ip",
        "10.211.0.9",
        "--alias",
        "new",
        "right",
        "mover",
      )
    ).status,
  ).toBe(0);
  expect(await inside("mover", "ip -o -4 addr show eth1")).toContain("10.211.0.9/24");
  expect(await resolve("third", "new")).toEqual(["10.211.0.9"]);
  expect(await reaches("mover", "far")).toBe(true);
  await done("network", "disconnect", "left", "mover");
  expect(await inside("mover", "ip route")).toContain("default via 10.211.0.1 dev eth1");
  expect(get(url)).toMatch(/^[0-9a-f]{12}$/);
  expect(await resolve("first", "mover")).toEqual([]);
  await done("restart", "-t", "0", "mover");
  expect(await inside("mover", "ip -o -4 addr")).toMatch(/eth1 +inet 10\.211\.0\.9\/24/);
  await done("network", "connect", "left", "mover");
  await done("stop", "-t", "0", "mover");
  await done("network", "disconnect", "right", "mover");
  await done("start", "mover");
  expect(
    Object.keys(JSON.parse(await daemon.inspect("mover", "{{json .NetworkSettings.Networks}}"))),
  ).toEqual(["left"]);
  await done("rm", "-f", "mover");
});

test("a container of the default network, paused or with name servers of its own, learns names when it is connected", async () => {
  await sleeper("plain", "--dns", "192.0.2.1");
  const conf = () => inside("plain", "cat /etc/resolv.conf");
  const before = await conf();
  expect(before).toContain("nameserver 192.0.2.1\n");
  await done("pause", "plain");
  await done("network", "connect", "left", "plain");
  await done("unpause", "plain");
  expect(await conf()).toContain("nameserver 127.0.0.11\n");
  expect(await reaches("plain", "second")).toBe(true);
  expect(await reaches("second", "plain")).toBe(true);
  await done("network", "disconnect", "left", "plain");
  expect(await conf()).toBe(before);
  await done("rm", "-f", "plain");
});

test("a container that was started on no network finds others, and is found, once it is connected", async () => {
  await done("create", "--name", "late", "--network", "left", "busybox", "sleep", "10000");
  await done("network", "disconnect", "left", "late");
  await done("start", "late");
  expect(await inside("late", "ls /sys/class/net")).toBe("lo\n");
  await done("network", "connect", "left", "late");
  expect(await resolve("late", "first")).toEqual([await address("first", "left")]);
  expect([await reaches("late", "second"), await reaches("second", "late")]).toEqual([true, true]);
  await done("rm", "-f", "late");
});

test("of several networks the priority says which leads out", async () => {
  await sleeper("both", "--network", "name=left", "--network", "name=right,gw-priority=1");
  expect(await inside("both", "ip route")).toContain("default via 10.211.0.1 dev eth1");
  await done("network", "connect", "--gw-priority", "2", "bridge", "both");
  expect(await inside("both", "ip route")).toMatch(/default via 172\.[\d.]+ dev eth2/);
  await done("network", "disconnect", "bridge", "both");
  expect(await inside("both", "ip route")).toContain("default via 10.211.0.1 dev eth1");
  await done("rm", "-f", "both");
});

test("which network leads out, and what interfaces are called, is as asked, whatever the names of networks, and stays so (compose#12170, moby#20179)", async () => {
  for (const [name, subnet] of [
    ["aaa", "10.217.0.0/24"],
    ["zzz", "10.218.0.0/24"],
  ])
    await done("network", "create", "--subnet", subnet ?? "", name ?? "");
  const ifname = (name: string) => `driver-opt=com.docker.network.endpoint.ifname=${name}`;
  await sleeper(
    ...["both", "--network", `name=aaa,${ifname("wan7")}`],
    ...["--network", `name=zzz,gw-priority=5,${ifname("lan3")}`, "--network", "left"],
  );
  const seen = () => inside("both", "ip route | sed 's/ src.*//' | sort; ls /sys/class/net");
  const first = await seen();
  expect(first).toContain("default via 10.218.0.1 dev lan3");
  expect(first).toContain("10.217.0.0/24 dev wan7");
  await done("restart", "-t", "0", "both");
  expect(await seen()).toBe(first);
  await daemon.kill();
  await daemon.start();
  expect(await seen()).toBe(first);
  await done("network", "disconnect", "aaa", "both");
  await done("network", "connect", "--driver-opt", ifname("wan7").slice(11), "aaa", "both");
  expect(await inside("both", "ip route")).toContain("default via 10.218.0.1 dev lan3");
  await done("restart", "-t", "0", "both");
  expect(await inside("both", "ip route")).toContain("default via 10.218.0.1 dev lan3");
  await done("rm", "-f", "both");
  await done("network", "rm", "aaa", "zzz");
});

test("an internal network has no way out for packets and none for questions, but names of its own", async () => {
  await done("network", "create", "--internal", "closed");
  await sleeper("hidden", "--network", "closed", "--network-alias", "me");
  expect(await inside("hidden", "ip route")).not.toContain("default");
  expect(await resolve("hidden", "me")).toHaveLength(1);
  const gateway = await daemon.berth(
    "network",
    "inspect",
    "-f",
    "{{(index .IPAM.Config 0).Gateway}}",
    "closed",
  );
  // A container with the right to do so sets a way itself, and gets nowhere.
  const way = `ip route add default via ${gateway.out.trim()} && ping -c1 -W1 10.211.0.77`;
  const { status } = await daemon.berth(
    "run",
    "--rm",
    "--network",
    "closed",
    "--cap-add",
    "NET_ADMIN",
    "busybox",
    "sh",
    "-c",
    way,
  );
  expect(status).not.toBe(0);
  await done("rm", "-f", "hidden");
  await done("network", "rm", "closed");
});

test("without icc containers of a network do not reach each other, nor by the host's way", async () => {
  await done("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart");
  await sleeper("loner", "--network", "apart");
  const to = await address("loner", "apart");
  const gateway = to.replace(/\d+$/, "1");
  const way = `ip route add ${to} via ${gateway}; ping -c1 -W1 ${to}`;
  const there = [
    "run",
    "--rm",
    "--network",
    "apart",
    "--cap-add",
    "NET_ADMIN",
    "busybox",
    "sh",
    "-c",
  ];
  expect((await daemon.berth(...there, way)).status).not.toBe(0);
  expect((await daemon.berth(...there, `ping -c1 -W2 ${gateway}`)).status).toBe(0);
  await done("rm", "-f", "loner");
  await done("network", "rm", "apart");
});

test("a network that is in use stays, and what makes no sense changes nothing", async () => {
  const refused: readonly [string[], string][] = [
    [["network", "rm", "left"], "network left has active endpoints (name:"],
    [["network", "rm", "bridge"], "bridge is a pre-defined network and cannot be removed"],
    [["network", "rm", "nothing"], "network nothing not found"],
    [["network", "create", "left"], "network with name left already exists"],
    [
      ["network", "create", "--subnet", "10.210.0.0/28", "other"],
      "Pool overlaps with other one on this address space",
    ],
    [["network", "create", "--subnet", "10.1.0.1/24", "other"], "it should be 10.1.0.0/24"],
    [
      ["network", "create", "--gateway", "10.1.0.1", "other"],
      "every ip-range or gateway must have a corresponding subnet",
    ],
    [
      ["network", "create", "-o", "com.docker.network.bridge.name=lo", "other"],
      "existing interface lo is not a bridge",
    ],
    [
      ["run", "--rm", "--network", "left", "--ip", "10.211.0.5", "busybox"],
      "no configured subnet contains IP address 10.211.0.5",
    ],
    [
      ["run", "--rm", "--network", "left", "--ip", "10.210.0.1", "busybox", "true"],
      "Address already in use",
    ],
    [
      ["network", "connect", "left", "first"],
      "endpoint with name first already exists in network left",
    ],
    [["network", "disconnect", "right", "first"], "is not connected to network right"],
  ];
  for (const [args, words] of refused) {
    const { status, err } = await daemon.berth(...args);
    expect(err, args.join(" ")).toContain(words);
    expect(status).not.toBe(0);
  }
  expect((await done("network", "ls", "-q")).split("\n")).toHaveLength(5);
});

test("a bridge that was there before is used, and stays when its network goes", async () => {
  const there = (...words: string[]) => host(...daemon.inNetwork, ...words);
  there("ip", "link", "add", "foreign0", "type", "bridge");
  there("ip", "address", "add", "10.212.0.5/24", "dev", "foreign0");
  await done("network", "create", "-o", "com.docker.network.bridge.name=foreign0", "theirs");
  await sleeper("guest", "--network", "theirs");
  expect(await address("guest", "theirs")).toMatch(/^10\.212\.0\./);
  expect(await reaches("guest", "10.212.0.5")).toBe(true);
  await done("rm", "-f", "guest");
  await done("network", "rm", "theirs");
  expect(there("ip", "-o", "address", "show", "foreign0")).toContain("10.212.0.5/24");
  there("ip", "link", "delete", "foreign0");
});

test("a network touches no route of the host", async () => {
  host("ip", "link", "add", "vpn0", "type", "bridge");
  host("ip", "link", "set", "vpn0", "up");
  host("ip", "address", "add", "10.213.0.1/24", "dev", "vpn0");
  host("ip", "route", "add", "172.18.0.0/15", "dev", "vpn0");
  const { err } = await daemon.berth("network", "create", "--subnet", "10.213.0.0/16", "over");
  expect(err).toContain("overlaps with the host's route to 10.213.0.0/24 by vpn0");
  await done("network", "create", "beside");
  expect(
    await done("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "beside"),
  ).toBe("172.20.0.0/24");
  await done("network", "rm", "beside");
  host("ip", "link", "delete", "vpn0");
});

test("networks and connections outlive a daemon that is killed, and addresses stay with whom they belong to", async () => {
  await done("network", "connect", "right", "second");
  const before = await daemon.inspect("second", "{{json .NetworkSettings.Networks}}");
  await daemon.kill();
  await daemon.start();
  expect(await daemon.inspect("second", "{{json .NetworkSettings.Networks}}")).toBe(before);
  expect(await reaches("first", "second")).toBe(true);
  expect(await reaches("third", "second")).toBe(true);
  expect(await reaches("first", "10.211.0.77")).toBe(false);
  await sleeper("fresh", "--network", "left");
  const all = [];
  for (const name of ["first", "second", "fresh"]) all.push(await address(name, "left"));
  expect(new Set(all).size).toBe(3);
  expect(await resolve("first", "fresh")).toEqual(all.slice(2));
  await done("rm", "-f", "fresh");
  await done("network", "disconnect", "right", "second");
});

test("its life is told as events", async () => {
  const since = String(Date.now() / 1000);
  const id = await done("network", "create", "told");
  await done("run", "--rm", "--name", "teller", "--network", "told", "busybox", "true");
  await done("network", "rm", "told");
  const until = String(Date.now() / 1000 + 0.001);
  const { out } = await daemon.berth(
    "events",
    "--since",
    since,
    "--until",
    until,
    "--filter",
    `network=${id}`,
    "--format",
    "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}",
  );
  expect(out.trim().split("\n")).toEqual(
    ["create", "connect", "disconnect", "destroy"].map((action) => `${action} told bridge`),
  );
});

test("a network with IPv6 has a prefix of its own, names of both families, and is as far apart as others", async () => {
  const { out } = await daemon.docker("network", "create", "--ipv6", "six");
  const [, six] = JSON.parse(
    await done("network", "inspect", "-f", "{{json .IPAM.Config}}", out.trim()),
  );
  expect(six.Subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]+:[0-9a-f]+::\/64$/);
  await done("network", "create", "--ipv6", "--subnet", "fd00:215::/64", "other6");
  await sleeper("alpha", "--network", "six");
  await sleeper("omega", "--network", "six", "--network", "name=other6,ip6=fd00:215::77");
  const six6 = await daemon.inspect("omega", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}");
  expect(await inside("alpha", "nslookup -type=aaaa omega 127.0.0.11")).toContain(
    `Address: ${six6}`,
  );
  expect((await daemon.berth("exec", "alpha", "ping", "-6", "-c1", "-W2", "omega")).status).toBe(0);
  expect(await reaches("alpha", "fd00:215::77")).toBe(false);
  await done("rm", "-f", "alpha", "omega");
  for (const name of ["six", "other6"]) await done("network", "rm", name);
});

test("networks that are no networks are refused in Docker's words, and shown with who is on them", async () => {
  await done("network", "create", "--config-only", "--subnet", "10.219.0.0/24", "config");
  await done("network", "create", "--config-from", "config", "configured");
  const id = await sleeper("bare", "--network", "host");
  await sleeper("joined", "--network", "container:bare");
  await sleeper("named", "--network", "configured");
  const refused: readonly (readonly [command: string, words: string])[] = [
    ["run --network config busybox", "cannot create endpoint on configuration-only network"],
    ["network create --config-from nobody x", 'configuration network "nobody" does not exist'],
    ["network rm config", 'error while removing network: configuration network "config" is in use'],
    ["network connect host named", "container cannot be disconnected from host network or"],
    ["network connect none named", "with one of the networks in private (none) mode"],
    ["run --link named:db busybox", "Cannot link to /named, as it does not belong to the default"],
    ["network create -d overlay x", "This node is not a swarm manager."],
    ["network create --scope swarm x", "cannot create a swarm scoped network when swarm is not"],
  ];
  for (const [command, words] of refused)
    expect((await daemon.docker(...command.split(" "))).err, command).toContain(words);
  expect(await daemon.inspect("joined", "{{.HostConfig.NetworkMode}}")).toBe(`container:${id}`);
  expect(await daemon.inspect("joined", "{{.NetworkSettings.SandboxKey}}")).toBe("");
  const [shown] = JSON.parse((await daemon.docker("network", "inspect", "host")).out);
  const endpoint = await daemon.inspect("bare", "{{.NetworkSettings.Networks.host.EndpointID}}");
  expect(shown.Containers).toEqual({
    [id]: expect.objectContaining({ Name: "bare", EndpointID: endpoint, IPv4Address: "" }),
  });
  const created = (await done("ps", "-aq", "--filter", "status=created"))
    .split("\n")
    .filter(Boolean);
  await done("rm", "-f", "bare", "joined", "named", ...created);
  await done("network", "rm", "configured", "config");
});

test("the MTU that a network is given holds for its containers, and large packets pass whole", async () => {
  await done("network", "create", "-o", "com.docker.network.driver.mtu=9000", "jumbo");
  await sleeper(
    "big1",
    "--network",
    "name=jumbo,driver-opt=com.docker.network.endpoint.ifname=lan0",
  );
  await sleeper("big2", "--network", "jumbo");
  expect(await inside("big1", "cat /sys/class/net/lan0/mtu")).toBe("9000\n");
  const { out } = await daemon.berth("exec", "big1", "ping", "-c1", "-W5", "-s", "8900", "big2");
  expect(out).toContain(" 0% packet loss");
  const sent = await inside("big1", "grep -A1 ^Ip: /proc/net/snmp");
  const [names = [], values = []] = sent.split("\n").map((line) => line.split(" "));
  expect(values[names.indexOf("FragCreates")]).toBe("0");
  await done("rm", "-f", "big1", "big2");
  await done("network", "rm", "jumbo");
});
