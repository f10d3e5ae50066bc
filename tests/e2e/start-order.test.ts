/** Start order and conditions, remembered by the engine and obeyed at a boot of the host. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

afterEach(async () => {
  const { out } = await daemon.berth("ps", "-aq");
  const ids = out.split("\n").filter(Boolean);
  if (ids.length > 0) await daemon.berth("rm", "-f", ...ids);
});

const gone = (pid: number) => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

/** The host goes down: the daemon, the shims and all containers end at once, and nothing on a tmpfs stays. */
async function hostDies(): Promise<void> {
  const ids = (await daemon.berth("ps", "-q")).out.split("\n").filter(Boolean);
  const pids = await Promise.all(ids.map((id) => daemon.inspect(id, "{{.State.Pid}}")));
  const inits = pids.map(Number).filter((pid) => pid > 1);
  const shims = inits.map((pid) =>
    Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]),
  );
  await daemon.kill();
  for (const pid of shims) process.kill(pid, "SIGKILL");
  while (![...inits, ...shims].every(gone)) await Bun.sleep(5);
  rmSync(`${daemon.directory}/exec/c`, { recursive: true, force: true });
}

const service = (name: string, dependsOn = "") => [
  ...["--name", name, "--label", "com.docker.compose.project=shop"],
  ...["--label", `com.docker.compose.service=${name}`],
  ...["--label", `com.docker.compose.depends_on=${dependsOn}`],
];
const always = ["--restart", "always"];
const run = (...args: string[]) => daemon.docker("run", "-d", ...args);
/** Unhealthy in each of its lives until it is told otherwise. */
const checked = [
  ...["--tmpfs", "/told", "--health-cmd", "test -e /told/ok", "--health-interval", "50ms"],
  ...["busybox", "sleep", "1000"],
];
const makeHealthy = (name: string) => daemon.berth("exec", name, "touch", "/told/ok");

/** What has happened since a moment: "name action" in order. */
async function told(since: number): Promise<string[]> {
  const until = String(Math.ceil(Date.now() / 1000) + 1);
  const range = ["--since", String(since / 1000), "--until", until, "--filter", "type=container"];
  const format = "{{.Actor.Attributes.name}} {{.Action}}";
  const { out } = await daemon.docker("events", ...range, "--format", format);
  return out.split("\n").filter((line) => /(start|die|healthy|failed)$/.test(line));
}

test("what compose has written down is obeyed: conditions, order, and side by side what is independent", async () => {
  await run(...always, ...service("db"), ...checked);
  // It is at work when the host goes down, and comes to its end after the boot.
  const job = "test -e /again && exec sleep 0.3; touch /again; exec sleep 1000";
  const onFailure = ["--restart", "on-failure"];
  await run(...onFailure, ...service("job"), "busybox", "sh", "-c", job);
  const web = "db:service_healthy:true,job:service_completed_successfully:false";
  await run(...always, ...service("web", web), "busybox", "sleep", "1000");
  await run(
    ...always,
    ...service("proxy", "web:service_started:false"),
    "busybox",
    "sleep",
    "1000",
  );
  await run(...always, "--name", "alone", "busybox", "sleep", "1000");
  await hostDies();
  const boot = Date.now();
  await daemon.start();
  for (const name of ["db", "alone"]) await daemon.until(name, "{{.State.Status}}", "running");
  await daemon.until("job", "{{.State.Status}}", "exited");
  expect(await daemon.inspect("web", "{{.State.Status}}")).toBe("restarting");
  await makeHealthy("db");
  await daemon.until("proxy", "{{.State.Status}}", "running");
  const events = await told(boot);
  const at = (text: string) => {
    expect(events).toContain(text);
    return events.indexOf(text);
  };
  expect(at("web start")).toBeGreaterThan(at("db health_status: healthy"));
  expect(at("web start")).toBeGreaterThan(at("job die"));
  expect(at("proxy start")).toBeGreaterThan(at("web start"));
  expect(events.filter((event) => event.endsWith(" start"))).toHaveLength(5);
}, 60_000);

test("the daemon is killed again and again in the middle of it, and the order holds", async () => {
  await run(...always, ...service("db"), ...checked);
  await run(...always, ...service("web", "db:service_healthy:false"), "busybox", "sleep", "1000");
  await run(
    ...always,
    ...service("proxy", "web:service_started:false"),
    "busybox",
    "sleep",
    "1000",
  );
  await hostDies();
  await daemon.start();
  await daemon.until("db", "{{.State.Status}}", "running");
  const pid = await daemon.inspect("db", "{{.State.Pid}}");
  for (let deaths = 0; deaths < 3; deaths++) {
    expect(await daemon.inspect("web", "{{.State.Status}}")).toBe("restarting");
    await daemon.kill();
    await daemon.start();
  }
  await makeHealthy("db");
  await daemon.until("proxy", "{{.State.Status}}", "running");
  expect(await daemon.inspect("db", "{{.State.Pid}} {{.State.Health.Status}}")).toBe(
    `${pid} healthy`,
  );
  const started = await Promise.all(
    ["db", "web", "proxy"].map((name) => daemon.inspect(name, "{{.State.StartedAt}}")),
  );
  expect(started.toSorted()).toEqual(started);
}, 60_000);

