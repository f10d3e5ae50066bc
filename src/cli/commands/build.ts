/**
 * `berth build`.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { ByteStream } from "../../base/compression.ts";
import { leaveNoCoreDump } from "../../base/core-dumps.ts";
import { joinParts } from "../../base/parts.ts";
import { parseBytes } from "../../base/sizes.ts";
import { tarEnd } from "../../base/tar-writer.ts";
import { type ApiClient, ApiError, type ApiResponse, type Query } from "../../client/index.ts";
import type { BuildLine, SentBuildEvent } from "../../spec/build-events.ts";
import type { ContextAnswer } from "../../spec/context-list.ts";
import type { KeptState } from "../../spec/named-contexts.ts";
import { BuildAnswer } from "../build-answer.ts";
import { type LocalContext, localContext, type ShownContext } from "../build-context.ts";
import { type BuildDisplay, displayOf } from "../build-display.ts";
import { checkText, warningSummary } from "../build-lint.ts";
import { type LocalOutput, outputsOf, writeOutput } from "../build-outputs.ts";
import { explanation, failureLines } from "../build-steps.ts";
import { buildAndWatch } from "../build-watch.ts";
import { type Command, type Context, ExitError } from "../command.ts";
import { parseUlimit } from "../container-options/resources.ts";
import { buildAuthHeaders } from "../docker-config.ts";
import { describeError } from "../failure.ts";
import { flag, type Parsed } from "../flags.ts";
import { contextOf } from "../given-context.ts";
import { humanSize } from "../human.ts";
import { LocalCaches } from "../local-cache.ts";
import { lookInto } from "../look-into.ts";
import { type NamedContext, namedContext, REMOTE } from "../named-contexts.ts";
import { err, out } from "../output.ts";
import { proxyVariables } from "../proxies.ts";
import { SshAgents, sshSource } from "../ssh-agents.ts";
import { align } from "../table.ts";
import { isTerminal } from "../terminal.ts";

/** "NAME=VALUE", or a name whose value the environment has; a name without one is left out. */
function pairs(items: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const item of items) {
    const at = item.indexOf("=");
    const value = at < 0 ? process.env[item] : item.slice(at + 1);
    if (value !== undefined) found[at < 0 ? item : item.slice(0, at)] = value;
  }
  return found;
}

/** `id=NAME[,src=FILE|env=VARIABLE]`. */
function secretOf(text: string): [id: string, value: string] {
  const fields = new Map(
    text.split(",").map((field) => {
      const at = field.indexOf("=");
      return [field.slice(0, Math.max(at, 0)), field.slice(at + 1)] as const;
    }),
  );
  const id = fields.get("id");
  if (id === undefined) throw new Error(`invalid secret ${text}: id is missing`);
  const file = fields.get("src") ?? fields.get("source");
  const name = fields.get("env") ?? (file === undefined ? id : undefined);
  if (name !== undefined && process.env[name] !== undefined)
    return [id, Buffer.from(process.env[name]).toString("base64")];
  const path = file ?? id;
  if (!existsSync(path)) throw new Error(`failed to stat ${path}: no such file or directory`);
  return [id, readFileSync(path).toString("base64")];
}

/** What the API takes as a list. */
const listed = (items: readonly string[]) =>
  items.length === 0 ? undefined : JSON.stringify(items);

