/**
 * What takes room, and taking it back.
 */
import { fault } from "../../base/errors.ts";
import { filterBoolean } from "../../base/selection.ts";
import { credentialsByHost } from "../credentials.ts";
import {
  type ApiPorts,
  type BuildCacheWish,
  type DiskKind,
  diskKinds,
  type PruneWish,
  type QueryFilters,
} from "../ports.ts";
import { boolean, checkFilters, filters, integer, selectionOf, untilOf } from "../request.ts";
import { beginJsonLines, type Context, jsonLine, ok, type Route, sendAll } from "../route.ts";
import { statusOf } from "../status.ts";
import { knownQuery } from "../versions.ts";

function dryRunOf(query: URLSearchParams): PruneWish["dryRun"] {
  const word = query.get("dry-run");
  return word === "after-containers" ? word : boolean(query, "dry-run");
}

function imageWish(query: URLSearchParams): PruneWish {
  const wanted = filters(query);
  // As Docker has it: whoever says "not only those" anywhere gets them all, whatever else is said.
  const words = wanted.dangling ?? [];
  const all = words.some((word) => /^(?:0|false)$/.test(word));
  const word = all ? "false" : words[0];
  return {
    // The nameless only, unless told otherwise.
    onlyNameless: word === undefined || filterBoolean("dangling", word),
    dryRun: dryRunOf(query),
    ...selectionOf(wanted, ["dangling"]),
  };
}

/** Anonymous volumes only, unless all are wanted; clients from before that difference want all. */
function volumeWish(query: URLSearchParams, version: number): PruneWish {
  const wanted = filters(query);
  checkFilters(wanted, ["label", "label!", "all"]);
  const word = wanted.all?.[0];
  const all = word === undefined ? version < 42 : filterBoolean("all", word);
  return {
    onlyNameless: !all,
    dryRun: dryRunOf(query),
    ...selectionOf(wanted, ["all"]),
  };
}

/** A filter that is there or not; undefined when it is not asked for. */
function asked(wanted: QueryFilters, key: string): boolean | undefined {
  const word = wanted[key]?.[0];
  return word === undefined ? undefined : word === "" || filterBoolean(key, word);
}

function cacheWish(query: URLSearchParams): BuildCacheWish {
  const wanted = filters(query);
  const keys = ["until", "id", "parent", "type", "description", "inuse", "shared", "private"];
  checkFilters(wanted, keys);
  const amount = (name: string) => Math.max(0, integer(query, name, 0));
  const reserved = Math.max(amount("reserved-space"), amount("keep-storage"));
  const own = asked(wanted, "private");
  return {
    all: boolean(query, "all"),
    unusedSince: untilOf(wanted),
    keep: Math.max(reserved, amount("max-used-space")),
    minFree: amount("min-free-space"),
    ...{ ids: wanted.id, parents: wanted.parent, types: wanted.type },
    descriptions: wanted.description,
    shared: asked(wanted, "shared") ?? (own === undefined ? undefined : !own),
    inUse: asked(wanted, "inuse"),
    dryRun: boolean(query, "dry-run"),
  };
}

function kindsOf(query: URLSearchParams): readonly DiskKind[] {
  const named = query.getAll("type");
  for (const name of named)
    if (!diskKinds.some((kind) => kind === name))
      throw fault("invalid", "disk-kind", `unknown object type: ${name}`);
  return named.length === 0 ? diskKinds : diskKinds.filter((kind) => named.includes(kind));
}

/** Streams what a check finds as lines of JSON. Two at a time would repair under each other's hands. */
async function check(context: Context, { disk }: ApiPorts): Promise<undefined> {
  const { request, query, response, signal } = context;
  if (checking)
    throw fault("conflict", "check-under-way", "the data root is being checked already");
  checking = true;
  try {
    const credentials = credentialsByHost(request.headers["x-registry-config"]);
    beginJsonLines(response);
    await sendAll(
      context,
      disk.check({ repair: boolean(query, "repair"), signal, credentials }),
      jsonLine,
    );
  } catch (error) {
    if (!response.headersSent) throw error;
    const { message } = statusOf(error, request.url ?? "");
    response.end(jsonLine({ Error: message }));
  } finally {
    checking = false;
  }
  return undefined;
}

let checking = false;

/** The routes. */
export const diskRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/system/df",
    handle: async ({ query, version, signal }, { disk }) =>
      ok(
        await disk.usage(kindsOf(knownQuery(query, version, { type: 42 })), {
          disk: boolean(query, "disk"),
          duplicates: boolean(query, "duplicates"),
          signal,
        }),
      ),
  },
  { method: "POST", path: "/berth/check", handle: check },
  {
    method: "POST",
    path: "/images/prune",
    handle: async ({ query }, { disk }) => ok(await disk.pruneImages(imageWish(query))),
  },
  {
    method: "POST",
    path: "/volumes/prune",
    handle: async ({ query, version }, { disk }) =>
      ok(await disk.pruneVolumes(volumeWish(query, version))),
  },
  {
    method: "POST",
    path: "/build/prune",
    // The cache has no labels: what `system prune` chooses by them is not in it.
    handle: async ({ query }, { disk }) =>
      filters(query).label === undefined
        ? ok(await disk.pruneBuildCache(cacheWish(query)))
        : ok({ CachesDeleted: [], SpaceReclaimed: 0 }),
  },
];
