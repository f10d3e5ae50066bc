/** Environment, mounts, command and the like of an existing container: as new at its next start, the rest as it was. */
import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();

async function run(...args: string[]): Promise<string> {
  const done = await daemon.berth(...args);
  expect([args[0], done.status, done.err]).toEqual([args[0], 0, ""]);
  return done.out.trimEnd();
}

/** An update of a running container, of which a part waits. */
async function later(name: string, fields: string, ...flags: string[]): Promise<void> {
  const done = await daemon.berth("update", ...flags, name);
  expect([done.status, done.out, done.err]).toEqual([
    0,
    `${name}\n`,
    `${name}: at the next start: ${fields}\n`,
  ]);
}

const inside = async (name: string, script: string) =>
  (await daemon.berth("exec", name, "sh", "-c", script)).out.trimEnd();

test("a running container keeps what it runs with; the next start has what is new, and the same id and files", async () => {
  const id = await run(
    "run",
    "-d",
    "--name",
    "app",
    "-e",
    "A=1",
    "-e",
    "B=1",
    "busybox",
    "sleep",
    "1000",
  );
  await inside("app", "echo kept > /file");
  const pid = await daemon.inspect("app", "{{.State.Pid}}");
  await later(
    "app",
    "Env, User, WorkingDir, Hostname",
    ...["-e", "A=2", "-e", "C=3", "--env-rm", "B"],
    ...["-u", "1000:1000", "-w", "/tmp/", "--hostname", "other"],
  );
  const shown = "{{json .Config.Env}} {{.Config.User}} {{.Config.WorkingDir}} {{.Config.Hostname}}";
  const now = await daemon.inspect("app", shown);
  expect(now).toMatch(/"A=2",.*"C=3"\] 1000:1000 \/tmp other$/);
  expect(now).not.toContain("B=1");
  expect(await daemon.inspect("app", "{{json .Berth.RestartPending}}")).toBe(
    '["Env","User","WorkingDir","Hostname"]',
  );
  expect(await daemon.inspect("app", "{{.State.Pid}}")).toBe(pid);
  expect(await inside("app", "echo $A$B$C; id -u; pwd")).toBe("11\n0\n/");
  await daemon.kill();
  await daemon.start();
  expect(await inside("app", "echo $A$B$C")).toBe("11");
  expect(await daemon.inspect("app", shown)).toBe(now);
  await run("restart", "-t", "0", "app");
  expect(await inside("app", "echo $A$B$C; id -u; pwd; hostname; cat /file")).toBe(
    "23\n1000\n/tmp\nother\nkept",
  );
  expect(await daemon.inspect("app", "{{.Id}}")).toBe(id);
  expect((await daemon.api("GET", "/containers/app/json")).text).not.toContain("RestartPending");
  await run("rm", "-f", "app");
});

test("what is taken back before the next start waits no longer; a restart by policy has what is new", async () => {
  await run(
    "run",
    "-d",
    "--name",
    "back",
    "--restart",
    "always",
    "busybox",
    "sh",
    "-c",
    "echo is $A; sleep 1000",
  );
  await later("back", "Env", "-e", "A=1");
  expect((await daemon.berth("update", "--env-rm", "A", "back")).err).toBe("");
  await later("back", "Env", "-e", "A=2");
  process.kill(Number(await daemon.inspect("back", "{{.State.Pid}}")), "SIGKILL");
  await daemon.until("back", "{{.RestartCount}} {{.State.Status}}", "1 running");
  expect(await inside("back", "echo $A")).toBe("2");
  await run("rm", "-f", "back");
});

