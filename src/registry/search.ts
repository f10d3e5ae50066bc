/**
 * Searching a registry's repositories: the first version of the registry API, which Docker Hub has kept for this.
 */
import { Fault, fault } from "../base/errors.ts";
import { anonymous, type Credentials } from "./authorization.ts";
import { DOCUMENT_MAX, documentOf, jsonObject, patient } from "./body.ts";
import { type Endpoint, findEndpoints, type RegistrySettings } from "./endpoints.ts";
import { domainOf } from "./login.ts";
import { dropBody, Session } from "./session.ts";

/** What is searched for. */
export interface SearchWish {
  /** Words, or HOST/WORDS for another registry than Docker's. */
  readonly term: string;
  /** 1 to 100; 0: as many as usual. */
  readonly limit: number;
  /** Official images only, or none of them. */
  readonly official?: boolean | undefined;
  readonly stars: number;
}

/** One repository. */
export interface SearchResult {
  readonly name: string;
  readonly description: string;
  readonly star_count: number;
  readonly is_official: boolean;
  /** Always false: registries do not tell any more. */
  readonly is_automated: boolean;
}

const USUAL = 25;
const MOST = 100;
/** Docker Hub searches at another host than it stores. */
const HUB = /^https:\/\/registry-1\.docker\.io\/v2$/;

function invalid(message: string): Error {
  return fault("invalid", "search", message);
}

/** The registry and the words of a term. */
function splitTerm(term: string): { domain: string; words: string } {
  if (term.trim() === "") throw invalid("a search needs a term");
  if (/^https?:\/\//.test(term))
    throw invalid(`invalid repository name: repository name (${term}) should not have a scheme`);
  const [, host = "", rest = ""] = /^([^/]*)\/(.*)$/s.exec(term) ?? [];
  const domain = /[.:]/.test(host) || host === "localhost" ? domainOf(host) : "";
  const words = domain === "" ? term : rest;
  return { domain, words: domain === "" ? words.replace(/^library\//, "") : words };
}

function searchEndpoint(endpoint: Endpoint): Endpoint {
  const url = HUB.test(endpoint.url)
    ? "https://index.docker.io/v1"
    : endpoint.url.replace(/\/v2$/, "/v1");
  return { ...endpoint, url };
}

function resultOf(value: unknown): SearchResult[] {
  const { name, description, star_count, is_official } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== "string") return [];
  return [
    {
      name,
      description: typeof description === "string" ? description : "",
      star_count: Number.isSafeInteger(star_count) ? (star_count as number) : 0,
      is_official: is_official === true,
      is_automated: false,
    },
  ];
}

async function askOne(
  session: Session,
  { words, limit }: { words: string; limit: number },
  settings: RegistrySettings,
): Promise<SearchResult[]> {
  const query = new URLSearchParams({ q: words, n: String(limit) });
  const response = await session.request({ target: `/search?${query}` });
  if (response.status === 401 || response.status === 403)
    throw fault("unauthorized", "registry-login", `search: ${await session.reason(response)}`);
  if (!response.ok) {
    dropBody(response);
    throw fault("failed", "registry-answer", `Unexpected status code ${response.status}`);
  }
  const patience = settings.patience ?? patient;
  const bytes = await documentOf(response, "the search's results", DOCUMENT_MAX, patience);
  const { results } = jsonObject(bytes) ?? {};
  if (!Array.isArray(results))
    throw fault("failed", "registry-content", "error decoding registry search results");
  return results.flatMap(resultOf).slice(0, limit);
}

/** Searches a registry. Rejects with Faults in Docker's words. */
export async function searchRegistry(
  wish: SearchWish,
  settings: RegistrySettings,
  credentials: Credentials,
): Promise<SearchResult[]> {
  const limit = wish.limit === 0 ? USUAL : wish.limit;
  if (limit < 1 || limit > MOST)
    throw invalid(`limit ${limit} is outside the range of [1, ${MOST}]`);
  const { domain, words } = splitTerm(wish.term);
  let failure: unknown;
  for (const endpoint of await findEndpoints(domain, settings)) {
    const session = new Session(searchEndpoint(endpoint), {
      credentials: endpoint.own ? credentials : anonymous,
      scope: "registry:catalog:search",
      patience: settings.patience ?? patient,
      notice: () => {},
    });
    try {
      const found = await askOne(session, { words, limit }, settings);
      return found
        .filter(({ is_official }) => (wish.official ?? is_official) === is_official)
        .filter(({ star_count }) => star_count >= wish.stars);
    } catch (error) {
      // The same registry without TLS would say less of why.
      if (endpoint.own && error instanceof Fault && error.kind === "unauthorized") throw error;
      failure = error;
    }
  }
  throw failure;
}
