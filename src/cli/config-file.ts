/**
 * The user's config.json, read. Every command does that at its start, so nothing is loaded for it: node:fs costs 2.5 ms.
 */

import { errnoOf, messageOf } from "../base/errors.ts";
import { fs } from "./late-modules.ts";

/** An object of the file. */
export type Table = Readonly<Record<string, unknown>>;

/** The file, of which nothing is sure: people write it, too. */
export interface ConfigFile {
  readonly auths?: unknown;
  readonly credsStore?: unknown;
  readonly credHelpers?: unknown;
  readonly currentContext?: unknown;
}

/** Where the configuration lies. */
export function configPath(): string {
  return `${process.env.DOCKER_CONFIG || `${process.env.HOME || "/root"}/.docker`}/config.json`;
}

/** A value as an object; an empty one for anything else. */
export function table(value: unknown): Table {
  const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
  return isTable ? (value as Table) : {};
}

/** A value as a string; an empty one for anything else. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function contentOf(path: string): string {
  try {
    return new TextDecoder().decode(Bun.mmap(path));
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
    // Empty, a pipe, on a file system that maps nothing: what is wrong with it, if anything is, reading says.
    const { readFileSync } = fs();
    return readFileSync(path, "utf8");
  }
}

/** What the file says; nothing when there is none. Throws an Error for one that cannot be read or is no object. */
export function readConfig(): ConfigFile {
  const path = configPath();
  let value: unknown;
  try {
    value = JSON.parse(contentOf(path));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return {};
    throw new Error(`${path} cannot be read: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${path} cannot be read: it is no JSON object`);
  return value as ConfigFile;
}

/** The format that a list has when the command line names none, as the user's configuration has it under this name. */
export function configuredFormat(key: string): string {
  const file = readConfig() as Table;
  return Object.hasOwn(file, key) ? text(file[key]) : "";
}

/** The context in use, as the file says; "" for none. */
export function currentContext(): string {
  return text(readConfig().currentContext);
}
