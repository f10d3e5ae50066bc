/** Builds of what is not meant well: contexts, Dockerfiles, secrets, and a daemon that is killed. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Builder } from "../build-conformance/builders.ts";
import type { Files } from "../build-conformance/case.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { pickFrom, randomFrom } from "../kits/random.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const builder = new Builder(daemon.socket);
const all = "FROM scratch\nCOPY . /all/\n";

/** Bugs are logged as such; whatever comes in is no reason for one. That no registry is reached is none. */
function expectNoBug(): void {
  const errors = daemon.log.split("\n").filter((line) => /level=error/.test(line));
  expect(errors.filter((line) => !line.includes("registry-1.docker.io"))).toEqual([]);
}

test("archives that want to get out stay in their directory, or are refused", async () => {
  const outside = scratchDirectory("outside-");
  const contexts: readonly Files[] = [
    { "../../../../../../../../../../tmp/escaped": "x" },
    { "/tmp/escaped": "x" },
    { l: { type: "symlink", link: outside }, "l/escaped": "x" },
    { l: { type: "symlink", link: "../../../../../../.." }, "l/tmp/escaped": "x" },
    { h: { type: "hardlink", link: "../../../../../../../../etc/passwd" } },
    { h: { type: "hardlink", link: "/etc/passwd" } },
    { l: { type: "symlink", link: "/etc" }, h: { type: "hardlink", link: "l/passwd" } },
    { d: "file", "d/x": "below a file" },
    { "a/../../b": "x", "./.": { type: "directory" } },
    { ".wh.a": "", ".wh..wh..opq": "", a: "x" },
    { [`${"d/".repeat(300)}x`]: "deep", [`${"n".repeat(255)}`]: "long" },
    { ["n".repeat(256)]: "too long" },
  ];
  try {
    for (const files of contexts) {
      const built = await builder.build({ dockerfile: all, files });
      expect(built.error ?? built.id).toBeString();
      expect([existsSync("/tmp/escaped"), existsSync(`${outside}/escaped`)]).toEqual([
        false,
        false,
      ]);
      if (built.id === undefined) continue;
      const { tree } = await builder.image(built.id);
      expect([...tree.values()].join("\n")).not.toContain("root:x:0:0");
    }
    expectNoBug();
  } finally {
    rmSync(outside, { recursive: true });
  }
});

test("what is no archive, and archives that are cut or damaged, are told of", async () => {
  const send = async (bytes: Uint8Array) => {
    const response = await fetch("http://x/build", {
      ...{ method: "POST", unix: daemon.socket, body: Buffer.from(bytes) },
    });
    return [response.status, await response.text()] as const;
  };
  for (const bytes of [
    new Uint8Array(0),
    new TextEncoder().encode("no archive"),
    new Uint8Array(10_240).fill(255),
    Bun.gzipSync(new Uint8Array(700)).slice(0, 15),
  ]) {
    const [status, text] = await send(bytes);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(JSON.parse(text).message).toBeString();
  }
  expectNoBug();
});

test("pipes are copied as pipes, and nobody waits at one", async () => {
  const pipe = { type: "fifo" } as const;
  const built = await builder.build({
    dockerfile: "FROM scratch\nCOPY p /q\nADD p /r\nCOPY . /all/\n",
    files: { p: pipe, ".dockerignore": pipe, "Dockerfile.dockerignore": pipe },
  });
  const { tree } = await builder.image(built.id ?? "");
  expect([tree.get("q"), tree.get("r"), tree.get("all/p")]).toEqual(Array(3).fill("644 0:0 fifo"));
  const none = await builder.build({
    dockerfile: all,
    files: { D: pipe },
    query: { dockerfile: "D" },
  });
  expect(none.error).toMatch(/failed to read dockerfile/);
});

test("a directory with a pipe, a socket and a name that is no text is sent and built", async () => {
  const directory = scratchDirectory("context-");
  const server = createServer();
  try {
    writeFileSync(join(directory, "Dockerfile"), all);
    Bun.spawnSync(["mkfifo", join(directory, "pipe")]);
    await new Promise<void>((resolve) => server.listen(join(directory, "socket"), resolve));
    const done = await daemon.berth("build", "-t", "odd", directory);
    expect([done.status, done.status === 0 ? "" : done.err]).toEqual([0, ""]);
    const { tree } = await builder.image("odd");
    expect(tree.get("all/pipe")).toEndWith(" fifo");
    expect(tree.has("all/socket")).toBe(false);
    const odd = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0x66, 0xff, 0xfe])]);
    writeFileSync(odd, "odd");
    const again = await daemon.berth("build", directory);
    // It is copied or refused by its name; never left out without a word.
    if (again.status !== 0) expect(again.err).toMatch(/f\S*/);
    expectNoBug();
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
    await daemon.berth("rmi", "odd");
  }
});

test("a hundred thousand files", async () => {
  const files: Record<string, string> = {};
  for (let at = 0; at < 100_000; at++) files[`d${at % 100}/f${at}`] = "";
  const first = await builder.build({ dockerfile: all, files });
  expect(first.error).toBeUndefined();
  expect((await builder.build({ dockerfile: all, files })).hits).toEqual([true]);
  const { tree } = await builder.image(first.id ?? "");
  expect([...tree.keys()].filter((path) => /\/f\d+$/.test(path)).length).toBe(100_000);
}, 120_000);

