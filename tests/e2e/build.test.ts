/** Images built from Dockerfiles: by berth's command line and by the stock one through the classic endpoint. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Done, daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");
const classic = { DOCKER_BUILDKIT: "0" };

/** A context with files; gone at the end. */
async function within<T>(
  files: Readonly<Record<string, string>>,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = scratchDirectory("context-");
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Builds a Dockerfile with files beside it, under a tag. */
function build(
  dockerfile: string,
  files: Readonly<Record<string, string>> = {},
  ...flags: string[]
): Promise<Done> {
  return within({ Dockerfile: dockerfile, ...files }, (directory) =>
    daemon.berth("build", ...flags, directory),
  );
}

/** A build that has come to say "begun". */
async function begunBuild(directory: string): Promise<Bun.Subprocess> {
  const child = Bun.spawn([executable, "build", directory], {
    env: { PATH: "/usr/bin:/bin", BERTH_HOST: `unix://${daemon.socket}` },
    stdout: "ignore",
    stderr: "pipe",
  });
  const reader = child.stderr.getReader();
  for (let seen = ""; !seen.includes("begun\n"); ) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the build ended: ${seen}`);
    seen += new TextDecoder().decode(value);
  }
  return child;
}

async function built(
  tag: string,
  dockerfile: string,
  files: Readonly<Record<string, string>> = {},
  ...flags: string[]
): Promise<string> {
  const done = await build(dockerfile, files, "-t", tag, ...flags);
  expect([done.out, done.status, done.err]).toEqual(["", 0, expect.any(String)]);
  return done.err;
}

const inspect = async (image: string, format: string) =>
  (await daemon.berth("image", "inspect", "-f", format, image)).out.trim();
const shell = async (image: string, script: string) =>
  (await daemon.berth("run", "--rm", image, "sh", "-c", script)).out;

test("instructions come to a file system and a configuration; the second time all of it is there", async () => {
  const dockerfile = `FROM busybox
LABEL who=me
ENV A=1
WORKDIR /work/deep
COPY file dir/ ./
RUN echo "$A from run" > ran && chmod 600 ran
USER 1000:1000
EXPOSE 80
CMD ["cat", "ran"]
`;
  const files = { file: "the file\n", "dir/inner/x": "x\n" };
  const first = await built("first", dockerfile, files);
  expect(first).toMatch(/^#\d+ \[4\/4\] RUN echo "\$A from run"/m);
  expect(first).not.toContain("CACHED");
  expect(await shell("first", "pwd; cat file inner/x; stat -c '%a %u' ran; id -u")).toBe(
    "/work/deep\nthe file\nx\n600 0\n1000\n",
  );
  expect(
    await inspect("first", "{{json .Config.Labels}} {{.Config.User}} {{json .Config.Cmd}}"),
  ).toBe('{"who":"me"} 1000:1000 ["cat","ran"]');
  const id = await inspect("first", "{{.Id}}");
  const again = await built("second", dockerfile, files);
  expect(again.match(/ CACHED$/gm)?.length).toBe(3);
  expect(await inspect("second", "{{.Id}}")).toBe(id);
  const changed = await built("third", dockerfile, { ...files, file: "another\n" });
  expect(changed.match(/ CACHED$/gm)?.length).toBe(1);
  const history = await daemon.berth(
    "history",
    "--format",
    "{{.CreatedBy}}",
    "--no-trunc",
    "first",
  );
  expect(history.out.split("\n")[0]).toBe('CMD ["cat" "ran"]');
  await daemon.berth("rmi", "first", "second", "third");
});

test("stages: what the target does not need is not run; files come from stages and images", async () => {
  const dockerfile = `ARG BASE=busybox
FROM \${BASE} AS maker
RUN mkdir /out && echo made > /out/a && ln -s a /out/b && chown 5:6 /out/a
FROM busybox AS unused
RUN exit 9
FROM maker AS further
RUN echo more >> /out/a
FROM scratch
COPY --from=further /out /data/
COPY --from=busybox /bin/busybox /bin/
COPY --from=0 --chown=7:8 --chmod=640 /out/a /data/c
`;
  await built("stages", dockerfile);
  const listed = await daemon.berth(
    ...["run", "--rm", "stages", "/bin/busybox", "sh", "-c"],
    "cd /data; /bin/busybox stat -c '%n %a %u:%g %N' a b c; /bin/busybox cat a",
  );
  expect(listed.out).toBe("a 644 5:6 a\nb 777 0:0 'b' -> 'a'\nc 640 7:8 c\nmade\nmore\n");
  const failed = await build(dockerfile, {}, "--target", "unused");
  expect(failed.status).toBe(9);
  expect(failed.err).toContain("The command '/bin/sh -c exit 9' returned a non-zero code: 9");
  await daemon.berth("rmi", "stages");
});

test("COPY: wildcards, directories, links, .dockerignore, places that must be directories", async () => {
  const files = {
    "a.txt": "a",
    "b.txt": "b",
    "c.md": "c",
    "dir/d.txt": "d",
    "dir/.hidden": "h",
    "left/out": "o",
    ".dockerignore": "left\n*.md\n!c.md\n",
  };
  const dockerfile = `FROM busybox
RUN mkdir -p /real && ln -s /real /link && mkdir -m 1777 /sticky
COPY *.txt /texts/
COPY dir /link/
COPY . /all
COPY a.txt /sticky/x
COPY a.txt b.txt /two/
`;
  await built("copies", dockerfile, files);
  expect(
    await shell(
      "copies",
      "ls -A /texts /real /all; stat -c '%a' /sticky; readlink /link; ls /two; ls -d /all/left 2>&1",
    ),
  ).toBe(
    "/all:\n.dockerignore\nDockerfile\na.txt\nb.txt\nc.md\ndir\n\n/real:\n.hidden\nd.txt\n\n/texts:\na.txt\nb.txt\n1777\n/real\na.txt\nb.txt\nls: /all/left: No such file or directory\n",
  );
  const rows: readonly (readonly [string, RegExp])[] = [
    ["COPY missing /", /"\/missing": not found/],
    ["COPY left/out /", /"\/left\/out": not found \(\.dockerignore leaves it out\)/],
    ["COPY ../../etc/passwd /", /"\/etc\/passwd": not found/],
    ["COPY a.txt b.txt /x", /the destination must be a directory and end with a \//],
    ["COPY dir /bin/busybox", /cannot copy to non-directory: \/bin\/busybox/],
    ["COPY --from=nowhere/at-all:1 / /", /nowhere\/at-all/],
  ];
  for (const [line, message] of rows) {
    const done = await build(`FROM busybox\n${line}\n`, files);
    expect([line, done.status]).toEqual([line, 1]);
    expect(done.err).toMatch(message);
  }
  await daemon.berth("rmi", "copies");
});

test("a context that is a trap: links lead nowhere outside of it", async () => {
  await within({ Dockerfile: "FROM busybox\nCOPY out /x\n", real: "mine" }, async (directory) => {
    symlinkSync("/etc/passwd", join(directory, "out"));
    const done = await daemon.berth("build", directory);
    expect(done.err).toMatch(/"\/out": not found/);
    symlinkSync("real", join(directory, "fine"));
    writeFileSync(join(directory, "Dockerfile"), "FROM busybox\nCOPY fine /x\nCOPY . /all/\n");
    await daemon.berth("build", "-t", "links", directory);
    expect(await shell("links", "cat /x; readlink /all/out; readlink /all/fine")).toBe(
      "mine/etc/passwd\nreal\n",
    );
  });
  await daemon.berth("rmi", "links");
});

test("ADD unpacks archives of the context, and copies everything else", async () => {
  await within({ "src/f": "packed", Dockerfile: "" }, async (directory) => {
    chmodSync(join(directory, "src/f"), 0o751);
    Bun.spawnSync(["tar", "-C", join(directory, "src"), "-czf", join(directory, "a.tgz"), "f"]);
    writeFileSync(join(directory, "plain.gz"), Bun.gzipSync(new TextEncoder().encode("no tar")));
    writeFileSync(
      join(directory, "Dockerfile"),
      "FROM busybox\nADD a.tgz /un/\nADD plain.gz /un/\nCOPY a.tgz /copied\n",
    );
    const done = await daemon.berth("build", "-t", "adds", directory);
    expect([done.out, done.status]).toEqual(["", 0]);
  });
  expect(
    await shell("adds", "cat /un/f; stat -c ' %a' /un/f; ls /un; head -c2 /copied | od -An -tx1"),
  ).toBe("packed 751\nf\nplain.gz\n 1f 8b\n");
  await daemon.berth("rmi", "adds");
});

test("RUN: mounts of all kinds leave nothing behind but what was meant to stay", async () => {
  const dockerfile = `# syntax=docker/dockerfile:1
FROM busybox AS tools
RUN echo tool > /tool
FROM busybox
RUN --mount=type=bind,target=/ctx cat /ctx/f > /seen && ! touch /ctx/x 2>/dev/null
RUN --mount=type=bind,from=tools,source=/tool,target=/mnt/deep/tool cp /mnt/deep/tool /copied
RUN --mount=type=cache,target=/cache echo line >> /cache/log; cp /cache/log /log
RUN --mount=type=tmpfs,target=/scratch,size=1m echo x > /scratch/y
RUN --mount=type=secret,id=token --mount=type=secret,id=token,env=T \\
  [ "$(cat /run/secrets/token)" = "$T" ] && printf %s "$T" | wc -c > /had
RUN <<EOF
echo several > /script
echo lines >> /script
EOF
RUN <<"EOF"
#!/bin/awk -f
BEGIN { print "awk" > "/awk" }
EOF
COPY <<one <<two /files/
first $PATH
one
second
two
`;
  await within({ Dockerfile: dockerfile, f: "from context\n" }, async (directory) => {
    const env = { TOKEN_VALUE: "s3cret" };
    const flags = ["--secret", "id=token,env=TOKEN_VALUE", "-t", "mounted"];
    const done = await daemon.berthWith({ env }, "build", ...flags, directory);
    expect([done.out, done.status]).toEqual(["", 0]);
    expect(done.err).not.toContain("s3cret");
    await daemon.berthWith({ env }, "build", "--no-cache", ...flags, directory);
  });
  expect(
    await shell(
      "mounted",
      "cat /seen /copied /log /had /script /awk /files/two; ls -d /ctx /cache /mnt /scratch /run/secrets 2>&1",
    ),
  ).toBe(
    "from context\ntool\nline\nline\n6\nseveral\nlines\nawk\nsecond\nls: /ctx: No such file or directory\nls: /cache: No such file or directory\nls: /mnt: No such file or directory\nls: /scratch: No such file or directory\nls: /run/secrets: No such file or directory\n",
  );
  const saved = await daemon.berth("save", "mounted", "-o", `${daemon.directory}/mounted.tar`);
  expect(saved.status).toBe(0);
  const kept = Bun.spawnSync(["grep", "-c", "s3cret", `${daemon.directory}/mounted.tar`]);
  expect(kept.stdout.toString()).toBe("0\n");
  await daemon.berth("rmi", "mounted");
});

test("the stock command line builds through the classic endpoint", async () => {
  await within(
    { Dockerfile: "FROM busybox\nARG X\nRUN echo $X > /x\n", big: "b" },
    async (directory) => {
      const args = [
        "build",
        "--build-arg",
        "X=given",
        "--label",
        "l=v",
        "-t",
        "stock:1",
        directory,
      ];
      const done = await daemon.dockerWith({ env: classic }, ...args);
      expect(done.out).toContain("Step 3/3 : RUN echo $X > /x");
      expect(done.out).toContain("Successfully tagged stock:1");
      expect(done.status).toBe(0);
      expect(await shell("stock:1", "cat /x")).toBe("given\n");
      expect(await inspect("stock:1", "{{.Config.Labels.l}}")).toBe("v");
      const quiet = await daemon.dockerWith({ env: classic }, "build", "-q", directory);
      expect(quiet.out).toMatch(/^sha256:[0-9a-f]{64}\n$/);
      writeFileSync(join(directory, "Dockerfile"), "FROM busybox\nRUN echo no; exit 7\n");
      const failed = await daemon.dockerWith({ env: classic }, "build", directory);
      expect(failed.status).toBe(7);
      expect(failed.err).toContain("returned a non-zero code: 7");
      writeFileSync(join(directory, "Dockerfile"), "FROM busybox\nFRUM x\n");
      const wrong = await daemon.dockerWith({ env: classic }, "build", directory);
      expect(wrong.err).toContain("dockerfile parse error on line 2: unknown instruction: FRUM");
    },
  );
  await daemon.berth("rmi", "stock:1");
});

test("ulimits that are null, as Docker's 20.10 sends them, are none", async () => {
  const answer = await within({ Dockerfile: "FROM busybox\nENV a=b" }, (directory) =>
    fetch("http://x/build?ulimits=null", {
      ...{ method: "POST", unix: daemon.socket },
      body: Bun.spawnSync(["tar", "-C", directory, "-c", "."]).stdout,
      headers: { "Content-Type": "application/x-tar" },
    }).then((response) => response.text()),
  );
  expect(answer).toContain("Successfully built");
});

test("more steps than the field's other engines have room for layers, in a container and on top", async () => {
  const many = Array.from({ length: 140 }, (_, at) => `COPY f /d/${at}`);
  const dockerfile = ["FROM busybox", ...many, "RUN ls /d | wc -l > /count"].join("\n");
  await within({ Dockerfile: dockerfile, f: "x" }, async (directory) => {
    expect((await daemon.berth("build", "-t", "deep", directory)).status).toBe(0);
    expect(await shell("deep", "cat /count /d/0 /d/139; rm /d/7; ls /d | wc -l")).toBe(
      "140\nxx139\n",
    );
    const id = (await daemon.berth("run", "-d", "deep", "touch", "/more")).out.trim();
    await daemon.berth("wait", id);
    expect((await daemon.berth("commit", id, "deeper")).status).toBe(0);
    expect((await daemon.berth("rm", id)).status).toBe(0);
    expect(await shell("deeper", "ls /more")).toBe("/more\n");
  });
  await daemon.berth("rmi", "deeper", "deep");
});

test("a client that goes away ends its build; the steps that were done are there next time", async () => {
  const dockerfile = "FROM busybox\nRUN echo quick > /q\nRUN echo begun; sleep 1000\n";
  await within({ Dockerfile: dockerfile }, async (directory) => {
    const child = await begunBuild(directory);
    // What nobody but the build knows of is no orphan meanwhile.
    const check = await daemon.berth("system", "check", "--repair");
    expect(check.out).toBe("Everything is as it should be.\n");
    child.kill("SIGKILL");
    await child.exited;
    writeFileSync(join(directory, "Dockerfile"), dockerfile.replace("; sleep 1000", ""));
    const again = await daemon.berth("build", "-t", "gone", directory);
    expect(again.err.match(/ CACHED$/gm)?.length).toBe(1);
  });
  await daemon.berth("rmi", "gone");
});

test("contexts and files by their addresses: archives, Dockerfiles, repositories", async () => {
  await within(
    { "repo/sub/Dockerfile": "FROM busybox\nCOPY f /f\n", "repo/sub/f": "git\n" },
    async (directory) => {
      const repo = join(directory, "repo");
      const git = (...args: string[]) =>
        Bun.spawnSync(["git", "-c", "user.name=t", "-c", "user.email=t@t", ...args], { cwd: repo });
      symlinkSync("/etc", join(repo, "away"));
      for (const args of [
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["tag", "v1"],
      ])
        expect(git(...args).exitCode).toBe(0);
      const archive = Bun.spawnSync(["tar", "-C", join(repo, "sub"), "-cz", "."]).stdout;
      let asked = "";
      using server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch(request) {
          const { pathname } = new URL(request.url);
          asked = pathname;
          if (pathname === "/context.tar.gz") return new Response(archive);
          if (pathname === "/only") return new Response("FROM busybox\nRUN echo alone > /f\n");
          if (pathname === "/file.txt") return new Response("fetched\n");
          return new Response("no", { status: 404 });
        },
      });
      const web = `http://127.0.0.1:${server.port}`;
      const done = async (...args: string[]) => {
        const result = await daemon.berth("build", "-t", "remote", ...args);
        expect([result.out, result.status]).toEqual(["", 0]);
        return shell("remote", "cat /f");
      };
      expect(await done(`${web}/context.tar.gz`)).toBe("git\n");
      expect(await done(`${web}/only`)).toBe("alone\n");
      const port = 20_000 + (process.pid % 20_000);
      const served = Bun.spawn(
        [
          "git",
          "daemon",
          "--listen=127.0.0.1",
          `--port=${port}`,
          `--base-path=${directory}`,
          "--export-all",
          "--reuseaddr",
        ],
        { stdout: "ignore", stderr: "ignore" },
      );
      try {
        const url = `git://127.0.0.1:${port}/repo`;
        while (Bun.spawnSync(["git", "ls-remote", url]).exitCode !== 0) await Bun.sleep(20);
        expect(await done(`${url}#v1:sub`)).toBe("git\n");
        const away = await daemon.berth("build", `${url}#main:away`);
        expect(away.err).toMatch(/has no directory away/);
        const option = await daemon.berth("build", `${url}#--upload-pack=x:sub`);
        expect(option.err).toMatch(/no address of a repository/);
        const dockerfile = `FROM busybox\nADD ${web}/file.txt /f\nADD ${url}#main:sub /sub/\nRUN cmp /sub/f /sub/f && stat -c %a /f > /mode\n`;
        await within({ Dockerfile: dockerfile }, async (place) => {
          expect(await done(place)).toBe("fetched\n");
        });
        expect(await shell("remote", "cat /mode /sub/f; ls -A /sub")).toBe(
          "600\ngit\nDockerfile\nf\n",
        );
      } finally {
        served.kill();
        await served.exited;
      }
      const wrong = await build(
        `FROM busybox\nADD --checksum=sha256:${"0".repeat(64)} ${web}/file.txt /f\n`,
      );
      expect(wrong.err).toMatch(/digest mismatch of file.txt/);
      const missing = await build(`FROM busybox\nADD ${web}/nothing /f\n`);
      expect(missing.err).toMatch(/invalid response status 404/);
      expect(asked).toBe("/nothing");
    },
  );
  await daemon.berth("rmi", "remote");
});

