/**
 * Why a step was not taken from the cache: what went into it the last time that this Dockerfile was built in this place,
 * and what is another now.
 */
import type { Database } from "bun:sqlite";

/** What goes into a step. Values are digests: some of them may be nobody's business. */
export interface StepInputs {
  /** The instruction as it is written. */
  readonly instruction: string;
  /** The chain id of what it stands on; "" for nothing. */
  readonly parent: string;
  /** Everything else by its name, as a sentence has it. */
  readonly values: Readonly<Record<string, string>>;
  /** Files that are copied, by their paths. */
  readonly files: Readonly<Record<string, string>>;
}

/** Where a step is: which Dockerfile of which context, which stage, which instruction of it. */
export interface StepPlace {
  readonly project: string;
  readonly stage: number;
  readonly number: number;
}

const NAMED_MAX = 5;

/** A short digest, to tell values apart. */
export function fingerprint(value: unknown): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}

/** The names that differ, by how. */
function changes(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const own = (values: Readonly<Record<string, string>>, name: string) =>
    Object.hasOwn(values, name) ? values[name] : undefined;
  return names.flatMap((name) => {
    const [old, current] = [own(before, name), own(now, name)];
    if (old === current) return [];
    if (old === undefined) return `${name} is new`;
    return current === undefined ? `${name} is gone` : `${name} has changed`;
  });
}

/** Reasons, the first ones by name. */
function named(all: readonly string[]): string[] {
  const rest = all.length - NAMED_MAX;
  return rest > 0 ? [...all.slice(0, NAMED_MAX), `and ${rest} more`] : [...all];
}

/** Why a step is not the one that it was. Pure. */
export function reasons(before: StepInputs | undefined, now: StepInputs): string[] {
  if (before === undefined) return ["it was not built before in this place"];
  if (before.instruction !== now.instruction)
    return [`the instruction is another: it was ${before.instruction}`];
  const files = changes(before.files, now.files).map((text) => `the file ${text}`);
  const found = [
    ...(before.parent === now.parent ? [] : ["what it stands on has changed"]),
    ...named(changes(before.values, now.values)),
    ...named(files),
  ];
  return found.length > 0 ? found : ["nothing has changed: its result is not kept any more"];
}

/** What went into steps, by their places; over the lives of daemons. */
export class StepRecords {
  constructor(private readonly db: Database) {
    db.run(
      "CREATE TABLE IF NOT EXISTS build_inputs (project TEXT, stage INTEGER, number INTEGER, key TEXT, inputs TEXT, used_at INTEGER, PRIMARY KEY (project, stage, number))",
    );
  }

  /** What was noted last; undefined when nothing was. */
  find({ project, stage, number }: StepPlace): StepInputs | undefined {
    const row = this.db
      .query<{ inputs: string }, [string, number, number]>(
        "SELECT inputs FROM build_inputs WHERE project = ? AND stage = ? AND number = ?",
      )
      .get(project, stage, number);
    return row === null ? undefined : (JSON.parse(row.inputs) as StepInputs);
  }

  /** Notes what goes into a step now. `key`: that of the cache, which is the same for the same inputs. */
  async put(
    { project, stage, number }: StepPlace,
    key: string,
    inputs: () => Promise<StepInputs>,
  ): Promise<void> {
    const now = Date.now();
    const known = this.db
      .query<{ key: string }, [string, number, number]>(
        "SELECT key FROM build_inputs WHERE project = ? AND stage = ? AND number = ?",
      )
      .get(project, stage, number);
    if (known?.key === key) {
      this.db.run(
        "UPDATE build_inputs SET used_at = ? WHERE project = ? AND stage = ? AND number = ?",
        [now, project, stage, number],
      );
      return;
    }
    this.db.run("INSERT OR REPLACE INTO build_inputs VALUES (?, ?, ?, ?, ?, ?)", [
      ...[project, stage, number, key, JSON.stringify(await inputs()), now],
    ]);
  }

  /** Forgets what nobody has built since; milliseconds since 1970. */
  forget(unusedSince: number): void {
    this.db.run("DELETE FROM build_inputs WHERE used_at < ?", [unusedSince]);
  }
}
