/** --build-context: names that stand for stages, images and directories that FROM, COPY --from and RUN --mount take. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();

type Files = Readonly<Record<string, string>>;

function fill(directory: string, files: Files): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return directory;
}

/** Two directories: a context with a Dockerfile, and another. */
async function within(
  dockerfile: string,
  other: Files,
  work: (main: string, other: string) => Promise<void>,
): Promise<void> {
  const root = scratchDirectory("named-");
  try {
    const main = fill(join(root, "main"), { Dockerfile: dockerfile, own: "own\n" });
    await work(main, fill(join(root, "other"), other));
  } finally {
    rmSync(root, { recursive: true });
  }
}

async function built(...args: string[]): Promise<string> {
  const done = await daemon.berth("build", ...args);
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  return done.err;
}

const said = (err: string) =>
  [...err.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map(([, text]) => text).join("\n");

test("a directory by its name: COPY and RUN take from it, without what its .dockerignore leaves out, and changes count", async () => {
  const dockerfile = `FROM busybox
COPY own /
COPY --from=files /dir /copied
RUN --mount=from=files,target=/m --mount=from=files,source=dir/a,target=/one cat /own /copied/a /m/b /one; ls -A /m /copied
`;
  const files = { "dir/a": "a\n", b: "b\n", "dir/secret": "x\n", ".dockerignore": "**/secret\n" };
  await within(dockerfile, files, async (main, other) => {
    const first = await built("--build-context", `files=${other}`, main);
    expect(said(first)).toBe("own\na\nb\na\n/copied:\na\n\n/m:\n.dockerignore\nb\ndir");
    const again = await built("--build-context", `files=${other}`, main);
    expect(again.match(/CACHED/g)).toHaveLength(3);
    fill(other, { "dir/secret": "y\n" });
    const hidden = await built("--build-context", `files=${other}`, main);
    expect(hidden.match(/CACHED/g)).toHaveLength(3);
    fill(other, { b: "another\n" });
    const changed = await built("--build-context", `files=${other}`, main);
    expect(changed.match(/CACHED/g)).toHaveLength(2);
    expect(said(changed)).toContain("another\n");
    // The same by standard input, so that both contexts are sent whole.
    const tar = Bun.spawnSync(["tar", "-C", main, "-c", "."]).stdout;
    const whole = ["--no-cache", "--build-context", `files=${other}`, "-"];
    const piped = await daemon.berthWith({ stdin: tar }, "build", ...whole);
    expect(said(piped.err)).toBe(said(changed));
  });
});

test("a name takes the place of an image and of a stage", async () => {
  const dockerfile = `FROM docker.io/library/nowhere:latest AS base
RUN echo base
FROM busybox AS tool
RUN exit 7
FROM base
COPY --from=tool /tool /
COPY --from=example.com/none:1 /bin/busybox /copy
RUN cat /tool && test -x /copy
`;
  await within(dockerfile, { tool: "the tool\n" }, async (main, other) => {
    const contexts = [
      ...["--build-context", "nowhere=docker-image://busybox"],
      ...["--build-context", `tool=${other}`],
      ...["--build-context", "example.com/none:1=docker-image://busybox:latest"],
    ];
    expect(said(await built(...contexts, main))).toBe("base\nthe tool");
  });
});

test("a directory is a root file system, with everything of it and nothing else", async () => {
  const dockerfile = `FROM root AS own
LABEL a=b
FROM busybox
RUN --mount=from=own,target=/m cd /m && find . | sort && stat -c '%u:%g %a' dir/file && readlink link
FROM own
`;
  await within(dockerfile, { "dir/file": "x\n" }, async (main, other) => {
    symlinkSync("/dir/file", join(other, "link"));
    const context = ["--build-context", `root=${other}`];
    const err = await built(...context, "--target", "1", main);
    expect(said(err)).toBe(".\n./dir\n./dir/file\n./link\n0:0 644\n/dir/file");
    await built(...context, "-t", "root", main);
    const image = JSON.parse((await daemon.berth("image", "inspect", "root")).out)[0];
    expect([image.RootFS.Layers.length, image.Config.Labels]).toEqual([1, { a: "b" }]);
    expect(image.Config.Env[0]).toStartWith("PATH=");
  });
});

test("an archive at an address and an OCI layout are contexts, too", async () => {
  const dockerfile = `FROM layout
COPY --from=remote /b /
RUN cat /b
`;
  await within(dockerfile, { "tree/b": "from afar\n" }, async (main, other) => {
    const tar = Bun.spawnSync(["tar", "-C", join(other, "tree"), "-cz", "."]).stdout;
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(tar) });
    try {
      const layout = join(other, "layout");
      mkdirSync(layout);
      await built(
        "-t",
        "saved:1",
        "-f",
        `${fill(other, { D: "FROM busybox\nENV kept=1\n" })}/D`,
        main,
      );
      await daemon.berth("save", "-o", join(other, "tar"), "saved:1");
      Bun.spawnSync(["tar", "-C", layout, "-xf", join(other, "tar")]);
      expect(JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests).toHaveLength(
        1,
      );
      await daemon.berth("rmi", "saved:1");
      const contexts = [
        ...["--build-context", `remote=http://127.0.0.1:${server.port}/x.tgz`],
        ...["--build-context", `layout=oci-layout://${layout}`],
      ];
      expect(said(await built(...contexts, "-t", "got", main))).toBe("from afar");
      const { out } = await daemon.berth("image", "inspect", "-f", "{{.Config.Env}}", "got");
      expect(out).toContain("kept=1");
      const tags = await daemon.berth("images", "-q", "saved");
      expect(tags.out).toBe("");
      const none = [`layout=oci-layout://${layout}:none`, "--build-context", "remote=https://x"];
      const missing = await daemon.berth("build", "--build-context", ...none, main);
      expect(missing.err).toContain(`could not find the image none in the OCI layout ${layout}`);
    } finally {
      await server.stop(true);
    }
  });
});

test("a mistake is told before anything is sent, and a request that is cut off or makes no sense is refused", async () => {
  await within("FROM busybox\n", {}, async (main, other) => {
    const wrong: readonly (readonly [string, string])[] = [
      ["noname", "invalid context value: noname, expected key=value"],
      ["=x", "invalid context value: =x, expected key=value"],
      ["BAD=x", "invalid context name BAD"],
      [`a=${other}/none`, "failed to get build context a: stat"],
      [`a=${main}/Dockerfile`, "is no directory"],
      [`a=oci-layout://${main}`, "no index.json"],
    ];
    for (const [value, message] of wrong) {
      const done = await daemon.berth("build", "--build-context", value, main);
      expect([done.status, done.err]).toEqual([1, expect.stringContaining(message)]);
    }
  });
  const ask = async (contexts: unknown, body: string | Uint8Array<ArrayBuffer>) => {
    const query = new URLSearchParams({ "berth-contexts": JSON.stringify(contexts) });
    const url = `http://x/build?${query}`;
    const answer = await fetch(url, { unix: daemon.socket, method: "POST", body });
    return [answer.status, await answer.text()];
  };
  const directory = [{ name: "a", kind: "directory" }];
  for (const contexts of [1, ["a"], [{ name: "a" }], [{ name: 1, kind: "directory" }]])
    expect(await ask(contexts, "")).toEqual([
      400,
      expect.stringContaining("invalid named contexts"),
    ]);
  const cut = new Uint8Array([0, 0, 1, 0, 65, 66]);
  for (const body of [cut, "", new Uint8Array([255, 255, 255, 255])])
    expect((await ask(directory, body))[0]).toBe(400);
});
