/**
 * Which containers wait for which when many are started at once, as at a boot of the host: read from the labels that a user
 * or compose has given, planned as data. Pure.
 *
 * Docker's API has no field for it. Compose writes down what it knows in labels of every container that it makes
 * ("com.docker.compose.depends_on=db:service_healthy:false,cache:service_started:true"); others say it by
 * "berth.depends-on=db:healthy,migrate:completed". Labels of an image say nothing.
 */

import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";
import type { ContainerConfig } from "../spec/engine-api.ts";
import type {
  ContainerRecord,
  DependencyCondition,
  DependencyRecord,
  StartOrderRecord,
} from "./container-record.ts";

const OWN_LABEL = "berth.depends-on";
const PATIENCE_LABEL = "berth.depends-on-timeout";
const COMPOSE = "com.docker.compose";
/** Seconds that a container waits for those that it depends on. */
const PATIENCE_S = 600;

const conditions: Readonly<Record<string, DependencyCondition>> = {
  started: "started",
  healthy: "healthy",
  completed: "completed",
  service_started: "started",
  service_healthy: "healthy",
  service_completed_successfully: "completed",
};

/** "service:condition:restart,…"; older composes write the services alone. What is not understood counts as "started". */
function composeDependencies(text: string): DependencyRecord[] {
  return text.split(",").flatMap((item) => {
    const [service = "", word = ""] = item.trim().split(":");
    return service === "" ? [] : [{ service, condition: own(conditions, word) ?? "started" }];
  });
}

/** "container[:condition],…". */
function ownDependencies(text: string): DependencyRecord[] {
  return text
    .split(",")
    .filter((item) => item.trim() !== "")
    .map((item) => {
      const [container = "", word = "started", ...more] = item.trim().split(":");
      const condition = own(conditions, word);
      if (container === "" || condition === undefined || more.length > 0)
        throw fault(
          "invalid",
          "depends-on",
          `invalid value ${JSON.stringify(item)} for depends-on: use CONTAINER or CONTAINER:CONDITION, where the condition is started, healthy or completed`,
        );
      return { container: container.replace(/^\//, ""), condition };
    });
}

function patienceOf(text: string | undefined): { patience: number } | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(text))
    throw fault(
      "invalid",
      "depends-on",
      `invalid value ${JSON.stringify(text)} for depends-on-timeout: it is a number of seconds`,
    );
  return { patience: Number(text) };
}

/** What the labels that a user has given say; undefined: nothing. Throws a Fault "invalid" for a wrong one of berth's own. */
export function startOrderOf({ Labels }: ContainerConfig): StartOrderRecord | undefined {
  const label = (name: string) => Labels?.[name];
  const [project, service] = [label(`${COMPOSE}.project`), label(`${COMPOSE}.service`)];
  const single = label(`${COMPOSE}.oneoff`)?.toLowerCase() === "true";
  const dependencies = [
    ...(project === undefined ? [] : composeDependencies(label(`${COMPOSE}.depends_on`) ?? "")),
    ...ownDependencies(label(OWN_LABEL) ?? ""),
  ];
  const order: StartOrderRecord = {
    ...(project === undefined ? {} : { project }),
    // A container of `compose run` is none that others wait for.
    ...(service === undefined || single ? {} : { service }),
    dependencies,
    ...patienceOf(label(PATIENCE_LABEL)),
  };
  return project === undefined && dependencies.length === 0 ? undefined : order;
}

/** One container waits for another. */
export interface Wait {
  /** The other one's id. */
  readonly on: string;
  readonly condition: DependencyCondition;
}

type Known = Pick<ContainerRecord, "id" | "hostConfig" | "links" | "startOrder">;

/** Finds containers by what others call them. */
export interface Directory {
  /** By name or id; undefined when there is none. */
  container(reference: string): string | undefined;
  /** Those of a compose project's service. */
  service(project: string, service: string): readonly string[];
}

/** The containers of each service. */
export function servicesOf(records: readonly Known[]): Directory["service"] {
  const keyOf = (project: string, service: string) => `${project}\0${service}`;
  const ids = new Map<string, string[]>();
  for (const { id, startOrder } of records) {
    if (startOrder?.project === undefined || startOrder.service === undefined) continue;
    const key = keyOf(startOrder.project, startOrder.service);
    ids.set(key, [...(ids.get(key) ?? []), id]);
  }
  return (project, service) => ids.get(keyOf(project, service)) ?? [];
}

