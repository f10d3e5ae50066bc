import { expect, test } from "bun:test";
import type { PublishedPort } from "../network/index.ts";
import type { HostConfig, PortMap } from "../spec/engine-api.ts";
import { portDifference, withPorts } from "./port-changes.ts";
import { portWishes } from "./ports.ts";

const config = { ExposedPorts: { "80/tcp": {}, "81/tcp": {} } };
const at = (HostPort: string, HostIp = "") => ({ HostIp, HostPort });
const port = (containerPort: number, hostPort: number, hostAddress = "0.0.0.0"): PublishedPort => ({
  protocol: "tcp",
  containerPort,
  hostAddress,
  hostPort,
});

const after = (
  hostConfig: HostConfig,
  changes: { add?: PortMap; remove?: PortMap; all?: boolean },
  published: readonly PublishedPort[] = [],
) =>
  withPorts(
    { config, hostConfig },
    {
      PortBindings: changes.add,
      PortBindingsRemove: changes.remove,
      PublishAllPorts: changes.all,
    },
    published,
  );

test("a binding is added once, and its port is exposed", () => {
  const once = after({}, { add: { "90": [at("9000")] } });
  expect(once.hostConfig.PortBindings).toEqual({ "90/tcp": [at("9000")] });
  expect(Object.keys(once.config.ExposedPorts ?? {})).toEqual(["80/tcp", "81/tcp", "90/tcp"]);
  const twice = after(once.hostConfig, { add: { "90/tcp": [at("9000"), at("9001")] } });
  expect(twice.hostConfig.PortBindings).toEqual({ "90/tcp": [at("9000"), at("9001")] });
});

test("bindings are taken out by port, address, what was asked and what came of it", () => {
  const hostConfig = {
    PortBindings: { "80/tcp": [at("8000"), at("", "127.0.0.1")], "80/udp": [at("8000")] },
  };
  const published = [port(80, 8000), port(80, 40000, "127.0.0.1")];
  const left = (remove: PortMap) =>
    after(hostConfig, { remove }, published).hostConfig.PortBindings;
  expect(left({ "80": [] })).toEqual({ "80/udp": [at("8000")] });
  expect(left({ "80/tcp": [at("")] })).toEqual({ "80/udp": [at("8000")] });
  expect(left({ "80/tcp": [at("8000")] })?.["80/tcp"]).toEqual([at("", "127.0.0.1")]);
  expect(left({ "80/tcp": [at("", "0.0.0.0")] })?.["80/tcp"]).toEqual([at("", "127.0.0.1")]);
  expect(left({ "80/tcp": [at("40000")] })?.["80/tcp"]).toEqual([at("8000")]);
  expect(() => left({ "80/tcp": [at("40000", "0.0.0.0")] })).toThrow(
    "the container does not publish 0.0.0.0:40000:80/tcp",
  );
  expect(() => left({ "81/tcp": [] })).toThrow("the container does not publish 81/tcp");
});

test("what -P publishes is written down when a part of it goes", () => {
  const hostConfig = { PublishAllPorts: true, PortBindings: { "90/tcp": [at("9000")] } };
  const kept = after(hostConfig, { add: { "91/tcp": [at("")] } }).hostConfig;
  expect([kept.PublishAllPorts, Object.keys(kept.PortBindings ?? {})]).toEqual([
    true,
    ["90/tcp", "91/tcp"],
  ]);
  const less = after(hostConfig, { remove: { "80/tcp": [] } }).hostConfig;
  expect(less.PublishAllPorts).toBe(false);
  expect(less.PortBindings).toEqual({ "90/tcp": [at("9000")], "81/tcp": [at("")] });
  expect(portWishes(config, after({}, { all: true }).hostConfig)).toHaveLength(2);
  expect(portWishes(config, after(hostConfig, { all: false }).hostConfig)).toHaveLength(1);
});

test("what is wanted still keeps its port, whatever the order", () => {
  const wishes = (bindings: PortMap) => portWishes({}, { PortBindings: bindings });
  const before = wishes({ "80/tcp": [at(""), at("8000")], "81/tcp": [at("")] });
  const six = { ...port(80, 40000), hostAddress: "::", paired: true as const };
  const published = [port(80, 40000), six, port(80, 8000), port(81, 40001)];
  const next = wishes({ "81/tcp": [at("")], "80/tcp": [at("8001"), at("")] });
  const { kept, withdrawn, missing } = portDifference(before, published, next);
  expect(kept).toEqual([[port(81, 40001)], undefined, [port(80, 40000), six]]);
  expect(withdrawn).toEqual([port(80, 8000)]);
  expect(missing).toEqual(next.slice(1, 2));
  expect(portDifference(before, published, before).missing).toEqual([]);
});
