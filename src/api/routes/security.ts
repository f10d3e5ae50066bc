/**
 * What containers really have. Docker has nothing like it.
 */
import { ok, type Route } from "../route.ts";

/** The routes. */
export const securityRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/berth/containers/:id/security",
    handle: ({ params }, { security }) => ok(security.report(params.id ?? "")),
  },
];