test("mounts come, go and take others' places; volumes are held while a run or the next start needs them", async () => {
  const directory = scratchDirectory("bu-");
  writeFileSync(`${directory}/host`, "from the host");
  await run(
    "run",
    "-d",
    "--name",
    "data",
    "-v",
    "old:/data",
    "-v",
    "/anonymous",
    "busybox",
    "sleep",
    "1000",
  );
  await inside("data", "echo 1 > /data/one; echo 2 > /anonymous/two");
  const anonymous = '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}}{{end}}{{end}}';
  const volume = await daemon.inspect("data", anonymous);
  await later(
    "data",
    "Binds, Mounts, Tmpfs",
    ...["-v", "new:/data", "-v", `${directory}:/host:ro`, "--tmpfs", "/scratch:size=1m"],
    ...["--mount", "type=volume,src=third,dst=/third", "-v", "/anonymous"],
  );
  expect(await inside("data", "cat /data/one; ls /host 2>&1 | wc -l")).toContain("1");
  for (const name of ["old", "new", "third", volume])
    expect((await daemon.berth("volume", "rm", name)).err).toContain("volume is in use");
  expect(await daemon.inspect("data", "{{len .Mounts}} {{len .HostConfig.Binds}}")).toBe("2 2");
  await run("stop", "-t", "0", "data");
  // The old one's run is over.
  expect(await run("volume", "rm", "old")).toBe("old");
  await run("start", "data");
  expect(
    await inside("data", "ls /data; cat /host/host; cat /anonymous/two; df /scratch | tail -1"),
  ).toMatch(/^from the host2\ntmpfs +1024 /);
  expect(await inside("data", "echo x > /host/y; echo $?")).toBe("1");

  await later(
    "data",
    "Volumes, Binds, Mounts, Tmpfs",
    ...["/host", "/scratch/", "/third", "/anonymous"].flatMap((at) => ["--mount-rm", at]),
  );
  await run("restart", "-t", "0", "data");
  expect(
    await inside(
      "data",
      "grep -c ' /host \\| /scratch \\| /third \\| /anonymous ' /proc/self/mounts",
    ),
  ).toBe("0");
  // What had content is kept, for whoever wants it; only nobody is noted as its user.
  expect((await daemon.berth("volume", "ls", "-q")).out).toContain(volume);
  await run("volume", "rm", "third", volume);
  await run("rm", "-f", "-v", "data");
  await run("volume", "rm", "new");
  rmSync(directory, { recursive: true });
});

test("a stopped container is changed at once: command, entrypoint, mounts; then again", async () => {
  await run("create", "--name", "idle", "-v", "/v", "busybox", "echo", "first");
  await run("update", "--cmd", '["echo", "second"]', "--env-rm", "NONE", "idle");
  expect(await run("start", "-a", "idle")).toBe("second");
  await run("update", "--cmd", "echo $0 $PWD; echo a b", "-w", "/bin", "idle");
  expect(await run("start", "-a", "idle")).toBe("/bin/sh /bin\na b");
  await run("update", "--entrypoint", "cat", "--cmd", '["/proc/self/cmdline"]', "idle");
  expect((await run("start", "-a", "idle")).replaceAll("\0", " ")).toBe("cat /proc/self/cmdline ");
  const { text } = await daemon.api("GET", "/containers/idle/json");
  expect(text).not.toContain("RestartPending");
  await run("update", "--mount-rm", "/v", "idle");
  expect(await daemon.inspect("idle", "{{len .Mounts}}")).toBe("0");
  await run("rm", "idle");
  // Nothing had been put into it.
  expect((await daemon.berth("volume", "ls", "-q")).out).toBe("");
});

test("what cannot be is refused as in a creation, and nothing changes", async () => {
  await run("run", "-d", "--name", "firm", "-v", "held:/data", "busybox", "sleep", "1000");
  const whole = async () =>
    (await daemon.api("GET", "/containers/firm/json")).text + (await run("volume", "ls", "-q"));
  const before = await whole();
  const refused = async (words: string, ...flags: string[]) => {
    const done = await daemon.berth("update", ...flags, "firm");
    expect([flags[0], done.status, done.err]).toEqual([
      flags[0],
      1,
      expect.stringContaining(words),
    ]);
    expect(await whole()).toBe(before);
  };
  await refused("Duplicate mount point: /x", "-v", "a1:/x", "--tmpfs", "/x");
  await refused(
    "bind source path does not exist: /no/such",
    "-v",
    "fresh:/y",
    "--mount",
    "type=bind,src=/no/such,dst=/x",
  );
  await refused(
    "nothing is mounted at /nowhere in the container",
    "-e",
    "A=1",
    "--mount-rm",
    "/nowhere",
  );
  await refused("needs to be an absolute path", "-l", "a=b", "-w", "relative");
  await refused(
    "includes invalid characters for a local volume name",
    "-v",
    "good:/y",
    "-v",
    "no!good:/x",
  );
  await refused("invalid environment variable", "-e", "=x");
  await refused("no command specified", "--cmd", "", "--entrypoint", "");
  await refused("Minimum memory limit allowed is 6MB", "-e", "A=1", "-m", "1m");
  const odd = await daemon.api("POST", "/containers/firm/update", { Berth: { Env: "A=1" } });
  expect([odd.status, odd.text]).toEqual([400, expect.stringContaining("Berth.Env")]);
  expect((await daemon.berth("update", "firm")).err).toContain("must provide one or more flags");
  await run("rm", "-f", "firm");
  await run("volume", "rm", "held");
});

