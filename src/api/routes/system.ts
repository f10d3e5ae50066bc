/**
 * The daemon itself, volumes and events.
 */

import { expositionFor, expositionTypes } from "../../base/metrics.ts";
import { own } from "../../base/own.ts";
import { labelHolds } from "../../base/selection.ts";
import { after } from "../../base/timers.ts";
import type { ApiPorts, EngineEvent, QueryFilters } from "../ports.ts";
import { boolean, checkFilters, filters, timeOf } from "../request.ts";
import {
  beginJsonLines,
  type Context,
  jsonLine,
  noContent,
  ok,
  type Route,
  sendAll,
} from "../route.ts";
import { volumeBody } from "../schemas.ts";
import { notManager } from "../swarm-fault.ts";
import { infoFor, knowsEvent } from "../versions.ts";

/** How many events wait for a client that does not read. */
const QUEUE_MAX = 16_384;

/** What berth has none of, so that nothing happens to them. */
const absentKinds = ["config", "node", "plugin", "secret", "service"];
const eventKeys = [
  ...["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume"],
  ...absentKinds,
];

function withoutTag(name: string): string {
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

function eventPasses(event: EngineEvent, wanted: QueryFilters): boolean {
  const attributes = event.Actor?.Attributes ?? {};
  const id = event.Actor?.ID ?? "";
  const named = (type: string) => (value: string) =>
    event.Type === type && (id.startsWith(value) || attributes.name?.startsWith(value) === true);
  const images = [id, attributes.image, attributes.name].filter((name) => name !== undefined);
  const tests: Readonly<Record<string, (value: string) => boolean>> = {
    type: (value) => event.Type === value,
    event: (value) => event.Action === value || event.Action?.split(":")[0] === value,
    container: named("container"),
    volume: named("volume"),
    network: named("network"),
    image: (value) =>
      (event.Type === "image" || attributes.image !== undefined) &&
      images.some((name) => name === value || withoutTag(name) === value),
    label: (value) => labelHolds(attributes, value),
    scope: (value) => event.scope === value,
    daemon: named("daemon"),
    ...Object.fromEntries(absentKinds.map((kind) => [kind, () => false])),
  };
  return Object.entries(wanted).every(([key, values]) => {
    const test = own(tests, key);
    if (test === undefined) return false;
    return key === "label" ? values.every(test) : values.some(test);
  });
}

async function events(context: Context, ports: ApiPorts): Promise<undefined> {
  const { query, response, signal, version } = context;
  const wanted = filters(query);
  checkFilters(wanted, eventKeys);
  const at = (name: string) => (query.get(name) === "0" ? 0 : timeOf(query, name));
  const [since, until] = [at("since"), at("until")];
  beginJsonLines(response);
  const queue = new EventQueue();
  const show = (event: EngineEvent) => {
    const ms = (event.timeNano ?? 0) / 1e6;
    if (until !== undefined && ms > until) queue.close();
    else if (!knowsEvent(event, version) || !eventPasses(event, wanted)) return;
    else if (!queue.push(event)) response.destroy();
  };
  if (since !== undefined)
    for (const event of ports.events.recent) if ((event.timeNano ?? 0) / 1e6 >= since) show(event);
  const stop = ports.events.listen(show);
  const inTime = until === undefined ? () => {} : after(until - Date.now(), () => queue.close());
  signal.addEventListener("abort", () => queue.close(), { once: true });
  try {
    return await sendAll(context, queue.all(), jsonLine);
  } finally {
    inTime();
    stop();
  }
}

/** Events that wait for a client to read. */
class EventQueue {
  private readonly waiting: EngineEvent[] = [];
  private wake = () => {};
  private closed = false;

  /** False when the client is too far behind: it is better told by its stream's end than by gaps in it. */
  push(event: EngineEvent): boolean {
    if (this.waiting.length >= QUEUE_MAX) return false;
    this.waiting.push(event);
    this.wake();
    return true;
  }

  /** There will be no more. */
  close(): void {
    this.closed = true;
    this.wake();
  }

  async *all(): AsyncGenerator<EngineEvent> {
    for (;;) {
      for (const event of this.waiting.splice(0)) yield event;
      if (this.waiting.length > 0) continue;
      if (this.closed) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      await promise;
    }
  }
}

async function metrics({ request, response }: Context, { system }: ApiPorts): Promise<undefined> {
  const form = expositionFor(request.headers.accept);
  const text = await system.metrics(form);
  response.writeHead(200, { "Content-Type": expositionTypes[form] });
  response.end(text);
  return undefined;
}

/** The routes. */
export const systemRoutes: readonly Route[] = [
  { method: "GET", path: "/version", handle: (_context, { system }) => ok(system.version()) },
  {
    method: "GET",
    path: "/info",
    handle: ({ version }, { system }) => ok(infoFor(system.info(), version)),
  },
  { method: "GET", path: "/events", handle: events },
  { method: "GET", path: "/metrics", handle: metrics },
  {
    method: "GET",
    path: "/volumes",
    handle: async ({ query }, { volumes }) =>
      ok({ Volumes: await volumes.list(filters(query)), Warnings: [] }),
  },
  {
    method: "POST",
    path: "/volumes/create",
    async handle(context, { volumes, events: bus }) {
      const body = await context.json(volumeBody);
      if (body.ClusterVolumeSpec) throw notManager();
      const { volume, isNew } = await volumes.create({
        name: body.Name || undefined,
        driver: body.Driver,
        labels: body.Labels,
        options: body.DriverOpts,
      });
      if (isNew) bus.emit("volume", "create", volume.Name, { driver: volume.Driver });
      return { status: 201, json: volume };
    },
  },
  {
    method: "GET",
    path: "/volumes/:name",
    handle: async ({ params }, { volumes }) => ok(await volumes.get(params.name ?? "")),
  },
  {
    method: "DELETE",
    path: "/volumes/:name",
    async handle({ params, query }, { volumes, events: bus }) {
      const driver = await volumes.remove(params.name ?? "", boolean(query, "force"));
      bus.emit("volume", "destroy", params.name ?? "", { driver });
      return noContent;
    },
  },
];
