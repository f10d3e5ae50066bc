/** User namespaces of containers: whose ids they have, what is seen from both sides, and what stays the host's. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const scratch = scratchDirectory("bt-users-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

// Lists of ids of its own, in a mount namespace of the daemon's.
writeFileSync(`${scratch}/subuid`, "nobody:300000:1000\nnobody:500000:70000\nother:100000:65536\n");
writeFileSync(`${scratch}/subgid`, "nobody:400000:70000\n65534:600000:10\n");
const lists = ["subuid", "subgid"].map(
  (name) => `touch /etc/${name}; mount --bind ${scratch}/${name} /etc/${name}`,
);
const within = ["unshare", "-m", "sh", "-c", `${lists.join("; ")}; exec "$@"`, "sh"];
const daemon = daemonOfFile([], within);

/** What a container prints on both streams. */
async function run(...args: string[]): Promise<string> {
  const { out, err } = await daemon.berth("run", "--rm", "--userns=auto", ...args);
  return `${out}${err}`.trim();
}

const executable = join(import.meta.dir, "../../dist/berth");

const shell = (script: string) => ["busybox", "sh", "-c", script] as const;

/** A container that runs until it is removed. */
async function sleeper(name: string, ...options: string[]): Promise<void> {
  const args = ["run", "-d", "--name", name, "--userns=auto", ...options];
  const { err, status } = await daemon.berth(...args, "busybox", "sleep", "10000");
  expect(status, err).toBe(0);
}

async function exec(name: string, script: string, ...options: string[]): Promise<string> {
  const { out, err } = await daemon.berth("exec", ...options, name, "sh", "-c", script);
  return `${out}${err}`.trim();
}

const firstId = (name: string) =>
  daemon.inspect(name, "{{(index .Berth.UserNamespace.UidMap 0).HostID}}").then(Number);

/** A row of a map of the kernel's. */
const words = (text: string) => text.trim().split(/\s+/).map(Number);

test("root in a container is nobody on the host, and in each another nobody", async () => {
  await sleeper("one");
  await sleeper("two", "--user", "1000:1000");
  const [one, two] = [await firstId("one"), await firstId("two")];
  expect(one).toBeGreaterThanOrEqual(0x70000000);
  expect(one % 65536).toBe(0);
  expect(two).not.toBe(one);
  const pid = await daemon.inspect("two", "{{.State.Pid}}");
  expect(words(readFileSync(`/proc/${pid}/uid_map`, "utf8"))).toEqual([0, two, 65536]);
  expect(words(readFileSync(`/proc/${pid}/gid_map`, "utf8"))).toEqual([0, two, 65536]);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  expect(/^Uid:\s+(\d+)/m.exec(status)?.[1]).toBe(String(two + 1000));
  expect(await exec("one", "id -u; cat /proc/1/uid_map")).toMatch(
    new RegExp(`^0\\s+0\\s+${one}\\s`),
  );
  expect(await exec("two", "id -u; id -g")).toBe("1000\n1000");
  expect(await daemon.inspect("two", "{{.HostConfig.UsernsMode}}")).toBe("auto");
  // What an escape would find: nothing of the host's root may be read or changed.
  expect(await run("-v", "/proc:/host-proc:ro", ...shell("cat /host-proc/1/environ"))).toContain(
    "Permission denied",
  );
  await daemon.berth("rm", "-f", "one", "two");
});

test("files have the owners of an image, and no layer is chowned", async () => {
  await sleeper("files");
  const made = "mkdir -p /d/e; echo x >/d/e/f; chown 33:44 /d/e/f; rm /etc/group; chmod 4755 /d";
  expect(
    await exec("files", `ls -ln / | awk '/etc/{print $3}'; ${made}; stat -c %u:%g:%a /d /d/e/f`),
  ).toBe("0\n0:0:4755\n33:44:644");
  const changes = (await daemon.berth("diff", "files")).out.trim().split("\n");
  expect(changes).toEqual(["A /d", "A /d/e", "A /d/e/f", "C /etc", "D /etc/group"]);
  expect((await daemon.berth("commit", "files", "users:1")).status).toBe(0);
  const [, ...look] = shell("stat -c %u:%g:%a /d /d/e/f; ls /etc/group 2>/dev/null");
  const seen = "0:0:4755\n33:44:644";
  const inHosts = await daemon.berth("run", "--rm", "users:1", ...look);
  expect(inHosts.out.trim()).toBe(seen);
  expect(await run("users:1", ...look)).toBe(seen);
  await daemon.berth("export", "-o", `${scratch}/tree.tar`, "files");
  const listed = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", `${scratch}/tree.tar`]).stdout;
  expect(listed.toString()).toMatch(/33\/44 .* d\/e\/f$/m);
  // A container that ended has its files again, with the same owners.
  await daemon.berth("restart", "-t", "0", "files");
  expect(await exec("files", "stat -c %u:%g /d/e/f")).toBe("33:44");
  await daemon.berth("rm", "-f", "files");
  await daemon.berth("rmi", "users:1");
});

