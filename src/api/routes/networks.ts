/**
 * Networks: made, looked at, removed, and containers connected to them.
 */
import { boolean, filters, selectionOf } from "../request.ts";
import { noContent, ok, type Route } from "../route.ts";
import { connectBody, disconnectBody, networkBody } from "../schemas.ts";

/** The routes. */
export const networkRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/networks",
    handle: ({ query }, { networks }) => ok(networks.list(filters(query))),
  },
  {
    method: "POST",
    path: "/networks/create",
    async handle(context, { networks }) {
      const body = await context.json(networkBody, { required: true });
      return { status: 201, json: await networks.create(body) };
    },
  },
  {
    method: "POST",
    path: "/networks/prune",
    handle: async ({ query }, { networks }) =>
      ok(await networks.prune(selectionOf(filters(query)), boolean(query, "dry-run"))),
  },
  {
    method: "GET",
    path: "/networks/:id",
    handle: ({ params }, { networks }) => ok(networks.get(params.id ?? "")),
  },
  {
    method: "DELETE",
    path: "/networks/:id",
    async handle({ params }, { networks }) {
      await networks.remove(params.id ?? "");
      return noContent;
    },
  },
  {
    method: "POST",
    path: "/networks/:id/connect",
    async handle(context, { networks, containers }) {
      const { Id = "", Name = "" } = networks.get(context.params.id ?? "");
      const body = await context.json(connectBody, { required: true });
      const reference = Name === "bridge" ? Name : Id;
      await containers.connect(body.Container ?? "", reference, body.EndpointConfig ?? {});
      return { status: 200 };
    },
  },
  {
    method: "POST",
    path: "/networks/:id/disconnect",
    async handle(context, { containers }) {
      const body = await context.json(disconnectBody, { required: true });
      const network = context.params.id ?? "";
      await containers.disconnect(body.Container ?? "", network, body.Force === true);
      return { status: 200 };
    },
  },
];
