/** Health checks and statistics, through both command lines. */
import { describe, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const inspect = (name: string, format: string) => daemon.inspect(name, format);
const until = (name: string, format: string, wanted: string | RegExp) =>
  daemon.until(name, format, wanted);

describe.each(["berth", "docker"] as const)("%s", (client) => {
  const run = (...args: string[]) => daemon[client](...args);
  const status = "{{.State.Health.Status}}";

  test("a check makes a container healthy, unhealthy and healthy again", async () => {
    const sick = `sick-${client}`;
    await run(
      ...["run", "-d", "--name", sick, "--health-cmd", "cat /ok", "--health-interval", "100ms"],
      ...["--health-retries", "2", "busybox", "sh", "-c", "echo fine > /ok; sleep 1000"],
    );
    await until(sick, status, "healthy");
    expect((await run("ps", "--format", "{{.Status}}")).out).toContain("(healthy)");
    expect((await run("ps", "-q", "--filter", "health=healthy")).out).not.toBe("");
    expect(await inspect(sick, "{{(index .State.Health.Log 0).Output}}")).toBe("fine");
    await run("exec", sick, "rm", "/ok");
    await until(sick, status, "unhealthy");
    const codes = await inspect(sick, "{{range .State.Health.Log}}{{.ExitCode}} {{end}}");
    expect(codes).toMatch(/ ?1 1$/);
    await run("exec", sick, "sh", "-c", "echo back > /ok");
    await until(sick, status, "healthy");
    const events = await run(
      "events",
      "--since",
      "1m",
      "--until",
      new Date().toISOString(),
      "--filter",
      `container=${sick}`,
    );
    const told = [...events.out.matchAll(/health_status: (\w+)/g)].map(([, word]) => word);
    expect(told).toEqual(["healthy", "unhealthy", "healthy"]);
    expect((await run("rm", "-f", sick)).status).toBe(0);
  });

  test("a check that takes too long fails, and all of its processes are gone", async () => {
    const check = "test -e /again && exit 5; touch /again; sleep 77 & sleep 78";
    await run(
      ...["run", "-d", "--name", "slow", "--health-cmd", check, "--health-interval", "1h"],
      ...["--health-start-period", "1h", "--health-start-interval", "1s"],
      ...["--health-timeout", "200ms", "--health-retries", "1", "busybox", "sleep", "1000"],
    );
    // In one look, while the first is among the five that are kept. Within its start period a failure does not count.
    const first = "{{with index .State.Health.Log 0}}{{.Output}}, {{.ExitCode}}{{end}}";
    await until(
      "slow",
      `${first}, ${status} {{.State.Health.FailingStreak}} {{len .State.Health.Log}}`,
      /^Health check exceeded timeout \(200ms\), -1, starting 0 [2-5]$/,
    );
    await run("pause", "slow");
    expect((await run("top", "slow", "-eo", "pid,args")).out).not.toMatch(/sleep 7[78]/);
    expect((await run("rm", "-f", "slow")).status).toBe(0);
  });

  test("a check is told of as an exec; of its output 4096 bytes are kept, of its results five", async () => {
    const command = "head -c 5000 /dev/zero | tr '\\0' x";
    await run(
      ...["run", "-d", "--name", "wordy", "--health-cmd", command, "--health-interval", "30ms"],
      ...["busybox", "sleep", "1000"],
    );
    await until("wordy", "{{len .State.Health.Log}}", "5");
    expect(await inspect("wordy", "{{(index .State.Health.Log 0).Output}}")).toBe(
      `${"x".repeat(4096)}...`,
    );
    await run("stop", "-t", "0", "wordy");
    const now = new Date(Date.now() + 1000).toISOString();
    const events = await run(
      ...["events", "--since", "1m", "--until", now, "--filter", "container=wordy"],
      ...["--format", "{{.Action}} {{.Actor.Attributes.execID}}"],
    );
    const told = new Map<string, string[]>();
    for (const [, action = "", id = ""] of events.out.matchAll(/^(exec_\w+).* (\w+)$/gm))
      told.set(id, [...(told.get(id) ?? []), action]);
    expect([...told.values()][0]).toEqual(["exec_create", "exec_start", "exec_die"]);
    expect(events.out).toContain(`exec_create: /bin/sh -c ${command}`);
    expect((await run("rm", "wordy")).status).toBe(0);
  });

  test("stats tell processor, memory, network and processes", async () => {
    await run(
      "run",
      "-d",
      "--name",
      "busy",
      "-m",
      "64m",
      "busybox",
      "sh",
      "-c",
      "while :; do :; done",
    );
    const format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
    const { out } = await run("stats", "--no-stream", "--format", format, "busy");
    const match = /^busy ([\d.]+)% [\d.]+(?:KiB|MiB|B) \/ 64MiB 1\n$/.exec(out);
    expect(out).toMatch(/^busy/);
    // How much of a processor it gets is up to what else the machine does.
    expect(Number(match?.[1])).toBeGreaterThan(1);
    await run("rm", "-f", "busy");
    await run("create", "--name", "idle", "busybox", "true");
    expect((await run("stats", "--no-stream", "-a")).out).toMatch(/idle +0\.00% +0B \/ 0B/);
    await run("rm", "idle");
  });
});

test("an exec ends with its container, also in what inspect says of it", async () => {
  await daemon.berth("run", "-d", "--name", "mortal", "busybox", "sleep", "1000");
  const made = await daemon.api("POST", "/containers/mortal/exec", { Cmd: ["sleep", "1000"] });
  const id = JSON.parse(made.text).Id;
  await daemon.api("POST", `/exec/${id}/start`, { Detach: true });
  expect(JSON.parse((await daemon.api("GET", `/exec/${id}/json`)).text).Running).toBe(true);
  await daemon.berth("kill", "mortal");
  const { Running, ExitCode } = JSON.parse((await daemon.api("GET", `/exec/${id}/json`)).text);
  expect([Running, ExitCode]).toEqual([false, 137]);
  await daemon.berth("rm", "mortal");
});

test("a busy host takes no exec for ended before it began, and loses no end", async () => {
  const names = Array.from({ length: 8 }, (_, i) => `short-${i}`);
  for (const name of names)
    await daemon.berth("run", "-d", "--name", name, "busybox", "sleep", "1000");
  // With the processors busy, the shim's go-between often ends only after the process that it has made.
  const busy = Array.from({ length: 6 }, () => Bun.spawn(["sh", "-c", "while :; do :; done"]));
  const codes: number[] = [];
  try {
    const runExecs = async (name: string) => {
      for (let i = 0; i < 60; i++) {
        const made = await daemon.api("POST", `/containers/${name}/exec`, {
          Cmd: ["true"],
          AttachStdout: true,
        });
        const id = JSON.parse(made.text).Id;
        expect((await daemon.api("POST", `/exec/${id}/start`, {})).status).toBe(200);
        codes.push(JSON.parse((await daemon.api("GET", `/exec/${id}/json`)).text).ExitCode);
      }
    };
    await Promise.all(names.map(runExecs));
  } finally {
    for (const child of busy) child.kill("SIGKILL");
  }
  expect(codes).toEqual(Array(480).fill(0));
  await daemon.berth("rm", "-f", ...names);
});

test("checks go on after the daemon's own restart", async () => {
  await daemon.berth(
    ...["run", "-d", "--name", "goes-on", "--health-cmd", "test -e /ok"],
    ...["--health-interval", "100ms", "--health-retries", "1", "busybox", "sleep", "1000"],
  );
  await until("goes-on", "{{.State.Health.Status}}", "unhealthy");
  await daemon.kill();
  await daemon.start();
  expect(await inspect("goes-on", "{{.State.Health.Status}}")).toBe("unhealthy");
  await daemon.berth("exec", "goes-on", "touch", "/ok");
  await until("goes-on", "{{.State.Health.Status}}", "healthy");
  await daemon.berth("rm", "-f", "goes-on");
});

test("a sample at once is in milliseconds what a scheduler asks for", async () => {
  await daemon.berth("run", "-d", "--name", "sampled", "busybox", "sleep", "1000");
  const { status, text } = await daemon.api("GET", "/containers/sampled/stats?stream=0&one-shot=1");
  const sample = JSON.parse(text);
  expect(status).toBe(200);
  expect(sample.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0);
  expect(sample.cpu_stats.system_cpu_usage).toBeGreaterThan(sample.cpu_stats.cpu_usage.total_usage);
  expect(sample.memory_stats.limit).toBeGreaterThan(sample.memory_stats.usage);
  expect(sample.networks.eth0.rx_bytes).toBeGreaterThanOrEqual(0);
  expect(sample.pids_stats.current).toBe(1);
  await daemon.berth("rm", "-f", "sampled");
});

test("statistics have dockerd's fields; whoever asks again is answered at once", async () => {
  await daemon.berth(
    ...["run", "-d", "--name", "fields", "-m", "64m", "--pids-limit", "50", "busybox"],
    ...["sh", "-c", "dd if=/dev/zero of=/f bs=1M count=8; exec sleep 1000"],
  );
  await daemon.until("fields", "{{.State.Status}}", "running");
  const sample = async () =>
    JSON.parse((await daemon.api("GET", "/containers/fields/stats?stream=0")).text);
  const first = await sample();
  const { cpu_stats: cpu, memory_stats: memory, blkio_stats: io } = first;
  if (cpu.cpu_usage.percpu_usage !== undefined) {
    expect(cpu.cpu_usage.percpu_usage.length).toBeGreaterThanOrEqual(cpu.online_cpus);
    const sum = cpu.cpu_usage.percpu_usage.reduce((a: number, b: number) => a + b, 0);
    expect(Math.abs(sum - cpu.cpu_usage.total_usage)).toBeLessThan(1e9);
    expect(cpu.cpu_usage.percpu_usage).not.toContain(null);
  }
  expect(memory).toMatchObject({ limit: 64 << 20 });
  const cache = memory.stats.total_inactive_file ?? memory.stats.inactive_file;
  expect(cache).toBeGreaterThanOrEqual(8 << 20);
  expect(memory.usage).toBeGreaterThan(cache);
  expect(first.pids_stats).toEqual({ current: 1, limit: 50 });
  expect(io.io_service_bytes_recursive).toBeArray();
  expect(first.precpu_stats.system_cpu_usage).toBeLessThan(cpu.system_cpu_usage);
  expect(Date.parse(first.preread)).toBeLessThan(Date.parse(first.read));
  // The earlier sample stands in for the one that would have to be waited for.
  expect([first.read, first.preread]).toContain((await sample()).preread);
  await daemon.berth("stop", "-t", "0", "fields");
  const stopped = await sample();
  expect([stopped.read, stopped.pids_stats, stopped.memory_stats]).toEqual([
    "0001-01-01T00:00:00Z",
    {},
    {},
  ]);
  await daemon.berth("rm", "fields");
});

test("a stream a second from many at once; a client that reads nothing costs nothing", async () => {
  const names = ["s-one", "s-two", "s-three"];
  for (const name of names)
    await daemon.berth("run", "-d", "--name", name, "busybox", "sleep", "1000");
  const abort = new AbortController();
  const request = { unix: daemon.socket, signal: abort.signal };
  // Never read.
  const silent = await fetch("http://x/containers/s-one/stats", request);
  const read = async (name: string) => {
    const response = await fetch(`http://x/containers/${name}/stats`, request);
    const samples: { read: string; preread: string; name: string }[] = [];
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += new TextDecoder().decode(chunk);
      const lines = text.split("\r\n");
      text = lines.pop() ?? "";
      samples.push(...lines.map((line) => JSON.parse(line)));
      if (samples.length >= 3) break;
    }
    return samples;
  };
  const all = await Promise.all([...names, ...names, ...names].map(read));
  all.forEach((samples, i) => {
    expect(samples[0]?.name).toBe(`/${names[i % 3]}`);
    for (const [at, sample] of samples.entries())
      if (at > 0)
        expect(Date.parse(sample.read) - Date.parse(sample.preread)).toBeGreaterThanOrEqual(249);
  });
  expect(silent.status).toBe(200);
  abort.abort();
  await daemon.berth("rm", "-f", ...names);
});

