/**
 * /images.
 */
import { fault } from "../../base/errors.ts";
import type { Platform } from "../../spec/platform.ts";
import { parseReference } from "../../spec/reference.ts";
import { credentialsOf } from "../credentials.ts";
import type { ApiPorts, Bytes, ImagesPort, TransferOptions } from "../ports.ts";
import { boolean, filters, newReference, platformOf, untilOf } from "../request.ts";
import { type Context, jsonLines, ok, type Reply, type Route, sendAll } from "../route.ts";
import { statusOf } from "../status.ts";
import { imageFor, imagesFor, knownQuery } from "../versions.ts";

/** Puts an error into a stream that has begun, as Docker does. */
function streamError(write: (value: unknown) => void, error: unknown, what: string): void {
  const { message } = statusOf(error, what);
  write({ errorDetail: { message }, error: message });
}

function repositoryOf(name: string): string {
  const { domain, path } = parseReference(name);
  return `${domain}/${path}`;
}

async function load(context: Context, { images, events }: ApiPorts): Promise<undefined> {
  const query = knownQuery(context.query, context.version, { platform: 48 });
  const platform = platformOf(query.get("platform"));
  return transfer(context, async ({ report }) => {
    const told = boolean(query, "quiet") ? {} : { report };
    const archive = context.request as unknown as Bytes;
    const loaded = await images.load(archive, { platform, ...told });
    for (const { names, id, replaced } of loaded) {
      events.emit("image", "load", id, { name: names[0] ?? id });
      for (const { name, id: before } of replaced)
        report({
          stream: `The image ${name} already exists, renaming the old one with ID ${before} to empty string\n`,
        });
      if (names.length === 0) report({ stream: `Loaded image ID: ${id}\n` });
      for (const name of names) report({ stream: `Loaded image: ${name}\n` });
    }
  });
}

/** A fetch or an import for a platform could be asked for since 1.32. */
function platformWanted({ query, version }: Context): Platform | undefined {
  return platformOf(knownQuery(query, version, { platform: 32 }).get("platform"));
}

async function create(context: Context, ports: ApiPorts): Promise<undefined> {
  const { query } = context;
  const source = query.get("fromSrc") ?? "";
  const name = query.get("fromImage") ?? "";
  if (source !== "") return importImage(context, ports, source);
  if (name === "") throw fault("invalid", "no-image-name", "fromImage or fromSrc is needed");
  return pull(context, ports.images, name, query.get("tag") ?? "");
}

/** From the request's body, or from an address that the daemon fetches. */
function importImage(
  context: Context,
  { images, events }: ApiPorts,
  source: string,
): Promise<undefined> {
  const { query, request, signal } = context;
  const reference = newReference(query);
  const message = query.get("message") || undefined;
  const changes = query.getAll("changes");
  return transfer(context, async ({ report, platform }) => {
    const options = { reference, changes, platform, ...(message ? { message } : {}) };
    const id =
      source === "-"
        ? await images.importTar(request as unknown as Bytes, options)
        : await images.importFrom(source, { ...options, report, signal });
    events.emit("image", "import", id, { name: reference ?? id });
    report({ status: id });
  });
}

/** A stream of progress. What goes wrong before its first step is answered with a status, later in the stream. */
async function transfer(
  context: Context,
  work: (options: TransferOptions) => Promise<void>,
): Promise<undefined> {
  let write: ((value: unknown) => void) | undefined;
  const report = (step: object) => {
    write ??= jsonLines(context);
    write(step);
  };
  const credentials = credentialsOf(context.request.headers["x-registry-auth"]);
  const platform = platformWanted(context);
  try {
    await work({ credentials, report, platform, signal: context.signal });
  } catch (error) {
    if (write === undefined) throw error;
    if (!context.signal.aborted) streamError(write, error, context.request.url ?? "");
  }
  context.response.end();
  return undefined;
}

function pull(context: Context, images: ImagesPort, name: string, tag: string): Promise<undefined> {
  return transfer(context, async (options) => {
    // "name:tag" and "name@digest" are whole already; a repository alone means all of its tags.
    const whole = tag !== "" || /@|:[^/]*$/.test(name);
    const joined = tag === "" ? name : `${name}${tag.includes(":") ? "@" : ":"}${tag}`;
    const references = whole
      ? [joined]
      : (await images.remoteTags(name, options)).map((one) => `${name}:${one}`);
    const allPlatforms = boolean(context.query, "all-platforms");
    const referrers = boolean(context.query, "referrers");
    for (const reference of references)
      await images.pull(reference, { ...options, allPlatforms, referrers });
  });
}

