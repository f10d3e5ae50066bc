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
  const daemon = new TestDaemon(["--rootless"], [], undefined);
  await expect(daemon.start()).rejects.toThrow("--rootless is for users other than root");
  await daemon.destroy();
});
