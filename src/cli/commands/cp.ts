/**
 * `berth cp`.
 */
import { statSync } from "node:fs";
import { isAbsolute, join } from "node:path/posix";
import { type ByteStream, decompress } from "../../base/compression.ts";
import { ApiError } from "../../client/index.ts";
import type { Command, Context } from "../command.ts";
import { counted, packLocal, unpackLocal } from "../copy-local.ts";
import {
  absolute,
  type CopyInfo,
  localDestination,
  localSource,
  planCopy,
  rebaseOf,
  renamed,
  splitArgument,
  splitEntry,
} from "../copy-paths.ts";
import { flag, type Parsed } from "../flags.ts";
import { humanSize } from "../human.ts";
import { meterOn } from "../meter.ts";
import { err, out } from "../output.ts";
import { inputFrom } from "../streams.ts";
import { isTerminal } from "../terminal.ts";

/** Bits of Go's os.FileMode. */
const MODE_DIRECTORY = 2 ** 31;
const MODE_SYMLINK = 2 ** 27;
/** Devices, pipes, sockets and what else is no file. */
const MODE_IRREGULAR = 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21 + 2 ** 19;

interface PathStat {
  readonly mode: number;
  readonly size: number;
  readonly linkTarget: string;
}

interface CopyOptions {
  readonly followLink: boolean;
  readonly copyUIDGID: boolean;
  readonly quiet: boolean;
}

const has = (mode: number, bits: number) => Number(BigInt(mode) & BigInt(bits)) !== 0;

function statFrom(headers: ReadonlyMap<string, string>): PathStat {
  const text = headers.get("x-docker-container-path-stat") ?? "";
  return JSON.parse(Buffer.from(text, "base64").toString("utf8"));
}

/** A command's context, and whose files it copies. */
interface CopyContext extends Context {
  readonly root: "/containers" | "/berth/volumes";
}

function whose({ root }: CopyContext): string {
  return root === "/containers" ? "container" : "volume";
}

function archivePath({ root }: CopyContext, name: string): string {
  return `${root}/${encodeURIComponent(name)}/archive`;
}