test("stats on a terminal is written over, and ends with Ctrl-C", async () => {
  await daemon.berth("run", "-d", "--name", "shown", "busybox", "sleep", "1000");
  const session = daemon.onTerminal("stats");
  await session.see(/\x1b\[H.*NAME.*\r\n.*shown +[\d.]+%/);
  const from = session.shown.length;
  await session.see(/\x1b\[H.*NAME.*\r\n.*shown/, from);
  expect(session.shown.slice(from)).not.toContain("\x1b[2J");
  session.signal("SIGINT");
  expect(await session.ended()).not.toBe(0);
  const json = await daemon.berth("stats", "--no-stream", "--format", "json", "shown");
  expect(Object.keys(JSON.parse(json.out)).toSorted()).toEqual(
    "BlockIO CPUPerc Container ID MemPerc MemUsage Name NetIO PIDs".split(" "),
  );
  const whole = await daemon.berth(
    "stats",
    "--no-stream",
    "--no-trunc",
    "--format",
    "{{.ID}}",
    "shown",
  );
  expect(whole.out.trim()).toBe(await inspect("shown", "{{.Id}}"));
  await daemon.berth("rm", "-f", "shown");
});

describe("what is done about a container that has become unhealthy", () => {
  const check = [
    "--health-cmd",
    "test -e /ok",
    "--health-interval",
    "50ms",
    "--health-retries",
    "2",
  ];
  const sick = (...more: string[]) => ["run", "-d", "--init", ...check, ...more];

  test("restart: it is started again, and told of; an unhealthy run follows a healthy one", async () => {
    await daemon.berth(
      ...sick("--name", "again", "--health-on-failure", "restart", "-t"),
      "busybox",
      "sleep",
      "1000",
    );
    const first = await daemon.inspect("again", "{{.State.StartedAt}}");
    await daemon.until("again", "{{.State.StartedAt}}", new RegExp(`^(?!${first}$)`));
    const until = String(Math.ceil(Date.now() / 1000));
    const { out } = await daemon.docker(
      "events",
      "--since",
      "0",
      "--until",
      until,
      "--filter",
      "container=again",
    );
    expect(out).toContain("health_on_failure: restart");
    await daemon.berth("rm", "-f", "again");
  }, 30_000);

  test("a label that is changed, given or taken away counts from then on, over a restart of the daemon, too", async () => {
    const health = [
      "--health-cmd",
      "test ! -e /sick",
      "--health-interval",
      "50ms",
      "--health-retries",
      "1",
    ];
    const lasts = ["busybox", "sleep", "1000"];
    const action = "berth.health-on-failure";
    await daemon.berth("run", "-d", "--init", "--name", "given", ...health, ...lasts);
    await daemon.berth(
      "run",
      "-d",
      "--name",
      "taken",
      "--health-on-failure",
      "kill",
      ...health,
      ...lasts,
    );
    expect((await daemon.berth("update", "-l", `${action}=stop`, "given")).status).toBe(0);
    expect((await daemon.berth("update", "--label-rm", action, "taken")).status).toBe(0);
    const wrong = await daemon.berth("update", "-l", `${action}=explode`, "given");
    expect([wrong.status, wrong.err]).toEqual([
      1,
      expect.stringContaining('invalid value "explode"'),
    ]);
    expect(await daemon.inspect("given", `{{index .Config.Labels "${action}"}}`)).toBe("stop");
    await daemon.kill();
    await daemon.start();
    for (const name of ["given", "taken"]) await daemon.berth("exec", name, "touch", "/sick");
    await daemon.until("given", "{{.State.Status}}", "exited");
    await daemon.until("taken", "{{.State.Health.Status}}", "unhealthy");
    expect(await daemon.inspect("taken", "{{.State.Status}}")).toBe("running");
    await daemon.berth("rm", "-f", "given", "taken");
  }, 30_000);

  test("kill, with a restart policy or none; stop is a user's stop", async () => {
    await daemon.berth(
      ...sick("--name", "dead", "--health-on-failure=kill"),
      "busybox",
      "sleep",
      "1000",
    );
    await daemon.until("dead", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    const label = "berth.health-on-failure=kill";
    await daemon.docker(
      ...sick("--name", "back", "--label", label, "--restart", "always"),
      "busybox",
      "sleep",
      "1000",
    );
    await daemon.until("back", "{{.RestartCount}}", /^[1-9]/);
    const polite = [
      "--health-on-failure=stop",
      "--restart",
      "unless-stopped",
      "--stop-timeout",
      "1",
    ];
    await daemon.berth(...sick("--name", "halt", ...polite), "busybox", "sleep", "1000");
    await daemon.until("halt", "{{.State.Status}}", "exited");
    await Bun.sleep(300);
    expect(await daemon.inspect("halt", "{{.State.Status}} {{.RestartCount}}")).toBe("exited 0");
    await daemon.berth("rm", "-f", "dead", "back", "halt");
  }, 30_000);

  test("an image's label does nothing; a wrong value is refused", async () => {
    await daemon.berth("create", "--name", "seed", "busybox", "true");
    await daemon.berth("commit", "-c", "LABEL berth.health-on-failure=kill", "seed", "with-label");
    await daemon.docker(...sick("--name", "calm"), "with-label", "sleep", "1000");
    await daemon.until("calm", "{{.State.Health.Status}}", "unhealthy");
    await Bun.sleep(300);
    expect(await daemon.inspect("calm", "{{.State.Status}}")).toBe("running");
    const bad = await daemon.berth("create", "--health-on-failure=panic", "busybox", "true");
    expect([bad.status, bad.err]).toEqual([
      1,
      expect.stringContaining("none, kill, restart, stop"),
    ]);
    await daemon.berth("rm", "-f", "calm", "seed");
    await daemon.berth("rmi", "with-label");
  }, 30_000);
});
