/**
 * Each field of a container's configuration: sent alone, and its effect seen in the container.
 */
import { expect } from "bun:test";
import type { Caller } from "./caller.ts";
import {
  type ContainerBody,
  create,
  demux,
  ended,
  eventually,
  logs,
  remove,
  type Scenarios,
  scripted,
  sleeper,
} from "./steps.ts";

/** What is sent; a script in the container; what it prints. Everything that is sent counts as used then. */
export type Row = readonly [
  what: string,
  sends: ContainerBody,
  script: string,
  prints: string | RegExp,
];

/** Runs a row's script in a container made from what the row sends; inspect, too, has what was sent. */
export async function runRow(api: Caller, [, sends, script, prints]: Row): Promise<void> {
  const answer = await api.call("ContainerCreate", { body: scripted(script, sends) });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  await ended(api, path.id);
  const { bytes, headers } = await logs(api, path.id);
  const raw = headers.get("content-type")?.includes("raw-stream") === true;
  const output = (raw ? new TextDecoder().decode(bytes) : demux(bytes)).trim();
  const expected = typeof prints === "string" ? prints : expect.stringMatching(prints);
  const items = Object.keys(sends).flatMap((field) =>
    field === "HostConfig"
      ? Object.keys(sends.HostConfig ?? {}).map((inner) => `body HostConfig.${inner}`)
      : [`body ${field}`],
  );
  answer.shows(items, output, expected);
  await api.call("ContainerInspect", { path, query: { size: true } });
  await remove(api, path.id);
}

/** Scenarios of rows, by what they show. */
export function scenariosOf(rows: readonly Row[]): Scenarios {
  return Object.fromEntries(rows.map((row) => [`create: ${row[0]}`, (api) => runRow(api, row)]));
}

const rows: readonly Row[] = [
  [
    "MAC address of an endpoint",
    { NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: "02:42:ac:11:22:44" } } } },
    "cat /sys/class/net/eth0/address",
    "02:42:ac:11:22:44",
  ],
  [
    "host and domain name",
    { Hostname: "here", Domainname: "example.net" },
    "hostname; cat /proc/sys/kernel/domainname",
    "here\nexample.net",
  ],
  ["user", { User: "1000:1001" }, "id -u; id -g", "1000\n1001"],
  ["a terminal", { Tty: true }, "test -t 0 && test -t 1 && echo terminal", "terminal"],
  ["environment", { Env: ["COLOUR=blue", "EMPTY="] }, "echo $COLOUR-$EMPTY.", "blue-."],
  ["working directory", { WorkingDir: "/made/here" }, "pwd", "/made/here"],
  ["entrypoint before the command", { Entrypoint: ["env", "A=b"] }, "echo $A", "b"],
  ["image and command", { Image: "busybox", Cmd: ["echo", "said"] }, "", "said"],
  ["volumes", { Volumes: { "/vol": {} } }, "grep -c ' /vol ' /proc/mounts", "1"],
  ["no network", { NetworkDisabled: true }, "ls /sys/class/net", "lo"],
  [
    "MAC address",
    { MacAddress: "02:42:ac:11:22:33" },
    "cat /sys/class/net/eth0/address",
    "02:42:ac:11:22:33",
  ],
];

/** Fields that a later call shows, or that only inspect does. */
async function later(api: Caller): Promise<void> {
  const body = {
    ...sleeper,
    Labels: { kind: "later" },
    ExposedPorts: { "8125/udp": {} },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OnBuild: ["RUN true"],
    Shell: ["/bin/sh", "-ec"],
    StopSignal: "SIGINT",
    Cmd: ["sh", "-c", "trap 'exit 7' INT; echo ready; while :; do sleep 0.02; done"],
  };
  const answer = await api.call("ContainerCreate", { body, query: { name: "later" } });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  const list = await api.call("ContainerList", { query: { filters: { label: ["kind=later"] } } });
  list.shows("query filters", list.each("Id"), [path.id]);
  answer.shows("body Labels", list.at("0.Labels"), { kind: "later" });
  answer.shows("query name", list.at("0.Names"), ["/later"]);
  answer.shows("body ExposedPorts", list.at("0.Ports"), [{ PrivatePort: 8125, Type: "udp" }]);
  const inspect = await api.call("ContainerInspect", { path });
  for (const field of ["AttachStdin", "AttachStdout", "AttachStderr", "OnBuild"] as const)
    answer.shows(`body ${field}`, inspect.at(`Config.${field}`), body[field]);
  await eventually(
    () => logs(api, path.id),
    (written) => written.text.includes("ready"),
  );
  await api.call("ContainerStop", { path });
  answer.shows("body StopSignal", await ended(api, path.id), 7);
  await remove(api, path.id);
}

async function stopTimeout(api: Caller): Promise<void> {
  const answer = await api.call("ContainerCreate", {
    body: scripted("trap '' TERM; sleep 1000", { StopTimeout: 0 }),
  });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  await api.call("ContainerStop", { path });
  await api.call("ContainerInspect", { path });
  answer.shows("body StopTimeout", await ended(api, path.id), 137);
  await remove(api, path.id);
}

async function health(api: Caller): Promise<void> {
  const ms = 1_000_000;
  const answer = await api.call("ContainerCreate", {
    body: {
      ...sleeper,
      Shell: ["/bin/sh", "-exc"],
      Healthcheck: {
        Test: ["CMD-SHELL", "test -e /ok || exit 1"],
        Interval: 20 * ms,
        Timeout: 5000 * ms,
        Retries: 2,
        StartPeriod: 1 * ms,
        StartInterval: 10 * ms,
      },
    },
  });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  const is = (wanted: string) =>
    eventually(
      () => api.call("ContainerInspect", { path }),
      (inspect) => inspect.at("State.Health.Status") === wanted,
    );
  const sick = await is("unhealthy");
  expect(Number(sick.at("State.Health.FailingStreak"))).toBeGreaterThanOrEqual(2);
  answer.shows(
    "body Shell",
    sick.at("State.Health.Log.0.Output"),
    expect.stringMatching(/test -e/),
  );
  const list = await api.call("ContainerList", { query: { filters: { health: ["unhealthy"] } } });
  answer.shows("body Healthcheck", list.each("Id"), [path.id]);
  await remove(api, path.id);
}

async function refusals(api: Caller): Promise<void> {
  const refused = async (status: number, body: unknown, query = {}) =>
    (await api.call("ContainerCreate", { status, body, query })).message;
  expect(await refused(400, { Image: "busybox", Cmd: 5 })).toContain("Cmd");
  expect(await refused(400, {})).toBe("config cannot be empty in order to create a container");
  expect(await refused(404, { Image: "nothing:here" })).toBe("No such image: nothing:here");
  const platform = await api.call("ContainerCreate", {
    status: 404,
    body: sleeper,
    query: { platform: "linux/s390x" },
  });
  platform.shows("query platform", platform.message, expect.stringContaining("s390x"));
  const id = await create(api, sleeper, "taken");
  expect(await refused(409, sleeper, { name: "taken" })).toBe(
    `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
  expect(await refused(400, sleeper, { name: "a" })).toContain(
    "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  );
  await remove(api, id);
}

/** The scenarios. */
export const createConfigScenarios: Scenarios = {
  ...scenariosOf(rows),
  "create: what later calls show": later,
  "create: stop timeout": stopTimeout,
  "create: health check": health,
  "create: refusals": refusals,
};
