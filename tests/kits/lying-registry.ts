/**
 * The ways in which a registry lies, for a FakeRegistry whose image is "app:1". Each tells what must be said of it.
 */
import type { ServerResponse } from "node:http";
import type { Asked, FakeRegistry, Lie } from "./fake-registry.ts";

/** A lie with what a client has to say of it. */
export interface LyingCase {
  readonly name: string;
  readonly says: RegExp;
  readonly lie: Lie;
  /** The pull succeeds, in spite of it all. */
  readonly survived?: boolean;
}

/** What the lies need to know. */
export interface LyingScene {
  /** The layer's digest, and where another host listens that must not be told anything. */
  readonly layer: string;
  readonly elsewhere: string;
}

const JSON_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CHUNK = Buffer.alloc(64 * 1024, 1);

function send(response: ServerResponse, status: number, headers: object, body = ""): true {
  response.writeHead(status, { ...headers });
  response.end(body);
  return true;
}

/** Writes without an end, as fast as it is read. */
function endless(response: ServerResponse, headers: object, piece: Uint8Array | string): true {
  response.writeHead(200, { ...headers });
  const more = () => {
    while (!response.destroyed && response.write(piece));
  };
  response.on("drain", more);
  response.on("error", () => {});
  more();
  return true;
}

/** Writes one byte now and then. */
function drip(registry: FakeRegistry, response: ServerResponse, headers: object): true {
  response.writeHead(200, { ...headers });
  response.on("error", () => {});
  registry.every(20, () => {
    if (!response.destroyed) response.write(" ");
  });
  return true;
}

const isManifest = ({ path }: Asked) => path.includes("/manifests/");

/** A lie about manifests. */
function ofManifests(answer: Lie): Lie {
  return (asked, response, registry) => isManifest(asked) && answer(asked, response, registry);
}

/** A lie about every manifest, by a text. */
function instead(text: () => string, type = JSON_TYPE): Lie {
  return ofManifests((_asked, response) => send(response, 200, { "content-type": type }, text()));
}

/** A manifest that is the image's but for something. */
function changed(change: (manifest: Record<string, unknown>) => object): Lie {
  return ofManifests((asked, response, registry) => {
    const bytes = registry.manifests.get("1")?.bytes ?? new Uint8Array(0);
    const manifest = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    const text = JSON.stringify({ ...manifest, ...change(manifest) });
    return asked.path.endsWith("/1") && send(response, 200, { "content-type": JSON_TYPE }, text);
  });
}

/** A lie about the layer; `answer` gets its bytes. */
function ofLayer(
  layer: string,
  answer: (asked: Asked, response: ServerResponse, bytes: Uint8Array) => boolean,
): Lie {
  return (asked, response, registry) =>
    asked.path.includes(layer) &&
    answer(asked, response, registry.blobs.get(layer) ?? new Uint8Array(0));
}

/** Lies a number of times, then no more. */
function times(most: number, lie: Lie): Lie {
  let told = 0;
  return (asked, response, registry) => told < most && lie(asked, response, registry) && ++told > 0;
}

function challenge(header: string): Lie {
  return ofManifests((_asked, response) => send(response, 401, { "www-authenticate": header }));
}

/** Cuts the connection after a part of the layer, without regard to ranges. */
function cut(layer: string): Lie {
  return ofLayer(layer, (_asked, response, bytes) => {
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 1000), () => response.socket?.destroy());
    return true;
  });
}

