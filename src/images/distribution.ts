/**
 * What a registry has under a name, without fetching it.
 */
import { Fault, fault } from "../base/errors.ts";
import type { Repository } from "../registry/index.ts";
import type { DistributionInspect } from "../spec/engine-api.ts";
import { familiarReference, type Reference } from "../spec/reference.ts";
import { parseDescriptor, parseObject } from "./model.ts";
import { configOf } from "./pull.ts";

type Source = Pick<Repository, "manifest" | "blob">;
type OciPlatform = DistributionInspect["Platforms"][number];

const texts = (value: unknown) =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];

function platformOf(value: unknown): OciPlatform[] {
  const fields = (value ?? {}) as Record<string, unknown>;
  const text = (key: string) => (typeof fields[key] === "string" ? (fields[key] as string) : "");
  const features = texts(fields["os.features"]);
  if (text("os") === "" && text("architecture") === "") return [];
  return [
    {
      architecture: text("architecture"),
      os: text("os"),
      ...(text("os.version") === "" ? {} : { "os.version": text("os.version") }),
      ...(features.length === 0 ? {} : { "os.features": features }),
      ...(text("variant") === "" ? {} : { variant: text("variant") }),
    },
  ];
}

async function platformsOf(
  source: Source,
  manifest: Record<string, unknown>,
  signal: AbortSignal,
): Promise<OciPlatform[]> {
  if (Array.isArray(manifest.manifests))
    return manifest.manifests.flatMap((one: { platform?: unknown } | null) =>
      platformOf(one?.platform),
    );
  // What is no image has no platform.
  if (manifest.config === undefined || manifest.artifactType !== undefined) return [];
  try {
    const config = parseDescriptor(manifest.config, "an image manifest");
    const bytes = await configOf(source, config, signal);
    return platformOf(parseObject(bytes, "the image configuration"));
  } catch (error) {
    // The descriptor was asked for, and is known.
    if (error instanceof Fault) return [];
    throw error;
  }
}

/** The descriptor and the platforms of what a reference leads to. Rejects with Faults in Docker's words. */
export async function describeRemote(
  source: Source,
  reference: Reference,
  signal: AbortSignal,
): Promise<DistributionInspect> {
  try {
    const found = await source.manifest(reference.digest ?? reference.tag ?? "latest", signal);
    const what = `the manifest of ${familiarReference(reference)}`;
    const manifest = parseObject(found.bytes, what);
    const said = typeof manifest.mediaType === "string" ? manifest.mediaType : found.mediaType;
    return {
      Descriptor: { mediaType: said, digest: found.digest, size: found.bytes.length },
      Platforms: await platformsOf(source, manifest, signal),
    };
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "registry-denied") throw error;
    throw fault("unauthorized", "registry-denied", error.message, error);
  }
}
