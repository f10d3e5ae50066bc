/**
 * Filters of the container list: pure.
 */

import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";
import { filterBoolean, labelHolds } from "../base/selection.ts";
import { exposedPorts } from "../spec/exposed-ports.ts";
import { attachmentsOf } from "./attachments.ts";
import type { Container } from "./container.ts";

/** Each key with its accepted values. */
export type ContainerFilters = Readonly<Record<string, readonly string[]>>;

const statuses = new Set([
  "created",
  "restarting",
  "running",
  "removing",
  "paused",
  "exited",
  "dead",
]);
const healths = new Set(["starting", "healthy", "unhealthy", "none"]);
const known = new Set([
  "ancestor",
  "before",
  "expose",
  "exited",
  "health",
  "id",
  "is-task",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
]);

function nameHolds(name: string, pattern: string): boolean {
  try {
    return new RegExp(pattern).test(name) || new RegExp(pattern).test(`/${name}`);
  } catch {
    return name.includes(pattern);
  }
}

/** Whether one of the ports that are the keys of a map is among those that a filter names. */
function portsMeet(
  ports: Readonly<Record<string, unknown>> | null | undefined,
  value: string,
): boolean {
  const wanted = exposedPorts(value) ?? [];
  return Object.keys(ports ?? {})
    .flatMap((port) => exposedPorts(port) ?? [])
    .some((port) => wanted.includes(port));
}

type Test = (container: Container, value: string) => boolean;

function tests(
  find: (reference: string) => Container,
  imageOf: (name: string) => string | undefined,
): Readonly<Record<string, Test>> {
  const created = (reference: string) => Date.parse(find(reference).record.created);
  return {
    id: ({ id }, value) => id.startsWith(value),
    name: ({ record }, value) => nameHolds(record.name, value),
    label: ({ record }, value) => labelHolds(record.config.Labels ?? {}, value),
    status: ({ record }, value) => record.state.status === value,
    exited: ({ record }, value) =>
      record.state.status === "exited" && record.state.exitCode === Number(value),
    ancestor: ({ record }, value) =>
      record.image === imageOf(value) || record.config.Image === value,
    before: ({ record }, value) => Date.parse(record.created) < created(value),
    since: ({ record }, value) => Date.parse(record.created) > created(value),
    volume: ({ record }, value) =>
      record.mounts.some(
        (mount) => mount.volume === value || mount.target === value || mount.source === value,
      ),
    network: ({ record }, value) =>
      record.hostConfig.NetworkMode === value ||
      attachmentsOf(record).some(
        ({ network, name }) => name === value || (network !== "" && network.startsWith(value)),
      ),
    publish: ({ record }, value) => portsMeet(record.hostConfig.PortBindings, value),
    expose: ({ record }, value) => portsMeet(record.config.ExposedPorts, value),
    health: ({ record }, value) => value === (record.state.health?.status ?? "none"),
    // A task is a container that a swarm has made.
    "is-task": (_container, value) => !filterBoolean("is-task", value),
  };
}

/** Throws Faults in Docker's words for a value that a filter cannot have, whether there are containers or not. */
function checkValue(key: string, value: string, find: (reference: string) => Container): void {
  const bad = (message: string) => fault("invalid", "filter", message);
  if (key === "before" || key === "since") find(value);
  if (key === "is-task") filterBoolean(key, value);
  if (key === "status" && !statuses.has(value)) throw bad(`invalid filter 'status=${value}'`);
  if (key === "exited" && !/^[+-]?\d+$/.test(value)) throw bad(`invalid filter 'exited=${value}'`);
  if (key === "health" && !healths.has(value))
    throw bad(`unrecognized filter value for health: ${value}`);
  if ((key === "publish" || key === "expose") && exposedPorts(value) === undefined)
    throw bad(`error while looking up for ${key} ${value}: invalid port range`);
}

/** The containers that pass: for each key any value (all, for labels). Throws a Fault "invalid" for a filter that there is not. */
export function filterContainers(
  containers: readonly Container[],
  filters: ContainerFilters,
  find: (reference: string) => Container,
  imageOf: (name: string) => string | undefined,
): Container[] {
  for (const [key, values] of Object.entries(filters)) {
    if (!known.has(key)) throw fault("invalid", "filter", `invalid filter '${key}'`);
    for (const value of values) checkValue(key, value, find);
  }
  const table = tests(find, imageOf);
  return containers.filter((container) =>
    Object.entries(filters).every(([key, values]) => {
      const holds = (value: string) => own(table, key)?.(container, value) ?? false;
      return key === "label" ? values.every(holds) : values.some(holds);
    }),
  );
}
