/**
 * Checking credentials with a registry, as `docker login` asks for.
 */
import { STATUS_CODES } from "node:http";
import { fault } from "../base/errors.ts";
import { basic, type Credentials, tokenFor } from "./authorization.ts";
import { type Patience, patient } from "./body.ts";
import { type Endpoint, findEndpoints, type RegistrySettings } from "./endpoints.ts";
import { exchangeWith } from "./exchange.ts";
import { chooseChallenge } from "./headers.ts";
import { dropBody } from "./session.ts";

/** Whom to ask, and as whom. */
export interface LoginRequest extends Credentials {
  /** A host with or without a port and a scheme; empty for Docker's own registry. */
  readonly serverAddress: string;
}

/** What came of a login. */
export interface LoggedIn {
  /** Empty when the registry gives none: then the password itself is to be kept. */
  readonly identityToken: string;
}

/** The registry that a server address names. Throws a Fault "invalid" for what is none. */
export function domainOf(serverAddress: string): string {
  const host = serverAddress.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
  if (host !== "" && !/^[\w.-]+(:\d+)?$|^\[[0-9a-fA-F:]+\](:\d+)?$/.test(host))
    throw fault("invalid", "registry-address", `invalid registry address: ${serverAddress}`);
  return host;
}

/** The registry's front door, and what it has answered to somebody unknown. */
async function knock(
  endpoints: readonly Endpoint[],
  patience: Patience,
): Promise<{ endpoint: Endpoint; url: string; response: Response }> {
  let last: unknown;
  for (const endpoint of endpoints) {
    const url = `${endpoint.url}/`;
    try {
      const response = await exchangeWith(endpoint, patience)(url, {
        headers: { ...endpoint.headers },
      });
      return { endpoint, url, response };
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/**
 * Asks a registry whether credentials are good. Throws a Fault "unauthorized" when they are not, and "failed" when the
 * registry cannot be asked.
 */
export async function login(request: LoginRequest, settings: RegistrySettings): Promise<LoggedIn> {
  const own = (await findEndpoints(domainOf(request.serverAddress), settings)).filter(
    (endpoint) => endpoint.own,
  );
  const patience = settings.patience ?? patient;
  const { endpoint, url, response } = await knock(own, patience);
  dropBody(response);
  if (response.ok) return { identityToken: "" };
  const exchange = exchangeWith(endpoint, patience);
  const challenge = chooseChallenge(response.headers.get("www-authenticate"));
  let authorization = "";
  let identityToken = "";
  if (response.status === 401 && challenge?.scheme === "basic") authorization = basic(request);
  else if (response.status === 401 && challenge?.scheme === "bearer") {
    const { access, refresh } = await tokenFor(url, challenge, {
      credentials: request,
      exchange,
      patience,
    });
    authorization = `Bearer ${access}`;
    identityToken = refresh;
  }
  const known =
    authorization === ""
      ? response
      : await exchange(url, { headers: { ...endpoint.headers, Authorization: authorization } });
  dropBody(known);
  if (known.ok) return { identityToken };
  const what = `login attempt to ${url} failed with status: ${known.status} ${STATUS_CODES[known.status] ?? ""}`;
  throw known.status === 401 || known.status === 403
    ? fault("unauthorized", "registry-login", what)
    : fault("failed", "registry-answer", what);
}
