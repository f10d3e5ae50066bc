/**
 * Checking credentials with a registry, as `docker login` asks for: with Basic, or with a token that the registry's
 * authorization service gives.
 */
import { STATUS_CODES } from "node:http";
import { fault, messageOf } from "../base/errors.ts";
import { type Challenge, parseChallenge } from "./challenge.ts";

/** Who asks, and whom. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A token of an earlier login, in the password's place. */
  readonly identityToken: string;
  /** A host with or without a port and a scheme; empty for Docker's own registry. */
  readonly serverAddress: string;
}

/** What came of a login. */
export interface LoggedIn {
  /** Empty when the registry gives none: then the password itself is to be kept. */
  readonly identityToken: string;
}

const PATIENCE_MS = 15_000;
const CLIENT_ID = "docker";

function hostOf(serverAddress: string): string {
  const host = serverAddress.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
  if (host !== "" && !/^[\w.-]+(:\d+)?$|^\[[0-9a-fA-F:]+\](:\d+)?$/.test(host))
    throw fault("invalid", "registry-address", `invalid registry address: ${serverAddress}`);
  return ["", "docker.io", "index.docker.io"].includes(host) ? "registry-1.docker.io" : host;
}

/** Only on this host is a registry spoken to without TLS. */
function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}

function unreachable(url: string, error: unknown): Error {
  // The name differs with the scheme.
  const refusal = /^(ConnectionRefused|ECONNREFUSED)$/;
  const { code } = error as { code?: unknown };
  const { host } = new URL(url);
  const why = refusal.test(String(code))
    ? `dial tcp ${host}: connect: connection refused`
    : messageOf(error);
  return fault("failed", "registry-unreachable", `Get "${url}": ${why}`, error);
}

async function get(url: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    throw unreachable(url, error);
  }
}

function refused(message: string): Error {
  return fault("unauthorized", "registry-login", message);
}

/** The registry's front door, and what it has answered to somebody unknown. */
async function knock(host: string): Promise<{ url: string; response: Response }> {
  const schemes = isLoopback(host) ? ["https", "http"] : ["https"];
  let last: unknown;
  for (const scheme of schemes) {
    const url = `${scheme}://${host}/v2/`;
    try {
      return { url, response: await get(url) };
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function tokenRequest(realm: URL, challenge: Challenge, credentials: Credentials): RequestInit {
  const { service = "", scope = "" } = challenge.parameters;
  const fields = new URLSearchParams({ service, client_id: CLIENT_ID, ...(scope && { scope }) });
  if (credentials.identityToken !== "") {
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", credentials.identityToken);
    return { method: "POST", body: fields };
  }
  fields.set("account", credentials.username);
  fields.set("offline_token", "true");
  for (const [key, value] of fields) realm.searchParams.set(key, value);
  return { headers: { Authorization: basic(credentials) } };
}

/** The words of an authorization service that says no. */
async function reasonOf(response: Response): Promise<string> {
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

async function tokenFor(
  url: string,
  challenge: Challenge,
  credentials: Credentials,
): Promise<{ access: string; refresh: string }> {
  const realm = URL.parse(challenge.parameters.realm ?? "");
  // A password that came over TLS goes nowhere without it.
  if (realm === null || (realm.protocol !== "https:" && !isLoopback(realm.host)))
    throw refused(`Get "${url}": unauthorized: the registry names no authorization service`);
  const request = tokenRequest(realm, challenge, credentials);
  const response = await get(realm.href, request);
  if (response.status === 401 || response.status === 403)
    throw refused(`Get "${url}": unauthorized: ${await reasonOf(response)}`);
  if (!response.ok)
    throw fault("failed", "registry-answer", `Get "${url}": ${await reasonOf(response)}`);
  const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const text = (key: string) => (typeof answer[key] === "string" ? (answer[key] as string) : "");
  return { access: text("access_token") || text("token"), refresh: text("refresh_token") };
}

/**
 * Asks a registry whether credentials are good. Throws a Fault "unauthorized" when they are not, and "failed" when the
 * registry cannot be asked.
 */
export async function login(credentials: Credentials): Promise<LoggedIn> {
  const { url, response } = await knock(hostOf(credentials.serverAddress));
  if (response.ok) return { identityToken: "" };
  const challenge = parseChallenge(response.headers.get("www-authenticate"));
  let authorization = "";
  let identityToken = "";
  if (response.status === 401 && challenge?.scheme === "basic") authorization = basic(credentials);
  else if (response.status === 401 && challenge?.scheme === "bearer") {
    const { access, refresh } = await tokenFor(url, challenge, credentials);
    authorization = `Bearer ${access}`;
    identityToken = refresh;
  }
  const known =
    authorization === "" ? response : await get(url, { headers: { Authorization: authorization } });
  if (known.ok) return { identityToken };
  const what = `login attempt to ${url} failed with status: ${known.status} ${STATUS_CODES[known.status] ?? ""}`;
  throw known.status === 401 || known.status === 403
    ? refused(what)
    : fault("failed", "registry-answer", what);
}
