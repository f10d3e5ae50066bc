/**
 * Filters of the container list: pure.
 */
import { fault } from "../base/errors.ts";
import { labelHolds } from "../base/selection.ts";
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
    network: ({ record }, value) => record.hostConfig.NetworkMode === value,
    publish: ({ record }, value) =>
      (record.endpoint?.ports ?? []).some(
        (port) =>
          `${port.hostPort}/${port.protocol}` === (value.includes("/") ? value : `${value}/tcp`),
      ),
    expose: ({ record }, value) =>
      Object.keys(record.config.ExposedPorts ?? {}).includes(
        value.includes("/") ? value : `${value}/tcp`,
      ),
    health: ({ record }, value) => value === (record.state.health?.status ?? "none"),
    "is-task": (_container, value) => /^(false|0)$/i.test(value),
  };
}

/** The containers that pass: for each key any value (all, for labels). Throws a Fault "invalid" for a filter that there is not. */
export function filterContainers(
  containers: readonly Container[],
  filters: ContainerFilters,
  find: (reference: string) => Container,
  imageOf: (name: string) => string | undefined,
): Container[] {
  for (const key of Object.keys(filters))
    if (!known.has(key)) throw fault("invalid", "filter", `invalid filter '${key}'`);
  for (const value of filters.status ?? [])
    if (!statuses.has(value)) throw fault("invalid", "filter", `invalid filter 'status=${value}'`);
  for (const value of filters.exited ?? [])
    if (!/^\d+$/.test(value)) throw fault("invalid", "filter", `invalid filter 'exited=${value}'`);
  const table = tests(find, imageOf);
  return containers.filter((container) =>
    Object.entries(filters).every(([key, values]) => {
      const holds = (value: string) => table[key]?.(container, value) ?? false;
      return key === "label" ? values.every(holds) : values.some(holds);
    }),
  );
}
