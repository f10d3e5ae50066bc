/**
 * The thorough check of a data root: images, volumes, containers and databases, and files that no record explains; with
 * `repair`, what can be done about it is done.
 */
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import type { CheckOptions, CheckStep, Problem } from "../images/index.ts";
import { diskBytes, visitTree } from "../tree/index.ts";
import type { DiskParts } from "./parts.ts";
import { type DataKind, placeOf } from "./places.ts";
import { explainer } from "./usage.ts";

/** One line of the answer. */
export type CheckLine =
  | { readonly Looking: { readonly At: string; readonly Done: number; readonly Of: number } }
  | {
      readonly Problem: {
        readonly Code: string;
        readonly Subject: string;
        readonly What: string;
        readonly Means: string;
        readonly Do: string;
        /** How it was repaired, or why it could not be; neither when that was not asked for. */
        readonly Repaired?: string;
        readonly NotRepaired?: string;
      };
    }
  | { readonly Summary: { readonly Problems: number; readonly Repaired: number } };

/** How to check. */
export interface CheckWish {
  readonly repair: boolean;
  readonly signal: AbortSignal;
  readonly credentials: CheckOptions["credentials"];
}

const REPAIR = "berth system check --repair";
const words: Partial<Record<DataKind, string>> = {
  blobs: "a blob",
  recipes: "the recipe of a blob",
  downloads: "what has come of a download",
  layers: "an unpacked layer",
  writable: "a container's writable layer",
  "container-files": "a container's own files",
  logs: "a container's log",
};

/** Where the tree begins that is no record's: a path below the data root, with what it is. */
async function orphans(parts: DiskParts): Promise<{ path: string; kind: DataKind }[]> {
  const found: { path: string; kind: DataKind }[] = [];
  const isExplained = explainer(parts);
  await visitTree(parts.dataRoot, (path) => {
    const place = placeOf(path, parts.driver.name);
    if (isExplained(place)) {
      // Below what is explained, everything is.
      return place.owner === undefined;
    }
    found.push({ path, kind: place.kind });
    return false;
  });
  return found;
}

async function* checkOrphans(parts: DiskParts): AsyncGenerator<Problem> {
  for (const { path, kind } of await orphans(parts)) {
    const whole = `${parts.dataRoot}/${path}`;
    const bytes = await diskBytes([whole]);
    // It may have become somebody's, or have gone, meanwhile.
    const still = () => existsSync(whole) && !explainer(parts)(placeOf(path, parts.driver.name));
    if (!still()) continue;
    if (kind === "unknown" || kind === "volumes")
      yield {
        code: kind === "unknown" ? "not-berths" : "volume-unknown",
        subject: whole,
        what:
          kind === "unknown"
            ? `${whole} (${bytes} bytes) is nothing that berth has made`
            : `${whole} (${bytes} bytes) lies among the volumes and is none`,
        means: "it takes room, and berth never touches it",
        advice:
          kind === "unknown"
            ? "move it elsewhere, or delete it"
            : `"berth volume create ${path.split("/")[1]}" makes it a volume; or delete it`,
      };
    else
      yield {
        code: "orphan",
        subject: whole,
        what: `${whole} (${bytes} bytes) is ${words[kind] ?? kind} that no record names`,
        means: "it takes room",
        advice: `${REPAIR}, or restart the daemon`,
        repair: async () => {
          if (!still()) return "it has gone";
          rmSync(whole, { recursive: true, force: true });
          return "deleted";
        },
      };
  }
}

async function* checkVolumes({ volumes }: DiskParts): AsyncGenerator<Problem> {
  // What a plugin has is the plugin's to check.
  for (const { name, driver, mountpoint } of volumes.list())
    if (driver === "local" && !existsSync(mountpoint))
      yield {
        code: "volume-missing",
        subject: name,
        what: `the volume ${name} has no directory: ${mountpoint} is missing`,
        means: "containers with this volume do not start; what it held is lost",
        advice: `put a copy back there, or ${REPAIR} makes it anew and empty`,
        repair: async () => {
          volumes.restoreDirectory(name);
          return "made anew, empty";
        },
      };
}

