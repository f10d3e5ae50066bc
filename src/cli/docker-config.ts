/**
 * Credentials for registries where the docker command line keeps them: config.json, and the programs that it names.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { leaveNoCoreDump } from "../base/core-dumps.ts";
import { messageOf } from "../base/errors.ts";
import { type ConfigFile, configPath, readConfig, type Table, table, text } from "./config-file.ts";

/** Who asks a registry. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
  /** A token of an earlier login, in the password's place. */
  readonly identityToken: string;
}

/** Docker Hub goes by this address among credentials. */
export const HUB_ADDRESS = "https://index.docker.io/v1/";
/** What a helper says instead of a user's name for a token. */
const TOKEN_USER = "<token>";

/** The registry of an image's name, as credentials are kept for it. */
export function addressOf(image: string): string {
  const [first = ""] = image.split("/");
  const named = image.includes("/") && (/[.:]/.test(first) || first === "localhost");
  return named && first !== "docker.io" && first !== "index.docker.io" ? first : HUB_ADDRESS;
}

/** The host that a key of the file means: people and programs write it in many ways. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
}

/** The keys under which somebody may have kept a login, the best first. */
function keysOf(address: string, auths: Table): string[] {
  const hosts =
    address === HUB_ADDRESS ? ["index.docker.io", "docker.io", "registry-1.docker.io"] : [address];
  const others = Object.keys(auths).filter((key) => key !== address && hosts.includes(hostOf(key)));
  return [...(Object.hasOwn(auths, address) ? [address] : []), ...others];
}

function helperOf({ credsStore, credHelpers }: ConfigFile, address: string): string | undefined {
  const own = Object.hasOwn(table(credHelpers), address) ? table(credHelpers)[address] : undefined;
  const found = own ?? credsStore;
  return typeof found === "string" && found !== "" ? found : undefined;
}

function callHelper(helper: string, action: string, input: string): string {
  const program = `docker-credential-${helper}`;
  const path = helper.includes("/") ? null : Bun.which(program, { PATH: process.env.PATH ?? "" });
  if (path === null)
    throw new Error(
      `error getting credentials - err: exec: "${program}": executable file not found in $PATH`,
    );
  const env = { ...process.env };
  const done = Bun.spawnSync([path, action], { stdin: Buffer.from(input), env });
  const said = done.stdout.toString().trim();
  if (done.exitCode === 0) return said;
  const why = `exit status ${done.exitCode}, out: \`${said || done.stderr.toString().trim()}\``;
  const doing = action === "get" ? "getting" : action === "store" ? "storing" : "erasing";
  throw new Error(`error ${doing} credentials - err: ${why}`);
}

function fromHelper(helper: string, address: string): RegistryLogin | undefined {
  let said: string;
  try {
    said = callHelper(helper, "get", address);
  } catch (error) {
    if (/credentials not found/.test(messageOf(error))) return undefined;
    throw error;
  }
  let answer: Table;
  try {
    answer = table(JSON.parse(said));
  } catch {
    // What it has said may be secret.
    throw new Error(`error getting credentials - err: docker-credential-${helper} gives no JSON`);
  }
  const [username, secret] = [text(answer.Username), text(answer.Secret)];
  return username === TOKEN_USER
    ? { username: "", password: "", identityToken: secret }
    : { username, password: secret, identityToken: "" };
}

/** What is kept for a registry; undefined when nothing is. */
export function loginFor(address: string): RegistryLogin | undefined {
  const config = readConfig();
  const helper = helperOf(config, address);
  leaveNoCoreDump();
  if (helper !== undefined) return fromHelper(helper, address);
  const auths = table(config.auths);
  const [key] = keysOf(address, auths);
  if (key === undefined) return undefined;
  const entry = table(auths[key]);
  const plain = Buffer.from(text(entry.auth), "base64").toString("utf8");
  const colon = plain.indexOf(":");
  return {
    username: colon < 0 ? text(entry.username) : plain.slice(0, colon),
    // Some programs fill it up with zeros.
    password: colon < 0 ? text(entry.password) : plain.slice(colon + 1).replace(/\0+$/, ""),
    identityToken: text(entry.identitytoken),
  };
}

/** X-Registry-Auth for an image's registry; nothing when nothing is kept. */
export function authHeaders(image: string): Record<string, string> {
  const serveraddress = addressOf(image);
  const login = loginFor(serveraddress);
  if (login === undefined) return {};
  const { username, password, identityToken: identitytoken } = login;
  const json = JSON.stringify({ username, password, identitytoken, serveraddress });
  // Padded: whoever reads it strictly wants it so.
  const encoded = Buffer.from(json).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  return { "X-Registry-Auth": encoded };
}

/** X-Registry-Config: everything that is kept, for a build that may ask any registry. */
export function buildAuthHeaders(): Record<string, string> {
  const { auths, credHelpers } = readConfig();
  const addresses = new Set([...Object.keys(table(auths)), ...Object.keys(table(credHelpers))]);
  const logins = [...addresses].flatMap((address) => {
    const login = loginFor(address);
    if (login === undefined) return [];
    const { username, password, identityToken: identitytoken } = login;
    return [[address, { username, password, identitytoken, serveraddress: address }] as const];
  });
  if (logins.length === 0) return {};
  const json = JSON.stringify(Object.fromEntries(logins));
  return { "X-Registry-Config": Buffer.from(json).toString("base64url") };
}

function writeAuths(change: (auths: Record<string, unknown>) => void): void {
  const config = readConfig();
  const auths = { ...table(config.auths) };
  change(auths);
  mkdirSync(dirname(configPath()), { recursive: true, mode: 0o700 });
  writeFileAtomic(configPath(), `${JSON.stringify({ ...config, auths }, null, "\t")}\n`);
}

/** Notes the context in use; "" is none. */
export function useContext(name: string): void {
  const { currentContext: _, ...others } = readConfig();
  const config = name === "" ? others : { ...others, currentContext: name };
  mkdirSync(dirname(configPath()), { recursive: true, mode: 0o700 });
  writeFileAtomic(configPath(), `${JSON.stringify({ auths: {}, ...config }, null, "\t")}\n`);
}

/** Keeps credentials. Gives the helper that has them, if one does. */
export function keepLogin(address: string, login: RegistryLogin): string | undefined {
  leaveNoCoreDump();
  const helper = helperOf(readConfig(), address);
  const { username, password, identityToken } = login;
  if (helper !== undefined) {
    const kept =
      identityToken === ""
        ? { ServerURL: address, Username: username, Secret: password }
        : { ServerURL: address, Username: TOKEN_USER, Secret: identityToken };
    callHelper(helper, "store", JSON.stringify(kept));
  }
  writeAuths((auths) => {
    auths[address] =
      helper !== undefined
        ? {}
        : identityToken === ""
          ? { auth: Buffer.from(`${username}:${password}`).toString("base64") }
          : { auth: Buffer.from(`${username}:`).toString("base64"), identitytoken: identityToken };
  });
  return helper;
}

/** Forgets what is kept for a registry; false when nothing was. */
export function forgetLogin(address: string): boolean {
  const config = readConfig();
  const helper = helperOf(config, address);
  const keys = keysOf(address, table(config.auths));
  if (helper !== undefined && fromHelper(helper, address) !== undefined)
    callHelper(helper, "erase", address);
  else if (keys.length === 0) return false;
  if (existsSync(configPath()))
    writeAuths((auths) => {
      for (const key of keys) delete auths[key];
    });
  return true;
}
