/**
 * Records what a cosign program makes of images, for tests that cannot have one:
 *
 *     .tools/bun tests/vectors/cosign/record.ts /path/to/cosign > tests/vectors/cosign/cosign-VERSION.json
 *
 * cosign signs images in a registry in memory, with keys of its own and without sigstore's network; what is then in the registry is
 * written down with the public keys. See README.md beside this file.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import { tarOf } from "../../clients/tars.ts";
import { FakeRegistry } from "../../kits/fake-registry.ts";
import type { CosignVectors } from "./vectors.ts";

const [program = ""] = process.argv.slice(2);
const directory = mkdtempSync("/tmp/cosign-");
const registry = await new FakeRegistry().start();
const NAME = "registry.example.com/team/app";

async function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = Bun.spawn([...argv], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? "", HOME: directory, COSIGN_PASSWORD: "", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")}: ${err}`);
  return out;
}

const version = /GitVersion:\s*v(\S+)/.exec(await run([program, "version"]))?.[1] ?? "";
const isTwo = version.startsWith("2.");
const keys: Record<string, string> = {};

await run([program, "generate-key-pair", "--output-key-prefix", "ecdsa"]);
await run([program, "generate-key-pair", "--output-key-prefix", "other"]);
for (const [name, ...how] of [
  ["rsa", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  ["ed25519", "ED25519"],
  ["p384", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
] as const) {
  const made = ["openssl", "genpkey", "-algorithm", ...how, "-out", `${name}.pem`];
  await run(made);
  await run([program, "import-key-pair", "--key", `${name}.pem`, "--output-key-prefix", name]);
}
for (const name of ["ecdsa", "other", "rsa", "ed25519", "p384"])
  keys[name] = readFileSync(`${directory}/${name}.pub`, "utf8");
writeFileSync(`${directory}/sbom`, '{"spdxVersion":"SPDX-2.3","name":"app"}');
writeFileSync(
  `${directory}/provenance`,
  '{"buildDefinition":{"buildType":"https://example.com/build","externalParameters":{}},"runDetails":{"builder":{"id":"https://example.com/builder"}}}',
);

const offline = ["--allow-http-registry", "--tlog-upload=false", "-y"];
const images: Record<string, string> = {};

interface Wish {
  readonly tag: string;
  readonly key?: string;
  /** What `cosign sign` is given; undefined: no signature. */
  readonly sign?: readonly string[] | undefined;
  readonly attest?: readonly (readonly [type: string, file: string])[];
  readonly attestFlags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

async function record({
  tag,
  key = "ecdsa",
  sign,
  attest = [],
  attestFlags = [],
  env,
}: Wish): Promise<void> {
  const { digest } = registry.image(tarOf({ "file.txt": tag }), tag);
  images[tag] = digest;
  const image = `${registry.address}/app@${digest}`;
  const common = [
    "--key",
    `${key}.key`,
    ...offline,
    ...(isTwo ? [] : ["--use-signing-config=false"]),
  ];
  if (sign !== undefined) await run([program, "sign", ...common, ...sign, image], env);
  for (const [type, file] of attest)
    await run(
      [program, "attest", ...common, ...attestFlags, "--type", type, "--predicate", file, image],
      env,
    );
}

const named = [`--sign-container-identity=${NAME}`];
const both = [
  ["spdxjson", "sbom"],
  ["slsaprovenance1", "provenance"],
] as const;
await record({ tag: "full", sign: named, attest: both });
await record({ tag: "plain", sign: ["-a", "team=a"] });
await record({ tag: "attested", attest: both });
await record({ tag: "foreign", key: "other", sign: named });
for (const key of ["rsa", "ed25519", "p384"]) await record({ tag: key, key, sign: named });
if (isTwo) {
  const flags = ["--new-bundle-format"];
  await record({ tag: "bundled", attest: both, attestFlags: flags });
  const env = { COSIGN_EXPERIMENTAL: "1" };
  await record({ tag: "referring", sign: [...named, "--registry-referrers-mode=oci-1-1"], env });
}
const entry = {
  ...registry.image(tarOf({ "file.txt": "of an index" })),
  platform: { architecture: "amd64", os: "linux" },
};
images.index = registry.index([entry], "index").digest;
const sign = [
  "--key",
  "ecdsa.key",
  ...offline,
  ...named,
  ...(isTwo ? [] : ["--use-signing-config=false"]),
];
await run([program, "sign", ...sign, `${registry.address}/app@${images.index}`]);

const vectors: CosignVectors = {
  version,
  address: registry.address,
  keys,
  images,
  manifests: Object.fromEntries(
    [...registry.manifests].map(([name, { mediaType, bytes }]) => [
      name,
      { mediaType, text: Buffer.from(bytes).toString() },
    ]),
  ),
  blobs: [...registry.blobs.values()].map((bytes) => deflateRawSync(bytes).toString("base64")),
};
process.stdout.write(`${JSON.stringify(vectors, null, 1)}\n`);
await registry.stop();
rmSync(directory, { recursive: true });
