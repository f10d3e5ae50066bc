/**
 * The command line: Docker's words in, API requests out, text back. What it cannot do over HTTP it cannot do.
 */
export { type CliHooks, runCli } from "./app.ts";
export type { RegistryHooks } from "./command.ts";
