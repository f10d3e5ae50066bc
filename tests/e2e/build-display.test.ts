/** What a person sees of a build: lines, a terminal, JSON, a failed step and the state before it. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildLine } from "../../src/spec/build-events.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();

async function within<T>(
  dockerfile: string,
  work: (directory: string) => Promise<T>,
  files: Readonly<Record<string, string>> = {},
): Promise<T> {
  const directory = scratchDirectory("context-");
  try {
    for (const [path, content] of Object.entries({ ...files, Dockerfile: dockerfile }))
      writeFileSync(join(directory, path), content);
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const stages = `FROM busybox AS one
RUN echo first line; echo second line >&2
FROM busybox
ENV A=1
COPY --from=one /bin/busybox /copied
RUN echo from two
`;

test("plain: numbered lines on standard error, with titles, output, what is cached, and the image", async () => {
  await within(stages, async (directory) => {
    const first = await daemon.berth("build", "-t", "plain:1", directory);
    expect([first.status, first.out]).toEqual([0, ""]);
    const lines = first.err.split("\n");
    expect(lines[0]).toBe("#1 [internal] load build context");
    expect(first.err).toMatch(/^#1 transferring context: [\d.]+kB [\d.]+s done$/m);
    const of = (title: string) =>
      lines.find((line) => line.endsWith(title))?.split(" ")[0] ?? `no ${title}`;
    const [one, two] = [
      of("[one 2/2] RUN echo first line; echo second line >&2"),
      of("[stage-1 3/3] RUN echo from two"),
    ];
    expect(first.err).toMatch(new RegExp(`^${one} \\d+\\.\\d{3} first line$`, "m"));
    expect(first.err).toMatch(new RegExp(`^${one} \\d+\\.\\d{3} second line$`, "m"));
    expect(first.err).toMatch(new RegExp(`^${one} DONE \\d+\\.\\ds$`, "m"));
    expect(first.err).toMatch(new RegExp(`^${two} \\d+\\.\\d{3} from two$`, "m"));
    expect(first.err).toMatch(/^#\d+ \[stage-1 2\/3\] COPY --from=one/m);
    expect(first.err).not.toContain("ENV A=1");
    expect(first.err).toMatch(/^#\d+ writing image sha256:[0-9a-f]{64} done$/m);
    expect(first.err).toMatch(/^#\d+ naming to plain:1 done$/m);
    const again = await daemon.berth("build", "-t", "plain:1", directory);
    expect(again.err.match(/^#\d+ CACHED$/gm)?.length).toBe(3);
    expect(again.err).not.toMatch(/\d from two$/m);
    expect(again.err).not.toContain("\x1b");
  });
  await daemon.berth("rmi", "plain:1");
});

test("quiet is the image's id alone; rawjson is every event; an unknown word is refused", async () => {
  await within("FROM busybox\nRUN echo é\n", async (directory) => {
    const quiet = await daemon.berth("build", "-q", directory);
    expect([quiet.status, quiet.err]).toEqual([0, ""]);
    expect(quiet.out).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    const raw = await daemon.berth("build", "--no-cache", "--progress=rawjson", directory);
    expect([raw.status, raw.out]).toEqual([0, ""]);
    const lines = raw.err
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as BuildLine);
    const kinds = lines.flatMap(({ event }) => (event === undefined ? [] : [event.kind]));
    expect(kinds).toEqual(["step", "done", "step", "running", "output", "done"]);
    const output = lines.find(({ event }) => event?.kind === "output")?.event;
    expect(output).toMatchObject({ step: 2, stream: "stdout", text: "é\n" });
    expect(lines.at(-1)?.aux?.ID).toMatch(/^sha256:/);
    const wrong = await daemon.berth("build", "--progress=fancy", directory);
    expect([wrong.status, wrong.err.includes("invalid progress mode fancy")]).toEqual([1, true]);
    const tty = await daemon.berth("build", "--progress=tty", directory);
    expect([tty.status, tty.err.includes("failed to get console")]).toEqual([1, true]);
  });
});

test("a terminal shows steps side by side while they run, and at the end each with what became of it", async () => {
  const dockerfile = `FROM busybox AS a
RUN echo a-speaks; sleep 1
FROM busybox AS b
RUN printf 'b-\\033[2Jspeaks\\n'; sleep 1
FROM busybox
COPY --from=a /bin/sh /a
COPY --from=b /bin/sh /b
`;
  await within(dockerfile, async (directory) => {
    const session = daemon.onTerminal("build", "-t", "live", directory);
    await session.see(/\[a 2\/2\] RUN echo a-speaks[\s\S]*\[b 2\/2\] RUN printf/);
    await session.see(/# \d\.\d{3} b-speaks/);
    await session.see(/FINISHED/);
    expect(await session.ended()).toBe(0);
    expect(session.shown).not.toContain("\x1b[2J");
    const last = session.shown.slice(session.shown.lastIndexOf("[+] Building"));
    expect(last).toMatch(/=> \[b 2\/2\] RUN printf/);
    expect(last).toMatch(/=> \[stage-2 2\/3\] COPY --from=a/);
    expect(last).toMatch(/=> exporting to image/);
    expect(last).not.toContain("speaks\r");
    const again = daemon.onTerminal("build", "-t", "live", directory);
    await again.see(/CACHED \[b 2\/2\]/);
    expect(await again.ended()).toBe(0);
  });
  await daemon.berth("rmi", "live");
});

test("a step that fails shows its output, its place in the Dockerfile, the status and what to do", async () => {
  const dockerfile = `FROM busybox
RUN echo fine > /fine
# a comment
RUN echo the reason; \\
    exit 6
CMD ["true"]
`;
  await within(dockerfile, async (directory) => {
    const done = await daemon.berth("build", directory);
    expect([done.status, done.out]).toEqual([6, ""]);
    expect(done.err).toMatch(
      /^------\n > \[3\/3\] RUN echo the reason; +exit 6:\n\d+\.\d{3} the reason\n------$/m,
    );
    expect(done.err).toContain(`Dockerfile:4
--------------------
   2 |     RUN echo fine > /fine
   3 |     # a comment
   4 | >>> RUN echo the reason; \\
   5 | >>>     exit 6
   6 |     CMD ["true"]
`);
    expect(done.err).toContain("returned a non-zero code: 6");
    writeFileSync(join(directory, "Dockerfile"), "FROM busybox\nFRUM x\n");
    const wrong = await daemon.berth("build", directory);
    expect([wrong.status, wrong.err.includes("   2 | >>> FRUM x")]).toEqual([1, true]);
    writeFileSync(join(directory, "Dockerfile"), "FROM busybox\nCOPY nothing /\n");
    const missing = await daemon.berth("build", "-q", directory);
    expect([missing.status, missing.err.includes("   2 | >>> COPY nothing /")]).toEqual([1, true]);
  });
});

test("--debug-on-failure: a shell in the state before the step, and nothing of it stays", async () => {
  const dockerfile = "FROM busybox\nENV E=given\nRUN echo before > /made\nWORKDIR /w\nRUN exit 4\n";
  await within(dockerfile, async (directory) => {
    const images = async () => (await daemon.berth("images", "-aq", "--no-trunc")).out;
    const none = await images();
    await daemon.berth("build", directory);
    expect(await images()).toBe(none);
    const session = daemon.onTerminal("build", "--debug-on-failure", directory);
    await session.see("/w # ");
    session.type("echo $E $(cat /made) in $(pwd)\n");
    await session.see("given before in /w");
    session.type("exit\n");
    expect(await session.ended()).toBe(4);
    expect(await images()).toBe(none);
    const kept = await daemon.berth("build", "--debug-on-failure", directory);
    const [, id = ""] = /berth run --rm -it ([0-9a-f]{12}) /.exec(kept.err) ?? [];
    expect((await daemon.berth("run", "--rm", id, "cat", "/made")).out).toBe("before\n");
    await daemon.berth("rmi", id);
  });
});

test("--show-context: what would be sent, with sizes, and which line leaves out what; nothing is built", async () => {
  const files = {
    ".dockerignore": "# notes\n*.md\n!keep.md\nleft\n",
    "a.md": "a",
    "keep.md": "keep",
    "main.c": "12345",
  };
  await within(
    "FROM nowhere.invalid/none\n",
    async (directory) => {
      mkdirSync(join(directory, "left/deep"), { recursive: true });
      writeFileSync(join(directory, "left/deep/x"), "x");
      const done = await daemon.berth("build", "--show-context", directory);
      expect([done.status, done.err]).toEqual([0, ""]);
      const [sent = "", left = ""] = done.out.split("\nLeft out by ");
      expect(sent).toMatch(/^SIZE +PATH\n/);
      expect(sent).toMatch(/^5B +main\.c$/m);
      expect(sent).toMatch(/^4B +keep\.md$/m);
      expect(sent).toMatch(/^4 files, 62B$/m);
      expect(sent).not.toContain("left");
      const rows = left
        .trim()
        .split("\n")
        .map((line) => line.split(/ {2,}/));
      expect(rows.slice(1)).toEqual([
        ["LINE", "PATTERN", "PATH"],
        ["2", "*.md", "a.md"],
        ["4", "left", "left/"],
      ]);
    },
    files,
  );
});

test("--explain: which file, argument or earlier step kept each step from the cache", async () => {
  const dockerfile = `FROM busybox
ARG WHO
COPY src /src
RUN echo $WHO
RUN echo last
`;
  await within(dockerfile, async (directory) => {
    mkdirSync(join(directory, "src"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(directory, "src", name), name);
    await Bun.sleep(50);
    const why = async (...flags: string[]) => {
      const done = await daemon.berth("build", "-q", "--explain", ...flags, directory);
      expect(done.status).toBe(0);
      return done.err
        .trim()
        .split("\n")
        .map((line) => line.replace(/^\[\d\/4\] /, ""));
    };
    expect(await why("--build-arg", "WHO=me")).toEqual([
      "COPY src /src: not cached: it was not built before in this place",
      "RUN echo $WHO: not cached: it was not built before in this place",
      "RUN echo last: not cached: it was not built before in this place",
    ]);
    expect(await why("--build-arg", "WHO=me")).toEqual([
      "COPY src /src: cached",
      "RUN echo $WHO: cached",
      "RUN echo last: cached",
    ]);
    expect(await why("--build-arg", "WHO=you")).toEqual([
      "COPY src /src: cached",
      "RUN echo $WHO: not cached: the variable WHO has changed",
      "RUN echo last: not cached: the variable WHO has changed",
    ]);
    writeFileSync(join(directory, "src/b"), "other");
    writeFileSync(join(directory, "src/new"), "new");
    rmSync(join(directory, "src/c"));
    expect(await why("--build-arg", "WHO=you")).toEqual([
      "COPY src /src: not cached: the file src/b has changed; the file src/c is gone; the file src/new is new",
      "RUN echo $WHO: not cached: what it stands on has changed",
      "RUN echo last: not cached: what it stands on has changed",
    ]);
    writeFileSync(
      join(directory, "Dockerfile"),
      dockerfile.replace("echo last", "echo other").replace("$WHO", "it"),
    );
    expect((await why("--build-arg", "WHO=you"))[2]).toBe(
      "RUN echo other: not cached: the instruction is another: it was RUN echo last",
    );
    expect((await why("--no-cache"))[0]).toBe("COPY src /src: not cached: --no-cache");
  });
});
