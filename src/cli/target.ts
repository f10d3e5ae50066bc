/**
 * Which daemon a command is for: --host or --context, the environment, the context in use, the default socket; and what TLS
 * needs.
 */

import { userPlaces } from "../base/user-places.ts";
import { defaultHost, type Host, type HostTls, parseHost, resolveHost } from "../client/index.ts";
import { configPath, currentContext } from "./config-file.ts";
import type { Parsed } from "./flags.ts";
import { fs } from "./late-modules.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The flags before the command that say which daemon. */
export interface TargetFlags {
  readonly host: string;
  readonly context: string;
  readonly tls: boolean;
  readonly tlsverify: boolean;
  readonly tlscacert: string;
  readonly tlscert: string;
  readonly tlskey: string;
}

/** Reads those flags. An empty --host is the default socket, whatever the environment and the context in use say. */
export function targetFlags(globals: Parsed): TargetFlags {
  return {
    host: globals.has("host") ? globals.text("host").trim() || defaultHost : "",
    context: globals.text("context"),
    tls: globals.on("tls"),
    tlsverify: globals.on("tlsverify"),
    tlscacert: globals.text("tlscacert"),
    tlscert: globals.text("tlscert"),
    tlskey: globals.text("tlskey"),
  };
}

/** The same flags for another command line. */
export function targetArguments({
  host,
  context,
  tls,
  tlsverify,
  ...files
}: TargetFlags): string[] {
  const given = Object.entries({ host, context, ...files }).filter(([, value]) => value !== "");
  return [
    ...given.flatMap(([name, value]) => [`--${name}`, value]),
    ...(tls ? ["--tls"] : []),
    ...(tlsverify ? ["--tlsverify"] : []),
  ];
}

/** The variable that overrides the context in use, if one does. */
export function overridingVariable(env: Environment): string | undefined {
  return ["BERTH_HOST", "DOCKER_HOST"].find((name) => env[name]);
}

/** The name of the context that counts; "default" for flags, variables and the default socket. */
export function contextName({ host, context }: TargetFlags, env: Environment): string {
  if (context !== "") return context;
  if (host !== "" || overridingVariable(env) !== undefined) return "default";
  return env.BERTH_CONTEXT || env.DOCKER_CONTEXT || currentContext() || "default";
}

/** What --tls and its like say, and the environment. */
function tlsOfFlags(flags: TargetFlags, env: Environment): HostTls | undefined {
  const verify = flags.tlsverify || Boolean(env.DOCKER_TLS_VERIFY);
  if (!verify && !flags.tls && !env.DOCKER_TLS) return undefined;
  // Loaded here, because every command's start would pay for it.
  const { existsSync, readFileSync } = fs();
  const directory = env.DOCKER_CERT_PATH || configPath().replace(/\/[^/]*$/, "");
  const file = (given: string, name: string) => {
    const path = given || `${directory}/${name}.pem`;
    return given !== "" || existsSync(path) ? readFileSync(path, "utf8") : undefined;
  };
  const ca = file(flags.tlscacert, "ca");
  const cert = file(flags.tlscert, "cert");
  return { verify, ca, cert, key: file(flags.tlskey, "key") };
}

/** The host with the key of a machine, if that is its address. */
async function withKeyOf(name: string, host: Host): Promise<Host> {
  const { findMachine, targetOfMachine, urlOf } = await import("./machine/record.ts");
  const machine = findMachine(name);
  if (machine === undefined || urlOf(machine) !== host.url) return host;
  return { ...host, target: { ssh: targetOfMachine(machine) } };
}

async function hostOfContext(name: string): Promise<Host> {
  const { findContext, noSuchContext, tlsOf } = await import("./contexts.ts");
  const found = findContext(name);
  if (found === undefined)
    throw new Error(
      `Failed to initialize: unable to resolve docker endpoint: ${noSuchContext(name).message}`,
    );
  const { Host: url, SkipTLSVerify } = found.Endpoints.docker ?? {};
  if (typeof url !== "string" || url === "")
    throw new Error(
      `Failed to initialize: unable to resolve docker endpoint: context ${JSON.stringify(name)} has no docker endpoint`,
    );
  const files = tlsOf(name);
  const text = (file: string) => {
    const bytes = files.get(file);
    return bytes && new TextDecoder().decode(bytes);
  };
  if (url.startsWith("ssh://")) return withKeyOf(name, parseHost(url, true));
  if (files.size === 0 && SkipTLSVerify !== true) return parseHost(url, true);
  return parseHost(url, true, {
    ca: text("ca.pem"),
    cert: text("cert.pem"),
    key: text("key.pem"),
    verify: SkipTLSVerify !== true,
  });
}

/**
 * The socket of the user's own daemon (docs/rootless.md), where nobody has said another: it is there, and the host's daemon is
 * not, or is not for this user. Root has none.
 */
function ownSocket(env: Environment): string | undefined {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return undefined;
  const { accessSync, constants } = fs();
  const usable = (socket: string) => {
    try {
      accessSync(socket, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  };
  if (usable(defaultHost.slice("unix://".length))) return undefined;
  const { socket } = userPlaces(env, uid);
  return usable(socket) ? `unix://${socket}` : undefined;
}

/** The daemon to talk to. Rejects in docker's words for a context that is not there, and for an address that is none. */
export async function targetOf(flags: TargetFlags, env: Environment): Promise<Host> {
  if (flags.host !== "" && flags.context !== "")
    throw new Error("conflicting options: cannot specify both --host and --context");
  const name = contextName(flags, env);
  if (name !== "default") return hostOfContext(name);
  const said = flags.host || env.BERTH_HOST || env.DOCKER_HOST;
  const host = resolveHost(said || ownSocket(env), env, tlsOfFlags(flags, env));
  const machine = env.DOCKER_MACHINE_NAME;
  return machine && "ssh" in host.target ? withKeyOf(machine, host) : host;
}

/** The address of the default context: of a variable, the user's own daemon's, or the default socket. */
export function defaultAddress(env: Environment): string {
  const variable = overridingVariable(env);
  return (variable && env[variable]) || ownSocket(env) || defaultHost;
}
