/**
 * A plain client of the distribution protocol for tests: one call a request, nothing clever.
 */

/** A digest of bytes. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

/** An image's documents and blobs. */
export interface MadeImage {
  readonly config: Uint8Array;
  readonly layer: Uint8Array;
  readonly manifest: string;
  readonly digest: string;
}

/** Media types. */
export const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  schema2: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

/** Makes an image of one layer; `more`: further fields of the manifest. */
export function makeImage(text: string, more: Readonly<Record<string, unknown>> = {}): MadeImage {
  const layer = new TextEncoder().encode(`layer of ${text}`);
  const config = new TextEncoder().encode(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Labels: { text } },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { mediaType: types.config, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: types.layer, digest: digestOf(layer), size: layer.length }],
    ...more,
  });
  return { config, layer, manifest, digest: digestOf(manifest) };
}

/** One repository of a registry, asked over HTTP. */
export class DistributionClient {
  constructor(
    /** "http://127.0.0.1:5000" */
    readonly base: string,
    readonly name: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  /** A request below the repository, or at a whole address. */
  request(path: string, init: RequestInit = {}): Promise<Response> {
    const url = /^https?:/.test(path) ? path : `${this.base}/v2/${this.name}/${path}`;
    return fetch(url, {
      redirect: "manual",
      ...init,
      headers: { ...this.headers, ...(init.headers as Record<string, string>) },
    });
  }

  /** Begins an upload; gives its address. */
  async begin(): Promise<string> {
    const response = await this.request("blobs/uploads/", { method: "POST" });
    if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
    return new URL(response.headers.get("location") ?? "", this.base).href;
  }

  /** Sends a blob in one request after the first. */
  async push(bytes: Uint8Array): Promise<Response> {
    const url = new URL(await this.begin());
    url.searchParams.set("digest", digestOf(bytes));
    return this.request(url.href, { method: "PUT", body: bytes });
  }

  putManifest(
    reference: string,
    manifest: string,
    type: string = types.manifest,
  ): Promise<Response> {
    return this.request(`manifests/${reference}`, {
      method: "PUT",
      body: manifest,
      headers: { "Content-Type": type },
    });
  }

  /** Sends an image under a tag, or under its digest. */
  async pushImage(image: MadeImage, tag: string = image.digest): Promise<void> {
    for (const bytes of [image.config, image.layer]) {
      const pushed = await this.push(bytes);
      if (pushed.status !== 201) throw new Error(`${pushed.status} ${await pushed.text()}`);
    }
    const stored = await this.putManifest(tag, image.manifest);
    if (stored.status !== 201) throw new Error(`${stored.status} ${await stored.text()}`);
  }
}

/** The code of a refusal, with its status: "404 MANIFEST_UNKNOWN". */
export async function refusal(response: Response): Promise<string> {
  const text = await response.text();
  const { errors } = JSON.parse(text) as { errors: { code: string }[] };
  return `${response.status} ${errors[0]?.code}`;
}

/** What a list answers. */
export interface Listing {
  readonly name?: string;
  readonly tags?: readonly string[];
  readonly repositories?: readonly string[];
  readonly manifests?: readonly { readonly digest: string; readonly artifactType?: string }[];
}

/** A list's answer. */
export async function listing(response: Response): Promise<Listing> {
  return (await response.json()) as Listing;
}
