/**
 * A container's life: start, stop, restart, kill, pause, wait, rename, update, resize, remove, prune.
 */
import { expect } from "bun:test";
import type { Caller } from "./caller.ts";
import {
  create,
  ended,
  eventually,
  execute,
  remove,
  type Scenarios,
  scripted,
  sleeper,
  start,
} from "./steps.ts";

/** Ends with the number of the signal that it gets. */
const teller = scripted(
  'for s in HUP INT TERM USR1; do trap "exit $(kill -l $s)" $s; done; echo ready; while :; do sleep 0.02; done',
);
const deaf = scripted("trap '' TERM; echo ready; while :; do sleep 0.02; done");

async function ready(api: Caller, body: typeof teller): Promise<{ readonly id: string }> {
  const path = { id: await start(api, body) };
  await eventually(
    () => api.call("ContainerLogs", { path, query: { stdout: true } }),
    (answer) => answer.text.includes("ready"),
  );
  return path;
}

async function startAndStop(api: Caller): Promise<void> {
  const path = await ready(api, teller);
  await api.call("ContainerStart", { path, status: 304 });
  const stop = await api.call("ContainerStop", { path, query: { signal: "SIGUSR1" } });
  stop.shows("query signal", await ended(api, path.id), 10);
  await api.call("ContainerStop", { path, status: 304 });
  await remove(api, path.id);
  const silent = await ready(api, deaf);
  const at = Date.now();
  const killed = await api.call("ContainerStop", { path: silent, query: { t: 0 } });
  killed.shows("query t", await ended(api, silent.id), 137);
  expect(Date.now() - at).toBeLessThan(8000);
  await remove(api, silent.id);
  for (const id of ["ContainerStart", "ContainerStop", "ContainerRestart", "ContainerKill"])
    expect((await api.call(id, { path: { id: "nothing" }, status: 404 })).message).toEndWith(
      "No such container: nothing",
    );
  const broken = await create(api, { Image: "busybox", Cmd: ["/no/such/program"] });
  await api.call("ContainerStart", { path: { id: broken }, status: 400 });
  await remove(api, broken);
}

async function restart(api: Caller): Promise<void> {
  const path = await ready(api, deaf);
  const pid = async () => (await api.call("ContainerInspect", { path })).at("State.Pid");
  const before = await pid();
  const again = await api.call("ContainerRestart", { path, query: { t: 0 } });
  const after = await pid();
  again.shows("query t", after !== before && after !== 0, true);
  await remove(api, path.id);
  const told = await ready(api, teller);
  const since = Date.now() / 1000;
  const signalled = await api.call("ContainerRestart", { path: told, query: { signal: "HUP" } });
  const filters = { container: [told.id], event: ["die"] };
  const died = await api.call("SystemEvents", {
    query: { since, until: Date.now() / 1000, filters },
  });
  signalled.shows("query signal", died.at("Actor.Attributes.exitCode"), "1");
  await remove(api, told.id);
}

async function kill(api: Caller): Promise<void> {
  const path = await ready(api, teller);
  const one = await api.call("ContainerKill", { path, query: { signal: "INT" } });
  one.shows("query signal", await ended(api, path.id), 2);
  const stopped = await api.call("ContainerKill", { path, status: 409 });
  expect(stopped.message).toBe(
    `cannot kill container: ${path.id}: container ${path.id} is not running`,
  );
  await api.call("ContainerKill", { path, query: { signal: "NONSENSE" }, status: 400 });
  await remove(api, path.id);
}

async function pause(api: Caller): Promise<void> {
  const path = { id: await start(api, sleeper) };
  await api.call("ContainerPause", { path });
  const paused = await api.call("ContainerInspect", { path });
  expect([paused.at("State.Status"), paused.at("State.Paused")]).toEqual(["paused", true]);
  await api.call("ContainerPause", { path, status: 409 });
  await api.call("ContainerExec", { path, body: { Cmd: ["true"] }, status: 409 });
  await api.call("ContainerUnpause", { path });
  expect(await execute(api, path.id, "echo", "runs")).toBe("runs\n");
  await api.call("ContainerUnpause", { path, status: 409 });
  for (const id of ["ContainerPause", "ContainerUnpause"])
    await api.call(id, { path: { id: "nothing" }, status: 404 });
  await remove(api, path.id);
}

async function wait(api: Caller): Promise<void> {
  const path = { id: await create(api, scripted("exit 6")) };
  const next = api.call("ContainerWait", { path, query: { condition: "next-exit" } });
  await api.call("ContainerStart", { path });
  (await next).shows("query condition", (await next).at("StatusCode"), 6);
  expect(await ended(api, path.id)).toBe(6);
  const broken = { id: await create(api, { Image: "busybox", Cmd: ["/no/such/program"] }) };
  const failed = api.call("ContainerWait", { path: broken, query: { condition: "next-exit" } });
  await api.call("ContainerStart", { path: broken, status: 400 });
  // Nothing has run, so nothing has ended: the removal ends the wait.
  await remove(api, broken.id);
  expect((await failed).at("StatusCode")).toBe(127);
  await api.call("ContainerWait", { path, query: { condition: "nonsense" }, status: 400 });
  await remove(api, path.id);
  await api.call("ContainerWait", { path, status: 404 });
}

async function rename(api: Caller): Promise<void> {
  const [one, two] = [await create(api, sleeper, "one"), await create(api, sleeper, "two")];
  const answer = await api.call("ContainerRename", { path: { id: one }, query: { name: "three" } });
  const inspect = await api.call("ContainerInspect", { path: { id: "three" } });
  answer.shows("query name", inspect.at("Id"), one);
  await api.call("ContainerRename", { path: { id: two }, query: { name: "three" }, status: 409 });
  await api.call("ContainerRename", { path: { id: two }, query: { name: "" }, status: 400 });
  await api.call("ContainerRename", { path: { id: "four" }, query: { name: "x1" }, status: 404 });
  for (const id of [one, two]) await remove(api, id);
}

