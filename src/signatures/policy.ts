/**
 * Which images may come (pure but for the keys' files): containers-policy.json, as far as berth keeps its promises. What it
 * cannot check is refused when the file is read, never passed over.
 */
import { readFileSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import type { Reference } from "../spec/reference.ts";
import { isAuthority, readCertificates } from "./certificates.ts";
import { parseIdentity, type SignedIdentity } from "./identity.ts";
import type { Trust } from "./keyless.ts";
import { parseKey, type TrustedKey } from "./keys.ts";
import { isObject, type Json, onlyFields, parseStrictly } from "./strict-json.ts";

/** One of the conditions that an image must fulfil; all of them must be. */
export type Requirement =
  | { readonly type: "insecureAcceptAnything" }
  | { readonly type: "reject" }
  | {
      readonly type: "sigstoreSigned";
      /** Who must have signed. */
      readonly trust: Trust;
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
  if (!path.startsWith("/")) throw new Error(`${path} must be an absolute path`);
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}`);
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
const LOGS = [
  "rekorPublicKeyPath",
  "rekorPublicKeyPaths",
  "rekorPublicKeyData",
  "rekorPublicKeyDatas",
] as const;
type KeyFields = readonly [path: string, paths: string, data: string, datas: string];

/** Keys that a field names or contains; `what` needs them. */
function keysOf(value: Json, fields: KeyFields, what: string): TrustedKey[] {
  if (fields.filter((name) => value[name] !== undefined).length !== 1)
    throw new Error(`${what} needs exactly one of ${fields.join(", ")}`);
  const [path, paths, data, datas] = fields;
  const files = textsOf(value, path, paths).map((one) => parseKey(one, readText(one)));
  const given = textsOf(value, data, datas).map((text) =>
    parseKey(data, Buffer.from(text, "base64").toString("utf8")),
  );
  return [...files, ...given];
}

/** The one of some fields that is there. */
function oneText(value: Json, fields: readonly string[]): { field: string; text: string } {
  const [field, ...more] = fields.filter((name) => value[name] !== undefined);
  if (field === undefined || more.length > 0)
    throw new Error(`fulcio needs exactly one of ${fields.join(", ")}`);
  const text = value[field];
  if (typeof text !== "string" || text === "") throw new Error(`fulcio.${field} must be a text`);
  return { field, text };
}

function keylessBy(fulcio: unknown, value: Json): Trust {
  if (!isObject(fulcio)) throw new Error("fulcio must be an object");
  const subjects = ["subjectEmail", "subjectURI", "subjectURIPrefix"];
  onlyFields(fulcio, ["caPath", "caData", "oidcIssuer", ...subjects], "fulcio");
  if (KEYS.some((name) => value[name] !== undefined))
    throw new Error("sigstoreSigned needs either fulcio or a key, not both");
  const authority = oneText(fulcio, ["caPath", "caData"]);
  const isFile = authority.field === "caPath";
  const pem = isFile
    ? readText(authority.text)
    : Buffer.from(authority.text, "base64").toString("latin1");
  const subject = oneText(fulcio, subjects);
  return {
    kind: "keyless",
    authorities: authoritiesIn(pem, isFile ? authority.text : "caData"),
    logs: keysOf(value, LOGS, "sigstoreSigned with fulcio"),
    issuer: oneText(fulcio, ["oidcIssuer"]).text,
    subject: { kind: subject.field === "subjectEmail" ? "email" : "URI", name: subject.text },
    isPrefix: subject.field === "subjectURIPrefix",
  };
}

function authoritiesIn(pem: string, name: string) {
  try {
    const found = readCertificates(pem);
    if (!found.every(isAuthority)) throw new Error("not all are those of authorities");
    return found;
  } catch (error) {
    throw new Error(`${name} cannot be used as certificates of authorities: ${messageOf(error)}`);
  }
}

function signedBySigstore(value: Json): Requirement {
  if (value.pki !== undefined)
    throw new Error(
      "sigstoreSigned with pki (certificates of one's own) is not supported: name a key by keyPath, or an authority and a log by fulcio and rekorPublicKeyPath",
    );
  if (value.fulcio === undefined && LOGS.some((name) => value[name] !== undefined))
    throw new Error(
      "a transparency log (rekorPublicKey…) is looked at with fulcio alone; without it the key alone decides",
    );
  onlyFields(value, ["type", "fulcio", ...KEYS, ...LOGS, "signedIdentity"], "sigstoreSigned");
  return {
    type: "sigstoreSigned",
    trust:
      value.fulcio === undefined
        ? { kind: "keys", keys: keysOf(value, KEYS, "sigstoreSigned") }
        : keylessBy(value.fulcio, value),
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
