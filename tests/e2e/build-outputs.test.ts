/** What comes of builds beside an image in the store: files, archives, images in registries, of one platform or several. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Builder } from "../build-conformance/builders.ts";
import { filesOf } from "../clients/tars.ts";
import { type Done, daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const registry = new TestRegistry();
const work = scratchDirectory("bo-");

beforeAll(() => registry.start());
afterAll(async () => {
  await registry.stop();
  rmSync(work, { recursive: true, force: true });
});

// After the registry's hooks: the census comes last.
const daemon = daemonOfFile();

/** A context with a Dockerfile and one more file. */
function context(dockerfile: string): string {
  const directory = mkdtempSync(`${work}/context-`);
  writeFileSync(`${directory}/Dockerfile`, dockerfile);
  writeFileSync(`${directory}/file`, "from the context\n");
  return directory;
}

const place = (name: string) => `${mkdtempSync(`${work}/out-`)}/${name}`;
const build = (dockerfile: string, ...flags: string[]): Promise<Done> =>
  daemon.berth("build", ...flags, context(dockerfile));

async function built(dockerfile: string, ...flags: string[]): Promise<Done> {
  const done = await build(dockerfile, ...flags);
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  return done;
}

function tool(...argv: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

const files = `FROM busybox AS made
RUN mkdir -p /d/e && echo one > /d/one && chmod 640 /d/one && chown 1000:1000 /d/one
RUN ln -s one /d/link && ln /d/one /d/hard && echo two > /d/e/two && touch -d @1000000000 /d/e/two
FROM scratch
COPY --from=made /d /d
`;

test("a directory gets the files, which belong to the caller; what is there stays, and no link is followed", async () => {
  const out = place("new/deep");
  await built(files, "-o", out);
  expect(readFileSync(`${out}/d/one`, "utf8")).toBe("one\n");
  const one = lstatSync(`${out}/d/one`);
  expect([one.uid, one.gid, one.mode & 0o7777, one.nlink]).toEqual([0, 0, 0o640, 2]);
  expect(lstatSync(`${out}/d/e/two`).mtimeMs).toBe(1e12);
  expect(readlinkSync(`${out}/d/link`)).toBe("one");

  const there = place("there");
  const elsewhere = mkdtempSync(`${work}/elsewhere-`);
  mkdirSync(`${there}/d`, { recursive: true });
  writeFileSync(`${there}/d/own`, "own");
  writeFileSync(`${there}/d/one`, "before");
  symlinkSync(elsewhere, `${there}/d/e`);
  await built(files, "-o", `type=local,dest=${there}`);
  expect(readdirSync(`${there}/d`).toSorted()).toEqual(["e", "hard", "link", "one", "own"]);
  expect(readFileSync(`${there}/d/one`, "utf8")).toBe("one\n");
  expect(lstatSync(`${there}/d/e`).isDirectory()).toBe(true);
  expect([readdirSync(elsewhere), readdirSync(there)]).toEqual([[], ["d"]]);
  // Nothing of it is an image.
  expect((await daemon.berth("images", "-q", "-f", "dangling=true")).out).toBe("");
});

test("an archive has the image's own owners, as a file and on the standard output", async () => {
  const path = place("files.tar");
  await built(files, "-o", `type=tar,dest=${path}`);
  expect(tool("tar", "--numeric-owner", "-tvf", path)).toMatch(
    /^-rw-r----- 1000\/1000 .* d\/hard$/m,
  );
  const { out } = await built(files, "-q", "-o", "-");
  expect(out).toBe(readFileSync(path).toString());
});

test("whoever is not root gets directories that cannot be written to, too, and again", async () => {
  const dockerfile = `FROM busybox AS made
RUN mkdir -p /d/shut && echo 1 > /d/shut/file && chmod 500 /d/shut
FROM scratch
COPY --from=made /d /d
`;
  const executable = `${work}/berth`;
  copyFileSync(join(import.meta.dir, "../../dist/berth"), executable);
  const [directory, mine] = [context(dockerfile), mkdtempSync(`${work}/mine-`)];
  for (const path of [work, daemon.directory, directory]) chmodSync(path, 0o755);
  chmodSync(daemon.socket, 0o666);
  chmodSync(executable, 0o755);
  chmodSync(mine, 0o777);
  const user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
  for (const round of ["first", "second"]) {
    const env = { PATH: "/usr/bin:/bin", HOME: mine, BERTH_HOST: `unix://${daemon.socket}` };
    const child = Bun.spawn([...user, executable, "build", "-q", "-o", `${mine}/out`, directory], {
      ...{ env, stdout: "ignore", stderr: "pipe" },
    });
    const err = await new Response(child.stderr).text();
    expect([round, await child.exited, err]).toEqual([round, 0, ""]);
    const shut = lstatSync(`${mine}/out/d/shut`);
    expect([shut.uid, shut.mode & 0o777]).toEqual([1000, 0o500]);
    expect(readdirSync(mine).filter((name) => name !== ".cache")).toEqual(["out"]);
    expect(readdirSync(`${mine}/out`)).toEqual(["d"]);
  }
});

test("a build that fails, or an answer that is cut off, writes nothing", async () => {
  const parent = mkdtempSync(`${work}/none-`);
  for (const output of [
    `${parent}/dir`,
    `type=tar,dest=${parent}/tar`,
    `type=oci,dest=${parent}/oci`,
  ]) {
    const done = await build("FROM busybox\nRUN exit 7\n", "-o", output);
    expect([done.status, readdirSync(parent)]).toEqual([7, []]);
  }
  const line = (value: object) => `${JSON.stringify(value)}\r\n`;
  const piece = "\0".repeat(2048);
  const half = line({ output: { at: 0, bytes: 2048 } }) + piece;
  for (const rest of ["", line({ error: "the disk is full" })]) {
    using server = Bun.serve({
      unix: `${parent}.socket`,
      fetch: ({ url }) => {
        if (url.includes("/version")) return Response.json({ ApiVersion: "1.51" });
        return url.includes("/build?")
          ? new Response(half + rest)
          : Response.json({ message: "page not found" }, { status: 404 });
      },
    });
    const env = { BERTH_HOST: `unix://${parent}.socket` };
    for (const output of [`${parent}/dir`, parent, `type=tar,dest=${parent}/tar`]) {
      const done = await daemon.berthWith(
        { env },
        "build",
        "-o",
        output,
        context("FROM scratch\n"),
      );
      expect([done.status, done.err]).toEqual([
        1,
        expect.stringContaining(rest === "" ? "EOF" : "full"),
      ]);
      expect(readdirSync(parent)).toEqual([]);
    }
    await server.stop(true);
  }
});

test("what cannot be written, or is misspelled, is refused before anything is built", async () => {
  const file = place("file");
  writeFileSync(file, "");
  const refused = async (why: string | RegExp, ...flags: string[]) => {
    const done = await build("FROM busybox\nRUN exit 9\n", ...flags);
    expect([done.status, done.err]).toEqual([1, expect.stringMatching(why)]);
  };
  await refused("is not a directory", "-o", file);
  await refused("is not a directory", "-o", `${file}/below`);
  await refused("no such file or directory", "-o", "type=oci,dest=/nowhere/at/all.tar");
  await refused("cannot write to a directory", "-o", `type=tar,dest=${work}`);
  await refused("type is required", "-o", `dest=${file},a=b`);
  await refused('exporter "bogus" could not be found', "-o", "type=bogus");
  await refused("dest is required for local exporter", "-o", "type=local");
  await refused('unknown attribute "shape"', "-o", "type=image,shape=round");
  await refused("unsupported layer compression type: lz4", "-o", "type=image,compression=lz4");
  await refused("tag is needed when pushing to registry", "--push");
  await refused("push and load may not be set together", "--push", "--load", "-t", "x");
  await refused("more than one output", "-o", "-", "-o", "type=oci,dest=-");
  await refused("invalid reference format", "-t", "x", "-o", "type=image,name=UPPER CASE");
  const plain = await new Builder(daemon.socket).build({
    dockerfile: "FROM scratch\n",
    query: { outputs: JSON.stringify([{ Type: "tar", Attrs: {} }]) },
  });
  expect(plain.error).toContain("ask for berth-events=1");
});

test("an OCI layout, as an archive or a directory, and an archive for docker load", async () => {
  const [archive, directory, docker] = [place("oci.tar"), place("oci"), place("docker.tar")];
  const metadata = place("metadata.json");
  const id = place("id");
  const dockerfile = `${files}LABEL made=here\n`;
  await built(
    dockerfile,
    ...["-t", "laid/out:1", "--metadata-file", metadata, "--iidfile", id],
    ...["-o", `type=oci,dest=${archive}`, "-o", `type=oci,tar=false,dest=${directory}`],
    ...["-o", `type=docker,dest=${docker}`],
  );
  const seen = [`oci-archive:${archive}`, `oci:${directory}`, `docker-archive:${docker}`].map(
    (from) => tool("skopeo", "inspect", "--config", from),
  );
  expect(new Set(seen).size).toBe(1);
  expect(JSON.parse(seen[0] ?? "").config.Labels).toEqual({ made: "here" });
  const told = JSON.parse(readFileSync(metadata, "utf8"));
  const index = JSON.parse(readFileSync(`${directory}/index.json`, "utf8"));
  expect(told["image.name"]).toBe("docker.io/laid/out:1");
  expect(index.manifests[0].annotations["io.containerd.image.name"]).toBe("docker.io/laid/out:1");
  expect(readFileSync(id, "utf8")).toBe(told["containerimage.config.digest"]);
  const loaded = await daemon.docker("load", "-i", docker);
  expect(loaded.out).toBe("Loaded image: laid/out:1\n");
  const known = await daemon.berth("image", "inspect", "-f", "{{.Id}}", "laid/out:1");
  expect(known.out.trim()).toBe(readFileSync(id, "utf8"));
});

test("layers are compressed as somebody wants them", async () => {
  const types = async (...attributes: string[]) => {
    const path = place("oci");
    await built(
      "FROM busybox\nCOPY file /\n",
      "-o",
      ["type=oci,tar=false", `dest=${path}`, ...attributes].join(),
    );
    const { manifests } = JSON.parse(readFileSync(`${path}/index.json`, "utf8"));
    const blob = (digest: string) => `${path}/blobs/sha256/${digest.slice(7)}`;
    const { layers } = JSON.parse(readFileSync(blob(manifests[0].digest), "utf8"));
    return layers.map((layer: { mediaType: string; digest: string }) => [
      layer.mediaType.replace("application/vnd.", ""),
      readFileSync(blob(layer.digest)).subarray(0, 2).toString("hex"),
    ]);
  };
  const gzip = ["oci.image.layer.v1.tar+gzip", "1f8b"];
  const zstd = ["oci.image.layer.v1.tar+zstd", "28b5"];
  const plain = ["oci.image.layer.v1.tar", expect.any(String)];
  expect(await types()).toEqual([gzip, gzip]);
  expect((await types("compression=zstd")).at(-1)).toEqual(zstd);
  expect(await types("compression=zstd", "force-compression=true", "compression-level=5")).toEqual([
    zstd,
    zstd,
  ]);
  expect(await types("compression=uncompressed", "force-compression=true")).toEqual([plain, plain]);
});

test("an image goes to a registry, by a name or by its digest alone, and is what is told of it", async () => {
  const name = `${registry.address}/built/one`;
  const metadata = place("metadata.json");
  await built(
    "FROM busybox\nCOPY file /\n",
    "-t",
    `${name}:1`,
    "--push",
    "--metadata-file",
    metadata,
  );
  const told = JSON.parse(readFileSync(metadata, "utf8"));
  const there = JSON.parse(tool("skopeo", "inspect", "--tls-verify=false", `docker://${name}:1`));
  expect(there.Digest).toBe(told["containerimage.digest"]);
  // What the store knows of it, and what a push by itself sends.
  const { out } = await daemon.berth(
    "image",
    "inspect",
    "-f",
    "{{.Id}} {{json .RepoDigests}}",
    `${name}:1`,
  );
  expect(out.trim()).toBe(`${told["containerimage.config.digest"]} ["${name}@${there.Digest}"]`);
  expect((await daemon.berth("push", `${name}:1`)).out).toContain(`digest: ${there.Digest}`);

  await built(
    "FROM busybox\nCOPY file /other\n",
    "-o",
    `type=image,name=${name},push=true,push-by-digest=true,store=false`,
    "--metadata-file",
    metadata,
  );
  const alone = JSON.parse(readFileSync(metadata, "utf8"))["containerimage.digest"];
  const found = JSON.parse(
    tool("skopeo", "inspect", "--tls-verify=false", `docker://${name}@${alone}`),
  );
  expect(found.RepoTags).toEqual(["1"]);
  const refused = await build("FROM busybox\n", "-t", "127.0.0.1:1/no/where:1", "--push");
  expect([refused.status, refused.err]).toEqual([1, expect.stringMatching(/127\.0\.0\.1:1/)]);
});

const cross = `FROM --platform=$BUILDPLATFORM busybox AS made
ARG TARGETPLATFORM TARGETARCH
RUN echo "$TARGETPLATFORM by $(uname -m)" > /made-$TARGETARCH
FROM scratch AS for-amd64
FROM scratch AS for-s390x
COPY file /only-here
FROM for-$TARGETARCH
ARG TARGETARCH
COPY --from=made /made-$TARGETARCH /made
`;

test("several platforms are an index, and their files lie beside each other", async () => {
  const both = ["--platform", "linux/amd64,linux/s390x"];
  const machine = tool("uname", "-m").trim();
  const out = place("files");
  await built(cross, ...both, "-o", out);
  const made = (platform: string) => readFileSync(`${out}/${platform}/made`, "utf8");
  expect(made("linux_amd64")).toBe(`linux/amd64 by ${machine}\n`);
  expect(made("linux_s390x")).toBe(`linux/s390x by ${machine}\n`);
  expect(readdirSync(`${out}/linux_amd64`)).toEqual(["made"]);
  expect(readdirSync(`${out}/linux_s390x`).toSorted()).toEqual(["made", "only-here"]);

  const name = `${registry.address}/built/many:1`;
  await built(
    cross,
    "--platform",
    "linux/amd64",
    "--platform",
    "linux/s390x",
    "--push",
    "-t",
    name,
  );
  for (const arch of ["amd64", "s390x"]) {
    const found = tool(
      "skopeo",
      "inspect",
      "--config",
      "--tls-verify=false",
      "--override-arch",
      arch,
      `docker://${name}`,
    );
    expect(JSON.parse(found).architecture).toBe(arch);
  }
  const archive = place("many.tar");
  await built(cross, ...both, "-t", "many:1", "-o", `type=oci,dest=${archive}`);
  const parts = filesOf(readFileSync(archive));
  const [root] = JSON.parse(parts["index.json"] ?? "").manifests;
  const index = JSON.parse(parts[`blobs/sha256/${root.digest.slice(7)}`] ?? "");
  expect(index.manifests.map((one: { platform: object }) => one.platform)).toEqual([
    { architecture: "amd64", os: "linux" },
    { architecture: "s390x", os: "linux" },
  ]);
  const docker = await build(cross, ...both, "-o", `type=docker,dest=${place("x")}`);
  expect(docker.err).toContain("does not currently support exporting manifest lists");

  // A base for another platform is fetched, and its name goes on meaning the one for this host.
  const base = `FROM ${name}\nCOPY file /\n`;
  await built(base, ...both, "-o", out);
  expect(made("linux_s390x")).toBe(`linux/s390x by ${machine}\n`);
  const here = await daemon.berth("image", "inspect", "-f", "{{.Architecture}}", name);
  expect(here.out).toBe("amd64\n");
});

test("several platforms in the store are one name, which goes out whole and can be built on", async () => {
  const both = ["--platform", "linux/amd64,linux/s390x"];
  const metadata = place("metadata.json");
  const before = readdirSync(`${daemon.directory}/data/content/blobs/sha256`).length;
  await built(cross, ...both, "-t", "kept:1", "--metadata-file", metadata);
  const digest = JSON.parse(readFileSync(metadata, "utf8"))["containerimage.digest"];
  const here = await daemon.berth("image", "inspect", "-f", "{{.Architecture}}", "kept:1");
  expect(here.out).toBe("amd64\n");
  const name = `${registry.address}/kept/many:1`;
  await daemon.berth("tag", "kept:1", name);
  expect((await daemon.berth("push", name)).out).toContain(`digest: ${digest}`);
  const raw = tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${name}`);
  expect(JSON.parse(raw).manifests).toHaveLength(2);

  // No registry has this name: the other platform's image is here.
  const out = place("files");
  await built("FROM kept:1\nCOPY file /\n", ...both, "-o", out);
  expect(readFileSync(`${out}/linux_s390x/made`, "utf8")).toStartWith("linux/s390x by ");
  expect((await daemon.berth("image", "inspect", "-f", "{{.Architecture}}", "kept:1")).out).toBe(
    "amd64\n",
  );

  for (const gone of ["kept:1", name]) await daemon.berth("rmi", gone);
  await daemon.berth("image", "prune", "-f");
  await daemon.berth("builder", "prune", "-af");
  const check = await daemon.berth("system", "check");
  expect([check.status, check.err]).toEqual([0, ""]);
  const after = readdirSync(`${daemon.directory}/data/content/blobs/sha256`).length;
  expect(after).toBeLessThanOrEqual(before);
});

test("programs of another processor are not run where nothing runs them, and that is said", async () => {
  const foreign = existsSync("/proc/sys/fs/binfmt_misc/qemu-s390x");
  await built(cross, "--platform", "linux/s390x", "-t", "foreign:1");
  const seen = await daemon.berth("image", "inspect", "-f", "{{.Architecture}}", "foreign:1");
  expect(seen.out).toBe("s390x\n");
  if (foreign) return;
  const { status, err } = await build(
    'FROM foreign:1\nRUN ["/made"]\n',
    "--platform",
    "linux/s390x",
  );
  expect([status, err]).toEqual([
    1,
    expect.stringMatching(/cannot run programs for linux\/s390x on .*binfmt_misc/),
  ]);
});

const layered = `FROM busybox
RUN rm /bin/vi; echo a > /a; mkdir /x /y; touch /x/1
RUN rm -rf /a /x; echo b > /b; mkdir /x; touch /x/2
ENV A=1
`;

test("squashed layers are one, with what they have left alone, and a history as dockerd's", async () => {
  await built(layered, "-t", "long:1");
  await built(layered, "-t", "short:1", "--squash");
  const image = await new Builder(daemon.socket).image("short:1");
  const paths = [...image.tree.keys()];
  expect(paths).toEqual(expect.arrayContaining(["b", "x/2", "y"]));
  for (const gone of ["a", "x/1", "bin/vi"]) expect(paths).not.toContain(gone);
  const facts = async (name: string) => {
    const { text } = await daemon.api("GET", `/images/${name}/json`);
    return JSON.parse(text) as { Id: string; RootFS: { Layers: string[] } };
  };
  const [long, short, base] = [
    await facts("long:1"),
    await facts("short:1"),
    await facts("busybox"),
  ];
  expect(short.RootFS.Layers.slice(0, -1)).toEqual(base.RootFS.Layers);
  const { text } = await daemon.api("GET", "/images/short:1/history");
  const [top, ...rest] = JSON.parse(text) as { Comment: string; Size: number }[];
  expect(top).toMatchObject({ Comment: `merge ${long.Id} to ${base.Id}`, Size: 2 });
  expect(rest.slice(0, 3).map(({ Size }) => Size)).toEqual([0, 0, 0]);
  // From nothing, and where nothing was changed.
  await built(files, "-t", "short:2", "--squash");
  const alone = (await daemon.api("GET", "/images/short:2/history")).text;
  expect(JSON.parse(alone)[0].Comment).toMatch(/^create new from sha256:/);
  await built("FROM busybox\nENV A=2\n", "-t", "short:3", "--squash");
  expect((await facts("short:3")).RootFS.Layers).toEqual(base.RootFS.Layers);
});

test("with SOURCE_DATE_EPOCH two data roots give the same bytes", async () => {
  const other = await new TestDaemon(["--storage-driver", "vfs"]).start();
  const dockerfile = `FROM busybox AS made
RUN mkdir /d && date > /dev/null && echo one > /d/one && echo two > /d/two && ln /d/one /d/three
COPY file /d/
FROM busybox
COPY --from=made /d /d
WORKDIR /new/directory
RUN touch /now && rm /bin/vi
`;
  const outputs = async (of: TestDaemon, ...flags: string[]) => {
    const [tar, oci, docker, metadata] = ["tar", "oci", "docker", "metadata"].map(place);
    const done = await of.berthWith(
      { env: { SOURCE_DATE_EPOCH: "1700000000" } },
      ...["build", "-t", "same:1", ...flags, "--metadata-file", metadata ?? ""],
      ...["-o", `type=tar,dest=${tar}`, "-o", `type=oci,dest=${oci}`],
      ...["-o", `type=docker,compression=zstd,oci-mediatypes=true,dest=${docker}`],
      context(dockerfile),
    );
    expect([done.status, done.err]).toEqual([0, expect.any(String)]);
    const hash = (path = "") => Bun.SHA256.hash(readFileSync(path), "hex");
    return { hashes: [tar, oci, docker, metadata].map(hash), tar: tar ?? "" };
  };
  try {
    for (const flags of [[], ["--squash"], ["--platform", "linux/amd64"]]) {
      const [here, there] = [await outputs(daemon, ...flags), await outputs(other, ...flags)];
      expect(here.hashes).toEqual(there.hashes);
      const times = tool("tar", "--utc", "--full-time", "-tvf", here.tar);
      expect(
        times
          .trim()
          .split("\n")
          .filter((line) => !line.includes("2023-11-14 22:13:20")),
      ).toEqual([]);
    }
  } finally {
    await other.destroy();
  }
});
