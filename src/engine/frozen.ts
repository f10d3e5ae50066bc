/**
 * A paused container in the PID namespace of another one. When that one's first process ends, the kernel kills all others of
 * the namespace and waits for their ends; but on cgroup v1 what is frozen does not even die, and both would stand still for
 * ever. So who is paused there is looked after, and let go when the namespace ends.
 */
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { isEnding } from "./ending-process.ts";
import { cgroupPath } from "./places.ts";

const LOOK_MS = 100;
/** Looks after a container that has just been paused, as long as it is. */
export function watchFrozen(deps: EngineDeps, container: Container): void {
  const { record } = container;
  const mode = record.hostConfig.PidMode ?? "";
  if (deps.cgroups.version !== 1 || !mode.startsWith("container:")) return;
  const first = deps.registry.lookUp(mode.slice("container:".length))?.record.state.pid;
  if (!first) return;
  const { run } = container;
  const timer = setInterval(() => {
    const paused = record.state.status === "paused" && container.run === run;
    if (paused && !isEnding(first)) return;
    clearInterval(timer);
    if (paused) deps.cgroups.thaw(cgroupPath(deps.settings, record));
  }, LOOK_MS);
  timer.unref();
}
