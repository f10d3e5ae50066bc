/**
 * From the command line to an exit status: global flags, the command's route, its flags, its failure.
 */
import { ApiClient, ApiError, defaultHost, parseHost } from "../client/index.ts";
import { type Command, ExitError, type MigrateHook, type RegistryHooks } from "./command.ts";
import { describeError } from "./failure.ts";
import { flag, type Parsed, parseFlags, UsageError } from "./flags.ts";
import { loadCommand } from "./load.ts";
import { err, print } from "./output.ts";
import { type TargetFlags, targetFlags, targetOf } from "./target.ts";

/** What the executable gives to the command line. */
export interface CliHooks {
  /** The version that `--version` prints. */
  readonly version: string;
  /** Starts a daemon on the default socket and says so; resolves once it answers. */
  startDaemon(): Promise<void>;
  readonly registry: RegistryHooks;
  readonly migrate: MigrateHook;
}

/** Flags before the command. */
export const globalFlags = [
  flag("host", "H", "list", "Daemon socket to connect to"),
  flag("context", "c", "string", "Name of the context to use to connect to the daemon"),
  flag("config", "", "string", "Location of client config files"),
  flag("tls", "", "bool", "Use TLS; implied by --tlsverify"),
  flag("tlscacert", "", "string", "Trust certs signed only by this CA"),
  flag("tlscert", "", "string", "Path to TLS certificate file"),
  flag("tlskey", "", "string", "Path to TLS key file"),
  flag("tlsverify", "", "bool", "Use TLS and verify the remote"),
  flag("log-level", "l", "string", "Set the logging level", '"info"'),
  flag("debug", "D", "bool", "Enable debug mode"),
  flag("no-color", "", "bool", "Write no colours (NO_COLOR=1 in the environment does the same)"),
  flag("version", "v", "bool", "Print version information and quit"),
];

/** Runs one command line (without the program's name), returns its exit status. */
export async function runCli(argv: readonly string[], hooks: CliHooks): Promise<number> {
  let globals: Parsed;
  try {
    globals = parseFlags(argv, globalFlags, false);
  } catch (error) {
    const { meantFlag } = await import("./suggest.ts");
    const meant = meantFlag(
      describeError(error),
      globalFlags.map(({ name }) => name),
    );
    err(
      `${describeError(error)}\n${meant}\nUsage:  berth [OPTIONS] COMMAND [ARG...]\n\nRun 'berth --help' for more information\n`,
    );
    return 125;
  }
  if (globals.on("version")) {
    await print(`berth version ${hooks.version}\n`);
    return 0;
  }
  const level = globals.text("log-level", "info");
  if (level !== "info" && !/^(?:panic|fatal|error|warn|warning|info|debug|trace)$/i.test(level)) {
    err(`Unable to parse logging level: ${level}\n`);
    return 1;
  }
  if (globals.all("host").length > 1) {
    err("Failed to initialize: unable to resolve docker endpoint: Specify only one -H\n");
    return 1;
  }
  if (globals.has("config")) process.env.DOCKER_CONFIG = globals.text("config");
  if (globals.on("no-color")) process.env.NO_COLOR = "1";
  const words = globals.args[0] === "help" ? [...globals.args.slice(1), "--help"] : globals.args;
  if (words.length === 0 || words[0] === "--help") {
    await print((await import("./overview.ts")).overviewText);
    return 0;
  }
  // A group's name calls nothing by itself, and a command's is no group's.
  for (const length of words.length === 1 ? [1] : [1, 2]) {
    const path = words.slice(0, length);
    const command = await loadCommand(path);
    if (command === undefined) continue;
    return runCommand(command, path.join(" "), words.slice(length), targetFlags(globals), hooks);
  }
  return (await import("./unknown.ts")).withoutCommand(words);
}

/** For commands that ask no daemon. */
const nobody = parseHost(defaultHost, true);

function unreachable(host: string, error: unknown): Error {
  const text = describeError(error);
  if (/EACCES|permission denied/i.test(text))
    return new Error(
      `permission denied while trying to connect to the daemon at ${host}: run as root, or give your user access to the socket`,
    );
  return new Error(
    `Cannot connect to the berth daemon at ${host}. Is it running? Start it with 'berth daemon', or name another with -H.`,
  );
}

async function runCommand(
  command: Command,
  path: string,
  argv: readonly string[],
  target: TargetFlags,
  hooks: CliHooks,
) {
  const name = `berth ${path}`;
  let parsed: Parsed;
  try {
    const given = command.verbatim ? ["--", ...argv] : argv;
    parsed = parseFlags(given, command.flags, command.interspersed ?? true);
    if (parsed.on("help")) return await (await import("./usage.ts")).printUsage(path, command);
    checkCount(name, command, parsed);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return (await import("./unknown.ts")).reportUsage(name, command, error);
  }
  let client: ApiClient | undefined;
  try {
    const host = command.local ? nobody : await targetOf(target, process.env);
    client = new ApiClient(host, async (error) => {
      if (host.explicit) throw unreachable(host.url, error);
      await hooks.startDaemon();
      return true;
    });
    const status = await command.run({ client, name, target, ...hooks }, parsed);
    client.close();
    return status;
  } catch (error) {
    const status =
      error instanceof UsageError
        ? (await import("./unknown.ts")).reportUsage(name, command, error)
        : report(name, command, error);
    if (!(error instanceof UsageError))
      err(await (await import("./suggest.ts")).whatHelps(client, error));
    client?.close();
    return status;
  }
}

function report(name: string, command: Command, error: unknown): number {
  if (error instanceof ExitError) {
    if (error.message !== "") err(`${error.message}\n`);
    return error.status;
  }
  if (command.failure === undefined) err(`${describeError(error)}\n`);
  else err(`berth: ${describeError(error)}\n\nRun '${name} --help' for more information\n`);
  return command.failure ?? (error instanceof ApiError || error instanceof Error ? 1 : 125);
}

function checkCount(name: string, command: Command, parsed: Parsed): void {
  const [least, most] = command.args;
  const count = parsed.args.length;
  if (count >= least && count <= most) return;
  const noun = (n: number) => `${n} argument${n === 1 ? "" : "s"}`;
  if (most === 0) throw new UsageError(`berth: '${name}' accepts no arguments`);
  if (least === most) throw new UsageError(`berth: '${name}' requires ${noun(least)}`);
  if (least > 0 && most !== Number.POSITIVE_INFINITY)
    throw new UsageError(`berth: '${name}' requires at least ${least} and at most ${noun(most)}`);
  if (count < least) throw new UsageError(`berth: '${name}' requires at least ${noun(least)}`);
  throw new UsageError(`berth: '${name}' requires at most ${noun(most)}`);
}
