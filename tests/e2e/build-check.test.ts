/** build --check, and the warnings of an ordinary build. */
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();

async function build(dockerfile: string, ...flags: string[]) {
  const directory = scratchDirectory("check-");
  try {
    writeFileSync(join(directory, "Dockerfile"), dockerfile);
    writeFileSync(join(directory, ".dockerignore"), "left-out\n");
    return await daemon.berth("build", ...flags, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const WARNED = `FROM busybox
WORKDIR rel
COPY left-out /
CMD echo $HOME
`;

test("a check prints what it finds as docker does, and builds nothing", async () => {
  const done = await build(WARNED, "--check", "-t", "checked");
  expect([done.status, done.out]).toEqual([
    1,
    `Check complete, 3 warnings have been found!

WARNING: WorkdirRelativePath - https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/
Relative workdir "rel" can have unexpected results if the base image changes
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> WORKDIR rel
   3 |     COPY left-out /
   4 |     CMD echo $HOME
--------------------

WARNING: CopyIgnoredFile - https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/
Attempting to Copy file "left-out" that is excluded by .dockerignore
Dockerfile:3
--------------------
   1 |     FROM busybox
   2 |     WORKDIR rel
   3 | >>> COPY left-out /
   4 |     CMD echo $HOME
   5 |
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:4
--------------------
   2 |     WORKDIR rel
   3 |     COPY left-out /
   4 | >>> CMD echo $HOME
   5 |
--------------------
`,
  ]);
  expect((await daemon.berth("images", "-q", "checked")).out).toBe("");
  const fine = await build('FROM busybox\nCMD ["x"]\n', "--check");
  expect([fine.status, fine.out]).toEqual([0, "Check complete, no warnings found.\n"]);
});

test("a check sends the Dockerfile alone, fetches no image, and tells of mistakes", async () => {
  const elsewhere = await build("FROM 127.0.0.1:9/none\nLABEL a=$X\n", "--check");
  expect([elsewhere.status, elsewhere.out]).toEqual([0, "Check complete, no warnings found.\n"]);
  const variable = await build("FROM busybox\nLABEL a=$PATHS\n", "--check");
  expect(variable.out).toContain("Usage of undefined variable '$PATHS' (did you mean $PATH?)");
  const mistake = await build("FROM busybox\nCPY a b\n", "--check");
  expect(mistake.status).toBe(1);
  expect(mistake.err).toContain(">>> CPY a b");
  expect(mistake.err).toContain("unknown instruction: CPY (did you mean COPY?)");
  const strict = await build(`# check=error=true\n${WARNED}`, "--check");
  expect(strict.status).toBe(1);
  expect(strict.out).toStartWith("Check complete, 3 warnings have been found!");
  expect(strict.err).toContain(
    "lint violation found for rules: CopyIgnoredFile, JSONArgsRecommended, WorkdirRelativePath",
  );
});

test("a build tells warnings at its end; they end it only where they are errors", async () => {
  const dockerfile = "FROM busybox\nRUN echo ran\nCMD echo $HOME\n";
  const done = await build(dockerfile);
  expect([done.status, done.err]).toEqual([0, expect.stringContaining("DONE")]);
  expect(done.err).toEndWith(
    `
 1 warning found (use berth build --check to expand):
 - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 3)
`,
  );
  expect((await build(dockerfile, "--quiet")).err).toBe("");
  const strict = await build(`# check=error=true\n${dockerfile}`);
  expect([strict.status, strict.err]).toEqual([1, expect.stringContaining("lint violation found")]);
  expect(strict.err).not.toContain("RUN echo ran");
  const skipped = await build(dockerfile, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all");
  expect(skipped.err).not.toContain("warning");
});
