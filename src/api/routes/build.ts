/**
 * POST /build: the classic builder's endpoint, with its stream of JSON lines.
 */
import { fault } from "../../base/errors.ts";
import { type CacheTo, parseCacheFrom, parseCacheTo } from "../../spec/build-caches.ts";
import type { BuildEvent } from "../../spec/build-events.ts";
import { type BuildOutput, isDelivered, parseOutputs } from "../../spec/build-output.ts";
import { EXCHANGE_TOKEN } from "../../spec/cache-exchange.ts";
import { parseNamedContexts } from "../../spec/named-contexts.ts";
import { type Platform, platformText, usualPlatform } from "../../spec/platform.ts";
import { credentialsByHost } from "../credentials.ts";
import { type EngineStream, type EngineStreamHandlers, joinStreams } from "../hijack.ts";
import type { ApiPorts, BuildOptions, BuildResult, Bytes } from "../ports.ts";
import { boolean, integer, platformOf } from "../request.ts";
import { type Context, jsonLines, noContent, ok, pump, type Route, sendAll } from "../route.ts";
import { statusOf } from "../status.ts";

/** A query value that is a JSON object of strings. */
function textMap(query: URLSearchParams, key: string): Map<string, string | null> {
  const text = query.get(key);
  if (text === null || text === "") return new Map();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw fault("invalid", "build-option", `${key} is no JSON object: ${text.slice(0, 200)}`);
  const entries = Object.entries(value);
  for (const [name, one] of entries)
    if (typeof one !== "string" && one !== null)
      throw fault("invalid", "build-option", `${key}: ${name} is no string`);
  return new Map(entries as [string, string | null][]);
}

/** A query value that is a JSON list of strings. */
function textList(query: URLSearchParams, key: string): string[] {
  const text = query.get(key);
  if (text === null || text === "") return [];
  try {
    const value: unknown = JSON.parse(text) ?? [];
    if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  } catch {
    // Said below.
  }
  throw fault("invalid", "build-option", `${key} is no JSON list: ${text.slice(0, 200)}`);
}

function tokenOf(query: URLSearchParams): string {
  const token = query.get("berth-exchange") ?? "";
  if (token === "" || EXCHANGE_TOKEN.test(token)) return token;
  throw fault("invalid", "build-option", "invalid berth-exchange");
}

/** A blob of a cache that is offered to a client's directory. */
async function offered(context: Context, { builds }: ApiPorts): Promise<undefined> {
  const { query, response } = context;
  const bytes = builds.exchange(query.get("token") ?? "").offered(query.get("digest") ?? "");
  response.writeHead(200, { "Content-Type": "application/octet-stream" });
  return sendAll(context, bytes, (piece) => piece);
}

/** What a client sends for a build, or has taken of it. */
async function exchanged({ query, request }: Context, { builds }: ApiPorts) {
  const exchange = builds.exchange(query.get("token") ?? "");
  const error = query.get("error") ?? undefined;
  if (query.has("taken")) exchange.taken(integer(query, "taken", 0), error);
  else await exchange.give(integer(query, "want", 0), request as unknown as Bytes, error);
  return noContent;
}

function present(values: ReadonlyMap<string, string | null>): Map<string, string> {
  return new Map([...values].flatMap(([name, value]) => (value === null ? [] : [[name, value]])));
}

function ulimits(query: URLSearchParams): BuildOptions["limits"]["ulimits"] {
  const text = query.get("ulimits");
  if (text === null || text === "") return [];
  try {
    const value = JSON.parse(text) as { Name: string; Soft: number; Hard: number }[] | null;
    // Docker's older clients say so that there are none.
    return (value ?? []).map(({ Name, Soft, Hard }) => ({
      Name: String(Name),
      Soft: Number(Soft),
      Hard: Number(Hard),
    }));
  } catch {
    throw fault("invalid", "build-option", `ulimits is no list: ${text.slice(0, 200)}`);
  }
}

/** An extension: what RUN --mount=type=secret is given. Not in the query, which may be logged. */
function secretsOf(header: string | string[] | undefined): Map<string, Uint8Array> {
  const text = [header ?? ""].flat()[0] ?? "";
  if (text === "") return new Map();
  try {
    const value = JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as object;
    return new Map(
      Object.entries(value).map(([id, one]) => [id, Buffer.from(String(one), "base64")]),
    );
  } catch {
    throw fault("invalid", "build-option", "invalid X-Berth-Secrets header");
  }
}

/** An extension: a context of which berth's command line sends only what has changed. */
function keptOf(query: URLSearchParams): BuildOptions["kept"] {
  const key = query.get("berth-context") ?? "";
  if (key === "") return undefined;
  const unchanged = boolean(query, "berth-unchanged");
  return { key, generation: query.get("berth-generation") ?? "", unchanged };
}

/** Which files of a context are to be sent. */
async function compareContext({ query, request }: Context, { builds }: ApiPorts) {
  const [key, digest] = [query.get("key") ?? "", query.get("list") ?? ""];
  return ok(await builds.compareContext(key, digest, request as unknown as Bytes));
}

