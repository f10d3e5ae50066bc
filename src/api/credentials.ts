/**
 * Credentials for registries as clients send them: base64url of JSON in X-Registry-Auth.
 */
import { fault } from "../base/errors.ts";
import type { RegistryCredentials } from "./ports.ts";

const nobody: RegistryCredentials = { username: "", password: "", identityToken: "" };

/** The same for questions that nobody has to be somebody for: what cannot be read is nobody, as in dockerd. */
export function credentialsOrNobody(header: string | string[] | undefined): RegistryCredentials {
  try {
    return credentialsOf(header);
  } catch {
    return nobody;
  }
}

/** A header's object; undefined when there is no header. Throws a Fault "invalid" for one that cannot be read. */
function decoded(name: string, header: string | string[] | undefined): object | undefined {
  const text = [header ?? ""].flat()[0] ?? "";
  if (text === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null) return value;
  throw fault(
    "invalid",
    "registry-auth",
    `invalid ${name} header: it is no base64url of a JSON object`,
  );
}

/** Nobody in particular when there is no header. Throws a Fault "invalid" for one that cannot be read. */
export function credentialsOf(header: string | string[] | undefined): RegistryCredentials {
  const value = decoded("X-Registry-Auth", header);
  return value === undefined ? nobody : fieldsOf(value);
}

function fieldsOf(value: object): RegistryCredentials {
  const fields = value as Record<string, unknown>;
  const field = (key: string) => (typeof fields[key] === "string" ? (fields[key] as string) : "");
  const [, name = "", secret = ""] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(field("auth"), "base64").toString("utf8")) ?? [];
  return {
    username: field("username") || name,
    password: field("password") || secret,
    identityToken: field("identitytoken"),
    registryToken: field("registrytoken"),
  };
}

/**
 * The credentials for several registries: X-Registry-Config, base64url of JSON with an object for each address. Throws a Fault
 * "invalid" for one that cannot be read.
 */
export function credentialsByHost(
  header: string | string[] | undefined,
): (domain: string) => RegistryCredentials {
  const value = decoded("X-Registry-Config", header);
  if (value === undefined) return () => nobody;
  const byHost = new Map(Object.entries(value));
  return (domain) => {
    const address = domain === "docker.io" ? "https://index.docker.io/v1/" : domain;
    const found: unknown = byHost.get(address) ?? byHost.get(domain);
    return typeof found === "object" && found !== null ? fieldsOf(found) : nobody;
  };
}
