import { expect, test } from "bun:test";
import { messageOf } from "../base/errors.ts";
import { parseDuration, parseRegistryConfig } from "./config.ts";

function read(text: string | undefined, env: Record<string, string> = {}) {
  const warnings: string[] = [];
  return { config: parseRegistryConfig(text, env, (words) => warnings.push(words)), warnings };
}

function refusal(text: string, env: Record<string, string> = {}): string {
  try {
    read(text, env);
  } catch (error) {
    return messageOf(error);
  }
  return "taken";
}

test("the well-known registry's own example is read, and says what has no effect", () => {
  const { config, warnings } = read(`version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`);
  expect(config).toMatchObject({
    root: "/var/lib/registry",
    deletion: false,
    readOnly: false,
    http: { address: ":5000", headers: { "X-Content-Type-Options": ["nosniff"] } },
    health: { enabled: true, intervalMs: 10_000, threshold: 3 },
    htpasswd: undefined,
    proxy: undefined,
  });
  expect(warnings).toEqual(["log.fields has no effect here", "storage.cache has no effect here"]);
});

test("variables are stronger than the file", () => {
  const { config, warnings } = read(
    "version: 0.1\nhttp:\n  addr: :1\nstorage:\n  delete:\n    enabled: false\n",
    {
      REGISTRY_HTTP_ADDR: "127.0.0.1:2",
      REGISTRY_STORAGE_DELETE_ENABLED: "true",
      REGISTRY_AUTH: "htpasswd",
      REGISTRY_AUTH_HTPASSWD_REALM: "Realm",
      REGISTRY_AUTH_HTPASSWD_PATH: "/auth/htpasswd",
      REGISTRY_HTTP_HEADERS: "{X-A: [b]}",
      REGISTRY_PROXY_REMOTEURL: "https://registry-1.docker.io",
      REGISTRY_PROXY_TTL: "1h30m",
      REGISTRY_SERVICE_HOST: "10.0.0.1",
      REGISTRY_PROXY_SERVICE_HOST: "10.0.0.2",
      PATH: "/bin",
    },
  );
  expect(config).toMatchObject({
    deletion: true,
    http: { address: "127.0.0.1:2", headers: { "X-A": ["b"] } },
    htpasswd: { realm: "Realm", path: "/auth/htpasswd" },
    proxy: { remoteUrl: "https://registry-1.docker.io", username: "", ttlMs: 5400_000 },
  });
  expect(warnings).toHaveLength(2);
});

test("nothing at all is a registry on loopback that deletes nothing", () => {
  const { config } = read(undefined);
  expect(config).toMatchObject({
    deletion: false,
    http: { address: "127.0.0.1:5000", prefix: "" },
  });
});

test("what would make it less safe, or put data elsewhere, is refused by name", () => {
  const v = "version: 0.1\n";
  for (const [text, words] of [
    ["http:\n  addr: :1\n", "version must be 0.1, and is missing"],
    ["version: 0.2\n", "version must be 0.1, not 0.2"],
    ["- a\n", "it is not a map"],
    ["a: [\n", "it is not YAML"],
    [`${v}htpp:\n  addr: :1\n`, "htpp is not a known key"],
    [`${v}http:\n  tls:\n    clientcas: [a]\n`, "http.tls.clientcas is not supported"],
    [`${v}http:\n  tls:\n    certificate: /a\n`, "given together"],
    [`${v}auth:\n  silly:\n    realm: x\n`, "auth.silly is not supported: only auth.htpasswd is"],
    [`${v}auth:\n  htpasswd:\n    realm: x\n`, "auth.htpasswd.path is missing"],
    [`${v}storage:\n  s3:\n    bucket: x\n`, "storage.s3 is not supported"],
    [
      `${v}storage:\n  delete:\n    enabled: perhaps\n`,
      "storage.delete.enabled must be true or false",
    ],
    [`${v}http:\n  addr: [1]\n`, "http.addr must be a single value"],
    [`${v}http:\n  headers:\n    X: "a\\r\\nB: c"\n`, "no header that can be sent"],
    [`${v}http:\n  tls:\n    minimumtls: ssl3\n`, "minimumtls must be"],
    [`${v}proxy:\n  remoteurl: ftp://x\n`, "proxy.remoteurl must be"],
    [`${v}proxy:\n  remoteurl: https://user:secret@x\n`, "proxy.remoteurl must be"],
    [`${v}proxy:\n  username: x\n`, "proxy.remoteurl is missing"],
    [`${v}log:\n  level: loud\n`, "log.level"],
    [`${v}http:\n  draintimeout: soon\n`, "is no duration such as 168h"],
  ] as const) {
    const said = refusal(text);
    expect(said).toContain(words);
    expect(said).not.toContain("secret");
  }
  expect(refusal(v, { REGISTRY_AUTH_TOKEN_REALM: "x" })).toContain("REGISTRY_AUTH_TOKEN_REALM");
});

test("durations as Go writes them", () => {
  expect(["168h", "1h30m", "1.5s", "500ms", "0"].map(parseDuration)).toEqual([
    ...[604_800_000, 5_400_000, 1500, 500, 0],
  ]);
  for (const bad of ["", "1", "h", "1d", "-1s", "1h "]) expect(parseDuration(bad)).toBeUndefined();
});
