/**
 * Telling a registry who asks: Basic (RFC 7617), or a token of the service that the registry names (distribution's token
 * authentication). A password goes nowhere but over TLS, or to this machine.
 */
import { STATUS_CODES } from "node:http";
import { fault } from "../base/errors.ts";
import type { Challenge } from "./challenge.ts";

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

const CLIENT_ID = "docker";

/** Only on this host is a password given without TLS. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}

/** The header's value for Basic. */
export function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function refused(message: string): Error {
  return fault("unauthorized", "registry-login", message);
}

function tokenRequest(realm: URL, challenge: Challenge, credentials: Credentials): RequestInit {
  const { service = "", scope = "" } = challenge.parameters;
  const scopes = scope === "" ? [] : [scope];
  const fields = new URLSearchParams({ service, client_id: CLIENT_ID });
  for (const one of scopes) fields.append("scope", one);
  if (credentials.identityToken !== "") {
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", credentials.identityToken);
    return { method: "POST", body: fields };
  }
  if (credentials.username !== "") {
    fields.set("account", credentials.username);
    fields.set("offline_token", "true");
  }
  for (const [key, value] of fields) realm.searchParams.append(key, value);
  return credentials.username === "" ? {} : { headers: { Authorization: basic(credentials) } };
}

/** The words of a service that says no. */
export async function reasonOf(response: Response): Promise<string> {
  const text = (await response.text()).slice(0, 4096);
  try {
    const { errors, details, message } = JSON.parse(text) as {
      errors?: { message?: string }[];
      details?: string;
      message?: string;
    };
    const said = details ?? errors?.[0]?.message ?? message;
    if (typeof said === "string") return said;
  } catch {
    // Not every service answers in JSON.
  }
  return `${response.status} ${STATUS_CODES[response.status] ?? ""}`.trim();
}

/** A token for what a challenge asks for. `url` is what was asked of the registry. Throws a Fault "unauthorized". */
export async function tokenFor(
  url: string,
  challenge: Challenge,
  credentials: Credentials,
  exchange: Exchange,
): Promise<{ readonly access: string; readonly refresh: string }> {
  const realm = URL.parse(challenge.parameters.realm ?? "");
  if (realm === null || (realm.protocol !== "https:" && !isLoopback(realm.host)))
    throw refused(`Get "${url}": unauthorized: the registry names no authorization service`);
  const request = tokenRequest(realm, challenge, credentials);
  const response = await exchange(realm.href, request);
  if (response.status === 401 || response.status === 403)
    throw refused(`Get "${url}": unauthorized: ${await reasonOf(response)}`);
  if (!response.ok)
    throw fault("failed", "registry-answer", `Get "${url}": ${await reasonOf(response)}`);
  const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (key: string) => (typeof answer[key] === "string" ? (answer[key] as string) : "");
  return { access: text("access_token") || text("token"), refresh: text("refresh_token") };
}

/** The Authorization header that answers a challenge; undefined when nothing could. */
export async function answerChallenge(
  url: string,
  challenge: Challenge | undefined,
  credentials: Credentials,
  exchange: Exchange,
): Promise<string | undefined> {
  if (challenge?.scheme === "basic" && credentials.username !== "") {
    const { protocol, host } = new URL(url);
    return protocol === "https:" || isLoopback(host) ? basic(credentials) : undefined;
  }
  if (challenge?.scheme !== "bearer") return undefined;
  if (credentials.registryToken) return `Bearer ${credentials.registryToken}`;
  return `Bearer ${(await tokenFor(url, challenge, credentials, exchange)).access}`;
}