test("what depends on a failure is not started, and says why; by hand it is", async () => {
  await daemon.berth("run", "-d", "--name", "job", "busybox", "sleep", "1000");
  const after = (name: string) => ["run", "-d", ...always, "--depends-on", name];
  await daemon.berth(...after("job:completed"), "--name", "web", "busybox", "sleep", "1000");
  await daemon.berth(...after("web"), "--name", "proxy", "busybox", "sleep", "1000");
  await hostDies();
  const boot = Date.now();
  await daemon.start();
  const state = "{{.State.Status}} {{.State.Error}}";
  const because = "dependency failed to start: container";
  await daemon.until("web", state, `exited ${because} job didn't complete successfully: exit 137`);
  await daemon.until("proxy", state, `exited ${because} web could not be started`);
  expect(await told(boot)).toContain("web dependency_failed");
  expect(daemon.log).toContain(`${because} job didn't complete`);
  expect((await daemon.docker("start", "web")).status).toBe(0);
  expect(await daemon.inspect("web", state)).toBe("running");
}, 60_000);

test("waiting has a bound; a start by hand waits for nobody, a stop calls it off", async () => {
  await daemon.berth("run", "-d", ...always, "--name", "sick", ...checked);
  const waiting = (name: string, ...more: string[]) =>
    daemon.berth(
      ...["run", "-d", ...always, "--depends-on", "sick:healthy", ...more, "--name", name],
      ...["busybox", "sleep", "1000"],
    );
  for (const name of ["by-hand", "stopped", "restarted"]) await waiting(name);
  await waiting("short", "--depends-on-timeout", "1");
  await hostDies();
  await daemon.start();
  expect((await daemon.docker("start", "by-hand")).status).toBe(0);
  expect(await daemon.inspect("by-hand", "{{.State.Status}}")).toBe("running");
  expect((await daemon.docker("stop", "stopped")).status).toBe(0);
  expect(await daemon.inspect("stopped", "{{.State.Status}}")).toBe("exited");
  expect((await daemon.docker("restart", "restarted")).status).toBe(0);
  expect(await daemon.inspect("restarted", "{{.State.Status}}")).toBe("running");
  await daemon.until("short", "{{.State.Status}}", "exited");
  expect(await daemon.inspect("short", "{{.State.Error}}")).toMatch(
    /^dependency failed to start: container sick is (starting|unhealthy) after 1 s$/,
  );
}, 60_000);

test("those who wait for each other start all the same; joined namespaces and links count as waiting", async () => {
  await run(...always, ...service("one", "two:service_started:false"), "busybox", "sleep", "1000");
  await run(...always, ...service("two", "one:service_started:false"), "busybox", "sleep", "1000");
  await run(...always, ...service("base"), ...checked);
  const vpn = service("vpn", "base:service_healthy:false");
  await run(...always, ...vpn, "busybox", "sleep", "1000");
  await run(
    ...always,
    "--name",
    "behind",
    "--network",
    "container:vpn",
    "busybox",
    "sleep",
    "1000",
  );
  await run(...always, "--name", "linked", "--link", "vpn:v", "busybox", "sleep", "1000");
  await hostDies();
  await daemon.start();
  for (const name of ["one", "two", "base"])
    await daemon.until(name, "{{.State.Status}}", "running");
  for (const name of ["vpn", "behind", "linked"])
    expect(await daemon.inspect(name, "{{.State.Status}}")).toBe("restarting");
  await makeHealthy("base");
  for (const name of ["behind", "linked"]) await daemon.until(name, "{{.State.Status}}", "running");
  expect(daemon.log).toMatch(/in a circle.*(one -> two -> one|two -> one -> two)/);
}, 60_000);

test("an update of labels changes whom a container waits for at the next boot", async () => {
  await run(...always, "--name", "first", ...checked);
  await run(...always, "--name", "later", "busybox", "sleep", "1000");
  await run(
    ...always,
    "--name",
    "freed",
    "--label",
    "berth.depends-on=first:healthy",
    "busybox",
    "sleep",
    "1000",
  );
  const labelled = await daemon.berth("update", "-l", "berth.depends-on=first:healthy", "later");
  expect([labelled.status, labelled.err]).toEqual([0, ""]);
  expect((await daemon.berth("update", "--label-rm", "berth.depends-on", "freed")).status).toBe(0);
  const wrong = await daemon.berth("update", "-l", "berth.depends-on=first:sometime", "later");
  expect([wrong.status, wrong.err]).toEqual([
    1,
    expect.stringContaining("started, healthy or completed"),
  ]);
  await hostDies();
  await daemon.start();
  for (const name of ["first", "freed"]) await daemon.until(name, "{{.State.Status}}", "running");
  expect(await daemon.inspect("later", "{{.State.Status}}")).toBe("restarting");
  await makeHealthy("first");
  await daemon.until("later", "{{.State.Status}}", "running");
  await daemon.berth("rm", "-f", "later", "freed", "first");
}, 60_000);

test("a wrong condition is refused; an image's label holds nobody up", async () => {
  const bad = await daemon.berth("create", "--depends-on", "db:ready", "busybox", "true");
  expect([bad.status, bad.err]).toEqual([
    1,
    expect.stringContaining("started, healthy or completed"),
  ]);
  await daemon.berth("create", "--name", "seed", "busybox", "true");
  await daemon.berth("commit", "-c", "LABEL berth.depends-on=seed:completed", "seed", "with-label");
  await run(...always, "--name", "calm", "with-label", "sleep", "1000");
  await hostDies();
  await daemon.start();
  await daemon.until("calm", "{{.State.Status}}", "running");
  await daemon.berth("rm", "-f", "calm");
  await daemon.berth("rmi", "with-label");
}, 60_000);