/** How long a call takes here and now: deaths in the middle of such calls are spread over that. */
async function lasting(call: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await call();
  return performance.now() - begun;
}

test("killed in the middle of changes of mounts, the daemon loses no volume and keeps none that nobody knows", async () => {
  await run("run", "-d", "--name", "torn", "-v", "first:/data", "busybox", "sleep", "1000");
  const change = (round: number) => {
    const mounts = ["-v", `round${round}:/data`, "--mount", `type=volume,dst=/a${round}`];
    return daemon.berth("update", ...mounts, "torn");
  };
  const whole = await lasting(() => change(0));
  // Before one, in the midst of it at growing moments, and after it: until one is there although the daemon was killed.
  let changed = false;
  for (let round = 1; round <= 6 || !changed; round++) {
    const asked = change(round);
    await Bun.sleep((whole * (round - 1)) / 5);
    await daemon.kill();
    await asked;
    await daemon.start();
    const next = await daemon.api("GET", "/containers/torn/json");
    changed ||= next.text.includes(`"/a${round}"`);
  }
  expect((await daemon.berth("volume", "rm", "first")).err).toContain("volume is in use");
  await run("restart", "-t", "0", "torn");
  const { text } = await daemon.api("GET", "/containers/torn/json");
  const mounted = (JSON.parse(text) as { Mounts: { Name: string }[] }).Mounts.map(
    ({ Name }) => Name,
  );
  const anonymous = (await run("volume", "ls", "-q"))
    .split("\n")
    .filter((name) => name.length === 64);
  expect(mounted).toEqual(expect.arrayContaining(anonymous));
  await run("rm", "-f", "-v", "torn");
  expect((await daemon.berth("volume", "ls", "-q")).out).not.toMatch(/[0-9a-f]{64}/);
});

test("killed in the middle of changes of limits, the next daemon gives the kernel what its record says", async () => {
  const flags = (size: number) => [
    "--memory",
    `${size}m`,
    "--memory-swap",
    `${size * 2}m`,
    "--cpus",
    `0.${size}`,
    "--pids-limit",
    String(size),
  ];
  await run("run", "-d", "--name", "bound", ...flags(50), "busybox", "sleep", "1000");
  const shown =
    "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
  const said = (size: number) => `${size << 20} ${size << 21} ${size}0000000 ${size}`;
  const both = (one: string, two: string) =>
    `cat /sys/fs/cgroup/${one} 2>/dev/null || cat /sys/fs/cgroup/${two}`;
  const kernel = async () =>
    await inside(
      "bound",
      [
        both("memory/memory.limit_in_bytes", "memory.max"),
        both("cpu/cpu.cfs_quota_us", "cpu.max | cut -d' ' -f1"),
        both("pids/pids.max", "pids.max"),
      ].join("; "),
    );
  let now = 60;
  const whole = await lasting(() => run("update", ...flags(now), "bound"));
  let changed = 0;
  let kept = 0;
  // Before one, in the midst of it at growing moments, and after it: until a change was there, and one was not.
  for (let round = 0; round < 12 || changed === 0; round++) {
    const next = 50 + ((now - 50 + 17 + round) % 49);
    const asked = daemon.berth("update", ...flags(next), "bound");
    await Bun.sleep((whole * round) / 8);
    await daemon.kill();
    const { status } = await asked;
    await daemon.start();
    const after = await daemon.inspect("bound", shown);
    // All of it or nothing; what was answered holds.
    expect(status === 0 ? [said(next)] : [said(now), said(next)]).toContain(after);
    if (after === said(next)) {
      now = next;
      changed++;
    } else kept++;
    expect(await kernel()).toBe(`${now << 20}\n${now}000\n${now}`);
  }
  expect(kept).toBeGreaterThan(0);
  await run("rm", "-f", "bound");
});