function queryOf(
  parsed: Parsed,
  outputs: readonly LocalOutput[],
  dockerfile: string,
  remote: string | undefined,
) {
  const bytes = (name: string) => {
    const text = parsed.text(name);
    return text === "" ? undefined : text === "-1" ? -1 : parseBytes(text);
  };
  const ulimits = parsed.all("ulimit").map(parseUlimit);
  return {
    dockerfile: dockerfile || undefined,
    remote,
    t: parsed.all("tag"),
    target: parsed.text("target") || undefined,
    labels: JSON.stringify(pairs(parsed.all("label"))),
    platform: parsed.all("platform").join(",") || undefined,
    outputs: outputs.length === 0 ? undefined : JSON.stringify(outputs.map(({ entry }) => entry)),
    nocache: parsed.on("no-cache") || undefined,
    "berth-no-cache-filter": parsed.all("no-cache-filter").join(",") || undefined,
    cachefrom: listed(parsed.all("cache-from")),
    "berth-cache-to": listed(parsed.all("cache-to")),
    pull: parsed.on("pull") || undefined,
    "berth-allow": parsed.all("allow").join(",") || undefined,
    "berth-ssh":
      parsed
        .all("ssh")
        .map((text) => sshSource(text).id)
        .join(",") || undefined,
    "berth-check": parsed.on("check") || undefined,
    "berth-events": 1,
    "berth-explain": parsed.on("explain") || undefined,
    "berth-keep-failed": parsed.on("debug-on-failure") || undefined,
    squash: parsed.on("squash") || undefined,
    memory: bytes("memory"),
    memswap: bytes("memory-swap"),
    cpushares: parsed.text("cpu-shares") || undefined,
    cpuperiod: parsed.text("cpu-period") || undefined,
    cpuquota: parsed.text("cpu-quota") || undefined,
    cpusetcpus: parsed.text("cpuset-cpus") || undefined,
    cpusetmems: parsed.text("cpuset-mems") || undefined,
    cgroupparent: parsed.text("cgroup-parent") || undefined,
    shmsize: bytes("shm-size"),
    ulimits: ulimits.length === 0 ? undefined : JSON.stringify(ulimits),
    extrahosts: parsed.all("add-host").join(",") || undefined,
    networkmode: parsed.text("network") || undefined,
  };
}

/** Refuses what docker's older builder could, and this one cannot: --compress and its like change nothing that is seen. */
function refuseOld(parsed: Parsed): void {
  const isolation = parsed.text("isolation", "default");
  if (isolation !== "default" && isolation !== "")
    throw new Error(
      `--isolation ${isolation} is not supported: on Linux there is "default" alone; leave the flag out`,
    );
  const [option] = parsed.all("security-opt");
  if (option !== undefined)
    throw new Error(
      `--security-opt ${option} is not supported by the builder: a RUN instruction has the default profiles. Run what needs another in a container ('berth run --security-opt'), and commit it`,
    );
}

/** A context as a person reads it: sizes and names, then what is left out and by which line. */
function contextText({ sent, leftOut, ignoreFile }: ShownContext): string {
  const total = sent.reduce((sum, { size }) => sum + size, 0);
  const files = sent.map(({ path, size }) => `${humanSize(size)}\t${path}`);
  const parts = [
    align(["SIZE\tPATH", ...files]),
    `${sent.length} files, ${humanSize(total)}\n`,
    ...(leftOut.length === 0
      ? []
      : [
          `\nLeft out by ${ignoreFile}:\n`,
          align([
            "LINE\tPATTERN\tPATH",
            ...leftOut.map(({ path, pattern, line }) => `${line}\t${pattern}\t${path}`),
          ]),
        ]),
  ];
  return parts.join("");
}

function progressOf(parsed: Parsed): string {
  const given = parsed.text("progress");
  return given === "auto" ? process.env.BUILDKIT_PROGRESS || given : given;
}

/** Tells how much has been sent. */
async function* counted(stream: ByteStream, display: BuildDisplay): ByteStream {
  display.sent(0);
  for await (const piece of stream) {
    display.sent(piece.length);
    yield piece;
  }
}

