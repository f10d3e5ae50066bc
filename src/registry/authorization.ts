/**
 * Telling a registry who asks: Basic (RFC 7617), or a token of the service that the registry names (distribution's token
 * authentication). What is secret goes to the registry and to that service, and into no message.
 */
import { STATUS_CODES } from "node:http";
import { fault } from "../base/errors.ts";
import { documentOf, jsonObject, type Patience } from "./body.ts";
import type { Challenge } from "./headers.ts";
import { isLoopback, ledTo } from "./targets.ts";

/** Who asks. Everything empty: nobody in particular. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A token of an earlier login, in the password's place. */
  readonly identityToken: string;
  /** A token that is to be used as it is. */
  readonly registryToken?: string;
}

/** Nobody in particular. */
export const anonymous: Credentials = { username: "", password: "", identityToken: "" };

/** One exchange over HTTP; rejects with a Fault when nobody answers. */
export type Exchange = (url: string, init: RequestInit) => Promise<Response>;

/** What an authorization is asked with. */
export interface Asking {
  readonly credentials: Credentials;
  readonly exchange: Exchange;
  readonly patience: Patience;
}

const CLIENT_ID = "docker";
/** No answer of an authorization service, and no reason for a refusal, is longer. */
const ANSWER_MAX = 256 * 1024;
const REASON_MAX = 1024;

/** The header's value for Basic. */
export function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** A stranger's text as a message may have it: one line, and nothing in it that was told in confidence. */
export function presentable(text: string, secrets: readonly (string | undefined)[]): string {
  let shown = text;
  for (const secret of secrets)
    if (secret !== undefined && secret.length > 3) shown = shown.replaceAll(secret, "xxxxx");
  return shown.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").slice(0, REASON_MAX);
}

/** Everything of somebody's that must not be repeated. */
export function secretsOf(credentials: Credentials, authorization?: string): string[] {
  const { password, identityToken, registryToken = "" } = credentials;
  const inHeader = [basic(credentials), authorization ?? ""].map((value) =>
    value.replace(/^\S+ /, ""),
  );
  return [password, encodeURIComponent(password), identityToken, registryToken, ...inHeader];
}

/** The words of a service that says no. Never rejects. */
export async function reasonOf(
  response: Response,
  secrets: readonly string[],
  patience: Patience,
): Promise<string> {
  const status = `${response.status} ${STATUS_CODES[response.status] ?? ""}`.trim();
  const bytes = await documentOf(response, "the reason", ANSWER_MAX, patience).catch(() => null);
  const answer = bytes === null ? undefined : jsonObject(bytes);
  const [first] = Array.isArray(answer?.errors) ? (answer.errors as unknown[]) : [];
  const inList = (first as { message?: unknown } | null | undefined)?.message;
  const said = [answer?.details, inList, answer?.message].find((one) => typeof one === "string");
  return said === undefined || said === "" ? status : presentable(String(said), secrets);
}

function refused(message: string): Error {
  return fault("unauthorized", "registry-login", message);
}

function tokenRequest(realm: URL, challenge: Challenge, credentials: Credentials): RequestInit {
  const { service = "", scope = "" } = challenge.parameters;
  const fields = new URLSearchParams({ service, client_id: CLIENT_ID });
  if (credentials.identityToken !== "") {
    if (scope !== "") fields.set("scope", scope);
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", credentials.identityToken);
    return { method: "POST", body: fields };
  }
  for (const one of scope.split(" ").filter(Boolean)) fields.append("scope", one);
  if (credentials.username !== "") {
    fields.set("account", credentials.username);
    fields.set("offline_token", "true");
  }
  for (const [key, value] of fields) realm.searchParams.append(key, value);
  return credentials.username === "" ? {} : { headers: { Authorization: basic(credentials) } };
}

/** The authorization service of a challenge. Without TLS it has to be on the registry's own host, that has none either. */
function realmOf(url: string, challenge: Challenge): URL {
  const home = new URL(url);
  const named = challenge.parameters.realm ?? "";
  // Not relative to the registry: a realm is a whole address.
  const realm = URL.canParse(named) ? ledTo(named, home) : undefined;
  const confidential =
    realm?.protocol === "https:" ||
    realm?.hostname === home.hostname ||
    (realm !== undefined && isLoopback(realm.hostname));
  if (realm !== undefined && confidential) return realm;
  throw refused(`Get "${url}": unauthorized: the registry names no authorization service`);
}

/** A token for what a challenge asks for. `url` is what was asked of the registry. Throws a Fault "unauthorized". */
export async function tokenFor(
  url: string,
  challenge: Challenge,
  { credentials, exchange, patience }: Asking,
): Promise<{ readonly access: string; readonly refresh: string }> {
  const realm = realmOf(url, challenge);
  const request = tokenRequest(realm, challenge, credentials);
  const response = await exchange(realm.href, request);
  const secrets = secretsOf(credentials);
  if (response.status === 401 || response.status === 403)
    throw refused(`Get "${url}": unauthorized: ${await reasonOf(response, secrets, patience)}`);
  if (!response.ok)
    throw fault(
      "failed",
      "registry-answer",
      `Get "${url}": ${realm.host}: ${await reasonOf(response, secrets, patience)}`,
    );
  const what = `the token of ${realm.host}`;
  const answer = jsonObject(await documentOf(response, what, ANSWER_MAX, patience)) ?? {};
  const text = (key: string) => (typeof answer[key] === "string" ? (answer[key] as string) : "");
  const access = text("access_token") || text("token");
  if (!/^[\x21-\x7e]+$/.test(access))
    throw fault("failed", "registry-answer", `Get "${url}": ${realm.host} gives no token`);
  return { access, refresh: text("refresh_token") };
}

/** The Authorization header that answers a registry's challenge; undefined when nothing could. */
export async function answerChallenge(
  url: string,
  challenge: Challenge | undefined,
  asking: Asking,
): Promise<string | undefined> {
  const { credentials } = asking;
  if (challenge?.scheme === "basic")
    return credentials.username === "" ? undefined : basic(credentials);
  if (challenge?.scheme !== "bearer") return undefined;
  if (credentials.registryToken) return `Bearer ${credentials.registryToken}`;
  return `Bearer ${(await tokenFor(url, challenge, asking)).access}`;
}