function layerLies({ layer }: LyingScene): LyingCase[] {
  const wrongRange = (header: (from: number, size: number) => string) =>
    ofLayer(layer, (asked, response, bytes) => {
      const from = Number(/\d+/.exec(asked.headers.range ?? "")?.[0] ?? 0);
      if (from > 0)
        return send(response, 206, { "content-range": header(from, bytes.length) }, "x");
      // An end that is in order, but too early.
      response.writeHead(200);
      response.end(bytes.subarray(0, 100_000));
      return true;
    });
  return [
    {
      name: "another content of the layer",
      says: /filesystem layer verification failed for digest sha256:/,
      lie: ofLayer(layer, (_asked, response, bytes) => {
        const other = Buffer.from(bytes);
        other[700] = (other[700] ?? 0) ^ 1;
        response.writeHead(200);
        response.end(other);
        return true;
      }),
    },
    {
      name: "a layer that is too short",
      says: /unexpected EOF|is shorter than/,
      lie: ofLayer(layer, (asked, response, bytes) =>
        asked.headers.range === undefined
          ? send(response, 200, {}, Buffer.from(bytes).subarray(0, 5000).toString("latin1"))
          : send(response, 416, {}),
      ),
    },
    {
      name: "a layer without an end",
      says: /is larger than the \d+ bytes announced/,
      lie: ofLayer(layer, (_asked, response) => endless(response, {}, CHUNK)),
    },
    {
      name: "a layer that drips",
      says: /next to nothing came for/,
      lie: (asked, response, registry) =>
        asked.path.includes(layer) && drip(registry, response, {}),
    },
    { name: "a layer that is always cut off", says: /blob sha256:/, lie: cut(layer) },
    {
      name: "a layer that is cut off twice",
      says: /^$/,
      lie: times(2, cut(layer)),
      survived: true,
    },
    {
      name: "another range than was asked for",
      says: /sends from byte 0 of/,
      lie: wrongRange((_from, size) => `bytes 0-${size - 1}/${size}`),
    },
    {
      name: "a range of another whole",
      says: /of 7777777 bytes, not from/,
      lie: wrongRange((from) => `bytes ${from}-7777776/7777777`),
    },
    {
      name: "a range that is nonsense",
      says: /sends from nobody knows where/,
      lie: wrongRange(() => "bytes banana"),
    },
  ];
}

function documentLies(): LyingCase[] {
  const deep = (open: string, close: string, depth: number) =>
    `${open.repeat(depth)}${close.repeat(depth)}`;
  return [
    {
      name: "a manifest without an end",
      says: /sends more than \d+ bytes/,
      lie: ofManifests((_asked, response) =>
        endless(response, { "content-type": JSON_TYPE }, " ".repeat(65536)),
      ),
    },
    {
      name: "a manifest that drips",
      says: /took longer than/,
      lie: (asked, response, registry) => isManifest(asked) && drip(registry, response, {}),
    },
    {
      name: "another manifest than its digest says",
      says: /manifest verification failed for digest/,
      lie: ofManifests((_asked, response) =>
        send(response, 200, { "docker-content-digest": `sha256:${"0".repeat(64)}` }, "{}"),
      ),
    },
    { name: "no JSON", says: /is not valid JSON/, lie: instead(() => "<html>") },
    { name: "JSON that is no object", says: /is not a JSON object/, lie: instead(() => "[]") },
    {
      name: "lists in lists in lists",
      says: /not valid JSON|not a JSON object/,
      lie: instead(() => deep("[", "]", 1_000_000)),
    },
    {
      name: "objects in objects in objects",
      says: /not valid JSON|is no image/,
      lie: instead(() => `${'{"a":'.repeat(400_000)}1${"}".repeat(400_000)}`),
    },
  ];
}

function imageLies(): LyingCase[] {
  return [
    {
      name: "indexes in indexes",
      says: /nested too deeply/,
      lie: ofManifests((asked, response, registry) => {
        const inner = registry.index([
          {
            digest: registry.index([{ n: asked.path, ...registry.image(CHUNK) }]).digest,
            size: 1,
          },
        ]);
        const nest = (depth: number): string =>
          depth === 0
            ? inner.digest
            : registry.index([{ digest: nest(depth - 1), size: 1 }]).digest;
        const found = registry.manifests.get(nest(8));
        if (!asked.path.endsWith("/1")) return false;
        return send(
          response,
          200,
          { "content-type": found?.mediaType },
          Buffer.from(found?.bytes ?? []).toString(),
        );
      }),
    },
    {
      name: "a manifest that is also an index",
      says: /also an index is refused/,
      lie: instead(() =>
        JSON.stringify({ schemaVersion: 2, manifests: [], config: {}, layers: [] }),
      ),
    },
    {
      name: "a layer from elsewhere",
      says: /a foreign layer/,
      lie: ofManifests((asked, response, registry) => {
        const mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        const bytes = registry.manifests.get("1")?.bytes ?? new Uint8Array(0);
        const manifest = JSON.parse(Buffer.from(bytes).toString());
        const urls = ["http://169.254.169.254/layer"];
        manifest.layers[0] = { ...manifest.layers[0], mediaType, urls };
        return asked.path.endsWith("/1") && send(response, 200, {}, JSON.stringify(manifest));
      }),
    },
    {
      name: "a header without an end",
      says: /sends headers that are too large/,
      lie: ofManifests((_asked, response) =>
        send(
          response,
          200,
          Object.fromEntries(
            Array.from({ length: 60 }, (_one, at) => [`x-${at}`, "y".repeat(60_000)]),
          ),
        ),
      ),
    },
  ];
}

