/**
 * `berth registry serve` and `garbage-collect`: a registry of one's own. What serves is not the command line's; the
 * executable supplies it.
 */
import type { Command } from "../command.ts";
import { flag, type Parsed } from "../flags.ts";
import { out } from "../output.ts";

/** What garbage collection tells. Names are "repository@digest". */
interface Collected {
  readonly manifests: readonly string[];
  readonly blobs: readonly string[];
  readonly young: number;
}

const place = [
  flag("root", "", "string", "Directory of the registry's data", '"/var/lib/berth/registry"'),
];

/** Flags that stand for keys of config.yml. */
const settings: Readonly<Record<string, string>> = {
  addr: "http.addr",
  "tls-cert": "http.tls.certificate",
  "tls-key": "http.tls.key",
  htpasswd: "auth.htpasswd.path",
  proxy: "proxy.remoteurl",
  delete: "storage.delete.enabled",
  "read-only": "storage.maintenance.readonly.enabled",
  "log-level": "log.level",
};

function placeOf(parsed: Parsed) {
  return { config: parsed.args[0], root: parsed.has("root") ? parsed.text("root") : undefined };
}

const serve: Command = {
  usage: "[OPTIONS] [CONFIG]",
  short: "Serve images to others over the distribution protocol",
  args: [0, 1],
  flags: [
    ...place,
    flag("addr", "a", "string", "ADDRESS:PORT to listen on", '"127.0.0.1:5000"'),
    flag("tls-cert", "", "string", "Certificate (PEM) to serve over TLS with"),
    flag("tls-key", "", "string", "Its private key (PEM)"),
    flag("htpasswd", "", "string", "File of users with bcrypt passwords (htpasswd -B)"),
    flag("proxy", "", "string", "Be a cache before the registry at this URL"),
    flag("delete", "", "bool", "Let clients delete tags, manifests and blobs"),
    flag("read-only", "", "bool", "Let clients change nothing"),
    flag("log-level", "l", "string", "debug, info, warn or error", '"info"'),
  ],
  run({ registry }, parsed) {
    const given = Object.entries(settings)
      .filter(([name]) => parsed.has(name))
      .map(([name, key]) => [key, parsed.text(name)] as const);
    return registry.serve({ ...placeOf(parsed), settings: Object.fromEntries(given) });
  },
};

const collect: Command = {
  usage: "[OPTIONS] [CONFIG]",
  short: "Delete blobs that no manifest of a registry names",
  args: [0, 1],
  flags: [
    ...place,
    flag("daemon", "", "bool", "Collect in the daemon's own registry"),
    flag("delete-untagged", "m", "bool", "Delete manifests that no tag leads to, too"),
    flag("dry-run", "d", "bool", "Only tell what would be deleted"),
    flag("grace", "", "string", "Keep what was sent or asked about so lately", '"1h"'),
  ],
  async run({ registry, client }, parsed) {
    const dryRun = parsed.on("dry-run");
    const deleteUntagged = parsed.on("delete-untagged");
    const grace = parsed.has("grace") ? { grace: parsed.text("grace") } : {};
    const query = { "dry-run": dryRun, "delete-untagged": deleteUntagged, ...grace };
    const { manifests, blobs, young } = parsed.on("daemon")
      ? await client.json<Collected>("POST", "/registry/prune", { query })
      : await registry.collect({ ...placeOf(parsed), dryRun, deleteUntagged, ...grace });
    const verb = dryRun ? "would delete" : "deleted";
    for (const name of manifests) out(`${verb} manifest ${name}\n`);
    for (const name of blobs) out(`${verb} blob ${name}\n`);
    out(
      `${manifests.length} manifests, ${blobs.length} blobs ${dryRun ? "would be " : ""}deleted\n`,
    );
    if (young > 0) out(`${young} blobs kept that a push may be about to name (see --grace)\n`);
    return 0;
  },
};

/** By name. */
export const commands = { serve, collect };
