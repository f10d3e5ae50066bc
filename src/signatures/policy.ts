/**
 * Which images may come (pure but for the keys' files): containers-policy.json, as far as berth keeps its promises. What it
 * cannot check is refused when the file is read, never passed over.
 */
import { readFileSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import type { Reference } from "../spec/reference.ts";
import { parseIdentity, type SignedIdentity } from "./identity.ts";
import { parseKey, type TrustedKey } from "./keys.ts";
import { isObject, type Json, onlyFields, parseStrictly } from "./strict-json.ts";

/** One of the conditions that an image must fulfil; all of them must be. */
export type Requirement =
  | { readonly type: "insecureAcceptAnything" }
  | { readonly type: "reject" }
  | {
      readonly type: "sigstoreSigned";
      /** One of them must have signed. */
      readonly keys: readonly TrustedKey[];
      readonly identity: SignedIdentity;
    };

/** Conditions, and what they are for. */
export interface Rule {
  /** "docker.io/library", "*.example.com", or "default". */
  readonly scope: string;
  readonly requirements: readonly Requirement[];
}

/** A policy, read. */
export interface Policy {
  /** The file. */
  readonly name: string;
  readonly default: readonly Requirement[];
  /** Of each transport its scopes. */
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly Requirement[]>>;
}

/** Where images come from when `load` and `import` bring them. */
export type ArchiveTransport = "docker-archive" | "tarball";

/** Those that berth has no way in by: files made for other programs may name them. */
const OTHERS = [
  "atomic",
  "containers-storage",
  "dir",
  "docker-daemon",
  "oci",
  "oci-archive",
  "ostree",
  "sif",
];
const TRANSPORTS = ["docker", "docker-archive", "tarball", ...OTHERS];
const SIZE_MAX = 1 << 20;
const SCOPE =
  /^(\*(\.[a-z0-9-]+)+|[a-z0-9.-]+(:\d+)?|\[[0-9a-f:]+\](:\d+)?)(\/[a-z0-9._-]+)*(:[\w.-]+|@sha256:[0-9a-f]{64})?$/i;

function readText(path: string): string {
  if (!path.startsWith("/")) throw new Error(`keyPath ${path} must be an absolute path`);
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`the key ${path} cannot be read: ${messageOf(error)}`);
  }
}

function textsOf(value: Json, single: string, several: string): string[] {
  if (value[single] === undefined && value[several] === undefined) return [];
  const given = value[single] === undefined ? value[several] : [value[single]];
  const isTexts =
    Array.isArray(given) && given.length > 0 && given.every((one) => typeof one === "string");
  if (!isTexts) throw new Error(`${single} must be a text, and ${several} a list of some`);
  return given as string[];
}

const KEYS = ["keyPath", "keyPaths", "keyData", "keyDatas"] as const;

function keysOf(value: Json): TrustedKey[] {
  if (KEYS.filter((name) => value[name] !== undefined).length !== 1)
    throw new Error(`sigstoreSigned needs exactly one of ${KEYS.join(", ")}`);
  const files = textsOf(value, "keyPath", "keyPaths").map((path) => parseKey(path, readText(path)));
  const given = textsOf(value, "keyData", "keyDatas").map((text) =>
    parseKey("keyData", Buffer.from(text, "base64").toString("utf8")),
  );
  return [...files, ...given];
}

function signedBySigstore(value: Json): Requirement {
  for (const name of ["fulcio", "pki"])
    if (value[name] !== undefined)
      throw new Error(
        `sigstoreSigned with ${name} (keyless, by certificates) is not supported: sign with a key, and name it by keyPath`,
      );
  for (const name of Object.keys(value))
    if (name.startsWith("rekorPublicKey"))
      throw new Error(
        `${name} is not supported: berth does not check transparency logs; without it the key alone decides`,
      );
  onlyFields(value, ["type", ...KEYS, "signedIdentity"], "sigstoreSigned");
  return {
    type: "sigstoreSigned",
    keys: keysOf(value),
    identity: parseIdentity(value.signedIdentity),
  };
}

function requirement(value: unknown): Requirement {
  if (!isObject(value)) throw new Error("a requirement must be an object with a type");
  const { type } = value;
  if (type === "sigstoreSigned") return signedBySigstore(value);
  if (type === "signedBy")
    throw new Error('signatures by GPG ("signedBy") are not supported: use "sigstoreSigned"');
  if (type !== "insecureAcceptAnything" && type !== "reject")
    throw new Error(
      `there is no requirement ${JSON.stringify(type)}; it is one of insecureAcceptAnything, reject, sigstoreSigned`,
    );
  onlyFields(value, ["type"], type);
  return { type };
}