function push(context: Context, images: ImagesPort, name: string): Promise<undefined> {
  return transfer(context, async (options) => {
    const tag = context.query.get("tag") ?? "";
    const references = tag === "" ? images.localTags(name) : [`${name}:${tag}`];
    for (const reference of references) {
      options.report({ status: `The push refers to repository [${repositoryOf(name)}]` });
      await images.push(reference, options);
    }
  });
}

/** Names have slashes: what follows /images/ is taken apart from its end. */
function byName(context: Context, suffixes: readonly string[]): { name: string; action: string } {
  const rest = context.params["*"] ?? "";
  const action = suffixes.find((suffix) => rest.endsWith(`/${suffix}`)) ?? "";
  return { name: action === "" ? rest : rest.slice(0, -action.length - 1), action };
}

/** Sends an archive. One that breaks off is cut, so that nobody takes it for whole. */
async function save(
  context: Context,
  images: ImagesPort,
  names: readonly string[],
  platform: Platform | undefined,
): Promise<undefined> {
  const { response } = context;
  const archive = await images.save(names, platform);
  response.writeHead(200, { "Content-Type": "application/x-tar" });
  response.flushHeaders();
  return sendAll(context, archive, (bytes) => bytes);
}

function read(context: Context, { images }: ApiPorts): Reply | Promise<undefined> {
  const { name, action } = byName(context, ["json", "history", "get"]);
  const first = action === "json" ? 49 : 48;
  const query = knownQuery(context.query, context.version, { platform: first, manifests: 48 });
  const platform = platformOf(query.get("platform"));
  if (action === "json") {
    const manifests = boolean(query, "manifests");
    if (manifests && platform !== undefined)
      throw fault(
        "invalid",
        "manifests-platform",
        "conflicting options: manifests and platform options cannot both be set",
      );
    return ok(imageFor(images.inspect(name, platform, manifests), context.version));
  }
  if (action === "history") return ok(images.history(name, platform));
  if (action === "get") return save(context, images, [name], platform);
  throw fault("not-found", "no-such-page", "page not found");
}

function change(context: Context, { images, events }: ApiPorts): Reply | Promise<undefined> {
  const { name, action } = byName(context, ["tag", "push"]);
  if (action === "push") return push(context, images, name);
  if (action !== "tag") throw fault("not-found", "no-such-page", "page not found");
  const repository = context.query.get("repo") ?? "";
  const tag = context.query.get("tag") ?? "";
  const target = tag === "" ? repository : `${repository}:${tag}`;
  images.tag(name, target);
  events.emit("image", "tag", images.inspect(name).Id ?? "", { name: target });
  return { status: 201 };
}

function list(context: Context, { images }: ApiPorts): Reply {
  const { version } = context;
  const query = knownQuery(context.query, version, { "shared-size": 42, manifests: 47 });
  const { reference, until, ...others } = filters(query);
  // The oldest clients have a parameter for it.
  const named = version < 25 && query.get("filter") ? [query.get("filter") ?? ""] : undefined;
  const wanted = reference ?? named;
  const found = images.list(wanted === undefined ? others : { ...others, reference: wanted }, {
    sharedSize: boolean(query, "shared-size"),
    all: boolean(query, "all"),
    manifests: boolean(query, "manifests"),
    until: until === undefined ? undefined : untilOf({ until }),
  });
  return ok(imagesFor(found, version));
}

/** The routes. */
export const imageRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/images/json",
    handle: list,
  },
  { method: "POST", path: "/images/load", handle: load },
  { method: "POST", path: "/images/create", handle: create },
  {
    method: "GET",
    path: "/images/get",
    handle: (context, { images }) =>
      save(
        context,
        images,
        context.query.getAll("names"),
        platformOf(knownQuery(context.query, context.version, { platform: 48 }).get("platform")),
      ),
  },
  { method: "GET", path: "/images/*", handle: read },
  { method: "POST", path: "/images/*", handle: change },
  {
    method: "DELETE",
    path: "/images/*",
    handle: ({ params, query }, { images }) =>
      ok(images.remove(params["*"] ?? "", boolean(query, "force"), boolean(query, "noprune"))),
  },
];
