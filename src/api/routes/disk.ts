/**
 * What takes room, and taking it back.
 */
import { fault } from "../../base/errors.ts";
import { filterBoolean } from "../../base/selection.ts";
import { type DiskKind, diskKinds, type PruneWish } from "../ports.ts";
import { filters, selectionOf } from "../request.ts";
import { ok, type Route } from "../route.ts";

function wishOf(query: URLSearchParams, key: "dangling" | "all"): PruneWish {
  const wanted = filters(query);
  const word = wanted[key]?.[0];
  const isTrue = word !== undefined && filterBoolean(key, word);
  return {
    // Images: the nameless only, unless told otherwise. Volumes: the anonymous only, unless all are wanted.
    onlyNameless: key === "dangling" ? word === undefined || isTrue : !isTrue,
    ...selectionOf(wanted, [key]),
  };
}

function kindsOf(query: URLSearchParams): readonly DiskKind[] {
  const named = query.getAll("type");
  for (const name of named)
    if (!diskKinds.some((kind) => kind === name))
      throw fault("invalid", "disk-kind", `unknown object type: ${name}`);
  return named.length === 0 ? diskKinds : diskKinds.filter((kind) => named.includes(kind));
}

/** The routes. */
export const diskRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/system/df",
    handle: async ({ query }, { disk }) => ok(await disk.usage(kindsOf(query))),
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
  {
    method: "POST",
    path: "/networks/prune",
    handle({ query }, { events }) {
      selectionOf(filters(query));
      events.emit("network", "prune", "", { reclaimed: "0" });
      return ok({ NetworksDeleted: [] });
    },
  },
  {
    method: "POST",
    path: "/build/prune",
    handle: () => ok({ CachesDeleted: [], SpaceReclaimed: 0 }),
  },
];