/** What a container waits for: what its labels say, and those whose namespaces it joins or that it is linked to. */
export function waitsOf(record: Known, directory: Directory): Wait[] {
  const { hostConfig, links = [], startOrder } = record;
  const { NetworkMode, PidMode, IpcMode } = hostConfig;
  const joined = [NetworkMode, PidMode, IpcMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [mode.slice("container:".length)] : [],
  );
  const needed = [...joined, ...links.map(({ id }) => id)];
  const dependencies = [
    ...(startOrder?.dependencies ?? []),
    ...needed.map((container): DependencyRecord => ({ container, condition: "started" })),
  ];
  const waits = dependencies.flatMap(({ service, container = "", condition }) => {
    const ids =
      service === undefined
        ? [directory.container(container) ?? []].flat()
        : directory.service(startOrder?.project ?? "", service);
    return ids.map((on): Wait => ({ on, condition }));
  });
  const unique = new Map(waits.map((wait) => [`${wait.on} ${wait.condition}`, wait]));
  return [...unique.values()].filter(({ on }) => on !== record.id);
}

/** Seconds that a container waits. */
export function patience({ startOrder }: Pick<ContainerRecord, "startOrder">): number {
  return startOrder?.patience ?? PATIENCE_S;
}

/** Who waits for whom. */
export interface StartPlan {
  /** By the id of the one that waits. */
  readonly waits: ReadonlyMap<string, readonly Wait[]>;
  /** Circles that were found, each from a container through those that it waits for; its last one waits for its first no more. */
  readonly circles: readonly (readonly string[])[];
}

/** Plans the start of some containers. Circles among them are broken where they close, in the order given. */
export function planStarts(
  starting: readonly string[],
  waitsOf: (id: string) => readonly Wait[],
): StartPlan {
  const waits = new Map<string, readonly Wait[]>();
  const circles: string[][] = [];
  const path: string[] = [];
  const inPlan = new Set(starting);
  const visit = (id: string): void => {
    if (waits.has(id)) return;
    path.push(id);
    const kept = waitsOf(id).filter(({ on }) => {
      const at = path.indexOf(on);
      if (at < 0) {
        if (inPlan.has(on)) visit(on);
        return true;
      }
      circles.push(path.slice(at));
      return false;
    });
    path.pop();
    waits.set(id, kept);
  };
  for (const id of starting) visit(id);
  return { waits, circles };
}

/** How a container stands that another waits for. */
export interface DependencyView {
  readonly name: string;
  readonly state: Pick<ContainerRecord["state"], "status" | "exitCode" | "error" | "health">;
  readonly checked: boolean;
  /** It has been started since the waiting began. */
  readonly begun: boolean;
}

/** What has become of a wait: it is over, goes on, or is in vain; with words for the last two. */
export type Verdict =
  | { readonly is: "over" }
  | { readonly is: "on" | "vain"; readonly because: string };

const over: Verdict = { is: "over" };

/** Judges a wait. Whoever is not there (any more) is not waited for, nor is the start of what nobody starts. */
export function judge(condition: DependencyCondition, view: DependencyView | undefined): Verdict {
  if (view === undefined) return over;
  const { name, state, checked, begun } = view;
  const { status, exitCode, error } = state;
  const on = (what: string): Verdict => ({ is: "on", because: `container ${name} ${what}` });
  const vain = (what: string): Verdict => ({ is: "vain", because: `container ${name} ${what}` });
  const running = status === "running" || status === "paused";
  if (condition === "healthy" && !checked) return vain("has no healthcheck configured");
  if (running) {
    if (condition === "started") return over;
    if (condition === "completed") return on("is running");
    const health = state.health?.status ?? "starting";
    return health === "healthy" ? over : on(`is ${health}`);
  }
  if (condition === "started" && begun) return over;
  if (status === "restarting")
    return condition === "completed" && begun && exitCode === 0 ? over : on("is restarting");
  if (status === "exited" && error !== "") return vain("could not be started");
  if (condition === "started") return over;
  if (status !== "exited") return on("is not running");
  if (condition === "completed")
    return exitCode === 0 ? over : vain(`didn't complete successfully: exit ${exitCode}`);
  // Nobody has started it, but somebody may.
  return begun ? vain(`exited (${exitCode})`) : on("is not running");
}
