/**
 * `berth manifest inspect`: asks the registry itself, without a daemon, as docker's command line does.
 */
import { messageOf } from "../../base/errors.ts";
import { anonymous, type Manifest, Repository } from "../../registry/index.ts";
import { familiarReference, parseReference, type Reference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { addressOf, loginFor } from "../docker-config.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

type Json = Readonly<Record<string, unknown>>;

const CERTIFICATES = ["/etc/berth/certs.d", "/etc/docker/certs.d"];
const OCI = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_MAX = 4 << 20;
/** No index that names so many is looked at in full. */
const ENTRIES_MAX = 200;

function parse(bytes: Uint8Array, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new Error(`${what} is not valid JSON: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null) throw new Error(`${what} is no JSON object`);
  return value as Json;
}

/** The platform that an image's configuration names. */
async function platformOf(repository: Repository, manifest: Json): Promise<Json | undefined> {
  const { digest, size } = (manifest.config ?? {}) as { digest?: unknown; size?: unknown };
  if (typeof digest !== "string" || typeof size !== "number" || size > CONFIG_MAX) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of repository.blob({ digest, size })) pieces.push(piece);
  const { architecture, os, variant } = parse(Buffer.concat(pieces), "the configuration");
  if (architecture === undefined && os === undefined) return undefined;
  return { architecture, os, ...(variant === undefined ? {} : { variant }) };
}

function describe(ref: string, { digest, mediaType, bytes }: Manifest, platform?: Json): Json {
  const manifest = parse(bytes, ref);
  return {
    Ref: ref,
    Descriptor: { mediaType, digest, size: bytes.length, ...(platform && { platform }) },
    Raw: Buffer.from(bytes).toString("base64"),
    [mediaType === OCI ? "OCIManifest" : "SchemaV2Manifest"]: manifest,
  };
}

/** Everything of an image, or of each that an index names. */
async function inFull(repository: Repository, reference: Reference, top: Manifest) {
  const ref = familiarReference(reference);
  const document = parse(top.bytes, ref);
  if (!Array.isArray(document.manifests))
    return describe(ref, top, await platformOf(repository, document));
  const all: Json[] = [];
  for (const entry of (document.manifests as unknown[]).slice(0, ENTRIES_MAX)) {
    const { digest, platform } = (entry ?? {}) as { digest?: unknown; platform?: Json };
    if (typeof digest !== "string") throw new Error(`${ref} has an entry without a digest`);
    const own = ref.replace(/@.*$/s, "");
    all.push(describe(`${own}@${digest}`, await repository.manifest(digest), platform));
  }
  return all;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  short: "Display an image manifest, or manifest list",
  args: [1, 2],
  flags: [
    flag("insecure", "", "bool", "Allow communication with an insecure registry"),
    flag("verbose", "v", "bool", "Output additional info including layers and platform"),
  ],
  async run(_context, parsed) {
    const name = parsed.args.at(-1) ?? "";
    const reference = parseReference(name);
    const { domain } = reference;
    const settings = {
      insecure: parsed.on("insecure") ? [domain] : [],
      mirrors: [],
      certificates: CERTIFICATES,
    };
    const login = loginFor(addressOf(name)) ?? anonymous;
    const repository = new Repository(reference, settings, login, "pull");
    const top = await repository.manifest(reference.digest ?? reference.tag ?? "latest");
    if (parsed.on("verbose")) {
      const shown = await inFull(repository, reference, top);
      out(`${JSON.stringify(shown, null, "\t")}\n`);
      return 0;
    }
    const document = parse(top.bytes, name);
    out(`${JSON.stringify(document, null, Array.isArray(document.manifests) ? 3 : "\t")}\n`);
    return 0;
  },
};
