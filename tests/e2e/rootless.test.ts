/** An ordinary user's daemon: what of root's holds for it, what its user is outside, and that nothing stays. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { echoDatagrams } from "../kits/datagrams.ts";
import { leadingOut, ownProcesses, rootlessMissing, SUBORDINATE, USER } from "../kits/rootless.ts";

const missing = rootlessMissing();
if (missing !== undefined) console.error(`rootless.test.ts is skipped: ${missing}`);

const shell = (script: string) => ["busybox", "sh", "-c", script] as const;
/** The host's id of a container's. */
const outside = (id: number) => (id === 0 ? USER.id : SUBORDINATE.first + id - 1);

/** A web server in a container. */
const serving = (text: string) => shell(`mkdir /w; echo ${text} > /w/index.html; httpd -f -h /w`);

async function fetched(url: string): Promise<string> {
  const deadline = Date.now() + 15_000;
  for (;;) {
    try {
      return (await (await fetch(url)).text()).trim();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await Bun.sleep(20);
    }
  }
}

async function refused(url: string): Promise<boolean> {
  return fetch(url).then(
    () => false,
    () => true,
  );
}

describe.skipIf(missing !== undefined)("rootless", () => {
  const before = takeCensus();
  const daemon = new TestDaemon([], [], {});
  // What stands for the network outside: an address of the host's that is not the loopback's own.
  const beyond = "198.51.100.77";
  const server = Bun.serve({ port: 0, fetch: () => new Response("from the host\n") });

  beforeAll(async () => {
    Bun.spawnSync(["ip", "address", "add", `${beyond}/32`, "dev", "lo"]);
    await daemon.start("-H", `unix://${daemon.directory}/run/berth.sock`);
  });
  afterAll(async () => {
    await daemon.destroy();
    await server.stop(true);
    Bun.spawnSync(["ip", "address", "del", `${beyond}/32`, "dev", "lo"]);
    expect(await settledLeftover(before)).toEqual([]);
  });

  /** What a container prints on both streams. */
  async function run(...args: string[]): Promise<string> {
    const { out, err } = await daemon.berth("run", "--rm", ...args);
    return `${out}${err}`.trim();
  }

  /** A container that runs on. */
  async function started(name: string, ...args: string[]): Promise<void> {
    const { err, status } = await daemon.berth("run", "-d", "--name", name, ...args);
    expect(status, err).toBe(0);
  }

  async function exec(name: string, script: string): Promise<string> {
    const { out, err } = await daemon.berth("exec", name, "sh", "-c", script);
    return `${out}${err}`.trim();
  }

  const directory = (name: string) => {
    const path = `${daemon.directory}/${name}`;
    mkdirSync(path);
    chownSync(path, USER.id, USER.id);
    return path;
  };

  test("the daemon and everything of it is the user's, and info says what it is", async () => {
    expect(statSync(`/proc/${daemon.pid}`).uid).toBe(USER.id);
    expect(
      readFileSync(`/proc/${daemon.pid}/uid_map`, "utf8").trim().split(/\s+/).map(Number),
    ).toEqual([0, USER.id, 1, 1, SUBORDINATE.first, SUBORDINATE.count]);
    const { out, err } = await daemon.berth("info");
    expect(out).toMatch(/^ {2}rootless$/m);
    expect(out).toContain("Cgroup Driver: none");
    expect(out).toContain("Storage Driver: overlay2");
    expect(err).toContain("WARNING: Running in rootless-mode without cgroups");
    const socket = statSync(daemon.socket);
    expect([socket.uid, socket.mode & 0o007]).toEqual([USER.id, 0]);
  });

  test("the user's command line finds it, and a container that names no host is its", async () => {
    const { out, err } = await daemon.asUser("info", "--format", "{{.DockerRootDir}}");
    expect(out.trim(), err).toBe(`${daemon.directory}/data`);
    expect((await daemon.asUser("context", "ls")).out).toContain(
      `unix://${daemon.directory}/run/berth.sock`,
    );
    const elsewhere = await daemon.asUser("-H", "unix:///nonexistent", "ps");
    expect(elsewhere.err).toContain("unix:///nonexistent");
  });

  test("root in a container is the user, others are the user's subordinate ids", async () => {
    const bind = directory("bind");
    expect(
      await run("-v", `${bind}:/b`, ...shell("touch /b/a; touch /b/c; chown 7:8 /b/c; id -u")),
    ).toBe("0");
    expect(statSync(`${bind}/a`).uid).toBe(USER.id);
    expect([statSync(`${bind}/c`).uid, statSync(`${bind}/c`).gid]).toEqual([
      outside(7),
      outside(8),
    ]);
    writeFileSync("/tmp/bt-roots-own", "secret", { mode: 0o600 });
    expect(await run("-v", "/tmp/bt-roots-own:/f", ...shell("cat /f"))).toContain(
      "Permission denied",
    );
    Bun.spawnSync(["rm", "/tmp/bt-roots-own"]);
  });

  test("devices are the host's nodes, and none can be made", async () => {
    expect(await run(...shell("echo gone > /dev/null; head -c 4 /dev/zero | wc -c"))).toBe("4");
    expect(await run(...shell("mknod /x b 254 0; echo $?"))).toContain("Operation not permitted");
    const privileged = await run(
      "--privileged",
      ...shell("mknod /x b 254 0; mount -t tmpfs none /mnt && echo mounted"),
    );
    expect(privileged).toContain("Operation not permitted");
    const hidden = `${daemon.directory}/hidden`;
    mkdirSync(hidden, { mode: 0o700 });
    const { err } = await daemon.berth("run", "--device", `${hidden}/x`, "busybox", "true");
    expect(err).toContain(`adding custom device "${hidden}/x": permission denied`);
  });

  test("a layer hides what it replaces, in a commit, an archive and a build", async () => {
    const change =
      "rm -rf /home; mkdir /home; touch /home/new; rm /bin/vi; touch /own; chown 5:6 /own";
    await daemon.berth("run", "--name", "changed", ...shell(change));
    expect((await daemon.berth("diff", "changed")).out).toContain("D /bin/vi");
    expect((await daemon.berth("commit", "changed", "first")).status).toBe(0);
    const shown = "ls /bin/vi; ls -A /home; stat -c %u:%g /own";
    const expected = "new\n5:6\nls: /bin/vi: No such file or directory";
    expect(await run("first", "sh", "-c", shown)).toBe(expected);
    const archive = `${daemon.directory}/first.tar`;
    expect((await daemon.berth("save", "-o", archive, "first")).status).toBe(0);
    await daemon.berth("rmi", "-f", "first");
    expect((await daemon.berth("load", "-i", archive)).out).toContain("first");
    expect(await run("first", "sh", "-c", shown)).toBe(expected);
    const context = directory("context");
    writeFileSync(
      `${context}/Dockerfile`,
      "FROM first\nRUN rm -rf /home && mkdir /home && touch /home/built\nCOPY --chown=3:4 Dockerfile /d\nRUN rm /own\n",
    );
    expect((await daemon.berth("build", "-t", "built", context)).status).toBe(0);
    expect(await run("built", "sh", "-c", "ls -A /home; ls /own; stat -c %u:%g /d")).toBe(
      "built\n3:4\nls: /own: No such file or directory",
    );
    await daemon.berth("rm", "changed");
  });

  test("owners that the user has no ids for are refused, and say so", async () => {
    const [place, archive] = [directory("owners"), `${daemon.directory}/owners.tar`];
    writeFileSync(`${place}/f`, "");
    chownSync(`${place}/f`, 70_000, 70_000);
    Bun.spawnSync(["tar", "-C", place, "-cf", archive, "f"]);
    const { err, status } = await daemon.berth("import", archive, "owners");
    expect([status, err]).toEqual([1, expect.stringContaining("70000:70000 is beyond the ids")]);
  });

  test("exec, logs, top, cp, stats and health checks", async () => {
    await started(
      "worker",
      "--health-cmd",
      "test -e /ok",
      "--health-interval",
      "100ms",
      ...shell("echo begun; touch /ok; exec sleep 10000"),
    );
    await daemon.until("worker", "{{.State.Health.Status}}", "healthy");
    expect((await daemon.berth("logs", "worker")).out).toBe("begun\n");
    expect(await exec("worker", "id -u; cat /proc/1/comm")).toBe("0\nsleep");
    expect((await daemon.berth("top", "worker")).out).toContain("sleep 10000");
    writeFileSync(`${daemon.directory}/in`, "copied");
    expect((await daemon.berth("cp", `${daemon.directory}/in`, "worker:/in")).status).toBe(0);
    expect(await exec("worker", "cat /in")).toBe("copied");
    expect((await daemon.berth("cp", "worker:/in", `${daemon.directory}/out`)).status).toBe(0);
    expect(readFileSync(`${daemon.directory}/out`, "utf8")).toBe("copied");
    const stats = await daemon.berth(
      "stats",
      "--no-stream",
      "--format",
      "{{.Name}} {{.PIDs}}",
      "worker",
    );
    expect(stats.out.trim()).toBe("worker 1");
    await daemon.berth("rm", "-f", "worker");
  });

  test("limits are warned of and do nothing; pause is refused", async () => {
    const { out, err } = await daemon.berth(
      "run",
      "--rm",
      "-m",
      "32m",
      "--pids-limit",
      "5",
      ...shell("echo ran"),
    );
    expect(out).toBe("ran\n");
    expect(err).toContain(
      "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
    await started("steady", "busybox", "sleep", "10000");
    const paused = await daemon.berth("pause", "steady");
    expect([paused.status, paused.err]).toEqual([
      1,
      expect.stringContaining("no control groups of its own"),
    ]);
    expect((await daemon.berth("commit", "steady", "of-running")).status).toBe(0);
    await daemon.berth("rm", "-f", "steady");
  });

  test("the host's process and IPC namespaces, and another container's", async () => {
    expect(await run("--pid", "host", ...shell(`cat /proc/${daemon.pid}/comm`))).toBe("berth");
    expect(await run("--ipc", "host", ...shell("echo joined"))).toBe("joined");
    const hosts = ["--pid", "--ipc", "--uts", "--cgroupns", "--network"].flatMap((flag) => [
      flag,
      "host",
    ]);
    await started("hosts", ...hosts, ...shell("exec sleep 10000"));
    expect(await exec("hosts", `cat /proc/${daemon.pid}/comm`)).toBe("berth");
    await daemon.berth("rm", "-f", "hosts");
    await started(
      "shared",
      "--ipc",
      "shareable",
      ...shell("touch /dev/shm/mark; exec sleep 10000"),
    );
    expect(await run("--pid", "container:shared", ...shell("cat /proc/1/comm"))).toBe("sleep");
    expect(await run("--ipc", "container:shared", ...shell("ls /dev/shm"))).toBe("mark");
    expect(await run("--network", "container:shared", ...shell("hostname"))).toBe(
      await exec("shared", "hostname"),
    );
    await daemon.berth("rm", "-f", "shared");
  });

  test("every process of a container ends with it, without a control group", async () => {
    await started("many", ...shell("sleep 10001 & sleep 10002 & exec sleep 10000"));
    await daemon.berth("exec", "-d", "many", "sleep", "10003");
    const { out } = await daemon.berth("top", "many", "-eo", "pid,args");
    const pids = out
      .split("\n")
      .slice(1)
      .filter(Boolean)
      .map((line) => Number.parseInt(line.trim(), 10));
    expect(pids.length).toBe(4);
    await daemon.berth("rm", "-f", "many");
    const alive = pids.filter((pid) => ownProcesses("sleep").includes(pid));
    expect(alive).toEqual([]);
  });

  test("containers find each other by name, and the way out", async () => {
    await daemon.berth("network", "create", "inner");
    await started("named", "--network", "inner", ...serving("named"));
    expect(await run("--network", "inner", ...shell("wget -q -O - http://named/"))).toBe("named");
    const out = `http://${beyond}:${server.port}/`;
    expect(await run(...shell(`wget -q -O - ${out}`))).toBe("from the host");
    await daemon.berth("network", "create", "--internal", "closed");
    expect(
      await run(
        "--network",
        "closed",
        ...shell(`nc -w 2 ${beyond} ${server.port} < /dev/null || echo closed`),
      ),
    ).toContain("closed");
    await daemon.berth("rm", "-f", "named");
    await daemon.berth("network", "rm", "inner", "closed");
  });

  test("volumes: files stay, and a tmpfs is mounted", async () => {
    await daemon.berth("volume", "create", "kept");
    await run("-v", "kept:/v", ...shell("echo data > /v/f; chown 9:9 /v/f"));
    expect(await run("-v", "kept:/v", ...shell("cat /v/f; stat -c %u /v/f"))).toBe("data\n9");
    const place = (
      await daemon.berth("volume", "inspect", "-f", "{{.Mountpoint}}", "kept")
    ).out.trim();
    expect(statSync(`${place}/f`).uid).toBe(outside(9));
    await daemon.berth("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory");
    expect(await run("-v", "memory:/v", ...shell("grep ' /v ' /proc/mounts"))).toStartWith("tmpfs");
    expect((await daemon.berth("volume", "rm", "kept", "memory")).status).toBe(0);
  });

  test("ports are published in the host's network: TCP, UDP, live, and let go", async () => {
    await started(
      "ports",
      "-p",
      "127.0.0.1::80",
      "-p",
      "127.0.0.1::5/udp",
      ...shell(`mkdir /w; echo web > /w/index.html; exec httpd -f -h /w`),
    );
    const at = async (port: string) => (await daemon.berth("port", "ports", port)).out.trim();
    const first = await at("80");
    expect(await fetched(`http://${first}/`)).toBe("web");
    const echo = await echoDatagrams(await daemon.inspect("ports", "{{.State.Pid}}"), 5);
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = await Bun.udpSocket({ socket: { data: (_, data) => resolve(data.toString()) } });
    const udp = Number((await at("5/udp")).split(":").at(-1));
    const asking = setInterval(() => socket.send("ping", udp, "127.0.0.1"), 100);
    expect(await promise).toBe("ping");
    clearInterval(asking);
    socket.close();
    echo.kill();
    expect((await daemon.berth("update", "-p", "127.0.0.1::81", "ports")).status).toBe(0);
    await daemon.berth("exec", "-d", "ports", "httpd", "-f", "-p", "81", "-h", "/w");
    const late = await at("81");
    expect(await fetched(`http://${late}/`)).toBe("web");
    const taken = await daemon.berth("run", "--rm", "-p", `${first}:80`, "busybox", "true");
    expect(taken.err).toContain("address already in use");
    await daemon.berth("rm", "-f", "ports");
    expect(await refused(`http://${first}/`)).toBe(true);
    expect(await refused(`http://${late}/`)).toBe(true);
  });

  test("a port below the first that everybody may have is refused, and it is said what to do", async () => {
    const first = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
    if (first === 0) return console.error("every port is everybody's here");
    const { err, status } = await daemon.berth(
      "run",
      "--rm",
      "-p",
      `${first - 1}:80`,
      "busybox",
      "true",
    );
    expect(status).toBe(126);
    expect(err).toContain(`cannot expose privileged port ${first - 1}`);
    expect(err).toContain(`net.ipv4.ip_unprivileged_port_start=${first - 1}`);
  });

  test("containers outlive a daemon that is killed, with their ports and their way out", async () => {
    await started("survivor", "-p", "127.0.0.1::80", ...serving("still"));
    const port = (await daemon.berth("port", "survivor", "80")).out.trim();
    await daemon.kill();
    expect(await fetched(`http://${port}/`)).toBe("still");
    await daemon.start();
    expect(await exec("survivor", `wget -q -O - http://${beyond}:${server.port}/`)).toBe(
      "from the host",
    );
    expect((await daemon.berth("update", "-p", "127.0.0.1::82", "survivor")).status).toBe(0);
    await daemon.berth("exec", "-d", "survivor", "httpd", "-f", "-p", "82", "-h", "/w");
    const later = (await daemon.berth("port", "survivor", "82")).out.trim();
    expect(await fetched(`http://${later}/`)).toBe("still");
    await daemon.berth("rm", "-f", "survivor");
  });

  test("what leads out may be killed, also while no daemon runs: it is started again, and the way out and ports are there", async () => {
    await started("cut", "-p", "127.0.0.1::80", ...serving("reached"));
    const port = (await daemon.berth("port", "cut", "80")).out.trim();
    const pids = () => leadingOut("passt", daemon.directory);
    /** Another one than before leads out, and it does. */
    const killed = async () => {
      const before = pids();
      expect(before.length).toBeGreaterThan(0);
      for (const pid of before) process.kill(pid, "SIGKILL");
      const deadline = Date.now() + 15_000;
      // It has children while it sets up its device.
      const others = () => pids().filter((pid) => !before.includes(pid));
      let found = others();
      while (found.length === 0 && Date.now() < deadline) {
        await Bun.sleep(20);
        found = others();
      }
      expect(found.length).toBeGreaterThan(0);
    };
    /** Asks until there is an answer: the program has to set up its device. */
    const fromHost = async (ask: (script: string) => Promise<string>) => {
      const deadline = Date.now() + 15_000;
      for (;;) {
        const said = await ask(`timeout 3 wget -q -O - http://${beyond}:${server.port}/`);
        if (said === "from the host" || Date.now() > deadline) return said;
        await Bun.sleep(50);
      }
    };
    await killed();
    expect(await fromHost((script) => exec("cut", script))).toBe("from the host");
    expect(await fromHost((script) => run(...shell(script)))).toBe("from the host");
    expect(await fetched(`http://${port}/`)).toBe("reached");
    await daemon.kill();
    // Twice: the second time not at once.
    await killed();
    await killed();
    expect(await fetched(`http://${port}/`)).toBe("reached");
    await daemon.start();
    expect(await fromHost((script) => exec("cut", script))).toBe("from the host");
    expect((await daemon.berth("update", "-p", "127.0.0.1::83", "cut")).status).toBe(0);
    await daemon.berth("exec", "-d", "cut", "httpd", "-f", "-p", "83", "-h", "/w");
    const later = (await daemon.berth("port", "cut", "83")).out.trim();
    expect(await fetched(`http://${later}/`)).toBe("reached");
    await daemon.berth("rm", "-f", "cut");
  });

  test("who keeps the namespaces may be killed: the next daemon finds them by the containers in them", async () => {
    await started("found", "-p", "127.0.0.1::80", ...serving("found"));
    const port = (await daemon.berth("port", "found", "80")).out.trim();
    const [keeper = 0, ...others] = ownProcesses("berth-keeper", daemon.directory);
    expect([keeper > 0, others]).toEqual([true, []]);
    process.kill(keeper, "SIGKILL");
    expect(await daemon.ended()).toBe(1);
    expect(daemon.log).toContain("the keeper of the namespaces has ended");
    expect(await fetched(`http://${port}/`)).toBe("found");
    await daemon.start();
    expect(await exec("found", `wget -q -O - http://${beyond}:${server.port}/`)).toBe(
      "from the host",
    );
    await daemon.berth("network", "create", "again");
    await started("other", "--network", "again", ...serving("other"));
    expect(await run("--network", "again", ...shell("wget -q -O - http://other/"))).toBe("other");
    await daemon.berth("rm", "-f", "found", "other");
    await daemon.berth("network", "rm", "again");
  });

  test("nothing stays when the daemon and its last container are gone", async () => {
    await started("last", "busybox", "sleep", "10000");
    const pid = Number(await daemon.inspect("last", "{{.State.Pid}}"));
    await daemon.kill();
    // One that the test before has killed may be on its way out.
    const keepers = () => ownProcesses("berth-keeper", daemon.directory).length;
    for (const end = Date.now() + 15_000; keepers() !== 1 && Date.now() < end; )
      await Bun.sleep(20);
    expect(keepers()).toBe(1);
    const [dweller] = ownProcesses("berth-dweller", daemon.directory);
    expect(ownProcesses("passt", `/proc/${dweller}/ns/net`).length).toBe(1);
    process.kill(pid, "SIGKILL");
    const deadline = Date.now() + 15_000;
    const left = () => [
      ...["berth-keeper", "berth-dweller", "berth-shim"].flatMap((name) =>
        ownProcesses(name, daemon.directory),
      ),
      ...ownProcesses("passt", `/proc/${dweller}/ns/net`),
    ];
    while (left().length > 0 && Date.now() < deadline) await Bun.sleep(20);
    expect(left()).toEqual([]);
    await daemon.start();
    expect(await daemon.inspect("last", "{{.State.Status}} {{.State.ExitCode}}")).toBe(
      "exited 137",
    );
    await daemon.berth("rm", "last");
  });
});

describe.skipIf(missing !== undefined)("a control group that has been delegated", () => {
  const group = `berth-test-${process.pid}`;
  test("holds containers' groups: they are frozen, seen, and gone with the daemon", async () => {
    const before = takeCensus();
    const daemon = new TestDaemon([], [], { group });
    const exec = async (script: string) =>
      (await daemon.berth("exec", "grouped", "sh", "-c", script)).out.trim();
    try {
      await daemon.start();
      expect((await daemon.berth("info")).out).toContain("Cgroup Version: 2");
      const started = await daemon.berth(
        "run",
        "-d",
        "--name",
        "grouped",
        "busybox",
        "sleep",
        "10000",
      );
      expect(started.status, started.err).toBe(0);
      expect(await exec("cat /proc/self/cgroup")).toMatch(/^0::\/$/m);
      const pid = await daemon.inspect("grouped", "{{.State.Pid}}");
      const id = await daemon.inspect("grouped", "{{.Id}}");
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toMatch(
        new RegExp(`^0::/.*${group}/berth-[0-9a-f]{8}/${id}$`, "m"),
      );
      const host = ["--rm", "--cgroupns", "host", "busybox", "sh", "-c"];
      const seen = await daemon.berth("run", ...host, "cat /sys/fs/cgroup/cgroup.procs");
      expect([seen.err, seen.out]).toEqual(["", expect.stringMatching(/^1\n/)]);
      // Without a controller of memory there (this host may have it in version 1) the limit is discarded, and it is said.
      const counts = readFileSync(
        `/proc/${daemon.pid}/root/sys/fs/cgroup/cgroup.controllers`,
        "utf8",
      ).includes("memory");
      const said = "memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
      const limit = ["-m", "64m", "--memory-swap", "-1"];
      const limited = await daemon.berth("run", "--rm", ...limit, "busybox", "echo", "ran");
      expect([limited.out, limited.err.includes(said)]).toEqual(["ran\n", !counts]);
      const changed = await daemon.berth("update", ...limit, "grouped");
      expect([changed.status, `${changed.out}${changed.err}`.includes(said)]).toEqual([0, !counts]);
      expect((await daemon.berth("pause", "grouped")).status).toBe(0);
      expect(await daemon.inspect("grouped", "{{.State.Status}}")).toBe("paused");
      await daemon.kill();
      await daemon.start();
      expect(await daemon.inspect("grouped", "{{.State.Status}}")).toBe("paused");
      expect((await daemon.berth("unpause", "grouped")).status).toBe(0);
      expect(await exec("echo goes on")).toBe("goes on");
    } finally {
      await daemon.destroy();
    }
    expect(await settledLeftover(before)).toEqual([]);
  });
});
