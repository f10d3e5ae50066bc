/** What a container can see and do, and what it cannot. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const sh = async (script: string, ...flags: string[]) =>
  (await daemon.berth("run", "--rm", ...flags, "busybox", "sh", "-c", script)).out;

test("fourteen capabilities by default, none inheritable; more and fewer as asked, all only with --privileged", async () => {
  const caps = (...flags: string[]) =>
    sh("grep -E 'Cap(Inh|Prm|Bnd|Amb)' /proc/self/status | tr -d '\\t' | tr '\\n' ' '", ...flags);
  expect(await caps()).toBe(
    "CapInh:0000000000000000 CapPrm:00000000a80425fb CapBnd:00000000a80425fb CapAmb:0000000000000000 ",
  );
  expect(await caps("--cap-drop", "ALL")).toContain("CapBnd:0000000000000000");
  expect(await caps("--cap-drop", "ALL", "--cap-add", "NET_ADMIN")).toContain(
    "CapBnd:0000000000001000",
  );
  expect(await caps("-u", "1000")).toContain("CapPrm:0000000000000000 CapBnd:00000000a80425fb");
  const own = /CapBnd:\s*(\S+)/.exec(await Bun.file("/proc/self/status").text())?.[1];
  expect(await caps("--privileged")).toContain(`CapBnd:${own}`);
  expect(
    (await daemon.berth("run", "--rm", "--cap-add", "NOSUCH", "busybox", "true")).err,
  ).toContain('invalid CapAdd: unknown capability: "CAP_NOSUCH"');
});

test("the default seccomp profile refuses mount and unshare -U; unconfined it is not in the way", async () => {
  expect(
    await sh("grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -U true 2>&1 || echo no"),
  ).toMatch(/^Seccomp:2\n[\s\S]*no\n$/);
  expect(
    await sh(
      "grep Seccomp: /proc/self/status | tr -d '\\t'",
      "--security-opt",
      "seccomp=unconfined",
    ),
  ).toBe("Seccomp:0\n");
});

test("namespaces are the container's own, and the host's where asked", async () => {
  const own = await sh(
    "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; echo $$; hostname",
  );
  for (const kind of ["pid", "net", "ipc", "uts", "mnt", "cgroup"]) {
    const host = Bun.spawnSync(["readlink", `/proc/self/ns/${kind}`])
      .stdout.toString()
      .trim();
    expect(own).not.toContain(host);
  }
  expect(own).toMatch(/\n1\n[0-9a-f]{12}\n$/);
  const host = (kind: string) =>
    Bun.spawnSync(["readlink", `/proc/self/ns/${kind}`]).stdout.toString();
  expect(await sh("readlink /proc/self/ns/net", "--network", "host")).toBe(host("net"));
  expect(await sh("readlink /proc/self/ns/pid", "--pid", "host")).toBe(host("pid"));
  expect(await sh("ip -o link | wc -l", "--network", "none")).toBe("1\n");
});

test("a container's namespaces can be joined by another", async () => {
  await daemon.berth("run", "-d", "--name", "base", "busybox", "sleep", "1000");
  const net = (await daemon.berth("exec", "base", "readlink", "/proc/self/ns/net")).out;
  expect(await sh("readlink /proc/self/ns/net", "--network", "container:base")).toBe(net);
  expect(await sh("tr '\\0' ' ' < /proc/1/cmdline", "--pid", "container:base")).toBe("sleep 1000 ");
  // An exec there is born among numbers that are not its supervisor's, and its end is heard of all the same.
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "guest",
    "--pid",
    "container:base",
    "busybox",
    "sleep",
    "1000",
  );
  expect(await daemon.berth("exec", "guest", "sh", "-c", "echo in; exit 4")).toMatchObject({
    status: 4,
    out: "in\n",
  });
  await daemon.berth("rm", "-f", "guest");
  await daemon.berth("rm", "-f", "base");
  expect(
    (await daemon.berth("run", "--rm", "--network", "container:base", "busybox", "true")).err,
  ).toContain("No such container: base");
});

test("the kernel's files are masked or read-only, the cgroups too", async () => {
  const script =
    "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; (echo 1 > /proc/sys/kernel/domainname) 2>/dev/null || echo ro; mkdir /sys/fs/cgroup/x 2>/dev/null || mkdir /sys/fs/cgroup/memory/x 2>/dev/null || echo ro";
  expect((await sh(script)).split("\n").filter(Boolean)).toEqual(["0", "0", "ro", "ro"]);
});

test("no descriptor of the engine's is open inside, and the working directory is inside the root", async () => {
  expect(await sh("ls /proc/self/fd | tr '\\n' ' '")).toBe("0 1 2 3 ");
  for (const path of ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/10"])
    expect((await daemon.berth("run", "--rm", "-w", path, "busybox", "pwd")).status).not.toBe(0);
});

test("devices: the few that are safe, others only when granted, and then no more than asked", async () => {
  expect(await sh("ls /dev | tr '\\n' ' '")).toBe(
    "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ",
  );
  // The node can be made, but not be opened; in a user namespace it cannot even be made.
  const memory = "(mknod /tmp/mem c 1 1 && cat /tmp/mem) > /dev/null 2>&1 || echo refused";
  expect(await sh(memory)).toBe("refused\n");
  expect(await sh("ls -l /dev/kmsg2 | cut -c1", "--device", "/dev/kmsg:/dev/kmsg2:r")).toBe("c\n");
});

test("a read-only root, tmpfs, sysctls, ulimits, shm size and no-new-privileges are as asked", async () => {
  expect(
    await sh(
      "touch /x 2>/dev/null || echo ro; touch /t/x && echo rw",
      "--read-only",
      "--tmpfs",
      "/t:size=1m",
    ),
  ).toBe("ro\nrw\n");
  expect(
    await sh("cat /proc/sys/net/ipv4/ip_default_ttl", "--sysctl", "net.ipv4.ip_default_ttl=33"),
  ).toBe("33\n");
  expect(
    (await daemon.berth("run", "--rm", "--sysctl", "kernel.hostname=x", "busybox", "true")).status,
  ).toBe(125);
  expect(await sh("ulimit -n", "--ulimit", "nofile=123:456")).toBe("123\n");
  expect(await sh("df -m /dev/shm | tail -1 | awk '{print $2}'", "--shm-size", "8m")).toBe("8\n");
  expect(
    await sh("grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges"),
  ).toContain("1");
  expect(await sh("ps | grep -c '[b]erth-shim'; echo $$", "--init")).toBe("1\n2\n");
});

test("no mount of a running container is visible on the host", async () => {
  await daemon.berth("run", "-d", "--name", "quiet", "busybox", "sleep", "1000");
  expect(await Bun.file("/proc/self/mountinfo").text()).not.toContain(daemon.directory);
  await daemon.berth("rm", "-f", "quiet");
});
