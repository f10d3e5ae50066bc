/**
 * The executable's entry: the daemon, or one command of the command line. Each loads only what it needs.
 */
import { runCli } from "../cli/index.ts";
import { VERSION } from "./version.ts";

const argv = process.argv.slice(2);
const status =
  argv[0] === "daemon"
    ? await (await import("./daemon.ts")).runDaemon(argv.slice(1))
    : await runCli(argv, {
        version: VERSION,
        startDaemon: async () => (await import("./on-demand.ts")).startDaemon(),
      });
process.exit(status);
