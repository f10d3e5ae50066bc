/**
 * Listening to a container's shim.
 */
import { existsSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { serverFailure } from "../network/index.ts";
import type { ShimEvent, ShimHandlers } from "../runtime/index.ts";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { containerEnded } from "./ending.ts";
import { type ExitRecord, readExitRecord } from "./exit-record.ts";
import { recordsLost } from "./log-losses.ts";
import type { NameAnswer } from "./name-lookup.ts";
import { cgroupPath, runDirectory } from "./places.ts";

const SIGKILLED = 137;

function lostBy({ dropped, failed }: Extract<ShimEvent, { name: "log_lost" }>) {
  return { dropped: Number(dropped), failed: Number(failed) };
}

/** Answers a question, whatever becomes of it: the shim keeps a place for each until then. */
function answerQuery(
  { names }: EngineDeps,
  container: Container,
  { id, message, tcp }: Extract<ShimEvent, { name: "dns_query" }>,
): void {
  const give = ({ message: answer, section }: NameAnswer) => {
    if (section > 0) container.shim?.keepDns(id, section, answer);
    else container.shim?.answerDns(id, answer);
  };
  const fail = (error: unknown) => {
    log.warn("answer a name query", { error: messageOf(error) });
    give({ message: serverFailure(message), section: 0 });
  };
  try {
    const answer = names.answer(container.record, message, tcp === 1);
    if (answer instanceof Promise) answer.then(give, fail);
    else give(answer);
  } catch (error) {
    fail(error);
  }
}

/** Handlers for a control connection: exits, execs and name resolution. Whoever was followed before is followed no more. */
export function followShim(deps: EngineDeps, container: Container): ShimHandlers {
  const run = ++container.run;
  let exit: ExitRecord | undefined;
  const onEvent = (event: ShimEvent) => {
    if (container.run !== run) return;
    if (event.name === "exited")
      exit = {
        status: event.status,
        oomKills: Number(event.oom_kills),
        finished: Number(event.finished_ns / 1_000_000n),
      };
    else if (event.name === "exec_exited") container.execExited?.(event.exec, event.status);
    else if (event.name === "log_files") deps.compression.look(container);
    else if (event.name === "log_lost")
      recordsLost(deps, container, lostBy(event), event.news === 1);
    else if (event.name === "dns_query") answerQuery(deps, container, event);
    if (exit !== undefined && event.name === "exited") containerEnded(deps, container, exit);
  };
  const onClosed = () => {
    if (exit !== undefined || container.run !== run) return;
    // Killed, or gone while nobody listened: its record says how the container ended, or nothing does.
    const directory = runDirectory(deps.settings, container.id);
    const recorded = readExitRecord(directory);
    if (recorded === undefined && container.record.state.pid !== 0 && existsSync(directory))
      deps.cgroups.kill(cgroupPath(deps.settings, container.record));
    if (recorded === undefined && !container.running && !container.beginning) return;
    containerEnded(
      deps,
      container,
      recorded ?? { status: SIGKILLED, oomKills: 0, finished: Date.now() },
    );
  };
  return { event: onEvent, closed: onClosed };
}
