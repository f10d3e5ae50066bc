/**
 * The daemon itself: ping, version, info, events, disk usage, logins; and what belongs to swarms and plugins.
 */
import { expect } from "bun:test";
import { cpus, hostname, release, totalmem } from "node:os";
import type { Answer, Ask, Caller } from "./caller.ts";
import { create, ended, remove, type Scenarios, scripted, sleeper, start } from "./steps.ts";

const heads = { "docker-experimental": "false", ostype: "linux", "api-version": "1.51" };

function checkPing(answer: Answer): void {
  for (const [name, value] of Object.entries(heads)) expect(answer.headers.get(name)).toBe(value);
  expect(answer.headers.get("server")).toMatch(/^Berth\/[\d.]+ \(linux\)$/);
  expect(answer.headers.get("swarm")).toBe("inactive");
  expect(answer.headers.get("builder-version")).toBe("1");
  expect(answer.headers.get("cache-control")).toContain("no-store");
}

async function info(api: Caller): Promise<void> {
  const id = await start(api, sleeper, "info-runs");
  await api.call("ContainerPause", { path: { id } });
  const answer = await api.call("SystemInfo");
  expect(answer.at("Name")).toBe(hostname());
  expect(answer.at("NCPU")).toBe(cpus().length);
  expect(answer.at("MemTotal")).toBe(totalmem());
  expect(answer.at("KernelVersion")).toBe(release());
  expect(answer.at("ContainersPaused")).toBe(1);
  expect(answer.at("Swarm.LocalNodeState")).toBe("inactive");
  expect(answer.at("Runtimes")).toHaveProperty([String(answer.at("DefaultRuntime")), "path"]);
  expect(answer.at("NFd")).toBeGreaterThan(5);
  expect(answer.at("NEventsListener")).toBe(0);
  expect(answer.at("Labels")).toEqual(["room=one"]);
  await remove(api, id);
}

interface Told {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly time: number;
}

async function events(api: Caller): Promise<void> {
  const since = Date.now() / 1000;
  const id = await start(api, scripted("exit 3", { Labels: { kind: "told" } }), "told");
  await ended(api, id);
  await remove(api, id);
  const until = Date.now() / 1000 + 0.001;
  const ask = async (filters: Readonly<Record<string, readonly string[]>>, more = {}) => {
    const query = { since, until, filters, ...more };
    const answer = await api.call("SystemEvents", { query });
    return { answer, actions: (answer.values as Told[]).map(({ Action }) => Action) };
  };
  const life = ["create", "start", "die", "destroy"];
  const own = await ask({ container: [id], event: life });
  own.answer.shows(["query since", "query until", "query filters"], own.actions, life);
  const died = (own.answer.values as Told[]).find(({ Action }) => Action === "die");
  expect(died?.Actor).toMatchObject({
    ID: id,
    Attributes: { exitCode: "3", image: "busybox", name: "told", kind: "told" },
  });
  for (const [filters, wanted] of [
    [{ type: ["container"], label: ["kind=told"], event: ["die"] }, ["die"]],
    [{ type: ["volume"] }, []],
    [{ image: ["busybox"], event: ["create"] }, ["create"]],
    [{ scope: ["swarm"] }, []],
    [{ network: ["bridge"] }, ["connect", "disconnect"]],
  ] as const)
    expect((await ask(filters)).actions, JSON.stringify(filters)).toEqual([...wanted]);
  await api.call("SystemEvents", { query: { filters: { nonsense: ["x"] }, until }, status: 400 });
  await api.call("SystemEvents", { query: { since: "nonsense", until }, status: 400 });
}

const dfKeys = ["Images", "Containers", "Volumes", "BuildCache"] as const;

async function diskUsage(api: Caller): Promise<void> {
  const volume = "df-volume";
  const id = await start(
    api,
    scripted("echo 12345678 > /file; echo 1234 > /data/file; sleep 1000", {
      Labels: { kind: "df" },
      HostConfig: {
        Binds: [`${volume}:/data`],
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
      },
    }),
  );
  await api.call("VolumeCreate", {
    body: { Name: "df-labelled", Labels: { a: "b" } },
  });
  const whole = await api.call("SystemDataUsage");
  for (const key of dfKeys) expect(Array.isArray(whole.at(key))).toBe(true);
  for (const [type, key] of [
    ["container", "Containers"],
    ["image", "Images"],
    ["volume", "Volumes"],
    ["build-cache", "BuildCache"],
  ] as const) {
    const part = await api.call("SystemDataUsage", { query: { type } });
    part.shows(
      "query type",
      dfKeys.filter((name) => Array.isArray(part.at(name))),
      [key],
    );
  }
  await api.call("SystemDataUsage", { query: { type: "nonsense" }, status: 400 });
  await remove(api, id);
  await api.call("VolumeDelete", { path: { name: volume } });
  await api.call("VolumeDelete", { path: { name: "df-labelled" } });
}

