/**
 * The proxies by which registries are reached: flags, the file's `proxies`, and the environment, in this order. The
 * runtime takes them from the environment.
 */

/** What the daemon was told; undefined leaves the environment as it is. */
export interface Proxies {
  readonly http: string | undefined;
  readonly https: string | undefined;
  readonly none: string | undefined;
}

type Environment = Record<string, string | undefined>;

/** Never by a proxy, as in Go: a password for a registry on this host is nobody else's. */
const OWN_HOST = ["localhost", "127.0.0.0/8", "::1"];

function set(environment: Environment, name: string, value: string | undefined): void {
  if (value === undefined) return;
  // Either spelling may be there, and one that stays could win.
  delete environment[name.toLowerCase()];
  environment[name] = value;
}

/** Puts into effect what the daemon was told. */
export function useProxies({ http, https, none }: Proxies, environment: Environment): void {
  set(environment, "HTTP_PROXY", http);
  set(environment, "HTTPS_PROXY", https);
  const isUsed = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"].some(
    (name) => environment[name],
  );
  if (!isUsed) return;
  const excepted = none ?? environment.NO_PROXY ?? environment.no_proxy ?? "";
  const known = excepted.split(",").map((one) => one.trim());
  const all = [...known, ...OWN_HOST.filter((one) => !known.includes(one))];
  set(environment, "NO_PROXY", all.filter(Boolean).join(","));
}
