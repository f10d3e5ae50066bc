/**
 * The executable's entry: the daemon, or one command of the command line. Each loads only what it needs.
 */
import { runCli } from "../cli/index.ts";
import { VERSION } from "./version.ts";

/** The executable starts with a policy for commands that end in milliseconds; what lives longer gets the usual one. */
const LASTING_MS = 300;

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === "daemon") {
    Bun.unsafe.setJITPolicy(1);
    return (await import("./daemon.ts")).runDaemon(argv.slice(1));
  }
  setTimeout(() => Bun.unsafe.setJITPolicy(1), LASTING_MS).unref();
  return runCli(argv, {
    version: VERSION,
    startDaemon: async () => (await import("./on-demand.ts")).startDaemon(),
    migrate: async (options, tell) => (await import("./migrate.ts")).migrate(options, tell),
    registry: {
      serve: async (options) => (await import("./own-registry.ts")).serveRegistry(options),
      collect: async (options) => (await import("./own-registry.ts")).collectRegistry(options),
    },
  });
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error) => {
    console.error(error);
    process.exit(125);
  },
);
