/** What an ordinary user's daemon says of a host that lacks something, and what leads out of it in pasta's place. */
import { describe, expect, test } from "bun:test";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { leadingOut, rootlessMissing, USER, type userWorld } from "../kits/rootless.ts";

const missing = rootlessMissing();
if (missing !== undefined) console.error(`rootless-hosts.test.ts is skipped: ${missing}`);

const shell = (script: string) => ["busybox", "sh", "-c", script] as const;

describe.skipIf(missing !== undefined)("what is missing is said", () => {
  /** What a daemon says that does not start. */
  async function saying(wishes: Parameters<typeof userWorld>[2], ...flags: string[]) {
    const daemon = new TestDaemon(flags, [], wishes);
    try {
      await daemon.start();
    } catch {
      return daemon.log;
    } finally {
      await daemon.destroy();
    }
    throw new Error("it has started");
  }

  test("ids of the user", async () => {
    const said = await saying({ ids: false });
    expect(said).toContain(`/etc/subuid and /etc/subgid give the user ${USER.name} no ids`);
    expect(said).toContain("usermod --add-subuids");
  });

  test("newuidmap, and its right to give ids", async () => {
    const path = Bun.which("newuidmap") ?? "";
    expect(await saying({ without: [path] })).toMatch(/newuidmap.*(setuid root|not installed)/);
  });

  test("user namespaces", async () => {
    const prepare =
      "mount -t tmpfs none /proc/sys/user; echo 0 > /proc/sys/user/max_user_namespaces";
    expect(await saying({ prepare })).toContain("sysctl -w user.max_user_namespaces");
  });

  test("a way out, and a device for it", async () => {
    const said = await saying({ prepare: "PATH=/nonexistent:$PATH" }, "--rootless-network=slirp");
    expect(said).toContain("it must be pasta, slirp4netns, none");
    expect(await saying({ prepare: "chmod 600 /dev/net/tun" })).toContain("chmod 666 /dev/net/tun");
  });
});

describe.skipIf(missing !== undefined)("doctor", () => {
  /** What it finds for a user's own daemon, by check. */
  async function findings(wishes: Parameters<typeof userWorld>[2]) {
    const daemon = new TestDaemon([], [], wishes);
    try {
      const { out, err, status } = await daemon.asUser("doctor", "--format", "json");
      const lines = out.trim().split("\n");
      expect(lines.length, err).toBeGreaterThan(5);
      const all = lines.map((line) => JSON.parse(line) as Record<"Check" | "Grade" | "Do", string>);
      return { status, of: new Map(all.map((one) => [one.Check, one])) };
    } finally {
      await daemon.destroy();
    }
  }

  test("looks at what the user's own daemon needs", async () => {
    const { of } = await findings({});
    for (const check of ["User namespaces", "Ids", "Id programs", "Way out", "Runtime directory"])
      expect([check, of.get(check)?.Grade]).toEqual([check, "ok"]);
  });

  test("says what root has to install and switch on", async () => {
    const prepare =
      "mount --bind /dev/null $(command -v newgidmap); chmod 600 /dev/net/tun; mount -t tmpfs none /proc/sys/user; echo 0 > /proc/sys/user/max_user_namespaces";
    const { of, status } = await findings({ ids: false, prepare });
    expect(status).toBe(1);
    const advice = (check: string) => `${of.get(check)?.Grade} ${of.get(check)?.Do}`;
    expect(advice("Ids")).toMatch(/^fail .*usermod --add-subuids .* berthtest/);
    expect(advice("Id programs")).toMatch(/^fail .*package uidmap/);
    expect(advice("Way out")).toMatch(/^fail .*chmod 666 \/dev\/net\/tun/);
    expect(advice("User namespaces")).toMatch(/^fail .*sysctl -w user.max_user_namespaces/);
  });
});