function otherLies(): LyingCase[] {
  const config = ({ config }: Record<string, unknown>) => config as object;
  return [
    {
      name: "the schema that nobody has any more",
      says: /is of the schema 1/,
      lie: changed(() => ({ schemaVersion: 1, fsLayers: [], history: [] })),
    },
    {
      name: "more layers than the configuration knows",
      says: /layers length mismatch: expected 1, got 2/,
      lie: changed(({ layers }) => ({
        layers: [...(layers as object[]), ...(layers as object[])],
      })),
    },
    {
      name: "a layer that is a program",
      says: /has the media type "application\/x-elf", which is no image layer/,
      lie: changed(({ layers }) => ({
        layers: (layers as object[]).map((layer) => ({ ...layer, mediaType: "application/x-elf" })),
      })),
    },
    {
      name: "a configuration larger than any",
      says: /the image configuration is larger than/,
      lie: changed((manifest) => ({ config: { ...config(manifest), size: 1e15 } })),
    },
    {
      name: "another configuration than its digest says",
      says: /image config verification failed for digest sha256:/,
      lie: (asked, response, registry) => {
        const digest = /sha256:\w+$/.exec(asked.path)?.[0] ?? "";
        const bytes = Buffer.from(registry.blobs.get(digest) ?? []);
        if (!asked.path.includes("/blobs/") || !bytes.includes("rootfs")) return false;
        return send(response, 200, {}, bytes.toString().replace("amd64", "arm64"));
      },
    },
    {
      name: "a digest that is a path",
      says: /descriptor without a valid digest/,
      lie: changed(({ layers }) => ({
        layers: (layers as object[]).map((layer) => ({
          ...layer,
          digest: "sha256:../../../etc/passwd",
        })),
      })),
    },
    {
      name: "a size below zero",
      says: /descriptor without a size/,
      lie: changed(({ layers }) => ({
        layers: (layers as object[]).map((layer) => ({ ...layer, size: -1 })),
      })),
    },
  ];
}

function busyLies(): LyingCase[] {
  const status = (code: number, headers: object = {}) =>
    ofManifests((_asked, response) => send(response, code, headers, "no"));
  return [
    { name: "three errors of the server", says: /^$/, lie: times(3, status(503)), survived: true },
    { name: "nothing but errors", says: /unexpected status 500/, lie: status(500) },
    {
      name: "too many requests, always",
      says: /^toomanyrequests: .* try again later/,
      lie: status(429),
    },
    {
      name: "too many requests, for a moment",
      says: /^$/,
      lie: times(2, status(429, { "retry-after": "0" })),
      survived: true,
    },
    {
      name: "too many requests, for a day",
      says: /^toomanyrequests: .* try again in 1440 min/,
      lie: status(429, { "retry-after": "86400" }),
    },
    {
      name: "too many requests, for nonsense",
      says: /^toomanyrequests: .* try again later/,
      lie: status(429, { "retry-after": "banana" }),
    },
  ];
}

function leadingLies({ elsewhere, layer }: LyingScene): LyingCase[] {
  const lead = (location: (path: string) => string) =>
    ofManifests((asked, response) => send(response, 307, { location: location(asked.path) }));
  const basic: Lie = (asked, response) =>
    asked.headers.authorization === undefined &&
    send(response, 401, { "www-authenticate": 'Basic realm="x"' });
  return [
    {
      name: "redirects in a circle",
      says: /stopped after 10 redirects/,
      lie: lead((path) => path),
    },
    {
      name: "a redirect to a file",
      says: /leads to file:, which is no HTTP/,
      lie: lead(() => "file:///etc/shadow"),
    },
    {
      name: "a redirect to the cloud's metadata",
      says: /169\.254\.169\.254, which is link-local/,
      lie: lead(() => "http://169.254.169.254/latest/meta-data"),
    },
    {
      name: "a redirect to what is no address",
      says: /what is no address/,
      lie: lead(() => "http://[::bad/"),
    },
    {
      name: "the layer at another host, which asks for a password",
      says: /pull access denied|unexpected status|unauthorized/,
      lie: (asked, response, registry) =>
        basic(asked, response, registry) ||
        (asked.path.includes(layer) &&
          send(response, 307, { location: `http://${elsewhere}/password/${layer}` })),
    },
    {
      name: "the layer at another host, which asks for a token of its own",
      says: /pull access denied|unexpected status|unauthorized/,
      lie: (asked, response, registry) =>
        basic(asked, response, registry) ||
        (asked.path.includes(layer) &&
          send(response, 307, { location: `http://${elsewhere}/token-please/${layer}` })),
    },
  ];
}

