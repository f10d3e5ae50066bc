/**
 * Manifests as a registry has them, read and described in docker's form. The command line asks the registry itself, without
 * a daemon, as docker's does.
 */
import { messageOf } from "../../base/errors.ts";
import { anonymous, type Manifest, Repository } from "../../registry/index.ts";
import { familiarName, type Reference } from "../../spec/reference.ts";
import { addressOf, loginFor } from "../docker-config.ts";

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The processor and system that an image is for. */
export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly "os.version"?: string;
  readonly "os.features"?: readonly string[];
  readonly variant?: string;
}

/** An image of a registry as docker describes it, and keeps it in its lists. */
export interface Described {
  /** The whole name. */
  readonly Ref: string;
  readonly Descriptor: {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
    readonly platform?: Platform;
  };
  /** The manifest's bytes in base64. */
  readonly Raw: string;
  readonly SchemaV2Manifest?: Json;
  readonly OCIManifest?: Json;
}

const CERTIFICATES = ["/etc/berth/certs.d", "/etc/docker/certs.d"];
/** The media type of an image's manifest as OCI has it. */
export const OCI = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_MAX = 4 << 20;
/** No index that names so many is looked at in full. */
const ENTRIES_MAX = 200;

/** Reads a JSON object. Throws for anything else. */
export function parseJson(bytes: Uint8Array, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new Error(`${what} is not valid JSON: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${what} is no JSON object`);
  return value as Json;
}

/** "docker.io/library/busybox:latest": a name with everything in it. */
export function wholeName({ domain, path, tag, digest }: Reference): string {
  const named = tag === undefined && digest === undefined ? ":latest" : "";
  return `${domain}/${path}${named}${tag ? `:${tag}` : ""}${digest ? `@${digest}` : ""}`;
}

/** A repository with the user's login. */
export function repositoryOf(
  reference: Reference,
  isInsecure: boolean,
  doing: "pull" | "pull,push",
): Repository {
  const { domain } = reference;
  const settings = {
    insecure: isInsecure ? [domain] : [],
    mirrors: [],
    certificates: CERTIFICATES,
  };
  const login = loginFor(addressOf(familiarName(reference))) ?? anonymous;
  return new Repository(reference, settings, login, doing);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A platform out of a document, with its members in docker's order. */
export function readPlatform(document: Json): Platform | undefined {
  if (document.architecture === undefined && document.os === undefined) return undefined;
  const version = textOf(document["os.version"]);
  const listed = document["os.features"];
  const features = Array.isArray(listed) ? listed.map(String) : [];
  const variant = textOf(document.variant);
  return {
    architecture: textOf(document.architecture),
    os: textOf(document.os),
    ...(version === "" ? {} : { "os.version": version }),
    ...(features.length === 0 ? {} : { "os.features": features }),
    ...(variant === "" ? {} : { variant }),
  };
}

/** The platform that an image's configuration names. */
async function platformOf(repository: Repository, manifest: Json): Promise<Platform | undefined> {
  const { digest, size } = (manifest.config ?? {}) as { digest?: unknown; size?: unknown };
  if (typeof digest !== "string" || typeof size !== "number" || size > CONFIG_MAX) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of repository.blob({ digest, size })) pieces.push(piece);
  const said = readPlatform(parseJson(Buffer.concat(pieces), "the configuration"));
  return said ?? { architecture: "", os: "" };
}

function describe(
  Ref: string,
  { digest, mediaType, bytes }: Manifest,
  platform?: Platform,
): Described {
  const manifest = parseJson(bytes, Ref);
  return {
    Ref,
    Descriptor: { mediaType, digest, size: bytes.length, ...(platform && { platform }) },
    Raw: Buffer.from(bytes).toString("base64"),
    [mediaType === OCI ? "OCIManifest" : "SchemaV2Manifest"]: manifest,
  };
}

/** True for what names images of several platforms. */
export function isList(document: Json): boolean {
  return Array.isArray(document.manifests);
}

/** Everything of an image, or of each that an index names. */
export async function inFull(
  repository: Repository,
  reference: Reference,
  top: Manifest,
): Promise<Described | Described[]> {
  const ref = wholeName(reference);
  const document = parseJson(top.bytes, ref);
  if (!isList(document)) return describe(ref, top, await platformOf(repository, document));
  const all: Described[] = [];
  for (const entry of (document.manifests as unknown[]).slice(0, ENTRIES_MAX)) {
    const { digest, platform } = (entry ?? {}) as { digest?: unknown; platform?: Json };
    if (typeof digest !== "string") throw new Error(`${ref} has an entry without a digest`);
    const own = `${ref.replace(/@.*$/s, "")}@${digest}`;
    all.push(describe(own, await repository.manifest(digest), platform && readPlatform(platform)));
  }
  return all;
}
