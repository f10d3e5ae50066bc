/**
 * Looking at containers: the list with every filter, inspect, top, stats, changes.
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

async function list(api: Caller): Promise<void> {
  const first = await create(api, { ...sleeper, Labels: { row: "first", all: "" } }, "list-first");
  const second = await start(
    api,
    {
      ...sleeper,
      Labels: { row: "second", all: "" },
      ExposedPorts: { "53/udp": {} },
      HostConfig: {
        Binds: ["list-volume:/v"],
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
      },
      Healthcheck: { Test: ["NONE"] },
    },
    "list-second",
  );
  const third = await start(api, scripted("exit 4", { Labels: { all: "" } }), "list-third");
  await ended(api, third);
  const names: Readonly<Record<string, string>> = {
    [first]: "first",
    [second]: "second",
    [third]: "third",
  };
  const ask = async (filters: object, more: Readonly<Record<string, unknown>> = { all: true }) => {
    const query = { ...more, filters: { label: ["all"], ...filters } };
    const answer = await api.call("ContainerList", { query });
    return { answer, found: answer.each("Id").map((id) => names[String(id)]) };
  };
  const every = await ask({});
  every.answer.shows(["query all", "query filters"], every.found, ["third", "second", "first"]);
  const running = await ask({}, {});
  running.answer.shows("query filters", running.found, ["second"]);
  const limited = await ask({}, { limit: 2 });
  limited.answer.shows("query limit", limited.found, ["third", "second"]);
  const sized = await ask({ name: ["list-second"] }, { size: true });
  sized.answer.shows("query size", typeof sized.answer.at("0.SizeRootFs"), "number");
  for (const [filters, wanted] of [
    [{ ancestor: ["busybox"] }, ["third", "second", "first"]],
    [{ before: ["list-second"] }, ["first"]],
    [{ since: ["list-second"] }, ["third"]],
    [{ expose: ["53/udp"] }, ["second"]],
    [{ publish: ["80"] }, ["second"]],
    [{ exited: ["4"] }, ["third"]],
    [{ health: ["none"] }, ["third", "second", "first"]],
    [{ id: [first.slice(0, 12)] }, ["first"]],
    [{ "is-task": ["true"] }, []],
    [{ label: ["row=second"] }, ["second"]],
    [{ name: ["list-(first|third)"] }, ["third", "first"]],
    [{ network: ["bridge"] }, ["third", "second", "first"]],
    [{ status: ["created", "exited"] }, ["third", "first"]],
    [{ volume: ["list-volume"] }, ["second"]],
    [{ volume: ["/v"] }, ["second"]],
  ] as const)
    expect((await ask(filters)).found, JSON.stringify(filters)).toEqual([...wanted]);
  const unknown = { filters: { nonsense: ["x"] } };
  const refused = await api.call("ContainerList", { query: unknown, status: 400 });
  expect(refused.message).toBe("invalid filter 'nonsense'");
  for (const id of [first, second, third]) await remove(api, id);
  await api.call("VolumeDelete", { path: { name: "list-volume" } });
}

async function inspect(api: Caller): Promise<void> {
  const id = await start(api, scripted("echo 123 > /file; sleep 1000"), "inspected");
  await execute(api, id, "true");
  const path = { id };
  const plain = await api.call("ContainerInspect", { path });
  expect([plain.at("SizeRw"), plain.at("Path"), plain.at("Name")]).toEqual([
    undefined,
    "sh",
    "/inspected",
  ]);
  const sized = await api.call("ContainerInspect", { path, query: { size: true } });
  sized.shows("query size", Number(sized.at("SizeRw")) > 0, true);
  await remove(api, id);
  await api.call("ContainerInspect", { path, status: 404 });
}

async function top(api: Caller): Promise<void> {
  const id = await start(api, sleeper);
  const path = { id };
  expect((await api.call("ContainerTop", { path })).at("Titles")).toContain("PID");
  const some = await api.call("ContainerTop", { path, query: { ps_args: "-o pid,args" } });
  some.shows("query ps_args", some.at("Titles"), ["PID", "COMMAND"]);
  await api.call("ContainerTop", { path: { id: "nothing" }, status: 404 });
  await remove(api, id);
  const stopped = await create(api, sleeper);
  await api.call("ContainerTop", { path: { id: stopped }, status: 409 });
  await remove(api, stopped);
}

async function stats(api: Caller): Promise<void> {
  const id = await start(
    api,
    scripted("dd if=/dev/zero of=/file bs=64k count=16 conv=fsync 2>/dev/null; sleep 1000", {
      HostConfig: { Memory: 64 << 20, PidsLimit: 50 },
    }),
  );
  const path = { id };
  const one = await api.call("ContainerStats", {
    path,
    query: { stream: false, "one-shot": true },
  });
  one.shows("query one-shot", one.at("precpu_stats.cpu_usage.total_usage"), 0);
  const compared = await api.call("ContainerStats", { path, query: { stream: false } });
  compared.shows("query stream", compared.values.length, 1);
  expect(Number(compared.at("precpu_stats.cpu_usage.total_usage"))).toBeGreaterThan(0);
  expect(compared.at("memory_stats.limit")).toBe(64 << 20);
  expect(compared.at("networks.eth0.rx_packets")).toBeGreaterThanOrEqual(0);
  const stream = await api.call("ContainerStats", { path, lines: 2 });
  expect(stream.values.length).toBe(2);
  await remove(api, id);
  await api.call("ContainerStats", { path, query: { stream: false }, status: 404 });
}

async function changes(api: Caller): Promise<void> {
  const id = await start(api, scripted("echo > /new; rm /bin/vi; echo >> /etc/group; sleep 1000"));
  const answer = await eventually(
    () => api.call("ContainerChanges", { path: { id } }),
    (seen) => seen.each("Path").includes("/etc/group"),
  );
  const kinds = (answer.values[0] as { Path: string; Kind: number }[]).map(
    ({ Path, Kind }) => `${Kind} ${Path}`,
  );
  for (const change of ["1 /new", "2 /bin/vi", "0 /etc/group"]) expect(kinds).toContain(change);
  await remove(api, id);
  await api.call("ContainerChanges", { path: { id }, status: 404 });
}

/** The scenarios. */
export const listScenarios: Scenarios = {
  "list by every filter": list,
  inspect,
  top,
  stats,
  changes,
};