test("cp keeps owners both ways, whether the container runs or not", async () => {
  await sleeper("copies", "-v", "copied:/v");
  Bun.spawnSync(["sh", "-c", `echo x >${scratch}/in; chown 5:6 ${scratch}/in`]);
  const tar = Bun.spawnSync(["tar", "-C", scratch, "-c", "in"]).stdout;
  const put = (path: string) =>
    daemon.berthWith({ stdin: new Uint8Array(tar) }, "cp", "-", `copies:${path}`);
  await exec("copies", "mkdir /d");
  expect((await put("/d")).err).toBe("");
  expect((await put("/v")).err).toBe("");
  expect(await exec("copies", "stat -c %u:%g /d/in /v/in; echo y >>/d/in; cat /d/in")).toBe(
    "5:6\n5:6\nx\ny",
  );
  const volume = await daemon.berth("volume", "inspect", "-f", "{{.Mountpoint}}", "copied");
  expect(statSync(`${volume.out.trim()}/in`).uid).toBe(5);
  await daemon.berth("stop", "-t", "0", "copies");
  expect((await put("/tmp")).err).toBe("");
  const back = await daemon.berth("cp", "copies:/tmp/in", `${scratch}/back`);
  expect(back.status, back.err).toBe(0);
  await daemon.berth("start", "copies");
  expect(await exec("copies", "stat -c %u:%g /tmp/in /d/in")).toBe("5:6\n5:6");
  await daemon.berth("rm", "-f", "copies");
  await daemon.berth("volume", "rm", "copied");
});

test("on the host files of binds and volumes have the owners that they have without a user namespace", async () => {
  Bun.spawnSync([
    "sh",
    "-c",
    `mkdir ${scratch}/b; chown 0:0 ${scratch}/b; chmod g-s ${scratch}/b; touch ${scratch}/b/u; chown 1000:1000 ${scratch}/b/u`,
  ]);
  const script = "stat -c %u:%g /b/u; chown 7:8 /b/u; echo new >/b/n; mkdir /v/d";
  expect(await run("-v", `${scratch}/b:/b`, "-v", "vol:/v", ...shell(script))).toBe("1000:1000");
  const owner = (path: string) => `${statSync(path).uid}:${statSync(path).gid}`;
  expect(owner(`${scratch}/b/u`)).toBe("7:8");
  expect(owner(`${scratch}/b/n`)).toBe("0:0");
  // An image's content goes up into a volume, which others then have, with whatever user namespace.
  await sleeper("first", "-v", "up:/etc", "-v", "vol:/v");
  expect(await exec("first", "stat -c %u /etc/passwd /v/d; touch /etc/new")).toBe("0\n0");
  expect(
    await run("--volumes-from", "first", ...shell("stat -c %u /etc/new; touch /v/d/x; ls /v/d")),
  ).toBe("0\nx");
  const { out } = await daemon.berth(
    "run",
    "--rm",
    "-v",
    "up:/e",
    "busybox",
    "stat",
    "-c",
    "%u",
    "/e/new",
  );
  expect(out.trim()).toBe("0");
  await daemon.berth("rm", "-f", "first");
  await daemon.berth("volume", "rm", "up", "vol");
  // A user's wish about owners goes together with it.
  const match = `type=bind,src=${scratch}/b,dst=/b,idmap=match-user`;
  expect(
    await run("--mount", match, "--user", "1000", ...shell("touch /b/mine; stat -c %u /b /b/mine")),
  ).toBe("1000\n1000");
  expect(owner(`${scratch}/b/mine`)).toBe("0:0");
});

test("where a file system cannot map owners, they are the host's, and inspect says so", async () => {
  await sleeper("unmapped", "-v", "/sys/kernel:/k:ro", "-v", `${scratch}:/s`);
  expect(await daemon.inspect("unmapped", "{{json .Berth.UserNamespace.Unmapped}}")).toBe('["/k"]');
  expect(await exec("unmapped", "stat -c %u /k /s")).toBe("65534\n0");
  await daemon.berth("rm", "-f", "unmapped");
});