function requirements(value: unknown, where: string): readonly Requirement[] {
  try {
    if (!Array.isArray(value) || value.length === 0)
      throw new Error("there must be a list of at least one requirement");
    return value.map(requirement);
  } catch (error) {
    throw new Error(`${where}: ${messageOf(error)}`);
  }
}

function scopesOf(transport: string, value: unknown): Map<string, readonly Requirement[]> {
  if (!TRANSPORTS.includes(transport))
    throw new Error(`there is no transport ${JSON.stringify(transport)}`);
  if (!isObject(value)) throw new Error(`transports.${transport} must be an object of scopes`);
  const found = new Map<string, readonly Requirement[]>();
  for (const [scope, list] of Object.entries(value)) {
    if (transport === "docker" && scope !== "" && !SCOPE.test(scope))
      throw new Error(
        `transports.docker: ${JSON.stringify(scope)} is no host, repository or image`,
      );
    const named = `transports.${transport}[${JSON.stringify(scope)}]`;
    const rules = requirements(list, named);
    const isArchive = transport === "docker-archive" || transport === "tarball";
    if (isArchive && (scope !== "" || rules.some(({ type }) => type === "sigstoreSigned")))
      throw new Error(
        `${named}: archives have no signatures: only the scope "" with reject or insecureAcceptAnything`,
      );
    found.set(scope, rules);
  }
  return found;
}

/** Reads a policy. Throws a Fault "invalid" that says where it is wrong. */
export function parsePolicy(name: string, bytes: Uint8Array): Policy {
  try {
    if (bytes.length > SIZE_MAX) throw new Error(`it is larger than ${SIZE_MAX} bytes`);
    const value = parseStrictly(bytes);
    onlyFields(value, ["default", "transports"], "the policy");
    const transports = value.transports ?? {};
    if (!isObject(transports)) throw new Error("transports must be an object");
    const found = Object.entries(transports).map(
      ([transport, scopes]) => [transport, scopesOf(transport, scopes)] as const,
    );
    return { name, default: requirements(value.default, "default"), transports: new Map(found) };
  } catch (error) {
    throw fault(
      "invalid",
      "signature-policy",
      `the signature policy ${name} is refused: ${messageOf(error)}`,
      error,
    );
  }
}

/** Reads a policy's file. Throws a Fault "invalid". */
export function readPolicy(path: string): Policy {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw fault(
      "invalid",
      "signature-policy",
      `the signature policy ${path} cannot be read: ${messageOf(error)}`,
      error,
    );
  }
  return parsePolicy(path, bytes);
}

/** The scopes that an image is in, the narrowest first, as containers-policy.json orders them. */
function scopesFor({ domain, path, tag, digest }: Reference): string[] {
  const parts = path.split("/");
  const repositories = parts.map(
    (_, at) => `${domain}/${parts.slice(0, parts.length - at).join("/")}`,
  );
  const identity = digest === undefined ? `:${tag ?? "latest"}` : `@${digest}`;
  const host = domain.replace(/:\d+$/, "").split(".");
  const wildcards = host.slice(1).map((_, at) => `*.${host.slice(at + 1).join(".")}`);
  return [`${domain}/${path}${identity}`, ...repositories, domain, ...wildcards, ""];
}

/** What a policy asks of an image of a registry: by its narrowest scope alone. */
export function ruleFor(policy: Policy, reference: Reference): Rule {
  const docker = policy.transports.get("docker");
  for (const scope of scopesFor(reference)) {
    const found = docker?.get(scope);
    if (found !== undefined) return { scope: scope || "docker", requirements: found };
  }
  return { scope: "default", requirements: policy.default };
}

/** Throws a Fault "forbidden" when the policy rejects archives of a kind by name; its default is not meant for them. */
export function checkArchive(policy: Policy, transport: ArchiveTransport): void {
  const found = policy.transports.get(transport)?.get("");
  if (found?.some(({ type }) => type === "reject"))
    throw fault(
      "forbidden",
      "signature-rejected",
      `the archive is refused: the policy ${policy.name} rejects the transport ${transport}; pull the image from a registry, or change the policy and start the daemon again`,
    );
}
