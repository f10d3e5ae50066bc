/**
 * What volumes hold, in and out: berth's own.
 */
import { z } from "zod";
import { gathered } from "../../base/gather.ts";
import { type Context, type Route, sendAll } from "../route.ts";
import { copyIn, copyOut, statArchive } from "./streams.ts";

const copyBody = z
  .strictObject({
    Name: z.string().max(4096),
    Snapshot: z.boolean(),
    Labels: z.record(z.string(), z.string()),
  })
  .partial();

/** "key=value" of a query. */
function labelsOf(query: URLSearchParams): Record<string, string> {
  return Object.fromEntries(
    query.getAll("label").map((label) => {
      const [key = "", ...value] = label.split("=");
      return [key, value.join("=")];
    }),
  );
}

async function exportNow(context: Context, name: string, archive: AsyncIterable<Uint8Array>) {
  context.response.writeHead(200, {
    "Content-Type": "application/x-tar",
    "Content-Disposition": `attachment; filename="${name}.tar"`,
  });
  return sendAll(context, gathered(archive), (chunk) => chunk);
}

/** The routes. */
export const volumeCopyRoutes: readonly Route[] = [
  {
    method: "HEAD",
    path: "/berth/volumes/:id/archive",
    handle: (context, { volumes }) => statArchive(context, volumes.files),
  },
  {
    method: "GET",
    path: "/berth/volumes/:id/archive",
    handle: (context, { volumes }) => copyOut(context, volumes.files),
  },
  {
    method: "PUT",
    path: "/berth/volumes/:id/archive",
    handle: (context, { volumes }) => copyIn(context, volumes.files),
  },
  {
    method: "GET",
    path: "/berth/volumes/:name/export",
    async handle(context, { volumes }) {
      const { name = "" } = context.params;
      return exportNow(context, name, await volumes.export(name, context.signal));
    },
  },
  {
    method: "POST",
    path: "/berth/volumes/:name/import",
    async handle({ params, query, request }, { volumes, events }) {
      const { volume, isNew } = await volumes.import(params.name ?? "", request, labelsOf(query));
      if (isNew) events.emit("volume", "create", volume.Name, { driver: volume.Driver });
      return { status: 201, json: volume };
    },
  },
  {
    method: "POST",
    path: "/berth/volumes/:name/copy",
    async handle(context, { volumes, events }) {
      const { Name = "", Snapshot = false, Labels = {} } = await context.json(copyBody);
      const wish = { name: Name, isSnapshot: Snapshot, labels: Labels, signal: context.signal };
      const volume = await volumes.copy(context.params.name ?? "", wish);
      events.emit("volume", "create", volume.Name, { driver: volume.Driver });
      return { status: 201, json: volume };
    },
  },
];
