/** Images that real cosign programs have signed, and others: what a daemon with a policy lets in, whichever way it is asked. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";
import { cosignVectors, replay } from "../vectors/cosign/vectors.ts";

const directory = scratchDirectory("cosign-");
const policy = `${directory}/policy.json`;
const programs = ["2.6.5", "3.1.3"].map((version) => {
  const vectors = cosignVectors(version);
  const registry = new FakeRegistry();
  replay(vectors, registry);
  for (const [name, pem] of Object.entries(vectors.keys))
    writeFileSync(`${directory}/${version}-${name}.pub`, pem);
  return { version, vectors, registry, key: `${directory}/${version}-ecdsa.pub` };
});

beforeAll(async () => {
  const docker: Record<string, object[]> = {};
  for (const { version, registry, key } of programs) {
    await registry.start();
    // cosign 2 signs a name, cosign 3 the digest alone.
    const dockerRepository = "registry.example.com/team/app";
    const signedIdentity = version.startsWith("2.")
      ? { type: "exactRepository", dockerRepository }
      : { type: "matchDigest" };
    docker[registry.address] = [{ type: "sigstoreSigned", keyPath: key, signedIdentity }];
  }
  writeFileSync(policy, JSON.stringify({ default: [{ type: "reject" }], transports: { docker } }));
});
afterAll(async () => {
  await Promise.all(programs.map(({ registry }) => registry.stop()));
  rmSync(directory, { recursive: true });
});

const daemon = daemonOfFile(["--signature-policy", policy]);

for (const { version, registry, vectors } of programs) {
  const name = (tag: string) => `${registry.address}/app:${tag}`;
  const ways = (image: string): (() => ReturnType<typeof daemon.berth>)[] => {
    const build = (text: string) => () =>
      daemon.berthWith({ stdin: tarOf({ Dockerfile: text }) }, "build", "--pull", "-q", "-");
    return [
      () => daemon.berth("pull", image),
      () => daemon.docker("pull", image),
      () => daemon.berth("create", "--pull", "always", image, "x"),
      build(`FROM ${image}\n`),
      build(`FROM scratch\nCOPY --from=${image} /file.txt /\n`),
      () => daemon.berth("image", "verify", "--policy", policy, image),
    ];
  };

  test(`what cosign ${version} has signed comes by pull, create and build, and is verified`, async () => {
    for (const image of [name("full"), `${registry.address}/app@${vectors.images.full}`]) {
      for (const way of ways(image)) expect(await way()).toMatchObject({ status: 0 });
      await daemon.berth("rm", "-f", (await daemon.berth("ps", "-aq")).out.trim());
      await daemon.berth("rmi", "-f", image);
    }
    expect(await daemon.berth("pull", name("index"))).toMatchObject({ status: 0 });
  });

  test(`what it has not signed, only attested, or by another key, does not come: ${version}`, async () => {
    registry.image(tarOf({ "file.txt": "plain" }), "unsigned");
    const refused = { unsigned: "has no signature of it", foreign: "not by a key that is trusted" };
    for (const [tag, why] of Object.entries({ ...refused, attested: /attests|has no signature/ }))
      for (const way of ways(name(tag))) {
        const { status, out, err } = await way();
        expect(out + err).toContain(`${name(tag)} is refused`);
        expect(out + err).toMatch(why);
        expect(status).not.toBe(0);
      }
  });

  test(`image verify and inspect tell what cosign ${version} has attested`, async () => {
    const { out } = await daemon.berth("image", "verify", "--policy", policy, name("full"));
    expect(out).toContain("Attestation: https://spdx.dev/Document sha256:");
    expect(out).toContain("Attestation: https://slsa.dev/provenance/v1 sha256:");
    expect(out).toContain(`Digest:      ${vectors.images.full}`);
    // The policy wants signatures, so that these are kept with the image.
    expect(await daemon.berth("pull", name("full"))).toMatchObject({ status: 0 });
    const format = ["--format", "{{range .Attestations}}{{.PredicateType}} {{end}}"];
    const inspected = await daemon.berth("image", "inspect", ...format, name("full"));
    expect(inspected.out.trim().split(" ").toSorted()).toEqual([
      "https://slsa.dev/provenance/v1",
      "https://spdx.dev/Document",
    ]);
  });
}
