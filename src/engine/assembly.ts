/**
 * Joins the engine's own parts, each of which is told of the others by functions only.
 */
import { Timings } from "../base/metrics.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { Engine } from "./engine.ts";
import { Execs } from "./exec.ts";
import { HealthMonitor } from "./health.ts";
import { actOnFailure } from "./health-action.ts";
import { startAgain } from "./launch.ts";
import { LogCompression } from "./log-compression.ts";
import { LogForwarding } from "./log-forwarding.ts";
import { runProbe } from "./probe.ts";
import { Restarts } from "./restarts.ts";
import { Sampler } from "./stats.ts";

/** What the engine is given; the rest of its dependencies are parts of itself. */
export type EngineParts = Omit<
  EngineDeps,
  "restarts" | "health" | "forwarding" | "sampler" | "compression" | "timings"
>;

/** Makes the engine. */
export function assembleEngine(parts: EngineParts): { deps: EngineDeps; engine: Engine } {
  parts.userStock.know(parts.registry);
  const deps: EngineDeps = {
    ...parts,
    sampler: new Sampler(parts),
    timings: {
      container: new Timings(["changes", "commit", "create", "delete", "start"]),
      network: new Timings(["allocate", "release"]),
    },
    forwarding: new LogForwarding(parts.settings, parts.kernel, parts.events),
    compression: new LogCompression(parts.settings),
    restarts: new Restarts((container) => startAgain(deps, container)),
    health: new HealthMonitor({
      probe: (container, check) => runProbe(execs, container, check),
      changed: (container, status) => healthChanged(deps, container, status),
    }),
  };
  const execs = new Execs(deps);
  return { deps, engine: new Engine(deps, execs) };
}

function healthChanged(deps: EngineDeps, container: Container, status: string | undefined): void {
  const { record } = container;
  deps.database.save(record);
  if (status === undefined) return;
  deps.events.emit("container", `health_status: ${status}`, record.id, attributesOf(record));
  if (status === "unhealthy") actOnFailure(deps, container);
}
