/** Manifests and configurations, whatever is in them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damaged, damagedJson, valueOrFault } from "../../tests/kits/fuzz.ts";
import { Fault } from "../base/errors.ts";
import { parseReference } from "../spec/reference.ts";
import { describeRemote } from "./distribution.ts";
import { chainIds, parseDescriptor, parseDocument, parseObject } from "./model.ts";
import { resolveRemote } from "./pull.ts";

const digestOf = (bytes: Uint8Array | string) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
const layer = digestOf("layer");
const document = {
  created: "2026-01-01T00:00:00Z",
  author: "Ann",
  architecture: "amd64",
  os: "linux",
  config: {
    User: "1",
    Env: ["PATH=/bin"],
    Cmd: ["sh"],
    Entrypoint: null,
    Labels: { a: "b" },
    ExposedPorts: { "80/tcp": {} },
    Volumes: { "/v": {} },
    WorkingDir: "/",
  },
  rootfs: { type: "layers", diff_ids: [layer] },
  history: [{ created_by: "x" }, { empty_layer: true }],
};
const config = JSON.stringify(document);
const manifest = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: digestOf(config),
    size: config.length,
  },
  layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: layer, size: 5 }],
};
const index = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [
    {
      mediaType: manifest.mediaType,
      digest: digestOf(JSON.stringify(manifest)),
      size: 400,
      platform: { os: "linux", architecture: "amd64", variant: "v2" },
    },
    {
      digest: layer,
      size: 7,
      platform: { os: "unknown", architecture: "unknown" },
      annotations: { "vnd.docker.reference.type": "attestation-manifest" },
    },
  ],
};
const reference = parseReference("r.io/a:1");
const { signal } = new AbortController();

/** A registry that has one odd document, and otherwise what belongs to the image. */
function sourceOf(top: Uint8Array) {
  const whole = Buffer.from(JSON.stringify(manifest));
  return {
    manifest: async (name: string) => {
      const bytes = name === "1" ? top : whole;
      return { digest: digestOf(bytes), mediaType: manifest.mediaType, bytes };
    },
    async *blob() {
      yield Buffer.from(config);
    },
  };
}

const documents = fc.oneof(
  damagedJson([manifest, index, document]).map((value) => Buffer.from(JSON.stringify(value) ?? "")),
  damaged([JSON.stringify(manifest), JSON.stringify(index), config]),
);

test("whatever a manifest says, it leads to an image or is a Fault", async () => {
  const platform = { os: "linux", architecture: "amd64" };
  await checkAll(documents, async (bytes) => {
    const found = await valueOrFault(() =>
      resolveRemote(sourceOf(bytes), { reference, platform }, signal),
    );
    if (found === undefined) return;
    expect(found.layers.length).toBe(found.document.rootfs.diff_ids.length);
    for (const { digest, size } of found.layers) {
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(size).toBeGreaterThanOrEqual(0);
    }
  });
});

test("whatever a manifest says, it is described or a Fault", async () => {
  await checkAll(documents, async (bytes) => {
    const told = await valueOrFault(() => describeRemote(sourceOf(bytes), reference, signal));
    for (const platform of told?.Platforms ?? [])
      for (const field of Object.values(platform ?? {}))
        expect(typeof field).toMatch(/^(string|object)$/);
  });
});

test("whatever a configuration says, it is one or a Fault", async () => {
  await checkAll(documents, async (bytes) => {
    const found = await valueOrFault(() => parseDocument(bytes));
    if (found === undefined) return;
    expect(chainIds(found.rootfs.diff_ids).length).toBe(found.rootfs.diff_ids.length);
    for (const list of [found.config?.Env, found.config?.Cmd, found.config?.Entrypoint])
      for (const one of list ?? []) expect(typeof one).toBe("string");
    for (const step of found.history ?? []) expect(typeof step).toBe("object");
  });
});

test("whatever a descriptor is, it is one or a Fault", async () => {
  await checkAll(damagedJson([manifest.config, index.manifests[0]]), async (value) => {
    const found = await valueOrFault(() => parseDescriptor(value, "a test"));
    if (found !== undefined) expect(found.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });
});

test.each(["[", '{"a":', '[{"a":['])("JSON that is nested a million times: %s", (open) => {
  expect(() => parseObject(Buffer.from(open.repeat(1_000_000)), "a test")).toThrow(Fault);
});
