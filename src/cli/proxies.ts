/**
 * Proxies for containers and builds, as the user's config.json has them: `proxies`, by the daemon's address or `default`.
 */
import { readConfig, table, text } from "./config-file.ts";

const names: Readonly<Record<string, string>> = {
  HTTP_PROXY: "httpProxy",
  HTTPS_PROXY: "httpsProxy",
  NO_PROXY: "noProxy",
  FTP_PROXY: "ftpProxy",
  ALL_PROXY: "allProxy",
};

/**
 * The variables of proxies for what runs at a daemon ("unix:///run/berth/berth.sock"), each in capitals and in small letters;
 * those that are given already are left out.
 */
export function proxyVariables(
  daemon: string,
  given: readonly string[],
): (readonly [name: string, value: string])[] {
  const all = table((readConfig() as { readonly proxies?: unknown }).proxies);
  const own = table(all[Object.hasOwn(all, daemon) ? daemon : "default"]);
  return Object.entries(names)
    .flatMap(([name, key]) =>
      [name, name.toLowerCase()].map((one) => [one, text(own[key])] as const),
    )
    .filter(([name, value]) => value !== "" && !given.includes(name));
}
