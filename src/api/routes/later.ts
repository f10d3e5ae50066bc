/**
 * Operations of the API that berth does not do yet: each says so, instead of looking like a wrong address.
 */
import { fault } from "../../base/errors.ts";
import type { Route } from "../route.ts";

const later: readonly [method: Route["method"], path: string, what: string][] = [
  [
    "POST",
    "/session",
    "berth has no BuildKit sessions: use berth build, or docker with DOCKER_BUILDKIT=0",
  ],
];

/** The routes. */
export const laterRoutes: readonly Route[] = later.map(([method, path, what]) => ({
  method,
  path,
  handle() {
    throw fault("unsupported", "not-yet", what);
  },
}));
