/**
 * Credentials for registries where the docker command line keeps them: config.json, and the programs that it names.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { errnoOf, messageOf } from "../base/errors.ts";

/** Who asks a registry. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
  /** A token of an earlier login, in the password's place. */
  readonly identityToken: string;
}

interface AuthEntry {
  readonly auth?: string;
  readonly identitytoken?: string;
}

interface DockerConfig {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

/** Docker Hub goes by this address among credentials. */
export const HUB_ADDRESS = "https://index.docker.io/v1/";
/** What a helper says instead of a user's name for a token. */
const TOKEN_USER = "<token>";

/** Where the configuration lies. */
export function configPath(): string {
  const directory = process.env.DOCKER_CONFIG || join(process.env.HOME || "/root", ".docker");
  return join(directory, "config.json");
}

function readConfig(): DockerConfig {
  const path = configPath();
  try {
    return JSON.parse(readFileSync(path, "utf8")) as DockerConfig;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return {};
    throw new Error(`${path} cannot be read: ${messageOf(error)}`);
  }
}

/** The registry of an image's name, as credentials are kept for it. */
export function addressOf(image: string): string {
  const [first = ""] = image.split("/");
  const named = image.includes("/") && (/[.:]/.test(first) || first === "localhost");
  return named && first !== "docker.io" && first !== "index.docker.io" ? first : HUB_ADDRESS;
}

/** The keys under which somebody may have kept them. */
function keysOf(address: string): string[] {
  return address === HUB_ADDRESS
    ? [HUB_ADDRESS, "docker.io", "index.docker.io", "registry-1.docker.io"]
    : [
        address,
        `https://${address}`,
        `http://${address}`,
        `https://${address}/v1/`,
        `https://${address}/v2/`,
      ];
}

function helperOf({ credsStore, credHelpers }: DockerConfig, address: string): string | undefined {
  return credHelpers?.[address] ?? (credsStore || undefined);
}

function callHelper(helper: string, action: string, input: string): string {
  const program = `docker-credential-${helper}`;
  if (Bun.which(program) === null)
    throw new Error(
      `error getting credentials - err: exec: "${program}": executable file not found in $PATH`,
    );
  const done = Bun.spawnSync([program, action], { stdin: Buffer.from(input) });
  const said = done.stdout.toString().trim();
  if (done.exitCode !== 0) throw new Error(said || done.stderr.toString().trim());
  return said;
}

function fromHelper(helper: string, address: string): RegistryLogin | undefined {
  let said: string;
  try {
    said = callHelper(helper, "get", address);
  } catch (error) {
    if (/credentials not found/.test(messageOf(error))) return undefined;
    throw error;
  }
  const { Username = "", Secret = "" } = JSON.parse(said) as { Username?: string; Secret?: string };
  return Username === TOKEN_USER
    ? { username: "", password: "", identityToken: Secret }
    : { username: Username, password: Secret, identityToken: "" };
}

/** What is kept for a registry; undefined when nothing is. */
export function loginFor(address: string): RegistryLogin | undefined {
  const config = readConfig();
  const helper = helperOf(config, address);
  if (helper !== undefined) return fromHelper(helper, address);
  const entry = keysOf(address).flatMap((key) => config.auths?.[key] ?? [])[0];
  if (entry === undefined) return undefined;
  const plain = Buffer.from(entry.auth ?? "", "base64").toString("utf8");
  const colon = plain.indexOf(":");
  return {
    username: plain.slice(0, Math.max(colon, 0)),
    password: plain.slice(colon + 1),
    identityToken: entry.identitytoken ?? "",
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

function writeAuths(change: (auths: Record<string, AuthEntry>) => void): void {
  const config = readConfig();
  const auths = { ...config.auths };
  change(auths);
  mkdirSync(dirname(configPath()), { recursive: true, mode: 0o700 });
  writeFileAtomic(configPath(), `${JSON.stringify({ ...config, auths }, null, "\t")}\n`);
}

/** Keeps credentials. Gives the helper that has them, if one does. */
export function keepLogin(address: string, login: RegistryLogin): string | undefined {
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
  const keys = keysOf(address).filter((key) => config.auths?.[key] !== undefined);
  if (helper !== undefined && fromHelper(helper, address) !== undefined)
    callHelper(helper, "erase", address);
  else if (keys.length === 0) return false;
  if (existsSync(configPath()))
    writeAuths((auths) => {
      for (const key of keys) delete auths[key];
    });
  return true;
}
