/**
 * /images.
 */
import { fault } from "../../base/errors.ts";
import { parseReference } from "../../spec/reference.ts";
import type { ApiPorts, Bytes } from "../ports.ts";
import { boolean, filters, newReference, platformOf } from "../request.ts";
import { type Context, jsonLines, ok, type Reply, type Route } from "../route.ts";
import { statusOf } from "../status.ts";

/** Puts an error into a stream that has begun, as Docker does. */
function streamError(write: (value: unknown) => void, error: unknown, what: string): void {
  const { message } = statusOf(error, what);
  write({ errorDetail: { message }, error: message });
}

async function load(context: Context, { images, events }: ApiPorts): Promise<undefined> {
  const loaded = await images.load(context.request as unknown as Bytes);
  const write = jsonLines(context);
  for (const { names, id } of loaded) {
    events.emit("image", "load", id, { name: names[0] ?? id });
    if (names.length === 0) write({ stream: `Loaded image ID: ${id}\n` });
    for (const name of names) write({ stream: `Loaded image: ${name}\n` });
  }
  context.response.end();
  return undefined;
}

async function create(context: Context, { images, events }: ApiPorts): Promise<undefined> {
  const { query, request, response } = context;
  const source = query.get("fromSrc") ?? "";
  const name = query.get("fromImage") ?? "";
  const tag = query.get("tag") ?? "";
  if (source !== "") {
    if (source !== "-")
      throw fault(
        "unsupported",
        "import-url",
        `cannot import from ${source}: fetch it and import the file`,
      );
    const reference = newReference(query);
    const id = await images.importTar(request as unknown as Bytes, {
      reference,
      message: query.get("message") || undefined,
      changes: query.getAll("changes"),
    });
    events.emit("image", "import", id, { name: reference ?? id });
    jsonLines(context)({ status: id });
    response.end();
    return undefined;
  }
  if (name === "") throw fault("invalid", "no-image-name", "fromImage or fromSrc is needed");
  const reference = tag === "" ? name : tag.includes(":") ? `${name}@${tag}` : `${name}:${tag}`;
  // Tried before the stream begins, so that a refusal has its status.
  const pulled = await images.pull(reference);
  const write = jsonLines(context);
  try {
    events.emit("image", "pull", reference, { name: reference });
    const { path, tag: pulledTag = "latest" } = parseReference(reference);
    write({ status: `Pulling from ${path}`, id: pulledTag });
    write({ status: `Digest: ${pulled.manifest ?? pulled.id}` });
    write({ status: `Status: Image is up to date for ${reference}` });
  } catch (error) {
    streamError(write, error, "pull");
  }
  response.end();
  return undefined;
}

/** Names have slashes: what follows /images/ is taken apart from its end. */
function byName(context: Context, suffixes: readonly string[]): { name: string; action: string } {
  const rest = context.params["*"] ?? "";
  const action = suffixes.find((suffix) => rest.endsWith(`/${suffix}`)) ?? "";
  return { name: action === "" ? rest : rest.slice(0, -action.length - 1), action };
}

function read(context: Context, { images }: ApiPorts): Reply {
  const { name, action } = byName(context, ["json", "history"]);
  const platform = platformOf(context.query.get("platform"));
  if (action === "json") return ok(images.inspect(name, platform));
  if (action === "history") return ok(images.history(name, platform));
  throw fault("not-found", "no-such-page", "page not found");
}

function change(context: Context, { images, events }: ApiPorts): Reply {
  const { name, action } = byName(context, ["tag", "push"]);
  if (action === "push")
    throw fault("unsupported", "no-registry", "berth does not reach registries yet");
  if (action !== "tag") throw fault("not-found", "no-such-page", "page not found");
  const repository = context.query.get("repo") ?? "";
  const tag = context.query.get("tag") ?? "";
  const target = tag === "" ? repository : `${repository}:${tag}`;
  images.tag(name, target);
  events.emit("image", "tag", images.inspect(name).Id ?? "", { name: target });
  return { status: 201 };
}

/** The routes. */
export const imageRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/images/json",
    handle: ({ query }, { images }) =>
      ok(images.list(filters(query), { sharedSize: boolean(query, "shared-size") })),
  },
  { method: "POST", path: "/images/load", handle: load },
  { method: "POST", path: "/images/create", handle: create },
  { method: "GET", path: "/images/*", handle: read },
  { method: "POST", path: "/images/*", handle: change },
  {
    method: "DELETE",
    path: "/images/*",
    handle: ({ params, query }, { images }) =>
      ok(images.remove(params["*"] ?? "", boolean(query, "force"))),
  },
];
