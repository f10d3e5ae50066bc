/**
 * What a daemon answers that is in no swarm and has no plugins.
 */
import { fault } from "../../base/errors.ts";
import { filters } from "../request.ts";
import { ok, type Route } from "../route.ts";
import { notManager, unavailable } from "../swarm-fault.ts";

const parts = ["swarm", "nodes", "services", "tasks", "secrets", "configs"];
const methods = ["GET", "POST", "DELETE"] as const;

function refuse(): never {
  throw notManager();
}

function refusePlugins(): never {
  throw fault("unsupported", "no-plugins", "berth runs no plugins");
}

const refusals: readonly Route[] = parts.flatMap((part) =>
  methods.flatMap((method) => [
    { method, path: `/${part}`, handle: refuse },
    { method, path: `/${part}/*`, handle: refuse },
  ]),
);

/** Names of plugins have slashes: what may follow them is taken off. */
const pluginAction = /\/(json|enable|disable|upgrade|push|set)$/;

const pluginRoutes: readonly Route[] = methods.map((method) => ({
  method,
  path: "/plugins/*",
  handle({ params }) {
    const name = (params["*"] ?? "").replace(pluginAction, "");
    throw fault("not-found", "no-such-plugin", `plugin ${JSON.stringify(name)} not found`);
  },
}));

/** The routes. */
export const swarmRoutes: readonly Route[] = [
  ...refusals.filter(({ path }) => path !== "/swarm/*"),
  {
    method: "POST",
    path: "/swarm/:action",
    handle({ params }) {
      if (params.action === "leave") throw unavailable("This node is not part of a swarm");
      if (params.action !== "init" && params.action !== "join") return refuse();
      throw fault("unsupported", "swarm-mode", "berth has no swarm mode: one engine, one host");
    },
  },
  { method: "GET", path: "/swarm/:action", handle: refuse },
  {
    method: "PUT",
    path: "/volumes/:name",
    handle() {
      throw unavailable("volume update only valid for cluster volumes, but swarm is unavailable");
    },
  },
  {
    method: "GET",
    path: "/plugins",
    handle({ query }) {
      filters(query);
      return ok([]);
    },
  },
  { method: "GET", path: "/plugins/privileges", handle: refusePlugins },
  { method: "POST", path: "/plugins/pull", handle: refusePlugins },
  { method: "POST", path: "/plugins/create", handle: refusePlugins },
  ...pluginRoutes,
];