/** What comes of the build, each name checked before anything is done. */
function outputsOf(query: URLSearchParams): BuildOutput[] {
  const outputs = parseOutputs(
    query.get("outputs") ?? "",
    query.getAll("t").filter((name) => name !== ""),
  );
  if (outputs.some(isDelivered) && !boolean(query, "berth-events"))
    throw fault(
      "invalid",
      "build-output",
      "outputs of the types local, tar, oci and docker come with the answer: ask for berth-events=1",
    );
  return outputs;
}

/** An extension: what of the host RUN may have. A build in the host's network has it anyway. */
function allowedOf(query: URLSearchParams): BuildOptions["allowed"] {
  const words = (query.get("berth-allow") ?? "").split(",").filter(Boolean);
  const own = words.map((word) => {
    if (word === "network.host" || word === "security.insecure") return word;
    throw fault("invalid", "build-option", `invalid entitlement: ${word.slice(0, 200)}`);
  });
  return new Set([
    ...own,
    ...(query.get("networkmode") === "host" ? ["network.host" as const] : []),
  ]);
}

/** "linux/amd64,linux/arm64", each once. */
function platformsOf(text: string | null): Platform[] {
  const all = text?.startsWith("{") ? [text] : (text ?? "").split(",");
  const found = all.flatMap((one) => platformOf(one.trim()) ?? []).map(usualPlatform);
  return [...new Map(found.map((one) => [platformText(one), one])).values()];
}

/** What --cache-to asks for. A directory of the client's wants a client that fills it. */
function cacheToOf(query: URLSearchParams): CacheTo[] {
  const to = textList(query, "berth-cache-to").map(parseCacheTo);
  if (to.some(({ type }) => type === "local") && tokenOf(query) === "")
    throw fault("invalid", "build-cache-option", "type=local needs berth's own command line");
  return to;
}

function optionsOf({ query, request, signal }: Context): Omit<BuildOptions, "report" | "deliver"> {
  return {
    dockerfile: query.get("dockerfile") ?? "",
    remote: query.get("remote") ?? "",
    kept: keptOf(query),
    named: parseNamedContexts(query.get("berth-contexts") || "[]"),
    target: query.get("target") ?? "",
    args: present(textMap(query, "buildargs")),
    labels: Object.fromEntries(present(textMap(query, "labels"))),
    outputs: outputsOf(query),
    platforms: platformsOf(query.get("platform")),
    squash: boolean(query, "squash"),
    noCache: boolean(query, "nocache"),
    noCacheFilter: (query.get("berth-no-cache-filter") ?? "").split(",").filter(Boolean),
    cacheFrom: textList(query, "cachefrom").map(parseCacheFrom),
    cacheTo: cacheToOf(query),
    exchange: tokenOf(query),
    pull: boolean(query, "pull"),
    explain: boolean(query, "berth-explain"),
    keepFailed: boolean(query, "berth-keep-failed"),
    allowed: allowedOf(query),
    agents: new Set((query.get("berth-ssh") ?? "").split(",").filter(Boolean)),
    secrets: secretsOf(request.headers["x-berth-secrets"]),
    limits: {
      memory: integer(query, "memory", 0),
      memorySwap: integer(query, "memswap", 0),
      cpuShares: integer(query, "cpushares", 0),
      cpuPeriod: integer(query, "cpuperiod", 0),
      cpuQuota: integer(query, "cpuquota", 0),
      cpusetCpus: query.get("cpusetcpus") ?? "",
      cpusetMems: query.get("cpusetmems") ?? "",
      cgroupParent: query.get("cgroupparent") ?? "",
      shmSize: integer(query, "shmsize", 0),
      ulimits: ulimits(query),
      extraHosts: (query.get("extrahosts") ?? "").split(",").filter(Boolean),
      network: query.get("networkmode") || "default",
    },
    credentials: credentialsByHost(request.headers["x-registry-config"]),
    signal,
  };
}

/** Characters may be cut anywhere. */
class Texts {
  private readonly decoders = new Map<string, TextDecoder>();

  of(step: number, stream: string, bytes: Uint8Array): string {
    const key = `${step}:${stream}`;
    const decoder = this.decoders.get(key) ?? new TextDecoder();
    this.decoders.set(key, decoder);
    return decoder.decode(bytes, { stream: true });
  }
}

/** What is told of a build, as lines of JSON. */
interface BuildStream {
  readonly begun: boolean;
  line(value: object): void;
  tell(event: BuildEvent): void;
  /** Everything is where it is wanted. */
  built(result: BuildResult): void;
}

/** Lines are begun with the first one: until then the answer may be an error's status. */
class Lines {
  private write: ((value: unknown) => void) | undefined;

  constructor(private readonly context: Context) {}

  get begun(): boolean {
    return this.write !== undefined;
  }

  line(value: object): void {
    this.write ??= jsonLines(this.context);
    this.write(value);
  }
}

/** An extension, for berth's own command line: every event as it is (spec/build-events.ts). */
class EventStream extends Lines implements BuildStream {
  private readonly texts = new Texts();

