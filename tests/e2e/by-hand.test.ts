/**
 * Networks made by hand, as the old Docker book does it: interfaces moved into containers' namespaces, a bridge of one's own,
 * namespaces entered. What is made so works, goes with the container, and does not disturb what berth makes.
 */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { host } from "../kits/lan.ts";

const daemon = daemonOfFile();
const NETNS = "/var/run/netns";
const links: string[] = [];
const interfaces: string[] = [];

afterEach(() => {
  for (const link of links.splice(0)) rmSync(link, { force: true });
  for (const name of interfaces.splice(0)) host("ip", "link", "delete", name);
});
afterAll(() => daemon.berth("network", "prune", "-f"));

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.docker(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

/** A command of the host that says nothing when it succeeds. */
function quiet(...words: string[]): void {
  expect(host(...words), words.join(" ")).toBe("");
}

const pidOf = (name: string) => done("inspect", "-f", "{{.State.Pid}}", name);

/** Starts a container without a network; gives its process. */
async function alone(name: string): Promise<string> {
  await done("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "10000");
  return pidOf(name);
}

/** Names a process's network namespace for `ip netns`. */
function nameNamespace(pid: string): void {
  mkdirSync(NETNS, { recursive: true });
  const link = `${NETNS}/${pid}`;
  rmSync(link, { force: true });
  symlinkSync(`/proc/${pid}/ns/net`, link);
  links.push(link);
}

const inside = (name: string, script: string) => done("exec", name, "sh", "-c", script);
const reaches = async (from: string, to: string) =>
  (await daemon.docker("exec", from, "ping", "-c1", "-W2", to)).status === 0;

test("two containers are joined by a pair of interfaces of their own", async () => {
  const [one, two] = [await alone("point1"), await alone("point2")];
  for (const pid of [one, two]) nameNamespace(pid);
  quiet("ip", "link", "add", "handA", "type", "veth", "peer", "name", "handB");
  interfaces.push("handA");
  for (const [end, pid, own, other] of [
    ["handA", one, "10.1.1.1", "10.1.1.2"],
    ["handB", two, "10.1.1.2", "10.1.1.1"],
  ] as const) {
    quiet("ip", "link", "set", end, "netns", pid);
    quiet("ip", "netns", "exec", pid, "ip", "address", "add", `${own}/32`, "dev", end);
    quiet("ip", "netns", "exec", pid, "ip", "link", "set", end, "up");
    quiet("ip", "netns", "exec", pid, "ip", "route", "add", `${other}/32`, "dev", end);
  }
  expect(await reaches("point1", "10.1.1.2")).toBe(true);
  expect(await inside("point2", "ip route")).toContain("10.1.1.1 dev handB");
  // Neither is on a network that berth knows.
  expect(await inside("point1", "ip route")).not.toContain("default");
  await done("rm", "-f", "point1");
  // The pair goes with the namespace of either end.
  await gone("point2", "ip link show handB");
  await done("rm", "-f", "point2");
});

/** Waits until a command in a container fails. */
async function gone(name: string, script: string): Promise<void> {
  const deadline = Date.now() + 15_000;
  while ((await daemon.docker("exec", name, "sh", "-c", script)).status === 0)
    if (Date.now() > deadline) throw new Error(`${script} still succeeds in ${name}`);
}

test("a container without a network is put on berth's bridge by hand, with an address and a way out", async () => {
  const pid = await alone("manual");
  const bridge = await done(
    ...[
      "network",
      "inspect",
      "-f",
      '{{index .Options "com.docker.network.bridge.name"}}',
      "bridge",
    ],
  );
  const gateway = await done(
    "network",
    "inspect",
    "-f",
    "{{range .IPAM.Config}}{{.Gateway}}{{end}}",
    "bridge",
  );
  const address = gateway.replace(/\d+\.\d+$/, "200.200");
  quiet("ip", "link", "add", "handC", "type", "veth", "peer", "name", "handD");
  interfaces.push("handC");
  quiet("brctl", "addif", bridge, "handC");
  quiet("ip", "link", "set", "handC", "up");
  quiet("ip", "link", "set", "handD", "netns", pid);
  const enter = ["nsenter", "--target", pid, "--net"];
  quiet(...enter, "ip", "link", "set", "dev", "handD", "name", "eth0");
  quiet(...enter, "ip", "link", "set", "eth0", "address", "12:34:56:78:9a:bc");
  quiet(...enter, "ip", "link", "set", "eth0", "up");
  quiet(...enter, "ip", "address", "add", `${address}/16`, "dev", "eth0");
  quiet(...enter, "ip", "route", "add", "default", "via", gateway);
  expect(host("brctl", "show", bridge)).toContain("handC");
  await done("run", "-d", "--name", "neighbour", "busybox", "sleep", "10000");
  const other = await done("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "neighbour");
  expect(await reaches("manual", other)).toBe(true);
  expect(await reaches("neighbour", address)).toBe(true);
  expect(await reaches("manual", gateway)).toBe(true);
  expect(await inside("neighbour", `grep "^${address} " /proc/net/arp`)).toContain(
    "12:34:56:78:9a:bc",
  );
  // A daemon that starts anew leaves it where it is.
  await daemon.kill();
  await daemon.start();
  expect(await reaches("manual", other)).toBe(true);
  await done("rm", "-f", "manual", "neighbour");
  await until(() => host("brctl", "show", bridge).includes("handC") === false);
});

/** Waits for a condition of the host. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error("it did not come to that");
    await Bun.sleep(20);
  }
}

test("an interface that is added to a container on a network works beside berth's, and goes at its end", async () => {
  await done("network", "create", "beside");
  await done("run", "-d", "--name", "both", "--network", "beside", "busybox", "sleep", "10000");
  const pid = await pidOf("both");
  quiet("ip", "link", "add", "handE", "type", "veth", "peer", "name", "handF");
  interfaces.push("handE");
  quiet("ip", "address", "add", "10.250.0.1/24", "dev", "handE");
  quiet("ip", "link", "set", "handE", "up");
  quiet("ip", "link", "set", "handF", "netns", pid);
  const enter = ["nsenter", "-t", pid, "-n"];
  quiet(...enter, "ip", "address", "add", "10.250.0.2/24", "dev", "handF");
  quiet(...enter, "ip", "link", "set", "handF", "up");
  expect(await reaches("both", "10.250.0.1")).toBe(true);
  // Connected and disconnected beside it, the next network gets the next of berth's names.
  await done("network", "connect", "bridge", "both");
  expect(await inside("both", "ls /sys/class/net")).toBe("eth0\neth1\nhandF\nlo");
  await done("network", "disconnect", "beside", "both");
  expect(await reaches("both", "10.250.0.1")).toBe(true);
  expect(await inside("both", "ls /sys/class/net")).toBe("eth1\nhandF\nlo");
  await done("restart", "-t", "0", "both");
  await until(() => host("ip", "link", "show", "handE").includes("does not exist"));
  expect(await inside("both", "ls /sys/class/net")).not.toContain("handF");
  await done("rm", "-f", "both");
  await done("network", "rm", "beside");
});

test("a bridge of one's own (brctl addbr, --bridge) is used as it is and stays", async () => {
  quiet("brctl", "addbr", "hand0");
  interfaces.push("hand0");
  quiet("ip", "address", "add", "192.168.177.1/24", "dev", "hand0");
  quiet("ip", "link", "set", "dev", "hand0", "up");
  const other = await new TestDaemon(["--bridge", "hand0"]).start();
  try {
    for (const name of ["own1", "own2"])
      await other.docker("run", "-d", "--name", name, "busybox", "sleep", "10000");
    const address = await other.inspect("own2", "{{.NetworkSettings.IPAddress}}");
    expect(address).toStartWith("192.168.177.");
    expect((await other.docker("exec", "own1", "ping", "-c1", "-W2", address)).status).toBe(0);
    expect(host("brctl", "show", "hand0").match(/veth/g)?.length).toBeGreaterThanOrEqual(2);
  } finally {
    await other.destroy();
  }
  expect(host("ip", "-o", "address", "show", "hand0")).toContain("192.168.177.1/24");
  quiet("ip", "link", "set", "dev", "hand0", "down");
  quiet("brctl", "delbr", "hand0");
});

test("nsenter enters each of a container's namespaces by its process", async () => {
  await done("run", "-d", "--name", "entered", "--hostname", "within", "busybox", "sleep", "10000");
  const pid = await pidOf("entered");
  const enter = (...words: string[]) => host("nsenter", "--target", pid, ...words).trim();
  expect(enter("--uts", "hostname")).toBe("within");
  const address = await done("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "entered");
  expect(enter("--net", "ip", "-o", "-4", "address", "show", "eth0")).toContain(`${address}/`);
  await inside("entered", "echo written > /note");
  expect(enter("--mount", "/bin/cat", "/note")).toBe("written");
  expect(enter("--mount", "--uts", "--ipc", "--net", "--pid", "/bin/ps")).toMatch(
    /1 \S+ .*sleep 10000/,
  );
  expect(enter("--mount", "--pid", "/bin/sh", "-c", "echo $(readlink /proc/1/ns/mnt)")).toBe(
    await inside("entered", "readlink /proc/1/ns/mnt"),
  );
  await done("rm", "-f", "entered");
});
