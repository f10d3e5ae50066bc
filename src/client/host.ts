/**
 * Which daemon to talk to: a flag, an environment variable or the default socket, and what its address says.
 */

/** The socket of a daemon that nobody chose explicitly. */
export const defaultHost = "unix:///run/berth/berth.sock";

/** A daemon's address. */
export interface Host {
  /** As the user wrote it, for messages. */
  readonly url: string;
  /** True when a flag or the environment named it; only the default may be started on demand. */
  readonly explicit: boolean;
  readonly target: { readonly unix: string } | { readonly hostname: string; readonly port: number };
}

/** Reads a `unix://` or `tcp://` address. Throws an Error in Docker's words for anything else. */
export function parseHost(url: string, explicit: boolean): Host {
  const unix = /^unix:\/\/(.*)$/.exec(url);
  if (unix) return { url, explicit, target: { unix: unix[1] || "/run/berth/berth.sock" } };
  const tcp = /^(?:tcp|http):\/\/(\[[^\]]+\]|[^:/]*)(?::(\d+))?\/?$/.exec(url);
  if (!tcp) throw new Error(`unable to parse docker host \`${url}\``);
  const hostname = (tcp[1] || "127.0.0.1").replace(/^\[|\]$/g, "");
  return { url, explicit, target: { hostname, port: Number(tcp[2] ?? 2375) } };
}

/** `-H` beats BERTH_HOST beats DOCKER_HOST beats the default socket. */
export function resolveHost(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Host {
  const chosen = flag || env.BERTH_HOST || env.DOCKER_HOST;
  return chosen ? parseHost(chosen, true) : parseHost(defaultHost, false);
}