  tell(event: BuildEvent): void {
    const time = Date.now();
    if (event.kind !== "output") return this.line({ event, time });
    const { bytes, ...rest } = event;
    this.line({ event: { ...rest, text: this.texts.of(event.step, event.stream, bytes) }, time });
  }

  built({ id, metadata }: BuildResult): void {
    this.line({ metadata });
    if (id !== undefined) this.line({ aux: { ID: id } });
  }
}

/** The lines of docker build before BuildKit, which clients of this endpoint read. */
class ClassicStream extends Lines implements BuildStream {
  private readonly texts = new Texts();

  constructor(
    context: Context,
    private readonly quiet: boolean,
  ) {
    super(context);
  }

  private text(text: string): void {
    if (!this.quiet) this.line({ stream: text });
  }

  built({ id = "", tags }: BuildResult): void {
    this.line({ aux: { ID: id } });
    this.line({ stream: this.quiet ? `${id}\n` : `Successfully built ${id.slice(7, 19)}\n` });
    for (const tag of tags)
      this.text(`Successfully tagged ${tag.includes(":") ? tag : `${tag}:latest`}\n`);
  }

  tell(event: BuildEvent): void {
    switch (event.kind) {
      case "step":
        this.text(`Step ${event.step}/${event.total} : ${event.text}\n`);
        break;
      case "cached":
        this.text(" ---> Using cache\n");
        break;
      case "done":
        if (event.layer !== undefined) this.text(` ---> ${event.layer.slice(7, 19)}\n`);
        break;
      case "output":
        this.text(this.texts.of(event.step, event.stream, event.bytes));
        break;
      case "notice":
      case "exporting":
        this.text(`${event.text}\n`);
        break;
      case "warning":
        this.text(`[Warning] ${event.text}\n`);
        break;
      case "cache-wanted":
      case "cache-offered":
      case "running":
      case "agent":
      case "explained":
      case "lint":
      case "failed":
        break;
    }
  }
}

/** An extension: the bytes of an output among the lines, each piece after a line that says how long it is. */
async function deliver(
  { response, signal }: Context,
  stream: BuildStream,
  at: number,
  bytes: Bytes,
): Promise<void> {
  const sink = {
    write: (piece: Uint8Array) => {
      stream.line({ output: { at, bytes: piece.length } });
      return response.write(piece);
    },
    onDrain: (callback: () => void) => response.on("drain", callback),
  };
  await pump(sink, signal, nonempty(bytes), (piece) => piece);
  signal.throwIfAborted();
  stream.line({ output: { at, bytes: 0 } });
}

/** No bytes are the end. */
async function* nonempty(bytes: Bytes): Bytes {
  for await (const piece of bytes) if (piece.length > 0) yield piece;
}

async function build(context: Context, { builds, events }: ApiPorts): Promise<undefined> {
  const options = optionsOf(context);
  const { query } = context;
  const stream: BuildStream = boolean(query, "berth-events")
    ? new EventStream(context)
    : new ClassicStream(context, boolean(query, "q"));
  try {
    const body = context.request as unknown as Bytes;
    const all = {
      ...options,
      report: (event: BuildEvent) => stream.tell(event),
      deliver: (at: number, bytes: Bytes) => deliver(context, stream, at, bytes),
    };
    if (boolean(query, "berth-check")) {
      await builds.check(body, all);
      // An answer without lines is one, too.
      stream.line({});
    } else {
      const result = await builds.build(body, all);
      stream.built(result);
      const { id = "", tags } = result;
      for (const tag of tags) events.emit("image", "tag", id, { name: tag });
    }
  } catch (error) {
    if (!stream.begun) throw error;
    if (!context.signal.aborted) {
      const { message } = statusOf(error, context.request.url ?? "");
      const code =
        error instanceof Error && "exitStatus" in error ? { code: error.exitStatus } : {};
      stream.line({ errorDetail: { ...code, message }, error: message });
    }
  }
  context.response.end();
  return undefined;
}

/** An extension: the client's end of a connection to one of its agents. */
async function joinAgent(context: Context, { builds }: ApiPorts): Promise<undefined> {
  const agent = builds.takeAgent(context.query.get("connection") ?? "");
  const client = context.hijack(true);
  const open = async (handlers: EngineStreamHandlers): Promise<EngineStream> => {
    agent.on("data", handlers.data);
    agent.on("end", handlers.end);
    agent.on("close", handlers.end);
    agent.on("drain", handlers.drain);
    agent.resume();
    return {
      write: (chunk) => agent.write(chunk),
      end: () => void agent.end(),
      close: () => void agent.destroy(),
      pause: () => void agent.pause(),
      resume: () => void agent.resume(),
    };
  };
  await joinStreams(client, open, undefined);
  return undefined;
}

/** The routes. */
export const buildRoutes: readonly Route[] = [
  { method: "POST", path: "/build", handle: build },
  { method: "POST", path: "/berth/build-agent", handle: joinAgent },
  { method: "GET", path: "/berth/build-exchange", handle: offered },
  { method: "POST", path: "/berth/build-exchange", handle: exchanged },
  { method: "POST", path: "/berth/build-context", handle: compareContext },
];
