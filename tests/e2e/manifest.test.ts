/** Manifest lists: docker's command line and berth's, line by line on the same registries, and on one another's lists. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DistributionClient, digestOf, types } from "../kits/distribution.ts";
import { OwnRegistry } from "../kits/own-registry.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const executable = join(import.meta.dir, "../../dist/berth");
const scratch = scratchDirectory("berth-manifest-");
const dockers = {
  manifest: "application/vnd.docker.distribution.manifest.v2+json",
  config: "application/vnd.docker.container.image.v1+json",
  layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

const hasDockerRegistry = Bun.which("docker-registry") !== null;
const own = new OwnRegistry();
const debians = hasDockerRegistry ? new TestRegistry() : undefined;
await Promise.all([own.start(), debians?.start()]);

afterAll(async () => {
  await own.stop();
  await debians?.stop();
  rmSync(own.directory, { recursive: true, force: true });
  rmSync(scratch, { recursive: true, force: true });
});

/** Puts an image of one small layer into a registry; gives its manifest's digest. */
async function put(address: string, name: string, tag: string, platform: object, isOci = false) {
  const client = new DistributionClient(`http://${address}`, name);
  const config = JSON.stringify({ ...platform, config: {}, rootfs: { type: "layers" } });
  const layer = `layer of ${tag}`;
  for (const blob of [config, layer])
    expect((await client.push(new TextEncoder().encode(blob))).status).toBe(201);
  const form = isOci ? types : dockers;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: form.manifest,
    config: { mediaType: form.config, size: config.length, digest: digestOf(config) },
    layers: [{ mediaType: form.layer, size: layer.length, digest: digestOf(layer) }],
  });
  expect((await client.putManifest(tag, manifest, form.manifest)).status).toBe(201);
  return digestOf(manifest);
}

async function fill(address: string): Promise<string> {
  const linux = { os: "linux" };
  const digest = await put(address, "app", "amd64", { architecture: "amd64", ...linux });
  await put(address, "app", "arm", { architecture: "arm", ...linux, variant: "v7" });
  await put(address, "app", "oci", { architecture: "s390x", ...linux }, true);
  const windows = { os: "windows", "os.version": "10.0.1", "os.features": ["win32k"] };
  await put(address, "app", "win", { architecture: "amd64", ...windows });
  await put(address, "app", "bare", {});
  await put(address, "other", "arm64", { architecture: "arm64", ...linux });
  return digest;
}

type Client = "docker" | "berth";

