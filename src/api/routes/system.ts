/**
 * The daemon itself, volumes, networks and events.
 */
import { fault } from "../../base/errors.ts";
import { labelHolds } from "../../base/selection.ts";
import type { ApiPorts, EngineEvent, QueryFilters } from "../ports.ts";
import { boolean, filters, parseJson, timeOf } from "../request.ts";
import { type Context, jsonLines, noContent, ok, type Route } from "../route.ts";
import { volumeBody } from "../schemas.ts";

function eventPasses(event: EngineEvent, wanted: QueryFilters): boolean {
  const attributes = event.Actor?.Attributes ?? {};
  const id = event.Actor?.ID ?? "";
  const named = (type: string) => (value: string) =>
    event.Type === type && (id.startsWith(value) || attributes.name === value);
  const tests: Readonly<Record<string, (value: string) => boolean>> = {
    type: (value) => event.Type === value,
    event: (value) => event.Action === value || event.Action?.split(":")[0] === value,
    container: named("container"),
    volume: named("volume"),
    network: named("network"),
    image: (value) =>
      attributes.image === value ||
      (event.Type === "image" && (id === value || attributes.name === value)),
    label: (value) => labelHolds(attributes, value),
    scope: (value) => event.scope === value,
    daemon: () => event.Type === "daemon",
  };
  return Object.entries(wanted).every(([key, values]) => {
    const test = tests[key];
    if (test === undefined) throw fault("invalid", "filter", `invalid filter '${key}'`);
    return key === "label" ? values.every(test) : values.some(test);
  });
}

async function events(context: Context, ports: ApiPorts): Promise<undefined> {
  const { query, response, signal } = context;
  const wanted = filters(query);
  const [since, until] = [timeOf(query, "since"), timeOf(query, "until")];
  for (const event of ports.events.recent.slice(0, 1)) eventPasses(event, wanted);
  const write = jsonLines(context);
  const { promise, resolve } = Promise.withResolvers<void>();
  const show = (event: EngineEvent) => {
    const ms = (event.timeNano ?? 0) / 1e6;
    if (until !== undefined && ms > until) resolve();
    else if (eventPasses(event, wanted)) write(event);
  };
  if (since !== undefined)
    for (const event of ports.events.recent) if ((event.timeNano ?? 0) / 1e6 >= since) show(event);
  const stop = ports.events.listen(show);
  const timer =
    until === undefined ? undefined : setTimeout(resolve, Math.max(0, until - Date.now()));
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  stop();
  response.end();
  return undefined;
}

/** The routes. */
export const systemRoutes: readonly Route[] = [
  { method: "GET", path: "/version", handle: (_context, { system }) => ok(system.version()) },
  { method: "GET", path: "/info", handle: (_context, { system }) => ok(system.info()) },
  { method: "GET", path: "/events", handle: events },
  {
    method: "GET",
    path: "/volumes",
    handle: ({ query }, { volumes }) =>
      ok({ Volumes: volumes.list(filters(query)), Warnings: null }),
  },
  {
    method: "POST",
    path: "/volumes/create",
    async handle(context, { volumes, events: bus }) {
      const body = parseJson(await context.body(), volumeBody);
      const volume = volumes.create({
        name: body.Name || undefined,
        driver: body.Driver,
        labels: body.Labels,
        options: body.DriverOpts,
      });
      bus.emit("volume", "create", volume.Name, { driver: volume.Driver });
      return { status: 201, json: volume };
    },
  },
  {
    method: "GET",
    path: "/volumes/:name",
    handle: ({ params }, { volumes }) => ok(volumes.get(params.name ?? "")),
  },
  {
    method: "DELETE",
    path: "/volumes/:name",
    handle({ params, query }, { volumes, events: bus }) {
      volumes.remove(params.name ?? "", boolean(query, "force"));
      bus.emit("volume", "destroy", params.name ?? "", { driver: "local" });
      return noContent;
    },
  },
  { method: "GET", path: "/networks", handle: (_context, { networks }) => ok(networks.list()) },
  {
    method: "GET",
    path: "/networks/:id",
    handle({ params }, { networks }) {
      const id = params.id ?? "";
      const found = networks
        .list()
        .find(
          (network) =>
            network.Name === id ||
            network.Id === id ||
            (id.length > 3 && network.Id?.startsWith(id)),
        );
      if (found === undefined)
        throw fault("not-found", "no-such-network", `network ${id} not found`);
      return ok(found);
    },
  },
];