async function* checkContainers(parts: DiskParts): AsyncGenerator<Problem> {
  const { registry, driver, dataRoot } = parts;
  const written = new Set(driver.containers());
  for (const { id, record } of registry.all()) {
    if (record.state.status === "removing") continue;
    const missing = [
      ...(written.has(id) ? [] : ["its writable layer"]),
      ...(existsSync(`${dataRoot}/containers/${id}`) ? [] : ["its own files"]),
    ];
    const layers = record.chain.filter((chainId) => !driver.hasLayer(chainId));
    if (layers.length > 0) missing.push(`layers of its image (${layers.join(", ")})`);
    if (missing.length === 0 || registry.find(id) === undefined) continue;
    yield {
      code: "container-incomplete",
      subject: id,
      what: `the container ${record.name} lacks ${missing.join(" and ")}`,
      means: "it does not start, and what it had written may be lost",
      advice: `berth rm -f ${record.name}`,
    };
  }
}

async function* checkDatabases({ dataRoot }: DiskParts): AsyncGenerator<Problem> {
  for (const name of readdirSync(dataRoot).filter((entry) => entry.endsWith(".db"))) {
    const path = `${dataRoot}/${name}`;
    const wrong = integrity(path);
    if (wrong.length > 0)
      yield {
        code: "database-damaged",
        subject: path,
        what: `${path} is damaged: ${wrong.slice(0, 3).join("; ")}`,
        means: "images, volumes or containers may be forgotten",
        advice: "stop the daemon and put a copy of it back",
      };
  }
}

/** What SQLite finds wrong with a file. */
function integrity(path: string): string[] {
  try {
    using db = new Database(path, { readonly: true });
    const rows = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
    return rows.map((row) => row.integrity_check).filter((text) => text !== "ok");
  } catch (error) {
    return [messageOf(error)];
  }
}

async function* asSteps(problems: AsyncIterable<Problem>): AsyncGenerator<CheckStep> {
  for await (const problem of problems) yield { kind: "problem", problem };
}

/** Checks everything, and repairs what can be repaired if that is wanted. Rejects when the signal says so. */
export async function* checkDataRoot(
  parts: DiskParts,
  { repair, signal, credentials }: CheckWish,
): AsyncGenerator<CheckLine> {
  const { images, registry } = parts;
  const runningOn = (chainId: string) =>
    registry
      .all()
      .filter(({ alive, record }) => alive && record.chain.includes(chainId))
      .map(({ record }) => record.name);
  const checks = [
    asSteps(checkDatabases(parts)),
    asSteps(checkVolumes(parts)),
    images.check({ signal, runningOn, credentials }),
    asSteps(checkContainers(parts)),
    asSteps(checkOrphans(parts)),
  ];
  let [Problems, Repaired] = [0, 0];
  for (const check of checks)
    for await (const step of check) {
      signal.throwIfAborted();
      if (step.kind === "looking") {
        yield { Looking: { At: step.at, Done: step.done, Of: step.of } };
        continue;
      }
      Problems++;
      const { code, subject, what, means, advice } = step.problem;
      const said = { Code: code, Subject: subject, What: what, Means: means, Do: advice };
      const outcome = repair ? await repaired(step.problem) : {};
      if (outcome.Repaired !== undefined) Repaired++;
      yield { Problem: { ...said, ...outcome } };
    }
  yield { Summary: { Problems, Repaired } };
}

async function repaired(problem: Problem): Promise<{ Repaired?: string; NotRepaired?: string }> {
  if (problem.repair === undefined) return { NotRepaired: "this is for you to decide" };
  try {
    return { Repaired: await problem.repair() };
  } catch (error) {
    return { NotRepaired: messageOf(error) };
  }
}
