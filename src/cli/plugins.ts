/**
 * Docker's command line plugins: programs called `docker-NAME` in its directories, which are given the rest of the line. They find
 * the daemon by docker's variables and contexts.
 */
import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { configPath, readConfig, type Table } from "./config-file.ts";

const SYSTEM_DIRECTORIES = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];

/** Where plugins are looked for, in docker's order. */
export function pluginDirectories(): string[] {
  const extra = (readConfig() as Table).cliPluginsExtraDirs;
  const named = Array.isArray(extra) ? extra.filter((one) => typeof one === "string") : [];
  return [`${dirname(configPath())}/cli-plugins`, ...named, ...SYSTEM_DIRECTORIES];
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The program of a plugin; undefined when there is none. */
export function findPlugin(name: string): string | undefined {
  const paths = pluginDirectories().map((directory) => `${directory}/docker-${name}`);
  return paths.find(isProgram);
}

/**
 * Runs a plugin at this terminal; gives its exit status. Ctrl-C is the plugin's to answer: it reaches both, and this one
 * waits for what the other makes of it.
 */
export async function runPlugin(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const child = Bun.spawn([program, ...args], { stdio: ["inherit", "inherit", "inherit"], env });
  const wait = () => {};
  const pass = () => child.kill("SIGTERM");
  process.on("SIGINT", wait).on("SIGTERM", pass);
  try {
    const status = await child.exited;
    const signal = child.signalCode === null ? 0 : (SIGNALS[child.signalCode] ?? 0);
    return signal === 0 ? status : 128 + signal;
  } finally {
    process.off("SIGINT", wait).off("SIGTERM", pass);
  }
}

const SIGNALS: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