test("images that are mounted, subpaths, tmpfs and a read-only root are as ever", async () => {
  const image = "type=image,src=busybox,dst=/i";
  const part = "type=image,src=busybox,dst=/p,image-subpath=etc";
  const script = "stat -c %u:%g /i/bin/busybox /p/passwd /t; touch /t/x; touch /x";
  const all = ["--mount", image, "--mount", part, "--tmpfs", "/t:uid=5,mode=755", "--read-only"];
  expect(await run(...all, ...shell(script))).toBe(
    "0:0\n0:0\n5:0\ntouch: /x: Read-only file system",
  );
});

test("capabilities count in its own namespaces, and nowhere else", async () => {
  expect(
    await run(
      "--cap-add",
      "NET_ADMIN",
      ...shell("ip link set eth0 mtu 1400; cat /sys/class/net/eth0/mtu"),
    ),
  ).toBe("1400");
  expect(await run(...shell("ip link set eth0 mtu 1400"))).toContain("not permitted");
  const admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
  expect(
    await run(...admin, ...shell("mkdir /m; mount -t tmpfs none /m && hostname inside; hostname")),
  ).toBe("inside");
  // Not even with every capability: device nodes, and the host's clock.
  const all = ["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"];
  const refused = await run(...all, ...shell("mknod /n c 1 3; date -s @0"));
  expect(refused).toContain("mknod: /n: Operation not permitted");
  expect(refused).toContain("can't set date: Operation not permitted");
  const sysctls = ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shmmax=12345"];
  const read = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax";
  expect(await run(...sysctls, ...shell(read))).toBe("1\n12345");
  expect(await run(...shell("cat /proc/sys/net/ipv4/ping_group_range"))).toBe("0\t65535");
  expect(await run("--network", "none", ...shell("ip -o link | wc -l"))).toBe("1");
});

test("programs with the setuid bit, and no-new-privileges", async () => {
  // No group may ping: only root's right to raw sockets does it.
  const none = ["--sysctl", "net.ipv4.ping_group_range=1 0"];
  await sleeper("setuid", ...none);
  await exec("setuid", "cp /bin/busybox /su; chmod 4755 /su; ln -s /su /ping");
  const ping = "ping -c 1 -W 5 127.0.0.1";
  expect(await exec("setuid", `/${ping}`, "-u", "1000")).toContain("seq=0");
  expect(await exec("setuid", ping, "-u", "1000")).toContain("permission denied");
  await daemon.berth("rm", "-f", "setuid");
  const denied = ["--security-opt", "no-new-privileges", "--user", "1000"];
  expect(await run(...denied, ...shell("grep NoNewPrivs /proc/self/status"))).toMatch(/1$/);
});

test("streams, terminals, limits, devices, init and health checks", async () => {
  const out = "echo out >/dev/stdout; echo err >/dev/stderr";
  expect(await run("--user", "1000", ...shell(out))).toBe("out\nerr");
  const limits = [
    "--ulimit",
    "nofile=64",
    "--oom-score-adj",
    "500",
    "--pids-limit",
    "50",
    "--init",
  ];
  expect(
    await run(...limits, ...shell("ulimit -n; cat /proc/self/oom_score_adj; echo $$")),
  ).toMatch(/^64\n500\n[2-9]$/);
  expect(
    await run(
      "--device",
      "/dev/null:/dev/other",
      ...shell("echo x >/dev/other && test -c /dev/other && echo ok"),
    ),
  ).toBe("ok");
  expect(
    await run(
      ...shell(
        "echo x >/dev/null; head -c 4 /dev/urandom | wc -c; stat -c %u /dev/mqueue /dev/shm",
      ),
    ),
  ).toBe("4\n0\n0");
  const session = daemon.onTerminal(
    "run",
    "--rm",
    "-it",
    "--userns=auto",
    "--user",
    "1000",
    "busybox",
    "sh",
    "-c",
    "tty; echo own >/dev/tty; stat -c %u:%g /dev/pts/0",
  );
  await session.see("own");
  await session.see("1000:5");
  expect(await session.ended()).toBe(0);
  await sleeper("healthy", "--health-cmd", "id -u | grep 0", "--health-interval", "1s");
  await daemon.until("healthy", "{{.State.Health.Status}}", "healthy");
  const inner = daemon.onTerminal(
    "exec",
    "-it",
    "-u",
    "1000",
    "healthy",
    "sh",
    "-c",
    "stat -c %u:%g /dev/pts/0",
  );
  await inner.see("1000:5");
  expect((await daemon.berth("top", "healthy")).out).toContain("sleep 10000");
  // Without a selection ps would show its own user's processes, which these are not.
  expect((await daemon.berth("top", "healthy", "-o", "pid,args")).out).toContain("sleep 10000");
  expect((await daemon.berth("stats", "--no-stream", "healthy")).out).toContain("healthy");
  await daemon.berth("rm", "-f", "healthy");
});

