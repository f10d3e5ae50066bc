/**
 * Directories of RUN --mount=type=cache, in and out: berth's own.
 */
import { gathered } from "../../base/gather.ts";
import { type Route, sendAll } from "../route.ts";

/** The routes. */
export const buildMountRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/berth/build-mounts/export",
    async handle(context, { builds }) {
      await builds.exportMount(context.query.get("name") ?? "", async (archive) => {
        context.response.writeHead(200, { "Content-Type": "application/x-tar" });
        await sendAll(context, gathered(archive), (chunk) => chunk);
      });
      return undefined;
    },
  },
  {
    method: "POST",
    path: "/berth/build-mounts/import",
    async handle({ query, request, signal }, { builds }) {
      const id = await builds.importMount(query.get("name") ?? "", request, signal);
      return { status: 201, json: { ID: id } };
    },
  },
];
