/** An ordinary user's daemon and what is around it: its run directory deleted, the user's plugins, a group that has few controllers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { ownProcesses, rootlessMissing, USER } from "../kits/rootless.ts";
import { VolumePluginFake } from "../kits/volume-plugin.ts";

const missing = rootlessMissing();
if (missing !== undefined) console.error(`rootless-places.test.ts is skipped: ${missing}`);

const serving = (text: string) =>
  ["busybox", "sh", "-c", `mkdir /w; echo ${text} > /w/index.html; httpd -f -h /w`] as const;

describe.skipIf(missing !== undefined)("rootless", () => {
  const before = takeCensus();
  const group = `berth-places-${process.pid}`;
  const daemon = new TestDaemon([], [], { group });
  const name = `berth-user-${process.pid}`;
  const plugin = new VolumePluginFake(
    `${daemon.directory}/run/docker/plugins/${name}.sock`,
    `${daemon.directory}/volumes`,
  );

  /** A directory that the user has made, with those above it. */
  const directory = (path: string) => {
    Bun.spawnSync(["setpriv", `--reuid=${USER.id}`, "--clear-groups", "mkdir", "-p", path]);
    return path;
  };
  const file = (path: string, content: string) =>
    writeFileSync(`${directory(dirname(path))}/${path.split("/").at(-1)}`, content);

  beforeAll(async () => {
    directory(dirname(plugin.socket));
    mkdirSync(plugin.directory);
    plugin.listen();
    chownSync(plugin.socket, USER.id, USER.id);
    chownSync(plugin.directory, USER.id, USER.id);
    await daemon.start();
  });
  afterAll(async () => {
    await daemon.destroy();
    await plugin.stop();
    expect(await settledLeftover(before)).toEqual([]);
  });

  async function published(container: string): Promise<string> {
    const port = (await daemon.berth("port", container, "80")).out
      .split("\n")[0]
      ?.split(":")
      .at(-1);
    for (const end = Date.now() + 15_000; ; await Bun.sleep(20))
      try {
        return (await (await fetch(`http://127.0.0.1:${port}/`)).text()).trim();
      } catch (error) {
        if (Date.now() > end) throw error;
      }
  }

  async function started(container: string): Promise<void> {
    const line = ["-d", "--name", container, "-p", "0:80", ...serving(container)];
    const { err, status } = await daemon.berth("run", ...line);
    expect([err, status]).toEqual(["", 0]);
  }

  const dwellers = () => ownProcesses("berth-dweller", daemon.directory);

  test("who keeps the namespaces is reached although its socket has been deleted, by this daemon and by the next", async () => {
    await started("early");
    const keeper = dwellers();
    const exec = `${daemon.directory}/exec`;
    const untilKept = async () => {
      for (const end = Date.now() + 15_000; !existsSync(`${exec}/keeper.sock`); await Bun.sleep(20))
        if (Date.now() > end) throw new Error("the keeper does not listen again");
    };
    rmSync(exec, { recursive: true });
    await started("later");
    expect([await published("early"), await published("later")]).toEqual(["early", "later"]);
    await untilKept();
    rmSync(`${exec}/keeper.sock`);
    await daemon.kill();
    // Once the keeper has seen that the daemon is gone, it looks.
    await untilKept();
    await daemon.start();
    expect(dwellers()).toEqual(keeper);
    await started("last");
    expect([await published("later"), await published("last")]).toEqual(["later", "last"]);
    await daemon.berth("rm", "-f", "early", "later", "last");
  });

  test("plugins are found where docker's own daemon looks for a user's", async () => {
    const home = `${daemon.directory}/home`;
    const content = `unix://${plugin.socket}\n`;
    file(`${home}/.config/docker/plugins/${name}-config.spec`, content);
    file(`${home}/.local/lib/docker/plugins/${name}-lib.spec`, content);
    for (const driver of [name, `${name}-config`, `${name}-lib`]) {
      const made = await daemon.berth("volume", "create", "-d", driver, `of-${driver}`);
      expect([made.err, made.out]).toEqual(["", `of-${driver}\n`]);
    }
    expect([...plugin.volumes.keys()].sort()).toEqual(
      [name, `${name}-config`, `${name}-lib`].map((driver) => `of-${driver}`),
    );
    const volume = `of-${name}-lib:/v`;
    chownSync(`${plugin.directory}/of-${name}-lib`, USER.id, USER.id);
    const written = await daemon.berth("run", "--rm", "-v", volume, "busybox", "touch", "/v/here");
    expect([written.err, written.status]).toEqual(["", 0]);
    expect(existsSync(`${plugin.directory}/of-${name}-lib/here`)).toBe(true);
    for (const one of plugin.volumes.keys()) await daemon.berth("volume", "rm", one);
  });

  test("a parent of control groups that is not the user's is refused, and it is said what can be", async () => {
    const run = (parent: string) =>
      daemon.berth("run", "--rm", "--cgroup-parent", parent, "busybox", "echo", "ran");
    const own = /^0::(.*)\/berth-engine$/m.exec(readFileSync(`/proc/${daemon.pid}/cgroup`, "utf8"));
    // With the engine itself in it no group below would have a controller.
    const delegated = own?.[1] ?? "";
    expect(delegated).toContain(group);
    const { status, out, err } = await run("/elsewhere/below");
    expect([status, out]).toEqual([125, ""]);
    expect(err).toContain("the control group /elsewhere/below is not this user's");
    expect(err).toContain(`give --cgroup-parent one below ${delegated},`);
    for (const parent of [`${delegated}/beside/below`, "name"])
      expect(await run(parent)).toEqual({ status: 0, out: "ran\n", err: "" });
  });

  test("what no controller counts is shown as none, and a limit on it is discarded", async () => {
    const controllers = readFileSync(
      `/proc/${daemon.pid}/root/sys/fs/cgroup/${group}/cgroup.controllers`,
      "utf8",
    ).split(/\s+/);
    await daemon.berth("run", "-d", "--name", "counted", "busybox", "sleep", "1000");
    const format = ["--no-stream", "--format", "{{.MemUsage}} {{.MemPerc}}"];
    for (const stats of [daemon.berth("stats", ...format), daemon.docker("stats", ...format)]) {
      const { out, err } = await stats;
      expect([err, out.startsWith("0B / 0B 0.00%")]).toEqual(["", !controllers.includes("memory")]);
    }
    await daemon.berth("rm", "-f", "counted");
    if (controllers.includes("io")) return;
    const rates = ["--device-read-bps", "--device-write-bps"].flatMap((f) => [f, "/dev/vda:1mb"]);
    const counts = ["--device-read-iops", "--device-write-iops"].flatMap((f) => [f, "/dev/vda:9"]);
    const { out, err } = await daemon.berth("run", "--rm", ...rates, ...counts, "busybox", "echo");
    expect(out).toBe("\n");
    expect(err.match(/Block I\/O (BPS|IOPS) (read|write) limit discarded/g)).toHaveLength(4);
  });
});
