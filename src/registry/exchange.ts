/**
 * One HTTP request, and what it means that nobody answers.
 */
import { fault, messageOf } from "../base/errors.ts";
import type { Exchange } from "./authorization.ts";
import type { TlsOptions } from "./endpoints.ts";

/** A header's wait. What streams after it has a patience of its own. */
const PATIENCE_MS = 30_000;

function unreachable(method: string, url: string, error: unknown): Error {
  // The name differs with the scheme.
  const refusal = /^(ConnectionRefused|ECONNREFUSED)$/;
  const { code, name } = error as { code?: unknown; name?: unknown };
  const { host } = new URL(url);
  const why = refusal.test(String(code))
    ? `dial tcp ${host}: connect: connection refused`
    : name === "TimeoutError"
      ? "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
      : messageOf(error);
  // Go writes the method's name like a word.
  const verb = `${method.charAt(0)}${method.slice(1).toLowerCase()}`;
  const shown = url.replace(/\?.*$/s, "");
  return fault("failed", "registry-unreachable", `${verb} "${shown}": ${why}`, error);
}

/** An exchange that speaks TLS in a certain way and follows no redirection. */
export function exchangeWith(tls: TlsOptions): Exchange {
  return async (url, init) => {
    const timer = new AbortController();
    const late = () => timer.abort(new DOMException("timed out", "TimeoutError"));
    // What is being sent takes its time; whoever sends watches over it.
    const alarm = init.body === undefined ? setTimeout(late, PATIENCE_MS) : undefined;
    const signals = [timer.signal, ...(init.signal ? [init.signal] : [])];
    // What comes is what was signed for: nothing is unpacked on the way.
    const request = { redirect: "manual", decompress: false, tls, ...init } as const;
    try {
      return await fetch(url, { ...request, signal: AbortSignal.any(signals) });
    } catch (error) {
      throw unreachable(init.method ?? "GET", url, error);
    } finally {
      clearTimeout(alarm);
    }
  };
}
