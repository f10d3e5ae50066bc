/**
 * The daemon's own registry, where it cannot be asked over the distribution protocol. Docker has nothing like it.
 */
import { boolean } from "../request.ts";
import { ok, type Route } from "../route.ts";

/** The routes. */
export const ownRegistryRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/registry/prune",
    async handle({ query }, { ownRegistry }) {
      const wish = {
        dryRun: boolean(query, "dry-run"),
        deleteUntagged: boolean(query, "delete-untagged"),
        grace: query.get("grace") ?? undefined,
      };
      return ok(await ownRegistry.collect(wish));
    },
  },
];
