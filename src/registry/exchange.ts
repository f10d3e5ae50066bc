/**
 * One HTTP request, and what it means that nobody answers.
 */
import { fault, messageOf } from "../base/errors.ts";
import type { Exchange } from "./authorization.ts";
import type { Patience } from "./body.ts";
import type { Endpoint } from "./endpoints.ts";

/** What Go says of a TLS handshake that failed; people search for it. */
function tlsProblem(code: string, message: string): string | undefined {
  const x509 = "tls: failed to verify certificate: x509:";
  if (/^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/.test(code))
    return `${x509} certificate signed by unknown authority`;
  if (/^CERT_(HAS_EXPIRED|NOT_YET_VALID)/.test(code))
    return `${x509} certificate has expired or is not yet valid`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `${x509} certificate is for another name`;
  if (code === "EPROTO" && /speak TLS/.test(message))
    return "tls: the handshake failed: either http: server gave HTTP response to HTTPS client, or it wants a client certificate";
  return undefined;
}

function unanswered(method: string, url: URL, error: unknown): Error {
  // The name differs with the scheme.
  const refusal = /^(ConnectionRefused|ECONNREFUSED)$/;
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (code === "ResponseHeadersTooLarge")
    return fault("failed", "registry-content", `${url.host} sends headers that are too large`);
  const why = refusal.test(String(code))
    ? `dial tcp ${url.host}: connect: connection refused`
    : name === "TimeoutError"
      ? "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
      : (tlsProblem(String(code), messageOf(error)) ??
        // The runtime names the address, with whatever is signed into it, and gives advice to who has called it.
        messageOf(error)
          .replaceAll(url.href, url.host)
          .replace(/^ECONNRESET: .*/s, "the connection was closed before the answer came")
          .replace(/ For more information, pass `verbose.*$/s, ""));
  // Go writes the method's name like a word.
  const verb = `${method.charAt(0)}${method.slice(1).toLowerCase()}`;
  const shown = `${url.origin}${url.pathname}`;
  return fault("failed", "registry-unreachable", `${verb} "${shown}": ${why}`, error);
}

/** An exchange with an endpoint, and with hosts that it leads to. It follows no redirection. */
export function exchangeWith(endpoint: Endpoint, patience: Patience): Exchange {
  const { hostname } = new URL(endpoint.url);
  return async (address, init) => {
    const url = new URL(address);
    const timer = new AbortController();
    const late = () => timer.abort(new DOMException("timed out", "TimeoutError"));
    // What is being sent takes its time; whoever sends watches over it.
    const streams = Object(init.body)[Symbol.asyncIterator] !== undefined;
    const alarm = streams ? undefined : setTimeout(late, patience.answer);
    const signals = [timer.signal, ...(init.signal ? [init.signal] : [])];
    const tls = url.hostname === hostname ? endpoint.tls : endpoint.elsewhere(url.hostname);
    // What comes is what was signed for: nothing is unpacked on the way.
    const request = { redirect: "manual", decompress: false, tls, ...init } as const;
    try {
      return await fetch(url.href, { ...request, signal: AbortSignal.any(signals) });
    } catch (error) {
      throw unanswered(init.method ?? "GET", url, error);
    } finally {
      clearTimeout(alarm);
    }
  };
}