async function call(client: Client, home: string, argv: readonly string[]) {
  const child = Bun.spawn([client === "berth" ? executable : "docker", ...argv], {
    env: { PATH: process.env.PATH ?? "", HOME: home, DOCKER_CONFIG: home },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

/** What each client is given; R is the registry, D the digest of app:amd64. */
const lines: readonly string[] = [
  "create R/app:list",
  "create --insecure R/app:list R/app:amd64 R/app:arm",
  "create --insecure R/app:list R/app:amd64",
  "create --insecure --amend R/app:list R/app:oci",
  "create --insecure -a R/app:list R/app@D",
  "inspect R/app:list",
  "inspect -v R/app:list",
  "inspect R/app:list R/app:arm",
  "inspect -v R/app:list R/app:oci",
  "inspect R/app:list R/app:nope",
  "annotate R/app:list R/app:arm --variant v6 --os-version 1.2 --os-features a,b --os-features c",
  "annotate R/app:list R/app:arm --arch sparc --os plan9",
  "annotate R/app:list R/app:arm --arch ppc64le --os linux --os-features c,d",
  "annotate R/app:list R/app:nope --arch amd64",
  "annotate R/app:nolist R/app:arm --arch amd64",
  "annotate R/app:list R/app:arm",
  "annotate R/app:list",
  "annotate R/App:list x",
  "annotate R/app:list R/App:x",
  "inspect R/app:list",
  "push --insecure R/app:list",
  "push --insecure R/app:list R/b",
  "push --insecure R/app:nolist",
  "push --insecure -p R/app:list",
  "push --insecure R/app:list",
  "inspect --insecure R/app:list",
  "inspect --insecure -v R/app:list",
  "create --insecure R/app:mixed R/app:amd64 R/other:arm64 R/app:win",
  "push --insecure R/app:mixed",
  "create --insecure R/elsewhere R/app:amd64 R/app:win",
  "push --insecure R/elsewhere",
  "create --insecure R/oo R/app:oci",
  "push --insecure R/oo",
  "inspect R/oo",
  "create --insecure R/app:list2 R/app:bare",
  "inspect R/app:list2",
  "push --insecure R/app:list2",
  "annotate R/app:list2 R/app:bare --os linux",
  "annotate R/app:list2 R/app:bare --os linux --arch riscv64",
  "push --insecure R/app:list2",
  "create --insecure R/app:twice R/app:mixed",
  "create --insecure R/app:bad R/app:nosuch",
  "create --insecure R/app:Bad! R/app:amd64",
  "create --insecure R/app:x R/App:amd64",
  "create --insecure me/app R/app:amd64",
  "push --insecure me/app",
  "create --insecure R/dup R/app:amd64 R/app:amd64",
  "inspect R/dup",
  "rm R/app:nope",
  "rm R/app:mixed R/nope R/oo",
  "rm R/App",
  "rm",
];

for (const registry of [own, ...(debians ? [debians] : [])]) {
  const name = registry === own ? "berth's own registry" : "docker-registry";
  const { address } = registry;
  test(`docker's words and files, line by line, against ${name}`, async () => {
    const digest = await fill(address);
    const said: Record<Client, string[]> = { docker: [], berth: [] };
    for (const client of ["docker", "berth"] as const) {
      const home = `${scratch}/${client}-${address}`;
      mkdirSync(home);
      for (const line of lines) {
        const words = line
          .replaceAll("R/", `${address}/`)
          .replaceAll("@D", `@${digest}`)
          .split(" ");
        const { out, err, status } = await call(client, home, ["manifest", ...words]);
        const plain = `${out}${err}`.replace(/\bberth(: '|(?= manifest))/g, "docker$1");
        said[client].push(`$ ${line}\n${plain}[${status}]\n${filesIn(`${home}/manifests`)}`);
      }
    }
    for (const [at, docker] of said.docker.entries()) expect(said.berth[at]).toBe(docker);
    expect(said.berth.join("")).toContain("Pushed ref");
  });
}

/** All files below a directory with their contents. */
function filesIn(directory: string): string {
  if (!existsSync(directory)) return "";
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort()
    .map((path) => `${path.slice(directory.length)}: ${readFileSync(path, "utf8")}\n`)
    .join("");
}

test("a list that one client has begun is gone on with, and pushed, by the other; what was pushed is pulled by its platform", async () => {
  const { address } = own;
  await fill(address);
  const home = `${scratch}/both`;
  mkdirSync(home);
  for (const [first, second] of [
    ["docker", "berth"],
    ["berth", "docker"],
  ] as const) {
    const list = `${address}/app:by-${first}`;
    const images = [`${address}/app:amd64`, `${address}/app:arm`];
    const steps = [
      [first, "create", "--insecure", list, images[0]],
      [second, "create", "--insecure", "--amend", list, images[1]],
      [first, "annotate", list, images[1], "--variant", "v8"],
      [second, "push", "--insecure", "--purge", list],
    ] as const;
    for (const [client, ...words] of steps) {
      const { status, err } = await call(client, home, [
        "manifest",
        ...(words as readonly string[]),
      ]);
      expect([words, err, status]).toEqual([words, "", 0]);
    }
    const stored = await new DistributionClient(`http://${address}`, "app").request(
      `manifests/by-${first}`,
      { headers: { Accept: "application/vnd.docker.distribution.manifest.list.v2+json" } },
    );
    const { manifests } = (await stored.json()) as { manifests: { platform: object }[] };
    expect(manifests.map(({ platform }) => platform)).toEqual([
      { architecture: "amd64", os: "linux" },
      { architecture: "arm", os: "linux", variant: "v8" },
    ]);
  }
});

test("a damaged file of a list is told of, with what to do; nothing is pushed", async () => {
  const home = `${scratch}/damaged`;
  mkdirSync(`${home}/manifests/docker.io_me_l-latest`, { recursive: true });
  for (const text of ["{", "null", "[]", '{"Ref":"a"}']) {
    await Bun.write(`${home}/manifests/docker.io_me_l-latest/docker.io_me_a-x`, text);
    for (const verb of ["inspect", "push"]) {
      const { status, out, err } = await call("berth", home, ["manifest", verb, "me/l"]);
      expect([status, out]).toEqual([1, ""]);
      expect(err).toContain("docker.io_me_l-latest/docker.io_me_a-x");
    }
  }
});
