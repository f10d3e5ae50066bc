/**
 * Image archives to load: what `docker save` wrote before version 25, and OCI layouts.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { tarOf } from "../clients/tars.ts";

/** An image to be: its layers by the files in them, and what its configuration says. */
export interface ImagePlan {
  readonly names: readonly string[];
  readonly layers: readonly Readonly<Record<string, string>>[];
  /** "RUN x" makes a layer, "ENV x" none. */
  readonly steps: readonly { readonly created_by: string; readonly empty_layer?: boolean }[];
  readonly config?: object;
  readonly created?: string;
}

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

const archive = (files: Parameters<typeof tarOf>[0]) => new Uint8Array(tarOf(files));

function configOf(plan: ImagePlan, layers: readonly Uint8Array[]): string {
  const created = plan.created ?? "2020-01-05T00:00:00Z";
  return JSON.stringify({
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created,
    config: plan.config ?? { Cmd: ["true"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
    history: plan.steps.map((step) => ({ created, ...step })),
  });
}

/** An archive as Docker wrote it before version 25, its layers uncompressed. Also gives the image's id. */
export function dockerArchive(plan: ImagePlan): {
  readonly id: string;
  readonly bytes: Uint8Array;
} {
  const layers = plan.layers.map((files) => archive(files));
  const config = configOf(plan, layers);
  const paths = layers.map((layer) => `${sha256(layer)}/layer.tar`);
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: plan.names, Layers: paths }];
  const bytes = archive({
    [`${sha256(config)}.json`]: config,
    "manifest.json": JSON.stringify(manifest),
    ...Object.fromEntries(layers.map((layer, at) => [paths[at], layer])),
  });
  return { id: `sha256:${sha256(config)}`, bytes };
}

/** An OCI layout with layers in gzip. Also gives the digest of the manifest. */
export function ociArchive(plan: ImagePlan): {
  readonly id: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
} {
  const layers = plan.layers.map((files) => archive(files));
  const config = configOf(plan, layers);
  const blobs = layers.map((layer) => new Uint8Array(gzipSync(layer)));
  const describe = (type: string, bytes: Uint8Array | string) => ({
    mediaType: `application/vnd.oci.image.${type}`,
    digest: `sha256:${sha256(bytes)}`,
    size: Buffer.byteLength(bytes),
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describe("config.v1+json", config),
    layers: blobs.map((blob) => describe("layer.v1.tar+gzip", blob)),
  });
  const top = describe("manifest.v1+json", manifest);
  const named = plan.names.map((name) => ({
    ...top,
    annotations: { "io.containerd.image.name": name },
  }));
  const bytes = archive({
    "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
    "index.json": JSON.stringify({ schemaVersion: 2, manifests: named.length > 0 ? named : [top] }),
    ...Object.fromEntries(
      [config, manifest, ...blobs].map((blob) => [`blobs/sha256/${sha256(blob)}`, blob]),
    ),
  });
  return { id: `sha256:${sha256(config)}`, digest: top.digest, bytes };
}