test("who joins another container's namespaces is in its user namespace", async () => {
  await sleeper("joined", "--ipc", "shareable");
  await sleeper("elsewhere");
  const base = await firstId("joined");
  const map = new RegExp(`^0\\s+${base}\\s+65536$`);
  for (const kind of ["network", "pid", "ipc"])
    expect(await run(`--${kind}`, "container:joined", ...shell("cat /proc/self/uid_map"))).toMatch(
      map,
    );
  expect(await run("--pid", "container:joined", ...shell("cat /proc/1/cmdline"))).toContain(
    "sleep",
  );
  expect(
    await run("--ipc", "container:joined", ...shell("echo x >/dev/shm/f; stat -c %u /dev/shm/f")),
  ).toBe("0");
  expect(await exec("joined", "cat /dev/shm/f")).toBe("x");
  const both = ["--network", "container:joined", "--pid", "container:elsewhere"];
  expect(await run(...both, ...shell("true"))).toContain("that are in different user namespaces");
  // The host's root may join what it owns.
  const host = await daemon.berth(
    "run",
    "--rm",
    "--userns=host",
    "--network",
    "container:joined",
    "busybox",
    "awk",
    "{print $2}",
    "/proc/self/uid_map",
  );
  expect(host.out.trim()).toBe("0");
  await daemon.berth("rm", "-f", "joined", "elsewhere");
});

test("what only the host's user namespace can do gets it, visibly", async () => {
  for (const option of [
    "--privileged",
    "--network=host",
    "--pid=host",
    "--ipc=host",
    "--cgroupns=host",
  ]) {
    const made = await daemon.berth(
      "create",
      "--name",
      "visible",
      "--userns=auto",
      option,
      "busybox",
      "cat",
      "/proc/self/uid_map",
    );
    expect(made.err).toContain(
      `WARNING: --userns=auto is discarded: ${option} needs the host's user namespace`,
    );
    expect((await daemon.berth("start", "-a", "visible")).out).toMatch(/^\s*0\s+0\s/);
    expect(
      await daemon.inspect("visible", "{{.HostConfig.UsernsMode}} {{.Berth.UserNamespace.Reason}}"),
    ).toBe(`host ${option}`);
    await daemon.berth("rm", "visible");
  }
  const plain = await daemon.berth(
    "run",
    "--rm",
    "--userns=host",
    ...shell("cat /proc/self/uid_map"),
  );
  expect(words(plain.out)).toEqual([0, 0, 4294967295]);
  const remap = await daemon.berth(
    "run",
    "--userns=remap:nobody",
    "--privileged",
    "busybox",
    "true",
  );
  expect(remap.err).toContain("privileged mode is incompatible with user namespaces");
  const { text, status } = await daemon.api("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["true"],
    HostConfig: { UsernsMode: "odd" },
  });
  expect(`${status} ${text}`).toContain("400");
  expect(text).toContain("invalid userns mode: odd");
});

test("remap: a user's ranges of /etc/subuid and a group's of /etc/subgid, one after the other", async () => {
  const args = [
    "run",
    "--rm",
    "--userns=remap:nobody",
    "busybox",
    "cat",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
  ];
  const { out, err } = await daemon.berth(...args);
  expect(words(out), err).toEqual([
    0, 300000, 1000, 1000, 500000, 70000, 0, 400000, 70000, 70000, 600000, 10,
  ]);
  const late = await daemon.berth(
    "run",
    "--rm",
    "--userns=remap:nobody",
    "--user",
    "2000",
    ...shell("echo x >/dev/stdout; id -u"),
  );
  expect(late.out).toBe("x\n2000\n");
  const missing = await daemon.berth("run", "--rm", "--userns=remap:root", "busybox", "true");
  expect(missing.err).toContain('no subuid ranges found for user "root"');
});

test("a container keeps its ids over restarts of itself and of the daemon; when it goes they are free", async () => {
  await sleeper("lasting", "--restart", "always");
  const base = await firstId("lasting");
  await daemon.kill();
  await daemon.start();
  expect(await exec("lasting", "cat /proc/self/uid_map")).toMatch(new RegExp(`^0\\s+${base}\\s`));
  await daemon.berth("restart", "-t", "0", "lasting");
  expect(await firstId("lasting")).toBe(base);
  await sleeper("after");
  expect(await firstId("after")).not.toBe(base);
  await daemon.berth("stop", "-t", "0", "lasting");
  await daemon.berth("start", "lasting");
  expect(await firstId("lasting")).toBe(base);
  await daemon.berth("rm", "-f", "lasting", "after");
});

