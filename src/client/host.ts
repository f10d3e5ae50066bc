/**
 * Which daemon to talk to: a flag, an environment variable or the default socket, and what its address says.
 */

/** The socket of a daemon that nobody chose explicitly. */
export const defaultHost = "unix:///run/berth/berth.sock";

/** What a connection by TLS needs; PEM. */
export interface HostTls {
  /** The authorities to trust; without them, the system's. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Whether the server's certificate must be good. */
  readonly verify: boolean;
}

/** A host that is reached with ssh. */
export interface SshTarget {
  readonly host: string;
  readonly user?: string | undefined;
  readonly port?: string | undefined;
  /** The file of the only key to offer; without it, those that ssh knows. */
  readonly identity?: string | undefined;
  /** The daemon's socket there; without it, the default. */
  readonly socket?: string | undefined;
}

/** Where a connection goes. */
export type HostTarget =
  | { readonly unix: string }
  | { readonly hostname: string; readonly port: number; readonly tls?: HostTls | undefined }
  | { readonly ssh: SshTarget };

/** A daemon's address. */
export interface Host {
  /** For messages: as the user wrote it, with a port where it has one. */
  readonly url: string;
  /** True when a flag or the environment named it; only the default may be started on demand. */
  readonly explicit: boolean;
  readonly target: HostTarget;
}

const [PLAIN_PORT, TLS_PORT, PORT_MAX] = [2375, 2376, 65_535];

const WITHOUT_SCHEME = /^[\w.-]*(?::\d+)?$|^\[[^\]]+\](?::\d+)?$/;

function sshTarget(url: string): SshTarget {
  const bad = (why: string) => new Error(`unable to parse docker host \`${url}\`: ${why}`);
  const match =
    /^ssh:\/\/(?:([^@/:]*)(?::[^@/]*)?@)?(\[[^\]]*\]|[^:/?#]*)(?::(\d+))?(\/[^?#]*)?(\?.*)?(#.*)?$/.exec(
      url,
    );
  if (match === null) throw bad("it is no ssh://[USER@]HOST[:PORT]");
  const [, user, host = "", port, path, query, fragment] = match;
  if (/^ssh:\/\/[^@/]*:[^@/]*@/.test(url)) throw bad("plain-text password is not supported");
  if (host === "") throw bad("no host specified");
  if (query !== undefined)
    throw bad(`extra query after the host: ${JSON.stringify(query.slice(1))}`);
  if (fragment !== undefined)
    throw bad(`extra fragment after the host: ${JSON.stringify(fragment.slice(1))}`);
  // They become arguments of ssh, which must not take them for options.
  for (const word of [user ?? "", host])
    if (word.startsWith("-")) throw bad(`${word} is no name of a host or user`);
  return {
    host: host.replace(/^\[|\]$/g, ""),
    user: user || undefined,
    port,
    socket: path === "/" ? undefined : path,
  };
}

/** Reads a `unix://`, `tcp://` or `ssh://` address, or one without a scheme, which is TCP's. Throws an Error in Docker's words for anything else. */
export function parseHost(url: string, explicit: boolean, tls?: HostTls): Host {
  const unix = /^unix:\/\/(.*)$/.exec(url);
  if (unix) return { url, explicit, target: { unix: unix[1] || "/run/berth/berth.sock" } };
  if (url.startsWith("ssh://")) return { url, explicit, target: { ssh: sshTarget(url) } };
  // Docker's client takes an address without a scheme for one of TCP.
  const whole = WITHOUT_SCHEME.test(url) ? `tcp://${url}` : url;
  const tcp = /^(tcp|https?):\/\/(\[[^\]]+\]|[^:/]*)(?::(\d+))?\/?$/.exec(whole);
  if (!tcp)
    throw new Error(
      `unable to parse docker host \`${url}\`: it is no unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]`,
    );
  const [, scheme = "", name] = tcp;
  const hostname = (name || "127.0.0.1").replace(/^\[|\]$/g, "");
  const port = Number(tcp[3] ?? (tls === undefined ? PLAIN_PORT : TLS_PORT));
  if (port > PORT_MAX)
    throw new Error(`unable to parse docker host \`${url}\`: ${port} is no port`);
  const secure = tls ?? (scheme === "https" ? { verify: true } : undefined);
  const shown = `${scheme}://${name || "localhost"}:${port}`;
  return { url: shown, explicit, target: { hostname, port, tls: secure } };
}

/** `-H` beats BERTH_HOST beats DOCKER_HOST beats the default socket. */
export function resolveHost(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  tls?: HostTls,
): Host {
  const chosen = flag || env.BERTH_HOST || env.DOCKER_HOST;
  return chosen ? parseHost(chosen, true, tls) : parseHost(defaultHost, false);
}
