/**
 * /containers: everything but attach, logs and exec.
 */
import { Fault, fault } from "../../base/errors.ts";
import type { ApiPorts, ContainersPort } from "../ports.ts";
import {
  boolean,
  filters,
  integer,
  newReference,
  platformOf,
  requiredInteger,
  selectionOf,
} from "../request.ts";
import {
  beginJsonLines,
  type Context,
  goneOf,
  jsonLine,
  noContent,
  ok,
  type Reply,
  type Route,
  sendAll,
} from "../route.ts";
import { commitBody, createBody, updateBody } from "../schemas.ts";
import {
  containersFor,
  createAsMeant,
  knownQuery,
  limitsAsMeant,
  versionWarnings,
} from "../versions.ts";

const conditions = new Set(["", "not-running", "next-exit", "removed"]);

function stopOptions(context: Context): {
  signal: string | undefined;
  timeout: number | undefined;
} {
  const query = knownQuery(context.query, context.version, { signal: 42 });
  return {
    signal: query.get("signal") ?? undefined,
    timeout: query.get("t") ? integer(query, "t", 10) : undefined,
  };
}

async function remove(
  reference: string,
  query: URLSearchParams,
  containers: ContainersPort,
): Promise<Reply> {
  if (boolean(query, "link")) containers.removeLink(reference);
  else {
    const [force, volumes] = [boolean(query, "force"), boolean(query, "v")];
    await containers.remove(reference, { force, volumes });
  }
  return noContent;
}

/** Sends a signal; of what goes wrong it says what was wanted, as Docker does. */
async function kill({ params, query }: Context, containers: ContainersPort): Promise<Reply> {
  const reference = params.id ?? "";
  try {
    await containers.kill(reference, query.get("signal") ?? "");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const message = `cannot kill container: ${reference}: ${error.message}`;
    throw new Fault(error.kind, error.code, message, error);
  }
  return noContent;
}

async function create(context: Context, { containers, system }: ApiPorts): Promise<Reply> {
  const { version } = context;
  const asked = await context.json(createBody, { required: true });
  if (Object.keys(asked.config).length === 0)
    throw fault("invalid", "no-config", "config cannot be empty in order to create a container");
  const cgroupV1 = version < 41 && system.info().CgroupVersion === "1";
  const meant = createAsMeant(asked, version, cgroupV1);
  const query = knownQuery(context.query, version, { platform: 41 });
  const created = await containers.create({
    ...meant,
    name: query.get("name") || undefined,
    platform: platformOf(query.get("platform")),
    // Read-only did not reach what was mounted below a bind.
    readOnlyOnTop: version < 44,
  });
  const Warnings = [...created.warnings, ...versionWarnings(asked, version)];
  return { status: 201, json: { Id: created.id, Warnings } };
}

async function wait(context: Context, containers: ContainersPort): Promise<undefined> {
  const { params, response, signal, version } = context;
  const query = knownQuery(context.query, version, { condition: 30 });
  const condition = query.get("condition") ?? "";
  if (!conditions.has(condition))
    throw fault("invalid", "wait-condition", `invalid condition: ${JSON.stringify(condition)}`);
  const waiting = containers.wait(
    params.id ?? "",
    (condition || "not-running") as "not-running" | "next-exit" | "removed",
    signal,
  );
  // The head goes out at once: a client starts the container when it sees that somebody waits. Older ones wait for the whole.
  response.writeHead(200, { "Content-Type": "application/json" });
  if (version >= 30) response.flushHeaders();
  const status = await Promise.race([waiting, goneOf(signal)]);
  if (status === undefined) return undefined;
  response.end(
    JSON.stringify({
      StatusCode: status.code,
      ...(status.error ? { Error: { Message: status.error } } : {}),
    }),
  );
  return undefined;
}