/** Sends the context and what is wanted; gives the answer, which has only begun. */
async function send(
  { client }: Context,
  parsed: Parsed,
  outputs: readonly LocalOutput[],
  display: BuildDisplay,
  caches?: LocalCaches,
): Promise<ApiResponse> {
  const [where = "."] = parsed.args;
  const { stream, dockerfile, remote, context } = {
    ...{ remote: undefined, context: undefined },
    ...(await contextOf(where, parsed.text("file"))),
  };
  if (parsed.all("secret").length > 0) leaveNoCoreDump();
  const secrets = Object.fromEntries(parsed.all("secret").map(secretOf));
  const headers = {
    ...buildAuthHeaders(),
    ...(Object.keys(secrets).length === 0
      ? {}
      : { "X-Berth-Secrets": Buffer.from(JSON.stringify(secrets)).toString("base64url") }),
  };
  const own = queryOf(parsed, outputs, dockerfile, remote);
  const buildargs = JSON.stringify(argumentsOf(parsed, client.host.url));
  const query = { ...own, buildargs, "berth-exchange": caches?.exchange };
  const checks = parsed.on("check");
  const given = parsed.all("build-context").map(namedContext);
  // A check looks into no context.
  const named = checks
    ? given.map((one) =>
        one.source.kind === "directory" ? { ...one, archive: emptyArchive } : one,
      )
    : given;
  const post: Post = ({ main, contexts, more = {} }) => {
    const sent = [main ?? noBytes(), ...contexts.flatMap(({ archive }) => archive?.() ?? [])];
    const sources = contexts.map(({ source }) => source);
    const body = contexts.length === 0 ? main : joinParts(sent);
    return client.request("POST", "/build", {
      query: {
        ...{ ...query, ...more },
        "berth-contexts": contexts.length === 0 ? undefined : JSON.stringify(sources),
      },
      headers,
      ...(body === undefined ? {} : { stream: counted(body, display) }),
    });
  };
  if (checks) return post({ main: context?.instructions() ?? stream, contexts: named });
  return (
    (context && (await sendChanged(client, context, named, post))) ??
    post({ main: stream, contexts: named })
  );
}

/** Sends a context and the named ones. */
type Post = (what: {
  readonly main: ByteStream | undefined;
  readonly contexts: readonly NamedContext[];
  readonly more?: Query;
}) => Promise<ApiResponse>;

/** What of a context the daemon has to get; undefined when it has to be sent whole. */
async function compared(
  client: ApiClient,
  context: LocalContext,
): Promise<{ kept: KeptState; archive: () => ByteStream } | undefined> {
  const list = context.listed();
  if (list === undefined) return undefined;
  const { key, digest, content } = list;
  const ask = (query: Query, stream?: ByteStream) =>
    client.json<ContextAnswer>("POST", "/berth/build-context", {
      query: { key, ...query },
      ...(stream === undefined ? {} : { stream }),
    });
  // Mostly nothing has changed: then the list need not be sent.
  const known = digest === undefined ? undefined : await ask({ list: digest });
  if (known?.unchanged === true) {
    const { generation } = known;
    return { kept: { key, generation, unchanged: true }, archive: noBytes };
  }
  const { generation, wanted } = await ask({}, oneOf(content));
  const kept = { key, generation, unchanged: false };
  return { kept, archive: () => list.archive(wanted) };
}

/** Sends what the daemon does not have from the build before; undefined when all has to be sent. */
async function sendChanged(
  client: ApiClient,
  context: LocalContext,
  named: readonly NamedContext[],
  post: Post,
): Promise<ApiResponse | undefined> {
  try {
    const main = await compared(client, context);
    if (main === undefined) return undefined;
    const contexts: NamedContext[] = [];
    for (const one of named) {
      const own = one.directory && (await compared(client, one.directory));
      const { name } = one.source;
      contexts.push(
        own === undefined
          ? one
          : { source: { name, kind: "directory", kept: own.kept }, archive: own.archive },
      );
    }
    const { key, generation, unchanged } = main.kept;
    const more = {
      "berth-context": key,
      "berth-generation": generation,
      "berth-unchanged": unchanged || undefined,
    };
    return await post({ main: main.archive(), contexts, more });
  } catch (error) {
    // Another daemon, another build with this context, or files that are others by now.
    if (error instanceof ApiError && [404, 409].includes(error.status)) return undefined;
    throw error;
  }
}

