/**
 * The processes of a container, as the host's ps shows them.
 */
import { fault } from "../base/errors.ts";
import type { ContainerTopResponse } from "../spec/engine-api.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import { checkNotRestarting } from "./control.ts";
import type { EngineDeps } from "./deps.ts";
import { pidsByNamespace } from "./own-processes.ts";
import { cgroupPath } from "./places.ts";

/** The rows of ps's output that belong to some processes. Throws a Fault "invalid" when no column names the process. */
export function selectProcesses(output: string, pids: ReadonlySet<number>): ContainerTopResponse {
  const [head = "", ...lines] = output.split("\n");
  const Titles = head.trim().split(/\s+/);
  const column = Titles.indexOf("PID");
  if (column < 0) throw fault("invalid", "ps-output", "Couldn't find PID field in ps output");
  const Processes = lines.flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    if (!pids.has(Number(fields[column]))) return [];
    // The last column is the command, which has blanks of its own.
    const last = Titles.length - 1;
    return [[...fields.slice(0, last), fields.slice(last).join(" ")]];
  });
  return { Titles, Processes };
}

async function ps(args: readonly string[]) {
  const child = Bun.spawn(["ps", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { out, err, status: await child.exited };
}

/** Runs ps with a user's arguments (`-ef` when empty). Throws Faults when the container does not run or ps refuses. */
export async function processesOf(
  deps: EngineDeps,
  container: Container,
  psArguments: string,
): Promise<ContainerTopResponse> {
  checkNotRestarting(container);
  if (!container.running)
    throw fault("conflict", "not-running", `container ${container.id} is not running`);
  if (Bun.which("ps") === null)
    throw fault("failed", "no-ps", "the host has no ps program: install the package procps");
  const pids = new Set(
    deps.cgroups.there
      ? deps.cgroups.pids(cgroupPath(deps.settings, container.record))
      : pidsByNamespace(container),
  );
  const args = psArguments.split(/\s+/).filter(Boolean);
  // Whose they are and where they run does not matter then; but some arguments of ps do not go with that.
  const chosen = pids.size === 0 ? undefined : await ps([...args, `-q${[...pids].join(",")}`]);
  const { out, err, status } = chosen?.status === 0 ? chosen : await ps(args);
  if (status !== 0) throw fault("invalid", "ps-arguments", `ps: ${err.trim().split("\n")[0]}`);
  const shown = selectProcesses(out, pids);
  deps.events.emit("container", "top", container.id, attributesOf(container.record));
  return shown;
}