test("a build that was killed with its daemon leaves nothing; its finished steps are there", async () => {
  const dockerfile = "FROM busybox\nRUN echo kept > /k\nRUN echo begun; sleep 1000\n";
  await within({ Dockerfile: dockerfile }, async (directory) => {
    const child = await begunBuild(directory);
    await daemon.kill();
    await child.exited;
    await daemon.start();
    expect(Bun.spawnSync(["pgrep", "-fx", "sleep 1000"]).stdout.toString()).toBe("");
    writeFileSync(join(directory, "Dockerfile"), dockerfile.replace("; sleep 1000", ""));
    const again = await daemon.berth("build", "-t", "survived", directory);
    expect(again.err.match(/ CACHED$/gm)?.length).toBe(1);
  });
  await daemon.berth("rmi", "survived");
});

test("a daemon that is stopped in the middle of a build ends it first", async () => {
  await within({ Dockerfile: "FROM busybox\nRUN echo begun; sleep 1000\n" }, async (directory) => {
    const child = await begunBuild(directory);
    expect(await daemon.stop()).toBe(0);
    expect(Bun.spawnSync(["pgrep", "-fx", "sleep 1000"]).stdout.toString()).toBe("");
    expect(await child.exited).not.toBe(0);
    await daemon.start();
  });
});

test("the same inputs give the same image, wherever they are built", async () => {
  const dockerfile = `FROM busybox AS a
RUN echo $RANDOM > /dev/null; echo same > /same; mkdir /d
WORKDIR /w
COPY f /w/
RUN echo last > /last
`;
  const ids: string[] = [];
  for (const _ of [1, 2]) {
    const flags = ["--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-t", "same"];
    await built("same", dockerfile, { f: "f" }, ...flags.slice(0, 3));
    ids.push(await inspect("same", "{{.Id}} {{.Created}}"));
    // Files have whole seconds in archives: the next build is in another one.
    await Bun.sleep(1100);
  }
  expect(ids[0]).toBe(ids[1]);
  expect(ids[0]).toContain("2023-11-14T22:13:20");
  await daemon.berth("rmi", "same");
});