async function* noBytes(): ByteStream {}

async function* emptyArchive(): ByteStream {
  yield tarEnd();
}

async function* oneOf(bytes: Uint8Array): ByteStream {
  yield bytes;
}

/** What the daemon has told of what was built. */
interface Outcome {
  id: string;
  metadata: Readonly<Record<string, unknown>>;
}

/** Takes an event that is not for the display: of an agent, or of caches. */
type OnEvent = (event: SentBuildEvent) => boolean;

/** Shows what the daemon tells, to the end, and writes the outputs. Throws what the build failed with. */
async function follow(
  response: ApiResponse,
  display: BuildDisplay,
  outputs: readonly LocalOutput[],
  onEvent: OnEvent = () => false,
): Promise<Outcome> {
  const outcome: Outcome = { id: "", metadata: {} };
  const take = (line: BuildLine) => {
    if (line.event !== undefined && onEvent(line.event)) return;
    display.take(line);
    if (line.error !== undefined) {
      if (line.errorDetail?.code !== undefined)
        throw new ExitError(line.errorDetail.code, line.error);
      throw new Error(line.error);
    }
    if (line.aux?.ID !== undefined) outcome.id = line.aux.ID;
    if (line.metadata !== undefined) outcome.metadata = line.metadata;
  };
  const pieces = response.pieces();
  const answer = new BuildAnswer(pieces);
  try {
    for (let line = await answer.line(); line !== undefined; line = await answer.line()) {
      const output = line.output === undefined ? undefined : outputs[line.output.at];
      if (output === undefined) take(line);
      else await writeOutput(output, answer.output(line, take));
    }
  } finally {
    await pieces.return(undefined);
  }
  return outcome;
}

/** Leaves what programs want to know in files. */
function note(parsed: Parsed, { id, metadata }: Outcome): void {
  const [idFile, metadataFile] = [parsed.text("iidfile"), parsed.text("metadata-file")];
  if (idFile !== "" && id !== "") writeFileSync(idFile, id);
  if (metadataFile === "") return;
  const temporary = `${metadataFile}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(metadata, null, 2)}\n`);
  renameSync(temporary, metadataFile);
}

/**
 * The build's arguments: SOURCE_DATE_EPOCH of the environment is one, as buildx has it, and so are the proxies that the user has for
 * whatever runs at this daemon.
 */
function argumentsOf(parsed: Parsed, daemon: string): Record<string, string> {
  const epoch = process.env.SOURCE_DATE_EPOCH;
  const given = pairs(parsed.all("build-arg"));
  return {
    ...(epoch === undefined ? {} : { SOURCE_DATE_EPOCH: epoch }),
    ...given,
    ...Object.fromEntries(proxyVariables(daemon, Object.keys(given))),
  };
}

/** Prints what is wrong with a Dockerfile; the exit status says whether there is anything. */
async function checkOnly(context: Context, parsed: Parsed): Promise<number> {
  const progress = progressOf(parsed);
  const display = displayOf(progress === "rawjson" ? progress : "quiet", false);
  const file = parsed.text("file") || "Dockerfile";
  const { steps } = display;
  try {
    await follow(await send(context, parsed, [], display), display, []);
    out(checkText(steps.lint, file));
    return steps.lint.length === 0 ? 0 : 1;
  } catch (error) {
    if (steps.lint.length > 0) out(checkText(steps.lint, file));
    if (steps.failure !== undefined) err(`${failureLines(steps.failure, file).join("\n")}\n`);
    throw error;
  }
}

/** Builds, and shows it. */
async function buildOnce(context: Context, parsed: Parsed): Promise<number> {
  const agents = await SshAgents.start(parsed.all("ssh"));
  try {
    return await buildWith(agents, context, parsed);
  } finally {
    await agents.close();
  }
}