test("docker's own update: what it says is done, at once, or refused in dockerd's words", async () => {
  await run("run", "-d", "--name", "plain", "busybox", "sleep", "1000");
  await run("run", "-d", "--name", "auto", "--rm", "--cpus", "0.5", "busybox", "sleep", "1000");
  const group = await daemon.inspect("plain", "{{.Id}}");
  const own = (controller: string, file: string) => {
    const path = /^\d+:[^:]*memory[^:]*:(.*)$/m.exec(
      readFileSync(`/proc/${pid}/cgroup`, "utf8"),
    )?.[1];
    return readFileSync(`/sys/fs/cgroup/${controller}${path}/${file}`, "utf8").trim();
  };
  const pid = await daemon.inspect("plain", "{{.State.Pid}}");
  const docker = async (...args: string[]) => {
    const { status, out, err } = await daemon.docker("update", ...args);
    return `${status} ${status === 0 ? out : err}`.trim();
  };
  const cannot = `1 Error response from daemon: Cannot update container ${group}: `;
  expect(await docker("-m", "200m", "plain")).toBe(
    `${cannot}Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time`,
  );
  expect(await docker("-m", "200m", "--memory-swap", "300m", "plain")).toBe("0 plain");
  expect(await docker("-m", "5m", "plain")).toBe(
    "1 Error response from daemon: Minimum memory limit allowed is 6MB",
  );
  expect(await docker("--restart", "always", "auto")).toContain(
    "Restart policy cannot be updated because AutoRemove is enabled for the container",
  );
  expect(await docker("--cpu-quota", "50000", "auto")).toContain(
    "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
  );
  expect(await docker("--pids-limit", "10", "plain")).toBe("0 plain");
  expect(own("pids", "pids.max")).toBe("10");
  expect(await docker("--pids-limit", "-1", "plain")).toBe("0 plain");
  expect(own("pids", "pids.max")).toBe("max");
  // A refused one in the middle: the kernel has been given nothing of it.
  await inside("plain", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=40");
  const update = { CpuShares: 77, Memory: 20 << 20, MemorySwap: 20 << 20 };
  const full = await daemon.api("POST", "/containers/plain/update", update);
  expect([full.status, full.text]).toEqual([
    500,
    expect.stringContaining(
      `Cannot update container ${group}: unable to set memory limit to 20971520 (current usage: `,
    ),
  ]);
  expect(own("memory", "memory.limit_in_bytes")).toBe("209715200");
  expect(own("memory", "memory.memsw.limit_in_bytes")).toBe("314572800");
  expect(own("cpu", "cpu.shares")).toBe("1024");
  expect(await daemon.inspect("plain", "{{.HostConfig.Memory}} {{.HostConfig.CpuShares}}")).toBe(
    "209715200 0",
  );
  // A paused one too; and what no running container can be given waits.
  await run("pause", "plain");
  expect(await docker("-c", "512", "plain")).toBe("0 plain");
  expect(own("cpu", "cpu.shares")).toBe("512");
  await run("unpause", "plain");
  const ulimit = { Ulimits: [{ Name: "nofile", Soft: 100, Hard: 100 }] };
  const waits = await daemon.api("POST", "/containers/plain/update", ulimit);
  expect(JSON.parse(waits.text)).toEqual({ Warnings: [], Berth: { RestartPending: ["Ulimits"] } });
  await run("restart", "-t", "0", "plain");
  expect(await inside("plain", "ulimit -n")).toBe("100");
  await run("rm", "-f", "plain", "auto");
});
