/**
 * Starting many containers at once, as after a boot of the host: each as soon as those are there that it depends on,
 * independent ones side by side. A container that waits is "restarting" in its record, so that a daemon that is killed
 * meanwhile leaves the next one the rest.
 */
import { log } from "../base/log.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { healthCheckOf } from "./health.ts";
import {
  type DependencyView,
  judge,
  patience,
  planStarts,
  servicesOf,
  type Wait,
  waitsOf,
} from "./start-order.ts";

/** What no event tells of, such as a start that fails, is seen after so long. */
const LOOK_AGAIN_MS = 500;

/** The containers that have been started since the boot began. */
type Begun = ReadonlySet<string>;

/** Starts containers that their restart policies want to run; returns before they do. */
export function startInOrder(deps: EngineDeps, containers: readonly Container[]): void {
  if (containers.length === 0) return;
  const { registry, events, restarts } = deps;
  const all = registry.all();
  const service = servicesOf(all.map(({ record }) => record));
  const directory = { service, container: (name: string) => registry.lookUp(name)?.id };
  const starting = containers.toSorted((a, b) => (a.record.created < b.record.created ? -1 : 1));
  const { waits, circles } = planStarts(
    starting.map(({ id }) => id),
    (id) => waitsOf(registry.get(id).record, directory).filter((wait) => canCome(deps, wait)),
  );
  for (const circle of circles) warnOfCircle(deps, circle);
  const begun = new Set<string>();
  const stopListening = events.listen(({ Type, Action, Actor }) => {
    if (Type === "container" && Action === "start") begun.add(Actor?.ID ?? "");
  });
  const settled = starting.map((container) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    restarts.hold(container, async (signal) => {
      try {
        return await dependenciesMet(deps, container, waits.get(container.id) ?? [], begun, signal);
      } finally {
        resolve();
      }
    });
    return promise;
  });
  void Promise.all(settled).then(stopListening);
}

/** For what neither runs nor is about to be started, a start is not waited for: it is not wanted. */
function canCome({ registry }: EngineDeps, { on, condition }: Wait): boolean {
  return condition !== "started" || registry.find(on)?.alive === true;
}

function warnOfCircle({ registry }: EngineDeps, circle: readonly string[]): void {
  const names = circle.map((id) => registry.find(id)?.record.name ?? id);
  log.warn("containers wait for each other in a circle: the last does not wait for the first", {
    circle: [...names, names[0]].join(" -> "),
  });
}

function viewOfDependency(
  { registry }: EngineDeps,
  id: string,
  begun: Begun,
): DependencyView | undefined {
  const record = registry.find(id)?.record;
  if (record === undefined) return undefined;
  const { name, state, config } = record;
  return { name, state, checked: healthCheckOf(config) !== undefined, begun: begun.has(id) };
}

/** Resolves with true once everything is there that the container waits for; with false when it is not to be started. */
async function dependenciesMet(
  deps: EngineDeps,
  container: Container,
  waits: readonly Wait[],
  begun: Begun,
  signal: AbortSignal,
): Promise<boolean> {
  const patienceMs = patience(container.record) * 1000;
  let deadline = Date.now() + patienceMs;
  let told = false;
  while (!signal.aborted) {
    const verdicts = waits.map(({ on, condition }) =>
      judge(condition, viewOfDependency(deps, on, begun)),
    );
    const reasons = (is: "on" | "vain") =>
      verdicts.flatMap((verdict) => (verdict.is === is ? [verdict.because] : []));
    const [vain, open] = [reasons("vain"), reasons("on")];
    if (vain.length > 0) return giveUp(deps, container, vain.join(", "));
    if (open.length === 0) return true;
    if (!told)
      log.info("a start waits", { container: container.record.name, because: open.join(", ") });
    told = true;
    // The time that others wait for others is not theirs.
    if (waits.some(({ on }) => isHeld(deps, on))) deadline = Date.now() + patienceMs;
    if (Date.now() >= deadline)
      return giveUp(deps, container, `${open.join(", ")} after ${patience(container.record)} s`);
    await nextChange(deps, new Set(waits.map(({ on }) => on)), signal);
  }
  return false;
}

function isHeld({ registry, restarts }: EngineDeps, id: string): boolean {
  const container = registry.find(id);
  return container !== undefined && restarts.holds(container);
}

/** The container is not started, and says why: in its state, in the log, and by an event. */
function giveUp(deps: EngineDeps, container: Container, because: string): false {
  const { record } = container;
  record.state.status = "exited";
  record.state.error = `dependency failed to start: ${because}`;
  deps.database.save(record);
  log.warn("a container is not started", { container: record.name, because: record.state.error });
  deps.events.emit(
    "container",
    "dependency_failed",
    record.id,
    attributesOf(record, { reason: because }),
  );
  container.tellExit();
  return false;
}

/** Resolves when something may have become of one of the containers, or `signal` says that nobody waits any more. */
function nextChange(
  { events }: EngineDeps,
  ids: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stopListening = events.listen(({ Actor }) => {
    if (ids.has(Actor?.ID ?? "")) resolve();
  });
  const timer = setTimeout(resolve, LOOK_AGAIN_MS);
  const aborted = () => resolve();
  signal.addEventListener("abort", aborted, { once: true });
  return promise.finally(() => {
    stopListening();
    clearTimeout(timer);
    signal.removeEventListener("abort", aborted);
  });
}