async function buildWith(agents: SshAgents, context: Context, parsed: Parsed): Promise<number> {
  const outputs = outputsOf(parsed);
  const caches = new LocalCaches(
    context.client,
    ...([parsed.all("cache-from"), parsed.all("cache-to")] as const),
  );
  // What an earlier build has left there must not be taken for this one's.
  if (parsed.text("iidfile") !== "") rmSync(parsed.text("iidfile"), { force: true });
  const display = displayOf(progressOf(parsed), parsed.on("quiet"));
  const lint = () => err(warningSummary(display.steps.lint, context.name));
  const isShown = !parsed.on("quiet") && !["quiet", "rawjson"].includes(progressOf(parsed));
  const onEvent: OnEvent = (event) => {
    if (event.kind !== "agent") return caches.take(event);
    const { id, connection } = event;
    context.client
      .hijack("/berth/build-agent", { query: { connection } })
      .then((stream) => agents.serve(id, stream))
      .catch(() => {});
    return true;
  };
  try {
    const answer = await send(context, parsed, outputs, display, caches);
    const outcome = await follow(answer, display, outputs, onEvent);
    await caches.settled();
    const places = outputs.flatMap(({ destination }) => destination?.path || []);
    display.built(outcome.id, parsed.all("tag"), places);
    display.close();
    if (isShown) lint();
    if (parsed.on("explain")) err(`${explanation(display.steps.all).join("\n")}\n`);
    const toStdout = outputs.some(({ destination }) => destination?.path === "");
    if (parsed.on("quiet") && outcome.id !== "" && !toStdout) out(`${outcome.id}\n`);
    note(parsed, outcome);
    return 0;
  } catch (error) {
    display.close();
    if (isShown) lint();
    const { failure } = display.steps;
    if (failure === undefined) throw error;
    const lines = failureLines(failure, parsed.text("file") || "Dockerfile");
    err(`${lines.join("\n")}\n`);
    if (parsed.on("debug-on-failure")) await lookInto(context, failure.before);
    else if (error instanceof ExitError && isTerminal(2))
      throw new ExitError(
        error.status,
        `${error.message}\nTo look into the state before this step: ${context.name} --debug-on-failure …`,
      );
    throw error;
  }
}

function actOnce(context: Context, parsed: Parsed): Promise<number> {
  return parsed.on("check") ? checkOnly(context, parsed) : buildOnce(context, parsed);
}

