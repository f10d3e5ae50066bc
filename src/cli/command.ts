/**
 * What a command is, and what it is given to work with.
 */
import type { ApiClient, Query } from "../client/index.ts";
import type { Flag, Parsed } from "./flags.ts";
import type { TargetFlags } from "./target.ts";

/** Where a registry of one's own has its data; undefined: the usual place. */
export interface RegistryPlace {
  /** A config.yml. */
  readonly config: string | undefined;
  readonly root: string | undefined;
}

/** A registry of one's own, as the executable runs it. */
export interface RegistryHooks {
  /** Serves until it is told to end; gives the exit status. `settings`: values of keys of config.yml. */
  serve(
    options: RegistryPlace & { readonly settings: Readonly<Record<string, string>> },
  ): Promise<number>;
  /** Deletes what nothing names, whether it is being served or not. */
  collect(
    options: RegistryPlace & {
      readonly dryRun: boolean;
      readonly deleteUntagged: boolean;
      readonly grace?: string;
    },
  ): Promise<{
    readonly manifests: readonly string[];
    readonly blobs: readonly string[];
    readonly young: number;
  }>;
}

/** Moves a data root, which no daemon uses meanwhile, to another storage driver; tells how far it is. */
export type MigrateHook = (
  options: { readonly to: string; readonly dataRoot?: string; readonly configFile?: string },
  tell: (line: string) => void,
) => Promise<void>;

/** What a command works with. */
export interface Context {
  /** The daemon; connected at the first request. */
  readonly client: ApiClient;
  /** The command as spelled in messages, such as `berth run`. */
  readonly name: string;
  /** What was said before the command of the daemon to ask. */
  readonly target: TargetFlags;
  /** This program's version. */
  readonly version: string;
  readonly registry: RegistryHooks;
  readonly migrate: MigrateHook;
}

/** One command of the command line. */
export interface Command {
  /** The usage line after the command's name. */
  readonly usage: string;
  readonly short: string;
  /** What the help says below that, in lines. */
  readonly more?: string;
  readonly flags: readonly Flag[];
  /** The number of positional arguments allowed. */
  readonly args: readonly [least: number, most: number];
  /** False: flags end at the first positional argument. */
  readonly interspersed?: boolean;
  /** What follows the command's name is somebody else's, flags and --help with it. */
  readonly verbatim?: boolean;
  /** The status for a failure that is not the container's: 1, and 125 for run. */
  readonly failure?: number;
  /** Asks no daemon, and works when there is none to be asked. */
  readonly local?: boolean;
  /** Runs it, returns the exit status. Throws for a failure. */
  run(context: Context, parsed: Parsed): Promise<number>;
}

/** A status to end with, with a message that is printed as it is (none when empty). */
export class ExitError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Does something to each name; prints each failure, and returns 1 when there was one. With a client, names are suggested. */
export async function forEachName(
  names: readonly string[],
  act: (name: string) => Promise<void>,
  client?: ApiClient,
): Promise<number> {
  const { err } = await import("./output.ts");
  const { describeError } = await import("./failure.ts");
  let status = 0;
  for (const name of names) {
    try {
      await act(name);
    } catch (error) {
      status = 1;
      err(`${describeError(error)}\n`);
      err(await (await import("./suggest.ts")).whatHelps(client, error));
    }
  }
  return status;
}

/** Asks for an action on each container, and prints the name of each that it was done to. */
export function actOnEach(
  client: ApiClient,
  names: readonly string[],
  action: string,
  query: Query = {},
): Promise<number> {
  return forEachName(
    names,
    async (name) => {
      const { print } = await import("./output.ts");
      await client.json("POST", `/containers/${encodeURIComponent(name)}/${action}`, { query });
      await print(`${name}\n`);
    },
    client,
  );
}
