/**
 * Requests to one endpoint on somebody's behalf: authorization, redirections, patience with a registry that is busy.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fault } from "../base/errors.ts";
import { answerChallenge, type Credentials, reasonOf, secretsOf } from "./authorization.ts";
import type { Patience } from "./body.ts";
import type { Endpoint } from "./endpoints.ts";
import { exchangeWith } from "./exchange.ts";
import { type Challenge, chooseChallenge, parseRetryAfter } from "./headers.ts";
import { ledTo } from "./targets.ts";

const REDIRECTIONS_MAX = 10;
const TRIES = 5;

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
  /** What this request needs beyond the session's scope. */
  readonly scope?: string | undefined;
}

/** Told when the registry lets us wait. */
export type Notice = (text: string) => void;

/** On whose behalf, for what, and how patiently a session asks. */
export interface SessionOptions {
  readonly credentials: Credentials;
  /** "repository:library/busybox:pull" */
  readonly scope: string;
  readonly patience: Patience;
  readonly notice: Notice;
}

/** A whole number of seconds or minutes for people. */
export function waitText(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

function union(...scopes: readonly (string | undefined)[]): string {
  return [...new Set(scopes.flatMap((one) => (one ?? "").split(" ")))].filter(Boolean).join(" ");
}

/** An endpoint with credentials and a scope. */
export class Session {
  private authorization: string | undefined;
  private readonly answering = new Map<string, Promise<string | undefined>>();
  private readonly exchange;
  private readonly home;

  constructor(
    readonly endpoint: Endpoint,
    private readonly options: SessionOptions,
  ) {
    this.exchange = exchangeWith(endpoint, options.patience);
    this.home = new URL(endpoint.url);
  }

  /** The registry's answer, whatever it is. Rejects with a Fault when nobody answers. */
  async request(request: RegistryRequest): Promise<Response> {
    const { firstWait, waitMax } = this.options.patience;
    const tries = request.once === true ? 1 : TRIES;
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= tries;
      const backOff = firstWait * 2 ** (attempt - 1) * (1 + Math.random() / 2);
      let response: Response;
      try {
        response = await this.authorized(request);
      } catch (error) {
        if (last || request.signal?.aborted || !isPassing(error)) throw error;
        await this.pause("does not answer", backOff, request.signal);
        continue;
      }
      const busy = response.status === 429 || (response.status >= 500 && response.status !== 501);
      if (!busy || last) return response;
      const asked = parseRetryAfter(response.headers.get("retry-after"), Date.now());
      if (asked !== undefined && asked > waitMax) return response;
      dropBody(response);
      await this.pause("is busy", asked ?? backOff, request.signal);
    }
  }

  /** The registry's own words of a refusal, without what it was told in confidence. */
  reason(response: Response): Promise<string> {
    const { credentials, patience } = this.options;
    return reasonOf(response, secretsOf(credentials, this.authorization), patience);
  }

  private async pause(why: string, ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (ms >= 1000) this.options.notice(`The registry ${why}, trying again in ${waitText(ms)}`);
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  }

  private async authorized(request: RegistryRequest): Promise<Response> {
    let sent = this.authorization;
    let { response, url } = await this.follow(request);
    if (this.isRefused(response, url) && this.authorization !== sent) {
      // Somebody else has been given a newer token meanwhile.
      dropBody(response);
      sent = this.authorization;
      ({ response, url } = await this.follow(request));
    }
    if (!this.isRefused(response, url)) return response;
    const challenge = chooseChallenge(response.headers.get("www-authenticate"));
    const answer = await this.answerOnce(challenge, request.scope);
    // The same answer again would be refused again.
    if (answer === undefined || answer === sent) return response;
    dropBody(response);
    this.authorization = answer;
    return (await this.follow(request)).response;
  }

  /** Another host that we were led to is told nothing, whatever it asks for. */
  private isRefused(response: Response, url: URL): boolean {
    return response.status === 401 && url.origin === this.home.origin;
  }

  /** Layers that come side by side are refused side by side: one token is enough for them. */
  private answerOnce(challenge: Challenge | undefined, extra: string | undefined) {
    const key = JSON.stringify([challenge, extra]);
    const pending = this.answering.get(key) ?? this.answer(challenge, extra);
    this.answering.set(key, pending);
    return pending.finally(() => this.answering.delete(key));
  }

  private answer(challenge: Challenge | undefined, extra: string | undefined) {
    const { credentials, patience, scope } = this.options;
    const wanted = union(scope, extra, challenge?.parameters.scope);
    const scoped = challenge && {
      ...challenge,
      parameters: { ...challenge.parameters, scope: wanted },
    };
    const asking = { credentials, patience, exchange: this.exchange };
    return answerChallenge(`${this.endpoint.url}/`, scoped, asking);
  }

  /** Sends a request to where it leads in the end. */
  private async follow(request: RegistryRequest): Promise<{ response: Response; url: URL }> {
    const { target } = request;
    let url = /^https?:\/\//.test(target)
      ? ledTo(target, this.home)
      : new URL(`${this.endpoint.url}${target}`);
    if (this.endpoint.mirrorOf !== undefined)
      url.searchParams.set("ns", nameOfHost(this.endpoint.mirrorOf));
    for (let hops = 0; hops <= REDIRECTIONS_MAX; hops++) {
      const response = await this.exchange(url.href, this.initFor(request, url));
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
        return { response, url };
      dropBody(response);
      url = ledTo(location, url);
    }
    throw fault(
      "failed",
      "registry-redirect",
      `${this.home.host} leads from one address to the next: stopped after ${REDIRECTIONS_MAX} redirects`,
    );
  }

  /** Credentials are the registry's alone, and no other host's that it leads to. */
  private initFor(request: RegistryRequest, url: URL): RequestInit {
    const known = url.origin === this.home.origin;
    return {
      method: request.method ?? "GET",
      headers: {
        "User-Agent": "berth",
        ...(known ? this.endpoint.headers : {}),
        ...request.headers,
        ...(known && this.authorization ? { Authorization: this.authorization } : {}),
      },
      ...(request.body && { body: request.body() }),
      ...(request.signal && { signal: request.signal }),
    };
  }
}

/** Lets go of an answer that nobody reads; its sender may never come to an end. */
export function dropBody(response: Response): void {
  response.body?.cancel().catch(() => {});
}

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
