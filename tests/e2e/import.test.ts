/** Images made from archives of files: from a file, standard input and an address, in every compression, with changes. */
import { expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

function archive(...flags: string[]): Uint8Array {
  const root = `${daemon.directory}/root`;
  mkdirSync(`${root}/bin`, { recursive: true });
  Bun.spawnSync(["cp", "/bin/busybox", `${root}/bin/busybox`]);
  writeFileSync(`${root}/word`, "imported\n");
  Bun.spawnSync(["ln", "-sf", "word", `${root}/link`]);
  return new Uint8Array(Bun.spawnSync(["tar", "-C", root, "-c", ...flags, "."]).stdout);
}

const show = ["-c", 'CMD ["/bin/busybox","cat","/word"]'];

test("every compression, from a file and from standard input, becomes an image that runs", async () => {
  const compressions = { plain: [], gzip: ["-z"], bzip2: ["-j"], xz: ["-J"], zstd: ["--zstd"] };
  for (const [name, flags] of Object.entries(compressions)) {
    const path = `${daemon.directory}/${name}.tar`;
    writeFileSync(path, archive(...flags));
    const made = await daemon.berth("import", ...show, path, `${name}:1`);
    expect(made).toEqual({
      status: 0,
      out: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/),
      err: "",
    });
    expect((await daemon.berth("run", "--rm", `${name}:1`)).out).toBe("imported\n");
  }
  const stdin = archive("-J");
  expect((await daemon.dockerWith({ stdin }, "import", ...show, "-", "stdin:1")).status).toBe(0);
  expect((await daemon.berth("run", "--rm", "stdin:1")).out).toBe("imported\n");
  const cut = archive("-j").subarray(0, 100_000);
  const refused = await daemon.berthWith({ stdin: cut }, "import", "-", "cut:1");
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("bzip2")]);
  expect((await daemon.berth("images", "-q", "cut")).out).toBe("");
});

test("the daemon fetches an address; what it cannot fetch it says, without the password", async () => {
  const bytes = archive("-z");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ url, headers }) {
      const { pathname } = new URL(url);
      if (pathname === "/moved") return Response.redirect("/root.tgz");
      if (pathname !== "/root.tgz") return new Response("no", { status: 404 });
      const asked = headers.get("authorization");
      return new Response(bytes, { headers: { "X-Asked": asked ?? "" } });
    },
  });
  try {
    const base = `http://127.0.0.1:${server.port}`;
    const made = await daemon.berth("import", ...show, `${base}/root.tgz`, "fetched:1");
    const [first, ...rest] = made.out.trimEnd().split("\n");
    expect([made.status, first]).toEqual([0, `Downloading from ${base}/root.tgz`]);
    expect(rest.at(-1)).toMatch(/^sha256:/);
    expect((await daemon.berth("run", "--rm", "fetched:1")).out).toBe("imported\n");
    expect((await daemon.docker("import", `${base}/moved`, "moved:1")).status).toBe(0);
    const comment = ["history", "--format", "{{.Comment}}"];
    expect((await daemon.berth(...comment, "fetched:1")).out).toBe(
      `Imported from ${base}/root.tgz\n`,
    );
    const secret = `http://ann:secret@127.0.0.1:${server.port}`;
    await daemon.berth("import", `${secret}/root.tgz`, "asked:1");
    expect((await daemon.berth(...comment, "asked:1")).out).toContain("ann:xxxxx@");
    const missing = await daemon.berth("import", `${secret}/none`, "none:1");
    expect(missing.status).toBe(1);
    expect(missing.err).toContain("with status 404");
    expect(missing.err + daemon.log).not.toContain("secret");
    const nobody = await daemon.berth("import", "http://127.0.0.1:1/x", "none:1");
    expect([nobody.status, nobody.out]).toEqual([1, ""]);
    expect(nobody.err).toStartWith('Error response from daemon: Get "http://127.0.0.1:1/x": ');
    const source = encodeURIComponent("file:///etc/passwd");
    const local = await daemon.api("POST", `/v1.51/images/create?fromSrc=${source}`);
    expect([local.status, local.text]).toEqual([
      400,
      expect.stringContaining("only http and https"),
    ]);
  } finally {
    await server.stop(true);
  }
});

test("message, platform and changes are the image's; what is wrong is said as by Docker, and makes none", async () => {
  const path = `${daemon.directory}/some.tar`;
  writeFileSync(path, archive());
  const changes = ["ENV A=1 B=$A", "EXPOSE 80", "LABEL a=b", "HEALTHCHECK NONE", "ONBUILD RUN x"];
  const flags = changes.flatMap((change) => ["-c", change]);
  const told = ["-m", "told", "--platform", "linux/arm64/v8"];
  await daemon.berth("import", ...flags, ...told, path, "some");
  const format =
    "{{.Comment}} {{.Os}}/{{.Architecture}}/{{.Variant}} {{.RepoTags}} {{json .Config.Env}} {{json .Config.ExposedPorts}} {{json .Config.Labels}} {{json .Config.Healthcheck.Test}} {{json .Config.OnBuild}}";
  expect((await daemon.berth("image", "inspect", "-f", format, "some")).out).toBe(
    'told linux/arm64/v8 [some:latest] ["A=1","B="] {"80/tcp":{}} {"a":"b"} ["NONE"] ["RUN x"]\n',
  );
  // As dockerd counts: files, and what links say.
  const size = await daemon.inspect("some", "{{.Size}}");
  expect(Number(size)).toBe(statSync("/bin/busybox").size + "imported\n".length + "word".length);
  for (const args of [
    ["-c", "RUN x", path, "bad:1"],
    ["-c", "ENV a", path, "bad:1"],
    ["-c", "ONBUILD FROM x", path, "bad:1"],
    ["-c", "HEALTHCHECK --bogus=1s CMD x", path, "bad:1"],
    [path, "UPPER"],
    [path, `x@sha256:${"a".repeat(64)}`],
    ["--platform", "a/b/c/d", path, "bad:1"],
    ["/no-such-place", "bad:1"],
    [],
  ]) {
    const own = await daemon.berth("import", ...args);
    const stock = await daemon.docker("import", ...args);
    expect({ ...own, err: own.err.replaceAll("berth", "docker") }).toEqual(stock);
    expect(own.status).toBe(1);
  }
  expect((await daemon.berth("import", "/tmp", "bad:1")).err).toContain("is a directory");
  expect((await daemon.berth("images", "-q", "bad")).out).toBe("");
});