function askingLies(): LyingCase[] {
  const denied = /pull access denied for|unauthorized/;
  return [
    { name: "a challenge of nothing", says: denied, lie: challenge("") },
    { name: "a challenge of nonsense", says: denied, lie: challenge('=,,="" Bearer realm=",') },
    {
      name: "a challenge that is long",
      says: denied,
      lie: challenge(`Bearer ${"a".repeat(60_000)}`),
    },
    {
      name: "a realm that is a file",
      says: /leads to file:/,
      lie: challenge('Bearer realm="file:///etc/passwd",service="x"'),
    },
    {
      name: "a realm at the cloud's metadata",
      says: /link-local/,
      lie: challenge('Bearer realm="http://169.254.169.254/token"'),
    },
    {
      name: "a realm without TLS elsewhere",
      says: /names no authorization service/,
      lie: challenge('Bearer realm="http://registry.example/token"'),
    },
    {
      name: "a password refused again and again",
      says: denied,
      lie: challenge('Basic realm="x"'),
    },
    {
      name: "a token refused again and again",
      says: denied,
      lie: (asked, response, registry) =>
        asked.path.startsWith("/token")
          ? send(response, 200, {}, JSON.stringify({ token: `t${registry.asked.length}` }))
          : send(response, 401, {
              "www-authenticate": `Bearer realm="http://${registry.address}/token",service="x"`,
            }),
    },
    ...tokenLies(),
    {
      name: "a refusal that repeats what it was told in confidence",
      says: /pull access denied for .*: you said xxxxx/,
      lie: (asked, response) => {
        const { authorization } = asked.headers;
        if (authorization === undefined)
          return send(response, 401, { "www-authenticate": 'Basic realm="x"' });
        const plain = Buffer.from(authorization.slice(6), "base64").toString().split(":")[1];
        const message = `you said ${plain} by ${authorization}\x1b[2J`;
        return send(response, 403, {}, JSON.stringify({ errors: [{ message }] }));
      },
    },
  ];
}

function tokenLies(): LyingCase[] {
  const tokens = (answer: (response: ServerResponse) => boolean): Lie => {
    return (asked, response, registry) =>
      asked.path.startsWith("/token")
        ? answer(response)
        : send(response, 401, {
            "www-authenticate": `Bearer realm="http://${registry.address}/token",service="x"`,
          });
  };
  const text = (body: string) => tokens((response) => send(response, 200, {}, body));
  return [
    { name: "no token", says: /gives no token/, lie: text("{}") },
    { name: "a token that is a number", says: /gives no token/, lie: text('{"token":1}') },
    {
      name: "a token with a line end",
      says: /gives no token/,
      lie: text(JSON.stringify({ token: "a\r\nX-Evil: 1" })),
    },
    { name: "a token that is a page", says: /gives no token/, lie: text("<html>") },
    {
      name: "a token without an end",
      says: /sends more than \d+ bytes/,
      lie: tokens((response) => endless(response, {}, "a".repeat(65536))),
    },
    {
      name: "an error of the authorization service",
      says: /500 Internal Server Error/,
      lie: tokens((response) => send(response, 500, {})),
    },
  ];
}

/** Every lie. */
export function lyingCases(scene: LyingScene): readonly LyingCase[] {
  return [
    ...layerLies(scene),
    ...documentLies(),
    ...imageLies(),
    ...otherLies(),
    ...busyLies(),
    ...leadingLies(scene),
    ...askingLies(),
  ];
}