/** A registry that knows one user. */
async function auth(api: Caller): Promise<void> {
  const wanted = `Basic ${btoa("ann:secret")}`;
  const registry = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) =>
      request.headers.get("authorization") === wanted
        ? new Response("{}", { headers: { "Docker-Distribution-Api-Version": "registry/2.0" } })
        : new Response("", { status: 401, headers: { "WWW-Authenticate": 'Basic realm="r"' } }),
  });
  const login = (username: string, password: string) => ({
    body: { username, password, serveraddress: `127.0.0.1:${registry.port}` },
  });
  const good = await api.call("SystemAuth", login("ann", "secret"));
  good.shows(
    ["body username", "body password", "body serveraddress"],
    good.at("Status"),
    "Login Succeeded",
  );
  await api.call("SystemAuth", { ...login("ann", "wrong"), status: 401 });
  await registry.stop(true);
}

const noSwarm =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

/** Operations of swarms, and the bodies that they need to be well-formed. */
const swarmBodies: Readonly<Record<string, object>> = {
  NodeUpdate: { Role: "worker", Availability: "active" },
  SwarmUpdate: {},
  ServiceCreate: {},
  ServiceUpdate: {},
  SecretCreate: { Name: "s" },
  SecretUpdate: {},
  ConfigCreate: { Name: "c" },
  ConfigUpdate: {},
};

async function swarm(api: Caller): Promise<void> {
  for (const { id, method } of api.contract.operations.values()) {
    if (!/^(Swarm|Node|Service|Task|Secret|Config)/.test(id)) continue;
    if (/^Swarm(Init|Join|Leave)$/.test(id)) continue;
    const body = swarmBodies[id] ?? (method === "POST" ? {} : undefined);
    const query = id.endsWith("Update") ? { version: 1 } : {};
    const answer = await api.call(id, { path: { id: "x" }, query, body, status: 503 });
    expect(answer.message, id).toBe(noSwarm);
  }
}

/** What berth does not do is refused with a word, and not as if the address were wrong. */
const refusals: readonly [id: string, status: number, ask: Ask][] = [
  ["SwarmInit", 501, { body: {} }],
  ["SwarmJoin", 501, { body: {} }],
  ["SwarmLeave", 503, {}],
  ["GetPluginPrivileges", 501, { query: { remote: "x" } }],
  ["PluginPull", 501, { query: { remote: "x" }, body: [] }],
  ["PluginCreate", 501, { query: { name: "x" } }],
  ["Session", 501, {}],
  ["VolumeUpdate", 503, { path: { name: "x" }, query: { version: 1 }, body: {} }],
];

async function plugins(api: Caller): Promise<void> {
  const list = await api.call("PluginList", { query: { filters: { enabled: ["true"] } } });
  expect(list.values).toEqual([[]]);
  const missing = (id: string, body?: unknown) =>
    api.call(id, { path: { name: "some/plugin" }, body, status: 404 });
  for (const id of ["PluginInspect", "PluginDelete", "PluginEnable", "PluginDisable"])
    expect((await missing(id)).message).toBe('plugin "some/plugin" not found');
  await missing("PluginPush");
  await missing("PluginSet", []);
  await api.call("PluginUpgrade", {
    path: { name: "x" },
    query: { remote: "x" },
    body: [],
    status: 404,
  });
}

async function refused(api: Caller): Promise<void> {
  for (const [id, status, ask] of refusals) await api.call(id, { ...ask, status });
  const leave = await api.call("SwarmLeave", { status: 503 });
  expect(leave.message).toBe("This node is not part of a swarm");
  const predefined = await api.call("NetworkDelete", { path: { id: "bridge" }, status: 403 });
  expect(predefined.message).toBe("bridge is a pre-defined network and cannot be removed");
  await api.call("NetworkDelete", { path: { id: "nothing" }, status: 404 });
}

/** The scenarios. */
export const systemScenarios: Scenarios = {
  "ping tells by headers who answers": async (api) => {
    const ping = await api.call("SystemPing");
    expect(ping.text).toBe("OK");
    checkPing(ping);
    checkPing(await api.call("SystemPingHead"));
  },
  "version names the engine and its parts": async (api) => {
    const answer = await api.call("SystemVersion");
    expect(answer.at("ApiVersion")).toBe("1.51");
    expect(answer.at("Components.0.Name")).toBe("Engine");
    expect(answer.at("KernelVersion")).toBe(release());
  },
  "info says of each field what is true": info,
  "events are told again, between two moments, by filters": events,
  "df by kind": diskUsage,
  "auth asks the registry": auth,
  "a daemon in no swarm says so": swarm,
  "there are no plugins": plugins,
  "what berth does not do yet is refused with a word": refused,
  "a removed container is no more": async (api) => {
    const id = await create(api, sleeper);
    await remove(api, id);
    const gone = await api.call("ContainerInspect", { path: { id }, status: 404 });
    expect(gone.message).toBe(`No such container: ${id}`);
  },
};
