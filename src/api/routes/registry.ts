/**
 * Asking registries: logins, searches, what they have under a name.
 */
import { fault } from "../../base/errors.ts";
import { parseReference } from "../../spec/reference.ts";
import { credentialsOrNobody } from "../credentials.ts";
import type { ApiPorts, QueryFilters } from "../ports.ts";
import { checkFilters, filters, integer } from "../request.ts";
import { type Context, ok, type Reply, type Route } from "../route.ts";
import { authBody } from "../schemas.ts";

function badFilter(key: string, values: readonly string[]): Error {
  return fault("invalid", "filter", `invalid filter '${key}=[${values.join(" ")}]'`);
}

/** A filter that is yes or no; undefined when it is not given. */
function switched(given: QueryFilters, key: string): boolean | undefined {
  const values = given[key];
  if (values === undefined || values.length === 0) return undefined;
  const [yes, no] = [/^(1|true)$/, /^(0|false)$/].map((form) =>
    values.some((one) => form.test(one)),
  );
  if (yes === no) throw badFilter(key, values);
  return yes === true;
}

function leastStars(given: QueryFilters): number {
  const stars = given.stars ?? [];
  for (const one of stars)
    if (!/^[+-]?\d{1,9}$/.test(one))
      throw fault(
        "invalid",
        "filter",
        `invalid filter 'stars=${one}': strconv.Atoi: parsing ${JSON.stringify(one)}: invalid syntax`,
      );
  return Math.max(0, ...stars.map(Number));
}

async function search({ query, request }: Context, { registry }: ApiPorts): Promise<Reply> {
  const given = filters(query);
  checkFilters(given, ["is-automated", "is-official", "stars"]);
  const automated = switched(given, "is-automated") ?? false;
  const wish = {
    term: query.get("term") ?? "",
    limit: integer(query, "limit", 0),
    official: switched(given, "is-official"),
    stars: leastStars(given),
  };
  // There are none any more.
  if (automated) return ok([]);
  return ok(await registry.search(wish, credentialsOrNobody(request.headers["x-registry-auth"])));
}

async function describe(context: Context, { images }: ApiPorts): Promise<Reply> {
  const [, name = ""] = /^(.+)\/json$/.exec(context.params["*"] ?? "") ?? [];
  if (name === "") throw fault("not-found", "no-such-page", "page not found");
  parseReference(name);
  const credentials = credentialsOrNobody(context.request.headers["x-registry-auth"]);
  const { signal } = context;
  return ok(await images.describeRemote(name, { credentials, signal, report: () => {} }));
}

/** The routes. */
export const registryRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/auth",
    async handle(context, { registry }) {
      const body = await context.json(authBody);
      const { identityToken } = await registry.login({
        username: body.username ?? "",
        password: body.password ?? "",
        identityToken: body.identitytoken ?? "",
        serverAddress: body.serveraddress ?? "",
      });
      return ok({ Status: "Login Succeeded", IdentityToken: identityToken });
    },
  },
  { method: "GET", path: "/images/search", handle: search },
  { method: "GET", path: "/distribution/*", handle: describe },
];