/** The routes. */
export const containerRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/containers/json",
    handle({ query, version }, { containers }) {
      const list = containers.list({
        all: boolean(query, "all"),
        limit: Math.max(0, integer(query, "limit", 0)),
        size: boolean(query, "size"),
        filters: filters(query),
      });
      return ok(containersFor(list, version));
    },
  },
  {
    method: "POST",
    path: "/containers/create",
    handle: create,
  },
  {
    method: "GET",
    path: "/containers/:id/json",
    handle: ({ params, query }, { containers }) =>
      ok(containers.inspect(params.id ?? "", boolean(query, "size"))),
  },
  {
    method: "POST",
    path: "/containers/:id/start",
    async handle({ params, query }, { containers }) {
      if (query.has("checkpoint") && query.get("checkpoint") !== "")
        throw fault("unsupported", "checkpoint", "checkpoints are not supported");
      await containers.start(params.id ?? "");
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/stop",
    async handle(context, { containers }) {
      await containers.stop(context.params.id ?? "", stopOptions(context));
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/restart",
    async handle(context, { containers }) {
      await containers.restart(context.params.id ?? "", stopOptions(context));
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/kill",
    handle: (context, { containers }) => kill(context, containers),
  },
  {
    method: "POST",
    path: "/containers/:id/pause",
    async handle({ params }, { containers }) {
      await containers.pause(params.id ?? "");
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/unpause",
    async handle({ params }, { containers }) {
      await containers.unpause(params.id ?? "");
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/resize",
    async handle({ params, query }, { containers }) {
      await containers.resize(
        params.id ?? "",
        requiredInteger(query, "h"),
        requiredInteger(query, "w"),
      );
      return { status: 200 };
    },
  },
  {
    method: "POST",
    path: "/containers/:id/rename",
    async handle({ params, query }, { containers }) {
      await containers.rename(params.id ?? "", query.get("name") ?? "");
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/containers/:id/wait",
    handle: (context, { containers }) => wait(context, containers),
  },
  {
    method: "POST",
    path: "/containers/:id/update",
    async handle(context, { containers }) {
      const { limits, changes } = await context.json(updateBody);
      const input = { limits: limitsAsMeant(limits, context.version), changes };
      return ok(await containers.update(context.params.id ?? "", input));
    },
  },
  {
    method: "GET",
    path: "/containers/:id/top",
    handle: async ({ params, query }, { containers }) =>
      ok(await containers.top(params.id ?? "", query.get("ps_args") || "-ef")),
  },
  {
    method: "GET",
    path: "/containers/:id/stats",
    async handle(context, { containers }) {
      const { params, response, signal } = context;
      const query = knownQuery(context.query, context.version, { "one-shot": 41 });
      const id = params.id ?? "";
      if (!boolean(query, "stream", true))
        return ok(await containers.stats(id, !boolean(query, "one-shot")));
      const samples = containers.statsStream(id, signal);
      beginJsonLines(response);
      return sendAll(context, samples, jsonLine);
    },
  },
  {
    method: "GET",
    path: "/containers/:id/changes",
    handle: async ({ params }, { containers }) => ok(await containers.changes(params.id ?? "")),
  },
  {
    method: "POST",
    path: "/commit",
    async handle(context, { containers }) {
      const { query } = context;
      const Id = await containers.commit(query.get("container") ?? "", {
        config: await context.json(commitBody),
        reference: newReference(query),
        author: query.get("author") ?? "",
        comment: query.get("comment") ?? "",
        changes: query.getAll("changes").flatMap((text) => text.split("\n").filter(Boolean)),
        pause: boolean(query, "pause", true),
      });
      return { status: 201, json: { Id } };
    },
  },
  {
    method: "POST",
    path: "/containers/prune",
    handle: async ({ query }, { containers }) =>
      ok(await containers.prune(selectionOf(filters(query)), boolean(query, "dry-run"))),
  },
  {
    method: "DELETE",
    path: "/containers/:id/:alias",
    handle: ({ params, query }, { containers }) =>
      remove(`${params.id}/${params.alias}`, query, containers),
  },
  {
    method: "GET",
    path: "/containers/:id/:alias/json",
    handle: ({ params, query }, { containers }) =>
      ok(containers.inspect(`${params.id}/${params.alias}`, boolean(query, "size"))),
  },
  {
    method: "DELETE",
    path: "/containers/:id",
    handle: ({ params, query }, { containers }) => remove(params.id ?? "", query, containers),
  },
];