const words = [
  ...[
    "FROM scratch",
    "FROM",
    "ARG A",
    "ARG A=1",
    "ENV A=$A B",
    "ENV A=${A:-",
    'LABEL "a"=b',
    "COPY",
    "COPY . /",
  ],
  ...[
    "COPY --from=0 / /",
    "COPY --from=9 a b",
    "COPY <<E /x",
    "E",
    "ADD a* /b/",
    "--chown=:",
    "--chmod=u+x",
  ],
  ...[
    "WORKDIR ..",
    "WORKDIR /a/../../b",
    "USER",
    "USER a:b:c",
    "VOLUME [",
    'CMD ["',
    "EXPOSE 1-99999",
    "\\",
  ],
  ...[
    "HEALTHCHECK --interval=-1s CMD",
    "ONBUILD COPY . /",
    "SHELL []",
    "STOPSIGNAL -9",
    "# escape=`",
    "`",
    "\0",
  ],
  ...[
    "COPY --parents **/** /p/",
    "COPY --exclude=[ . /",
    "COPY [",
    "${A//*/${A}}",
    "\u{1F600}",
    "AS a",
    "=",
    '"',
    "'",
  ],
];

test("Dockerfiles made of pieces end in an image or in a mistake that has a name", async () => {
  const random = randomFrom(20261125);
  const pick = () => pickFrom(random, words);
  const ends = { images: 0, mistakes: 0 };
  for (let round = 0; round < 400; round++) {
    const lines = Array.from({ length: 1 + Math.floor(random() * 8) }, () =>
      Array.from({ length: 1 + Math.floor(random() * 2) }, pick).join(random() < 0.8 ? " " : ""),
    );
    const dockerfile = ["FROM scratch", ...lines].join("\n");
    const { id, error } = await builder.build({ dockerfile, files: { a: "a", "b/c": "c" } });
    expect([dockerfile, typeof (error ?? id)]).toEqual([dockerfile, "string"]);
    if (error === undefined) ends.images++;
    else ends.mistakes++;
  }
  expect(ends.images).toBeGreaterThan(10);
  expect(ends.mistakes).toBeGreaterThan(100);
  expectNoBug();
}, 120_000);

test("a secret is in no file of the daemon's, no answer and no log", async () => {
  const secret = "kq7-very-secret-z3";
  const directory = scratchDirectory("context-");
  try {
    writeFileSync(
      join(directory, "Dockerfile"),
      `FROM busybox
RUN --mount=type=secret,id=s,env=S,target=/run/secrets/s test "$S" = "$(cat /run/secrets/s)" && test -n "$S" && echo had > /had
RUN --mount=type=secret,id=s,target=/etc/deep/s test -s /etc/deep/s && exit 4
`,
    );
    writeFileSync(join(directory, "s"), secret);
    writeFileSync(join(directory, ".dockerignore"), "s");
    const flags = ["--secret", `id=s,src=${join(directory, "s")}`];
    const done = await daemon.berth("build", ...flags, directory);
    expect([done.status, done.err + done.out].map(String)).toEqual([
      "4",
      expect.not.stringContaining(secret),
    ]);
    for (const form of [
      secret,
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("base64url"),
    ]) {
      const found = Bun.spawnSync(["grep", "-rlaF", form, daemon.directory]);
      expect(found.stdout.toString()).toBe("");
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a daemon that is killed in the middle of builds leaves nothing, and what was done is there", async () => {
  const random = randomFrom(77);
  const steps = Array.from(
    { length: 8 },
    (_, at) => `RUN echo ${at} > /s${at} && head -c 300000 /dev/urandom > /r`,
  );
  const dockerfile = `FROM busybox\nCOPY . /all/\n${steps.join("\n")}\n`;
  const files = Object.fromEntries(
    Array.from({ length: 200 }, (_, at) => [`f${at}`, "x".repeat(999)]),
  );
  await daemon.berth("builder", "prune", "-af");
  let most = 0;
  for (let round = 0; round < 12; round++) {
    const running = builder
      .build({ dockerfile, files, query: { t: "killed" } })
      .catch(() => undefined);
    await Bun.sleep(random() * 500);
    await daemon.kill();
    await running;
    await daemon.start();
    const { text } = await daemon.api("GET", "/system/df?type=build-cache");
    const kept = (JSON.parse(text) as { BuildCache: unknown[] }).BuildCache.length;
    expect(kept).toBeGreaterThanOrEqual(most);
    most = kept;
  }
  const { hits, error } = await builder.build({ dockerfile, files });
  expect(error).toBeUndefined();
  expect(hits.filter(Boolean).length).toBe(most);
  expect(readdir(`${daemon.directory}/data/build/contexts`)).toEqual([]);
  const { text } = await daemon.api("GET", "/system/df?disk=1");
  const { Parts } = (
    JSON.parse(text) as { Berth: { DataRoot: { Parts: { Kind: string; Orphaned: number }[] } } }
  ).Berth.DataRoot;
  expect(Parts.filter(({ Orphaned }) => Orphaned > 0)).toEqual([]);
  const check = await daemon.berth("system", "check");
  expect([check.status, check.err]).toEqual([0, ""]);
}, 120_000);

function readdir(path: string): string[] {
  mkdirSync(path, { recursive: true });
  return Bun.spawnSync(["ls", "-A", path]).stdout.toString().split("\n").filter(Boolean);
}

test("a server that lies about the length of what it sends makes no layer", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const input = { stdin: `FROM busybox\nADD http://127.0.0.1:${port}/f /f\n` };
  const done = await daemon.berthWith(input, "build", "-t", "lied", "-");
  server.close();
  expect(done.status).not.toBe(0);
  expect(done.err).toContain(`failed to fetch http://127.0.0.1:${port}/f`);
  expect((await daemon.berth("images", "-q", "lied")).out).toBe("");
});
