/** What happens to a container over time: restart policies, changed limits, other containers' volumes, pruning. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const inspect = (name: string, format: string) => daemon.inspect(name, format);
const until = (name: string, format: string, wanted: string | RegExp) =>
  daemon.until(name, format, wanted);

describe.each(["berth", "docker"] as const)("%s", (client) => {
  const run = (...args: string[]) => daemon[client](...args);

  test("on-failure:2 starts twice more, then leaves it", async () => {
    const started = Date.now();
    await run("run", "-d", "--name", "fails", "--restart", "on-failure:2", "busybox", "false");
    await until("fails", "{{.State.Status}} {{.RestartCount}}", "exited 2");
    expect(await inspect("fails", "{{.State.ExitCode}} {{.State.Running}}")).toBe("1 false");
    // 100 ms before the first, 200 ms before the second.
    expect(Date.now() - started).toBeGreaterThan(290);
    expect((await run("rm", "fails")).status).toBe(0);
  });

  test("always starts again after any end, and stops for a user's stop", async () => {
    await run("run", "-d", "--name", "on", "--restart", "always", "busybox", "sleep", "0.2");
    await until("on", "{{.RestartCount}}", /[1-9]/);
    await until("on", "{{.State.Status}}", "restarting");
    expect((await run("ps", "--format", "{{.Status}}")).out).toMatch(/Restarting \(0\)|Up/);
    const refused = await run("rm", "on");
    expect([refused.status, refused.err]).toEqual([1, expect.stringMatching(/container is r/)]);
    expect((await run("stop", "-t", "1", "on")).status).toBe(0);
    const count = await inspect("on", "{{.RestartCount}}");
    await Bun.sleep(700);
    expect(await inspect("on", "{{.State.Status}} {{.RestartCount}}")).toBe(`exited ${count}`);
    expect((await run("rm", "on")).status).toBe(0);
  });

  test("rm -f ends a container that waits for its next start", async () => {
    await run("run", "-d", "--name", "loop", "--restart", "always", "busybox", "false");
    await until("loop", "{{.RestartCount}}", /[2-9]/);
    expect((await run("rm", "-f", "loop")).status).toBe(0);
    await Bun.sleep(500);
    expect((await run("ps", "-aq")).out).toBe("");
  });

  test("limits and restart policy change while it runs", async () => {
    await run("run", "-d", "--name", "up", "-m", "64m", "busybox", "sleep", "1000");
    const memory = () =>
      daemon.berth("exec", "up", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    expect((await memory()).out).toBe("67108864\n");
    const small = await run("update", "-m", "256m", "up");
    expect([small.status, small.err]).toEqual([1, expect.stringContaining("memoryswap")]);
    const done = await run("update", "-m", "256m", "--memory-swap", "512m", "--cpus", "0.5", "up");
    expect([done.status, done.out]).toEqual([0, "up\n"]);
    expect((await memory()).out).toBe("268435456\n");
    expect(await inspect("up", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}")).toBe(
      "268435456 500000000",
    );
    expect((await run("update", "--restart", "always", "up")).status).toBe(0);
    const pid = Number(await inspect("up", "{{.State.Pid}}"));
    expect(pid).toBeGreaterThan(1);
    process.kill(pid, "SIGKILL");
    await until("up", "{{.RestartCount}} {{.State.Status}}", "1 running");
    // Asked to start what runs already, nothing begins anew.
    expect((await run("start", "up")).status).toBe(0);
    expect(await inspect("up", "{{.RestartCount}}")).toBe("1");
    expect((await memory()).out).toBe("268435456\n");
    expect((await run("rm", "-f", "up")).status).toBe(0);
  });

  test("top shows the host's view of its processes", async () => {
    await run("run", "-d", "--name", "tops", "busybox", "sh", "-c", "sleep 1001 & sleep 1002");
    await Bun.sleep(50);
    const { out } = await run("top", "tops");
    expect(out).toMatch(/^UID +PID +PPID/);
    expect(out.split("\n").filter((line) => /sleep 100[12]/.test(line))).toHaveLength(2);
    const pid = await inspect("tops", "{{.State.Pid}}");
    expect((await run("top", "tops", "-o", "pid,comm")).out).toContain(pid);
    expect((await run("top", "tops", "-o", "comm")).status).toBe(1);
    await run("rm", "-f", "tops");
  });

  test("--volumes-from gives another container's volumes, read-only if asked", async () => {
    await run("run", "--name", "data", "-v", "/data", "busybox", "sh", "-c", "echo kept > /data/f");
    const read = await run("run", "--rm", "--volumes-from", "data", "busybox", "cat", "/data/f");
    expect(read.out).toBe("kept\n");
    const write = await run(
      ...["run", "--rm", "--volumes-from", "data:ro", "busybox"],
      ...["sh", "-c", "echo no > /data/f"],
    );
    expect([write.status, write.err]).toEqual([1, expect.stringContaining("Read-only")]);
    // The volume goes with its last container, not with a borrower that had --rm.
    expect((await run("rm", "-v", "data")).status).toBe(0);
    expect((await run("volume", "ls", "-q")).out).toBe("");
    const nobody = await run("run", "--rm", "--volumes-from", "nobody", "busybox", "true");
    expect([nobody.status, nobody.err]).toEqual([
      125,
      expect.stringContaining("No such container: nobody"),
    ]);
  });

  test("prune removes what is stopped and chosen, nothing else", async () => {
    await run("run", "-d", "--name", "lives", "busybox", "sleep", "1000");
    await run("run", "--name", "dead", "--label", "a=b", "busybox", "sh", "-c", "echo x > /f");
    await run("create", "--name", "new", "--label", "keep", "busybox", "true");
    const pruned = await run("container", "prune", "-f", "--filter", "label!=keep");
    expect(pruned.out).toMatch(
      /Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: [\d.]+kB/,
    );
    expect((await run("ps", "-a", "--format", "{{.Names}}")).out.trim().split("\n").sort()).toEqual(
      ["lives", "new"],
    );
    expect((await run("container", "prune", "-f", "--filter", "until=1h")).out).toContain(": 0B");
    await run("rm", "-f", "lives", "new");
  });
});

test("a daemon in no swarm says so as Docker's does", async () => {
  for (const command of ["service ls", "node ls", "secret ls", "config ls", "stack ls"]) {
    const done = await daemon.docker(...command.split(" "));
    expect([command, done.status, done.err]).toEqual([
      command,
      1,
      expect.stringContaining("This node is not a swarm manager"),
    ]);
  }
  expect((await daemon.docker("swarm", "leave")).status).toBe(1);
  expect((await daemon.docker("swarm", "init")).err).toContain("berth has no swarm mode");
  expect((await daemon.docker("plugin", "ls")).status).toBe(0);
});

test("restart policies hold across the daemon's end, however it ends", async () => {
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "again",
    "--restart",
    "always",
    "busybox",
    "sleep",
    "0.3",
  );
  await daemon.berth(
    ...["run", "-d", "--name", "unless", "--restart", "unless-stopped", "busybox", "sleep", "1000"],
  );
  await daemon.berth("stop", "-t", "0", "unless");
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "killed",
    "--restart",
    "always",
    "busybox",
    "sleep",
    "1000",
  );
  const pid = Number(await inspect("killed", "{{.State.Pid}}"));
  expect(pid).toBeGreaterThan(1);
  await daemon.kill();
  process.kill(pid, "SIGKILL");
  await Bun.sleep(500);
  await daemon.start();
  await until("again", "{{.State.Status}} {{.RestartCount}}", /running [1-9]/);
  await until("killed", "{{.State.Status}}", "running");
  expect(Number(await inspect("killed", "{{.State.Pid}}"))).not.toBe(pid);
  expect(await inspect("unless", "{{.State.Status}}")).toBe("exited");
  expect(readFileSync(`/proc/${await inspect("killed", "{{.State.Pid}}")}/comm`, "utf8")).toBe(
    "sleep\n",
  );
  await daemon.berth("rm", "-f", "again", "killed", "unless");
});