/** What is in a container at a path; undefined when nothing is. */
async function statIn(
  context: CopyContext,
  container: string,
  path: string,
): Promise<PathStat | undefined> {
  try {
    const response = await context.client.request("HEAD", archivePath(context, container), {
      query: { path },
    });
    await response.text();
    return statFrom(response.head.headers);
  } catch (error) {
    // What there is against it, the copy itself will say.
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** Says how much was copied, on a terminal also meanwhile. */
async function reporting(
  options: CopyOptions,
  header: string,
  target: string,
  work: (count: (bytes: number) => void) => Promise<void>,
  total?: number,
): Promise<void> {
  let copied = 0;
  const meter = options.quiet ? undefined : meterOn(2, header, total);
  try {
    await work((bytes) => {
      copied += bytes;
      meter?.at(copied);
    });
  } finally {
    meter?.close();
  }
  if (!options.quiet) err(`Successfully copied ${humanSize(copied)} to ${target}\n`);
}

async function destinationIn(
  context: CopyContext,
  container: string,
  path: string,
): Promise<CopyInfo> {
  let at = path;
  let stat = await statIn(context, container, at);
  if (stat !== undefined && has(stat.mode, MODE_SYMLINK)) {
    const { linkTarget } = stat;
    at = isAbsolute(linkTarget) ? linkTarget : join(splitEntry(at).directory, linkTarget);
    stat = await statIn(context, container, at);
  }
  if (stat !== undefined && has(stat.mode, MODE_IRREGULAR))
    throw new Error(`destination "${container}:${path}" must be a directory or a regular file`);
  const isDirectory = stat !== undefined && has(stat.mode, MODE_DIRECTORY);
  return { path: at, exists: stat !== undefined, isDirectory, rebase: "" };
}

async function copyTo(
  context: CopyContext,
  from: string,
  container: string,
  path: string,
  options: CopyOptions,
): Promise<void> {
  const destination = await destinationIn(context, container, path);
  const put = async (directory: string, stream: ByteStream) => {
    const { copyUIDGID } = options;
    const query = {
      path: directory,
      noOverwriteDirNonDir: true,
      ...(copyUIDGID && { copyUIDGID }),
    };
    const response = await context.client.request("PUT", archivePath(context, container), {
      query,
      stream,
    });
    await response.text();
  };
  if (from === "-") {
    if (!destination.isDirectory)
      throw new Error(`destination "${container}:${path}" must be a directory`);
    return put(destination.path, inputFrom("-"));
  }
  const source = localSource(absolute(from), options.followLink);
  const plan = planCopy(source, destination);
  await reporting(
    options,
    `Copying to ${whose(context)}`,
    `${container}:${destination.path}`,
    (count) => put(plan.directory, counted(packLocal(source, plan.rename), count)),
    source.isDirectory ? undefined : statSync(source.path, { throwIfNoEntry: false })?.size,
  );
}

async function copyFrom(
  context: CopyContext,
  container: string,
  path: string,
  to: string,
  options: CopyOptions,
): Promise<void> {
  const destination = to === "-" ? undefined : localDestination(absolute(to));
  let [from, rebase] = [path, ""];
  if (options.followLink) {
    const stat = await statIn(context, container, path);
    if (stat !== undefined && has(stat.mode, MODE_SYMLINK)) {
      const { linkTarget: link } = stat;
      const target = isAbsolute(link) ? link : join(splitEntry(path).directory, link);
      ({ path: from, rebase } = rebaseOf(path, target));
    }
  }
  const query = { path: from };
  const response = await context.client.request("GET", archivePath(context, container), { query });
  if (destination === undefined) {
    for await (const piece of response.pieces()) out(piece);
    return;
  }
  const { mode, size } = statFrom(response.head.headers);
  const isDirectory = has(mode, MODE_DIRECTORY);
  const source = { path: from, exists: true, isDirectory, rebase };
  const plan = planCopy(source, destination);
  const work = async (count: (bytes: number) => void) => {
    const archive = await decompress(counted(response.pieces(), count));
    const name = splitEntry(from).name;
    const rebased = rebase === "" ? undefined : { from: name, to: rebase };
    await unpackLocal(archive, plan.directory, (entry) =>
      renamed(renamed(entry, rebased), plan.rename),
    );
  };
  const [header, total] = [`Copying from ${whose(context)}`, isDirectory ? undefined : size];
  await reporting(options, header, absolute(to), work, total);
}

async function copy(context: CopyContext, parsed: Parsed): Promise<number> {
  const [from = "", to = ""] = parsed.args;
  if (from === "") throw new Error("source can not be empty");
  if (to === "") throw new Error("destination can not be empty");
  const [source, destination] = [splitArgument(from), splitArgument(to)];
  const options = {
    followLink: parsed.on("follow-link"),
    copyUIDGID: parsed.on("archive"),
    quiet: parsed.has("quiet") ? parsed.on("quiet") : !isTerminal(1),
  };
  if (source.container !== "" && destination.container !== "")
    throw new Error(`copying between ${whose(context)}s is not supported`);
  if (source.container !== "")
    await copyFrom(context, source.container, source.path, destination.path, options);
  else if (destination.container !== "")
    await copyTo(context, source.path, destination.container, destination.path, options);
  else throw new Error(`must specify at least one ${whose(context)} source`);
  return 0;
}

const flags = [
  flag("archive", "a", "bool", "Archive mode (copy all uid/gid information)"),
  flag("follow-link", "L", "bool", "Always follow symbol link in SRC_PATH"),
  flag(
    "quiet",
    "q",
    "bool",
    "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
  ),
];

/** The command. */
export const command: Command = {
  usage:
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tberth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
  short: "Copy files/folders between a container and the local filesystem",
  args: [2, 2],
  flags,
  run: (context, parsed) => copy({ ...context, root: "/containers" }, parsed),
};

/** `berth volume cp`. */
export const volumeCopy: Command = {
  usage:
    "[OPTIONS] VOLUME:SRC_PATH DEST_PATH|-\n\tberth volume cp [OPTIONS] SRC_PATH|- VOLUME:DEST_PATH",
  short: "Copy files/folders between a volume and the local filesystem",
  args: [2, 2],
  flags,
  run: (context, parsed) => copy({ ...context, root: "/berth/volumes" }, parsed),
};