async function update(api: Caller): Promise<void> {
  const path = { id: await start(api, sleeper) };
  const read = (one: string, two: string) =>
    execute(
      api,
      path.id,
      "sh",
      "-c",
      `cat /sys/fs/cgroup/${one} 2>/dev/null || cat /sys/fs/cgroup/${two}`,
    );
  const MIB = 1 << 20;
  for (const [body, one, two, prints] of [
    [
      { Memory: 64 * MIB, MemorySwap: 128 * MIB },
      "memory/memory.limit_in_bytes",
      "memory.max",
      `${64 * MIB}\n`,
    ],
    [
      { MemoryReservation: 32 * MIB },
      "memory/memory.soft_limit_in_bytes",
      "memory.low",
      `${32 * MIB}\n`,
    ],
    [{ CpuShares: 512 }, "cpu/cpu.shares", "cpu.weight", /^(512|20)\n/],
    [{ CpuPeriod: 50_000, CpuQuota: 25_000 }, "cpu/cpu.cfs_quota_us", "cpu.max", /^25000/],
    [{ CpusetCpus: "0", CpusetMems: "0" }, "cpuset/cpuset.cpus", "cpuset.cpus", "0\n"],
    [{ PidsLimit: 66 }, "pids/pids.max", "pids.max", "66\n"],
  ] as const) {
    const answer = await api.call("ContainerUpdate", { path, body });
    const items = Object.keys(body).map((key) => `body ${key}`);
    const wanted = typeof prints === "string" ? prints : expect.stringMatching(prints);
    answer.shows(items, await read(one, two), wanted);
  }
  const policy = { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 4 } };
  const answer = await api.call("ContainerUpdate", { path, body: policy });
  const inspect = await api.call("ContainerInspect", { path });
  answer.shows("body RestartPolicy", inspect.at("HostConfig.RestartPolicy"), policy.RestartPolicy);
  const refused = await api.call("ContainerUpdate", { path, body: { Memory: 1 }, status: 400 });
  expect(refused.message).toBe("Minimum memory limit allowed is 6MB");
  await api.call("ContainerUpdate", { path: { id: "nothing" }, body: {}, status: 404 });
  await remove(api, path.id);
  const other = { id: await create(api, sleeper) };
  const cpus = await api.call("ContainerUpdate", { path: other, body: { NanoCpus: 500_000_000 } });
  const shown = await api.call("ContainerInspect", { path: other });
  cpus.shows("body NanoCpus", shown.at("HostConfig.NanoCpus"), 500_000_000);
  await remove(api, other.id);
}

async function resize(api: Caller): Promise<void> {
  const path = { id: await start(api, { ...sleeper, Tty: true, OpenStdin: true }) };
  const answer = await api.call("ContainerResize", { path, query: { h: 31, w: 97 } });
  const size = await execute(api, path.id, "sh", "-c", "stty size < /proc/1/fd/0");
  answer.shows(["query h", "query w"], size, "31 97\n");
  await api.call("ContainerResize", { path, query: { h: "x", w: 1 }, status: 400 });
  await api.call("ContainerResize", {
    path: { id: "nothing" },
    query: { h: 1, w: 1 },
    status: 404,
  });
  await remove(api, path.id);
  const stopped = { id: await create(api, sleeper) };
  await api.call("ContainerResize", { path: stopped, query: { h: 1, w: 1 }, status: 409 });
  await remove(api, stopped.id);
}

async function removal(api: Caller): Promise<void> {
  const volumes = async () => {
    const list = (await api.call("VolumeList")).at("Volumes");
    return Array.isArray(list) ? list.length : 0;
  };
  const before = await volumes();
  const path = { id: await start(api, { ...sleeper, Volumes: { "/v": {} } }, "removed") };
  const refused = await api.call("ContainerDelete", { path, status: 409 });
  expect(refused.message).toBe(
    `cannot remove container "/removed": container is running: stop the container before removing or force remove`,
  );
  expect(await volumes()).toBe(before + 1);
  const forced = await api.call("ContainerDelete", { path, query: { force: true, v: true } });
  forced.shows(["query force", "query v"], await volumes(), before);
  await api.call("ContainerDelete", { path, status: 404 });
  const target = await start(api, sleeper, "link-target");
  const linked = await start(
    api,
    { ...sleeper, HostConfig: { Links: ["link-target:alias"] } },
    "link-source",
  );
  const unlinked = await api.call("ContainerDelete", {
    path: { id: "link-source/alias" },
    query: { link: true },
  });
  const names = await api.call("ContainerInspect", { path: { id: linked } });
  unlinked.shows("query link", names.at("HostConfig.Links"), []);
  for (const id of [linked, target]) await remove(api, id);
}

async function prune(api: Caller): Promise<void> {
  const kept = await create(api, { ...sleeper, Labels: { keep: "" } });
  const pruned = await create(api, sleeper);
  const filters = { "label!": ["keep"] };
  const answer = await api.call("ContainerPrune", { query: { filters } });
  const gone = answer.at("ContainersDeleted") as string[];
  answer.shows("query filters", [gone.includes(pruned), gone.includes(kept)], [true, false]);
  await api.call("ContainerPrune", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  await remove(api, kept);
}

/** The scenarios. */
export const lifecycleScenarios: Scenarios = {
  "start and stop": startAndStop,
  restart,
  kill,
  pause,
  wait,
  rename,
  update,
  resize,
  removal,
  prune,
};
