/**
 * Contexts: named daemons, kept where and as the docker command line keeps them, so that both know the same ones.
 *
 *     contexts/meta/SHA256(NAME)/meta.json     {"Name", "Metadata": {"Description"}, "Endpoints": {"docker": {"Host", "SkipTLSVerify"}}}
 *     contexts/tls/SHA256(NAME)/docker/{ca,cert,key}.pem
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { errnoOf } from "../base/errors.ts";
import { configPath } from "./config-file.ts";

/** The name of what flags, variables and the default socket say. */
export const DEFAULT_CONTEXT = "default";

/** A context's file; what others have put there stays. */
export interface ContextMeta {
  readonly Name: string;
  readonly Metadata: Readonly<Record<string, unknown>>;
  readonly Endpoints: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Names and contents (PEM) of the files for TLS. */
export type TlsFiles = ReadonlyMap<string, Uint8Array>;

function rootDirectory(): string {
  return `${dirname(configPath())}/contexts`;
}

function idOf(name: string): string {
  return new Bun.CryptoHasher("sha256").update(name).digest("hex");
}

/** Where a context's file is kept, and its files for TLS. */
export function placesOf(name: string): { readonly meta: string; readonly tls: string } {
  return {
    meta: `${rootDirectory()}/meta/${idOf(name)}`,
    tls: `${rootDirectory()}/tls/${idOf(name)}`,
  };
}

/** Throws for a name that no context can have, in docker's words. */
export function checkContextName(name: string): void {
  if (name === "") throw new Error("context name cannot be empty");
  if (name === DEFAULT_CONTEXT) throw new Error('"default" is a reserved context name');
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/.test(name))
    throw new Error(
      `context name ${JSON.stringify(name)} is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"`,
    );
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  const is = typeof value === "object" && value !== null && !Array.isArray(value);
  return is ? (value as Readonly<Record<string, unknown>>) : {};
}

/** Reads a context's file. Throws for what is no such file. */
export function parseMeta(text: string, path: string): ContextMeta {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`parsing ${path}: it is no JSON`);
  }
  const { Name, Metadata, Endpoints } = object(value);
  const endpoints = Object.entries(object(Endpoints)).map(
    ([name, endpoint]) => [name, object(endpoint)] as const,
  );
  return {
    Name: typeof Name === "string" ? Name : "",
    Metadata: object(Metadata),
    Endpoints: Object.fromEntries(endpoints),
  };
}

/** The context of a name, if there is one. */
export function findContext(name: string): ContextMeta | undefined {
  const path = `${placesOf(name).meta}/meta.json`;
  try {
    return parseMeta(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** What docker says of a context that is not there. */
export function noSuchContext(name: string): Error {
  const path = `${placesOf(name).meta}/meta.json`;
  return new Error(
    `context ${JSON.stringify(name)}: context not found: open ${path}: no such file or directory`,
  );
}

/** The context of a name. Throws in docker's words. */
export function getContext(name: string): ContextMeta {
  const found = findContext(name);
  if (found === undefined) throw noSuchContext(name);
  return found;
}

/** All contexts but the default one, by their names. */
export function listContexts(): ContextMeta[] {
  const directory = `${rootDirectory()}/meta`;
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((id) => {
      const path = `${directory}/${id}/meta.json`;
      return existsSync(path) ? [parseMeta(readFileSync(path, "utf8"), path)] : [];
    })
    .filter(({ Name }) => Name !== "")
    .toSorted((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
}

/** The files for TLS of a context. */
export function tlsOf(name: string): TlsFiles {
  const directory = `${placesOf(name).tls}/docker`;
  if (!existsSync(directory)) return new Map();
  return new Map(
    readdirSync(directory)
      .sort()
      .map((file) => [file, readFileSync(`${directory}/${file}`)]),
  );
}

/** Keeps a context; what was under its name is replaced. Its files for TLS stay as they are when none are given. */
export function putContext(meta: ContextMeta, tls: TlsFiles | undefined): void {
  const places = placesOf(meta.Name);
  if (tls !== undefined) putTls(places.tls, tls);
  mkdirSync(places.meta, { recursive: true, mode: 0o755 });
  writeFileAtomic(`${places.meta}/meta.json`, JSON.stringify(meta), { mode: 0o644 });
}

function putTls(directory: string, tls: TlsFiles): void {
  const fresh = `${directory}.new`;
  rmSync(fresh, { recursive: true, force: true });
  if (tls.size > 0) {
    mkdirSync(`${fresh}/docker`, { recursive: true, mode: 0o700 });
    for (const [name, bytes] of tls)
      writeFileAtomic(`${fresh}/docker/${name}`, bytes, { mode: 0o600 });
  }
  rmSync(directory, { recursive: true, force: true });
  if (tls.size > 0) renameSync(fresh, directory);
}

/** Forgets a context. */
export function removeContext(name: string): void {
  const { meta, tls } = placesOf(name);
  rmSync(meta, { recursive: true, force: true });
  rmSync(tls, { recursive: true, force: true });
}