test("--userns-remap: all containers have one user's ids, and refusals are Docker's", async () => {
  const remapped = await new TestDaemon(["--userns-remap", "nobody"], within).start();
  try {
    const { SecurityOptions } = JSON.parse((await remapped.api("GET", "/info")).text);
    expect(SecurityOptions).toContain("name=userns");
    const look = "cat /proc/self/uid_map /proc/self/gid_map; touch /v/f; stat -c %u:%g /v/f";
    const args = ["run", "--rm", "-v", "kept:/v", ...shell(look)];
    // More than are held ready: those are made while their users wait.
    const seen = await Promise.all(Array.from({ length: 6 }, () => remapped.berth(...args)));
    for (const { out, err } of seen)
      expect(out.trim().split(/\s+/).join(" "), err).toBe(
        "0 300000 1000 1000 500000 70000 0 400000 70000 70000 600000 10 0:0",
      );
    const made = await remapped.berth("create", "--name", "plain", ...shell("true"));
    expect(made.status, made.err).toBe(0);
    const mode = (name: string) => remapped.inspect(name, "{{json .HostConfig.UsernsMode}}");
    expect(await mode("plain")).toBe('""');
    const refusals: [words: string, ...options: string[]][] = [
      [
        "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        "--privileged",
      ],
      [
        "cannot share the host's network namespace when user namespaces are enabled",
        "--network=host",
      ],
      ["cannot share the host PID namespace when user namespaces are enabled", "--pid=host"],
    ];
    for (const [words, ...options] of refusals) {
      const refused = await remapped.berth("run", "--rm", ...options, ...shell("true"));
      expect([refused.status, refused.err]).toEqual([125, expect.stringContaining(words)]);
      const apart = ["create", "--name", "apart", "--userns=host", ...options, ...shell("true")];
      expect((await remapped.berth(...apart)).err).toBe("");
      expect((await remapped.berth("start", "-a", "apart")).status).toBe(0);
      expect(await mode("apart")).toBe('"host"');
      await remapped.berth("rm", "apart");
    }
    // Capabilities make no exception: whoever has set this wants it for all.
    const nice = await remapped.berth(
      "run",
      "--rm",
      "--cap-add=SYS_NICE",
      ...shell("awk 'NR==1{print $2}' /proc/self/uid_map"),
    );
    expect(nice.out, nice.err).toBe("300000\n");
  } finally {
    await remapped.destroy();
  }
  for (const [user, words] of [
    ["root", 'no subuid ranges found for user \\"root\\"|no subuid ranges found for user "root"'],
    ["a:b:c", "it must be USER\\[:GROUP\\] or default"],
  ] as const) {
    const failed = Bun.spawnSync([...within, executable, "daemon", "--userns-remap", user]);
    expect(failed.exitCode).toBe(1);
    expect(failed.stderr.toString()).toMatch(new RegExp(words));
  }
});

for (const driver of ["vfs", "erofs"] as const)
  test(`the storage driver ${driver} keeps the owners of images, too`, async () => {
    const other = await new TestDaemon([
      "--storage-driver",
      driver,
      "--default-userns",
      "auto",
    ]).start();
    try {
      const script =
        "cat /proc/self/uid_map; touch /n; chown 5:6 /n; rm /etc/group; stat -c %u:%g /n /bin";
      const first = await other.berth("run", "--name", "first", "busybox", "sh", "-c", script);
      expect(first.out, first.err).toMatch(/^\s*0 +[1-9]\d+ +65536\n5:6\n0:0\n$/);
      expect((await other.berth("diff", "first")).out).toContain("D /etc/group");
      // A build's steps have user namespaces as well, and what they leave behind has its owners.
      await other.berth("commit", "first", "by:commit");
      const recipe =
        "FROM by:commit\nRUN touch /b && chown 9:9 /b && test $(awk '{print $2}' /proc/self/uid_map) -gt 0\n";
      const built = await other.berthWith({ stdin: recipe }, "build", "-t", "by:build", "-");
      expect(built.status, built.err).toBe(0);
      for (const mode of ["host", "auto"]) {
        const look = ["stat", "-c", "%u:%g", "/n", "/b"];
        const { out, err } = await other.berth(
          "run",
          "--rm",
          `--userns=${mode}`,
          "by:build",
          ...look,
        );
        expect(out, err).toBe("5:6\n9:9\n");
      }
      const { SecurityOptions } = JSON.parse((await other.api("GET", "/info")).text);
      expect(SecurityOptions).toContain("name=userns");
    } finally {
      await other.destroy();
    }
  });
