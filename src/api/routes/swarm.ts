/**
 * What a daemon answers that is in no swarm and has no plugins.
 */
import { fault } from "../../base/errors.ts";
import { ok, type Route } from "../route.ts";

const parts = ["swarm", "nodes", "services", "tasks", "secrets", "configs"];
const methods = ["GET", "POST", "DELETE"] as const;

function refuse(): never {
  throw fault(
    "unavailable",
    "no-swarm",
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  );
}

const refusals: readonly Route[] = parts.flatMap((part) =>
  methods.flatMap((method) => [
    { method, path: `/${part}`, handle: refuse },
    { method, path: `/${part}/*`, handle: refuse },
  ]),
);

/** The routes. */
export const swarmRoutes: readonly Route[] = [
  ...refusals.filter(({ path }) => path !== "/swarm/*"),
  {
    method: "POST",
    path: "/swarm/:action",
    handle({ params }) {
      if (params.action === "leave" || params.action === "update") return refuse();
      throw fault("unsupported", "swarm-mode", "berth has no swarm mode: one engine, one host");
    },
  },
  { method: "GET", path: "/swarm/:action", handle: refuse },
  { method: "GET", path: "/plugins", handle: () => ok([]) },
];