/** Builds, and again after each change, until somebody ends it. */
async function watchBuild(context: Context, parsed: Parsed, where: string): Promise<never> {
  const file = parsed.text("file");
  if (where === "-" || file === "-" || REMOTE.test(where))
    throw new Error("--watch needs a context that is a directory of this machine");
  const named = parsed.all("build-context").flatMap((text) => {
    const { directory } = namedContext(text);
    return directory === undefined ? [] : [text.slice(text.indexOf("=") + 1)];
  });
  const main = { directory: where, files: () => localContext(where, file).versions() };
  // What is wrong with the command itself does not change.
  main.files();
  const others = named.map((directory) => ({
    directory,
    files: () => localContext(directory, "", true).versions(),
  }));
  const beside = file === "" ? [] : [dirname(resolve(file))];
  return await buildAndWatch([main, ...others], beside, async () => {
    try {
      await actOnce(context, parsed);
    } catch (error) {
      err(`${describeError(error)}\n`);
    }
  });
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] PATH | URL | -",
  short: "Build an image from a Dockerfile",
  args: [1, 1],
  flags: [
    flag("add-host", "", "list", 'Add a custom host-to-IP mapping (format: "host:ip")'),
    flag(
      "allow",
      "",
      "stringArray",
      'Allow extra privileged entitlement (e.g., "network.host", "security.insecure")',
    ),
    flag("build-arg", "", "list", "Set build-time variables"),
    flag(
      "build-context",
      "",
      "stringArray",
      'Additional build contexts (e.g., "name=path", "name=docker-image://image")',
    ),
    flag(
      "cache-from",
      "",
      "stringArray",
      'External cache sources (e.g., "user/app:cache", "type=registry,ref=user/app:cache", "type=local,src=path/to/dir")',
    ),
    flag(
      "cache-to",
      "",
      "stringArray",
      'Cache export destinations (e.g., "type=inline", "type=registry,ref=user/app:cache,mode=max", "type=local,dest=path/to/dir")',
    ),
    flag("cgroup-parent", "", "string", 'Set the parent cgroup for the "RUN" instructions'),
    flag("check", "", "bool", "Check the Dockerfile, and build nothing"),
    // What docker's older builder had besides; not shown.
    flag("compress", "", "bool", ""),
    flag("disable-content-trust", "", "bool", ""),
    flag("isolation", "", "string", ""),
    flag("security-opt", "", "strings", ""),
    flag("cpu-period", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    flag("cpu-quota", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    flag("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    flag("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    flag("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    flag(
      "debug-on-failure",
      "",
      "bool",
      "Open a shell in the state before the step that fails (without a terminal: keep it as an image)",
    ),
    flag(
      "explain",
      "",
      "bool",
      "Tell of each step whether it was cached, and if not, which input changed",
    ),
    flag("file", "f", "string", 'Name of the Dockerfile (default: "PATH/Dockerfile")'),
    flag("force-rm", "", "bool", "Always remove intermediate containers"),
    flag("iidfile", "", "string", "Write the image ID to a file"),
    flag("label", "", "list", "Set metadata for an image"),
    flag("load", "", "bool", 'Shorthand for "--output=type=docker"'),
    flag("memory", "m", "bytes", "Memory limit"),
    flag(
      "memory-swap",
      "",
      "bytes",
      "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    ),
    flag("metadata-file", "", "string", "Write build result metadata to a file"),
    flag(
      "network",
      "",
      "string",
      'Set the networking mode for the "RUN" instructions during build',
    ),
    flag("no-cache", "", "bool", "Do not use cache when building the image"),
    flag("no-cache-filter", "", "stringArray", "Do not cache specified stages"),
    flag("output", "o", "stringArray", 'Output destination (format: "type=local,dest=path")'),
    flag("platform", "", "list", "Set target platform for build"),
    flag(
      "progress",
      "",
      "string",
      "Set type of progress output (auto, plain, tty, quiet, rawjson)",
      "auto",
    ),
    flag("pull", "", "bool", "Always attempt to pull all referenced images"),
    flag("push", "", "bool", 'Shorthand for "--output=type=registry"'),
    flag("quiet", "q", "bool", "Suppress the build output and print image ID on success"),
    flag("rm", "", "bool", "Remove intermediate containers after a successful build", "true"),
    flag(
      "secret",
      "",
      "stringArray",
      'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")',
    ),
    flag("shm-size", "", "bytes", 'Shared memory size for "RUN" instructions'),
    flag(
      "show-context",
      "",
      "bool",
      "Show the files that would be sent, and those that .dockerignore leaves out, instead of building",
    ),
    flag("squash", "", "bool", "Squash newly built layers into a single new layer"),
    flag(
      "ssh",
      "",
      "stringArray",
      'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")',
    ),
    flag("tag", "t", "list", 'Name and optionally a tag (format: "name:tag")'),
    flag("target", "", "string", "Set the target build stage to build"),
    flag("ulimit", "", "ulimit", "Ulimit options", "[]"),
    flag("watch", "", "bool", "Build again whenever a file of the context changes"),
  ],
  async run(context, parsed) {
    const [where = "."] = parsed.args;
    refuseOld(parsed);
    if (parsed.on("show-context")) {
      out(contextText(localContext(where, parsed.text("file")).show()));
      return 0;
    }
    if (parsed.on("watch")) return watchBuild(context, parsed, where);
    return actOnce(context, parsed);
  },
};
