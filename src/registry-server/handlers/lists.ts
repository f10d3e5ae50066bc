/**
 * What there is: repositories, tags, and what refers to a manifest.
 */
import type { Page } from "../database.ts";
import { RegistryError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Service } from "../service.ts";

/** No answer lists more, whatever is asked for; a link leads on. */
const PAGE_MAX = 1000;
const INDEX = "application/vnd.oci.image.index.v1+json";

function pageOf({ query }: Exchange): Page {
  const asked = query.get("n");
  if (asked !== null && !/^\d{1,9}$/.test(asked))
    throw new RegistryError("PAGINATION_NUMBER_INVALID", { detail: { n: asked.slice(0, 100) } });
  return { last: query.get("last") ?? "", limit: Math.min(Number(asked ?? PAGE_MAX), PAGE_MAX) };
}

/** The header that leads to the page after `last`. */
function next(exchange: Exchange, path: string, last: string, limit: number) {
  const query = new URLSearchParams(exchange.query);
  query.set("last", last);
  query.set("n", String(limit));
  return { Link: `<${exchange.address(`${path}?${query}`)}>; rel="next"` };
}

/** One page of a list of names, and the header that leads to the next. */
function paged(
  exchange: Exchange,
  path: string,
  read: (page: Page) => string[],
): { items: string[]; headers: Record<string, string> } {
  const page = pageOf(exchange);
  if (page.limit === 0) return { items: [], headers: {} };
  const found = read({ ...page, limit: page.limit + 1 });
  const items = found.slice(0, page.limit);
  const end = items.at(-1);
  if (found.length <= page.limit || end === undefined) return { items, headers: {} };
  return { items, headers: next(exchange, path, end, page.limit) };
}

/** GET /v2/_catalog */
export function listRepositories({ store }: Service, exchange: Exchange): void {
  const { items, headers } = paged(exchange, "/v2/_catalog", (page) =>
    store.data.repositories(page),
  );
  exchange.json({ repositories: items }, headers);
}

/** How many results a search has that does not say, and at most. */
const [SEARCH_USUAL, SEARCH_MAX] = [25, 100];

/** GET /v1/search?q=WORD&n=MOST: the repositories whose names have the word in them. */
export function searchRepositories({ store }: Service, exchange: Exchange): void {
  const query = exchange.query.get("q") ?? "";
  const asked = Number(exchange.query.get("n") ?? SEARCH_USUAL);
  const limit = Number.isInteger(asked) && asked > 0 ? Math.min(asked, SEARCH_MAX) : SEARCH_USUAL;
  const names: string[] = [];
  for (let last = ""; names.length < limit; ) {
    const page = store.data.repositories({ last, limit: PAGE_MAX });
    names.push(...page.filter((name) => name.includes(query.toLowerCase())));
    if (page.length < PAGE_MAX) break;
    last = page.at(-1) ?? "";
  }
  const results = names.slice(0, limit).map((name) => ({
    ...{ name, description: "", star_count: 0 },
    ...{ is_official: false, is_trusted: false, is_automated: false },
  }));
  exchange.json({
    ...{ query, num_results: results.length, results },
    ...{ page: 1, num_pages: 1, page_size: limit },
  });
}

/** GET /v2/NAME/tags/list */
export async function listTags({ store, upstream }: Service, exchange: Exchange, name: string) {
  const all = await upstream?.tags(name);
  if (all === undefined && !store.data.hasRepository(name))
    throw new RegistryError("NAME_UNKNOWN", { detail: { name } });
  const { items, headers } = paged(
    exchange,
    `/v2/${name}/tags/list`,
    ({ last, limit }) =>
      all?.filter((tag) => tag > last).slice(0, limit) ?? store.data.tags(name, { last, limit }),
  );
  exchange.json({ name, tags: items }, headers);
}

/** GET /v2/NAME/referrers/DIGEST: an index, empty when nothing refers to it. */
export function listReferrers(
  { store }: Service,
  exchange: Exchange,
  name: string,
  digest: string,
) {
  const wanted = exchange.query.get("artifactType");
  const page = pageOf(exchange);
  const { items, more } = store.data.referrers(name, digest, page);
  const last = items.at(-1)?.digest;
  const path = `/v2/${name}/referrers/${digest}`;
  const headers = more && last !== undefined ? next(exchange, path, last, page.limit) : {};
  const manifests = items
    .filter((one) => wanted === null || one.artifactType === wanted)
    .map(({ mediaType, digest: own, size, artifactType, annotations }) => ({
      mediaType,
      digest: own,
      size,
      ...(artifactType === null ? {} : { artifactType }),
      ...(annotations === null ? {} : { annotations: JSON.parse(annotations) as unknown }),
    }));
  const filtered = wanted === null ? {} : { "OCI-Filters-Applied": "artifactType" };
  const index = { schemaVersion: 2, mediaType: INDEX, manifests };
  exchange.bytes(200, JSON.stringify(index), INDEX, { ...headers, ...filtered });
}
