/**
 * Requests to one endpoint on somebody's behalf: authorization, redirections, patience with a registry that is busy.
 */
import { answerChallenge, type Credentials } from "./authorization.ts";
import { parseChallenge } from "./challenge.ts";
import type { Endpoint } from "./endpoints.ts";
import { exchangeWith } from "./exchange.ts";

const REDIRECTIONS_MAX = 10;
const TRIES = 5;
const FIRST_WAIT_MS = 250;
/** Whoever wants us to wait longer is taken for a refusal. */
const WAIT_MAX_MS = 60_000;

/** A request below an endpoint's prefix, or at a URL that the registry has named. */
export interface RegistryRequest {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** "/library/busybox/manifests/latest", or a whole URL. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for each try; a request with a body that cannot be sent again says so. */
  readonly body?: () => NonNullable<RequestInit["body"]>;
  readonly once?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Told when the registry lets us wait. */
export type Notice = (text: string) => void;

/** The milliseconds that a busy registry asks for (RFC 9110, 10.2.3); undefined when it does not say. */
function askedWait(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}

/** An endpoint with credentials and a scope: "repository:library/busybox:pull". */
export class Session {
  private authorization: string | undefined;
  private readonly exchange;

  constructor(
    readonly endpoint: Endpoint,
    private readonly credentials: Credentials,
    private readonly scope: string,
    private readonly notice: Notice = () => {},
  ) {
    this.exchange = exchangeWith(endpoint.tls);
  }

  /** The registry's answer, whatever it is. Rejects with a Fault when nobody answers. */
  async request(request: RegistryRequest): Promise<Response> {
    const tries = request.once === true ? 1 : TRIES;
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= tries;
      let response: Response;
      try {
        response = await this.authorized(request);
      } catch (error) {
        if (last || request.signal?.aborted || !isPassing(error)) throw error;
        await this.pause(attempt, undefined);
        continue;
      }
      const busy = response.status === 429 || response.status >= 502;
      if (!busy || last) return response;
      const asked = askedWait(response.headers.get("retry-after"));
      if (asked !== undefined && asked > WAIT_MAX_MS) return response;
      await response.body?.cancel();
      await this.pause(attempt, asked);
    }
  }

  private async pause(attempt: number, asked: number | undefined): Promise<void> {
    const backOff = FIRST_WAIT_MS * 2 ** (attempt - 1);
    const wait = asked ?? backOff * (1 + Math.random() / 2);
    if (wait >= 1000)
      this.notice(`The registry is busy, trying again in ${Math.ceil(wait / 1000)} s`);
    await Bun.sleep(wait);
  }

  private async authorized(request: RegistryRequest): Promise<Response> {
    const response = await this.follow(request);
    if (response.status !== 401) return response;
    const url = this.urlOf(request);
    const challenge = parseChallenge(response.headers.get("www-authenticate"));
    const scoped = challenge && {
      ...challenge,
      parameters: { scope: this.scope, ...challenge.parameters },
    };
    const answer = await answerChallenge(url, scoped, this.credentials, this.exchange);
    // The same answer again would be refused again.
    if (answer === undefined || answer === this.authorization) return response;
    await response.body?.cancel();
    this.authorization = answer;
    return this.follow(request);
  }

  private urlOf({ target }: RegistryRequest): string {
    return /^https?:\/\//.test(target) ? target : `${this.endpoint.url}${target}`;
  }

  private async follow(request: RegistryRequest): Promise<Response> {
    const method = request.method ?? "GET";
    const home = new URL(this.endpoint.url);
    let url = new URL(this.urlOf(request));
    if (this.endpoint.mirrorOf !== undefined)
      url.searchParams.set("ns", nameOfHost(this.endpoint.mirrorOf));
    for (let hops = 0; hops <= REDIRECTIONS_MAX; hops++) {
      // Credentials are the registry's alone, and no other host's that it leads to.
      const known = url.origin === home.origin;
      const headers = {
        "User-Agent": "berth",
        ...(known ? this.endpoint.headers : {}),
        ...request.headers,
        ...(known && this.authorization ? { Authorization: this.authorization } : {}),
      };
      const response = await this.exchange(url.href, {
        method,
        headers,
        ...(request.body && { body: request.body() }),
        ...(request.signal && { signal: request.signal }),
      });
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
        return response;
      await response.body?.cancel();
      const next = new URL(location, url);
      if (
        !/^https?:$/.test(next.protocol) ||
        (url.protocol === "https:" && next.protocol === "http:")
      )
        throw new Redirected(`${url.host} leads to ${next.protocol}//${next.host}`);
      url = next;
    }
    throw new Redirected(`${home.host} leads from one address to the next without an end`);
  }
}

/** The registry leads where we do not go. */
export class Redirected extends Error {}

function isPassing(error: unknown): boolean {
  if (!(error instanceof Error) || !("cause" in error)) return false;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  // A refusal comes at once and again; a connection that broke may hold the next time.
  return !/EPROTO|Refused|ECONNREFUSED|CERT|SELF_SIGNED|ENOTFOUND|FailedToOpenSocket|UNABLE_TO/.test(
    String(code),
  );
}

function nameOfHost(host: string): string {
  return host === "registry-1.docker.io" ? "docker.io" : host;
}