describe.skipIf(missing !== undefined)("system migrate", () => {
  test("moves a user's own data as the user, and root leaves it alone", async () => {
    const before = takeCensus();
    const daemon = new TestDaemon([], [], {});
    const dataRoot = `${daemon.directory}/data`;
    const to = (driver: string) => ["system", "migrate", "--to", driver, "--data-root", dataRoot];
    try {
      await daemon.start();
      const script = "echo kept > /f; chown 7:8 /f; exec sleep 1000";
      const { err } = await daemon.berth("run", "-d", "--name", "moved", ...shell(script));
      expect(err).not.toContain("Error");
      expect((await daemon.asUser(...to("vfs"))).err).toContain("a berth daemon uses");
      await daemon.stop();
      expect((await daemon.asUser(...to("vfs"))).err).toContain("containers are running: moved");
      await daemon.start();
      await daemon.berth("stop", "-t", "0", "moved");
      await daemon.stop();
      const asRoot = await daemon.berth(...to("vfs"));
      expect([asRoot.status, asRoot.err]).toEqual([
        1,
        expect.stringContaining(`is the data of the user ${USER.id}, as whom to run this`),
      ]);
      const moved = await daemon.asUser(...to("vfs"));
      expect([moved.status, moved.err]).toEqual([0, ""]);
      expect(moved.out).toContain("moved to vfs");
      await daemon.start();
      expect((await daemon.berth("info", "-f", "{{.Driver}}")).out).toBe("vfs\n");
      await daemon.berth("start", "moved");
      const { out } = await daemon.berth("exec", "moved", "stat", "-c", "%u:%g", "/f");
      expect(out).toBe("7:8\n");
      const image = await daemon.berth("run", "--rm", ...shell("stat -c %u /bin/busybox"));
      expect(image.out).toBe("0\n");
    } finally {
      await daemon.destroy();
    }
    expect(await settledLeftover(before)).toEqual([]);
  });
});

describe.skipIf(missing !== undefined)("a host whose name server is its own", () => {
  test("is asked by way of what leads out", async () => {
    const prepare =
      "echo nameserver 127.0.0.53 > /dev/shm/bt-resolv; mount --bind /dev/shm/bt-resolv /etc/resolv.conf; rm /dev/shm/bt-resolv";
    const daemon = new TestDaemon([], [], { prepare });
    try {
      await daemon.start();
      const { out, err } = await daemon.berth(
        "run",
        "--rm",
        "--network",
        "host",
        ...shell("cat /etc/resolv.conf"),
      );
      expect(out, err).toContain("nameserver 169.254.1.1\n");
      expect(out).not.toContain("127.0.0.53");
    } finally {
      await daemon.destroy();
    }
  });
});

describe.skipIf(missing !== undefined || Bun.which("slirp4netns") === null)("slirp4netns", () => {
  test("leads out in pasta's place, and goes with the daemon", async () => {
    const before = takeCensus();
    const daemon = new TestDaemon(["--rootless-network=slirp4netns"], [], {});
    try {
      await daemon.start();
      expect(leadingOut("slirp4netns", daemon.directory).length).toBe(1);
      const { out } = await daemon.berth("run", "--rm", ...shell("ping -c 1 -w 5 10.0.2.2"));
      expect(out).toContain("1 packets received");
      const [first = 0] = leadingOut("slirp4netns", daemon.directory);
      process.kill(first, "SIGKILL");
      // Another one: 10.0.2.2 is its own, and answers through nobody else.
      const ping = ["run", "--rm", ...shell("ping -c 1 -w 2 10.0.2.2")];
      const end = Date.now() + 15_000;
      while ((await daemon.berth(...ping)).status !== 0 && Date.now() < end) await Bun.sleep(20);
      const again = leadingOut("slirp4netns", daemon.directory);
      expect(again.length).toBeGreaterThan(0);
      expect(again).not.toContain(first);
      expect((await daemon.berth(...ping)).out).toContain("1 packets received");
    } finally {
      await daemon.destroy();
    }
    expect(await settledLeftover(before)).toEqual([]);
  });
});

test("root is told that the flag is not for it", async () => {
  const daemon = new TestDaemon(["--rootless"], [], "root");
  await expect(daemon.start()).rejects.toThrow("--rootless is for users other than root");
  await daemon.destroy();
});
