/**
 * What takes room, and taking it back.
 */
import type { PruneWish } from "../ports.ts";
import { filters, selectionOf } from "../request.ts";
import { ok, type Route } from "../route.ts";

function wishOf(query: URLSearchParams, key: "dangling" | "all"): PruneWish {
  const wanted = filters(query);
  const word = wanted[key]?.[0];
  const isTrue = word !== undefined && /^(true|1)$/i.test(word);
  return {
    // Images: the nameless only, unless told otherwise. Volumes: the anonymous only, unless all are wanted.
    onlyNameless: key === "dangling" ? word === undefined || isTrue : !isTrue,
    ...selectionOf(wanted, [key]),
  };
}

/** The routes. */
export const diskRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/system/df",
    handle: async (_context, { disk }) => ok(await disk.usage()),
  },
  {
    method: "POST",
    path: "/images/prune",
    handle: ({ query }, { disk }) => ok(disk.pruneImages(wishOf(query, "dangling"))),
  },
  {
    method: "POST",
    path: "/volumes/prune",
    handle: ({ query }, { disk }) => ok(disk.pruneVolumes(wishOf(query, "all"))),
  },
  // The networks that are there are the engine's own, and there is no build cache yet.
  { method: "POST", path: "/networks/prune", handle: () => ok({ NetworksDeleted: [] }) },
  {
    method: "POST",
    path: "/build/prune",
    handle: () => ok({ CachesDeleted: [], SpaceReclaimed: 0 }),
  },
];
