import { expect, test } from "bun:test";
import type { ImageConfig } from "../../spec/engine-api.ts";
import { evaluateStage, scratchConfig } from "./evaluate.ts";
import { type BuildArguments, globalScope, unusedArguments } from "./scope.ts";
import { findStage, parseDockerfile, targetStage } from "./stages.ts";

const amd64 = { os: "linux", architecture: "amd64" };

function build(given: Readonly<Record<string, string>> = {}): BuildArguments {
  return {
    given: new Map(Object.entries(given)),
    targetPlatform: { os: "linux", architecture: "arm64", variant: "v8" },
    buildPlatform: amd64,
    target: "",
  };
}

function evaluate(text: string, given = {}, base: ImageConfig = scratchConfig) {
  const dockerfile = parseDockerfile(text);
  const globals = globalScope(dockerfile, build(given));
  const stage = targetStage(dockerfile, "");
  const { escapeMark } = dockerfile.source;
  const { instructions } = stage;
  return evaluateStage({ instructions, escapeMark, base, build: build(given), globals });
}

const lines = (text: string, given = {}, base?: ImageConfig) =>
  evaluate(text, given, base).steps.map(({ createdBy }) => createdBy);

test("arguments: global, declared, given, and beaten by the environment", () => {
  const text = `ARG G=global
ARG H=\${G}-h
FROM scratch
ARG G
ARG H
ARG L=\${G}x
ENV E=$L N=$NOT
ARG E=never
RUN echo $E
`;
  expect(lines(text)).toEqual([
    "ARG G=global",
    "ARG H=global-h",
    "ARG L=globalx",
    "ENV E=globalx N=",
    "ARG E=never",
    "RUN |3 G=global H=global-h L=globalx /bin/sh -c echo $E # buildkit",
  ]);
  expect(lines(text, { G: "given", L: "own" })[3]).toBe("ENV E=own N=");
  expect(lines("FROM scratch\nENV A=1\nENV A=2 B=$A")[1]).toBe("ENV A=2 B=1");
});

test("platform arguments are there once they are declared; what nobody declares is told", () => {
  expect(
    lines("FROM scratch\nLABEL p=$TARGETARCH\nARG TARGETPLATFORM\nLABEL p=$TARGETPLATFORM"),
  ).toEqual(["LABEL p=", "ARG TARGETPLATFORM=linux/arm64/v8", "LABEL p=linux/arm64/v8"]);
  const dockerfile = parseDockerfile("ARG A\nFROM scratch\nARG B");
  const given = { A: "", B: "", C: "", http_proxy: "" };
  expect(unusedArguments(dockerfile, build(given))).toEqual(["C"]);
});

test("proxies reach RUN, but neither its history nor what the cache looks at", () => {
  const [step] = evaluate("FROM scratch\nRUN x", { HTTPS_PROXY: "p" }).steps;
  expect(step?.createdBy).toBe("RUN /bin/sh -c x # buildkit");
  expect(step?.work).toMatchObject({ proxies: ["HTTPS_PROXY=p"], env: scratchConfig.Env ?? [] });
});

test("directories are relative to the one before; COPY's end tells a directory", () => {
  const { steps, config } = evaluate(
    "FROM scratch\nWORKDIR /a\nWORKDIR b/../c\nCOPY x .\nCOPY x y\nCOPY x y/\nCOPY x /\nCOPY x ../",
  );
  expect(config.WorkingDir).toBe("/a/c");
  const destinations = steps.slice(2).map(({ work }) => work?.kind === "copy" && work.destination);
  expect(destinations).toEqual(["/a/c/", "/a/c/y", "/a/c/y/", "/", "/a/"]);
});

test("the configuration that comes of it", () => {
  const { config, author } = evaluate(
    `FROM scratch
MAINTAINER somebody
ENV A=1
LABEL a="x y" "b c"=d
EXPOSE 80 53/udp 5000-5001
VOLUME /v "/w x"
USER 1:2
STOPSIGNAL SIGUSR1
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=5s --retries=2 CMD true
ONBUILD RUN hi
CMD run
ENTRYPOINT ["/e"]
`,
    {},
    { Env: ["PATH=/bin"], Cmd: ["base"], Labels: { base: "1" } },
  );
  expect(author).toBe("somebody");
  expect(config).toEqual({
    Env: ["PATH=/bin", "A=1"],
    Labels: { base: "1", a: "x y", "b c": "d" },
    ExposedPorts: { "80/tcp": {}, "53/udp": {}, "5000/tcp": {}, "5001/tcp": {} },
    Volumes: { "/v": {}, "/w x": {} },
    User: "1:2",
    StopSignal: "SIGUSR1",
    Shell: ["/bin/bash", "-c"],
    Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5e9, Retries: 2 },
    OnBuild: ["RUN hi"],
    Cmd: ["/bin/bash", "-c", "run"],
    Entrypoint: ["/e"],
  });
});

test("an entrypoint makes the base's arguments void, but not the stage's own", () => {
  const base = { Cmd: ["base"] };
  expect(evaluate("FROM scratch\nENTRYPOINT x", {}, base).config.Cmd).toBeUndefined();
  expect(evaluate('FROM scratch\nCMD ["c"]\nENTRYPOINT x', {}, base).config.Cmd).toEqual(["c"]);
});

test("triggers of the base come first, and only once", () => {
  const base = { OnBuild: ["ENV T=1", "COPY . /src"] };
  const { config, steps } = evaluate("FROM scratch\nENV U=$T", {}, base);
  expect(steps.map(({ createdBy }) => createdBy)).toEqual([
    "ENV T=1",
    "COPY . /src # buildkit",
    "ENV U=1",
  ]);
  expect(config.OnBuild).toBeUndefined();
});

test("here-documents are scripts, with their own interpreter if they name one", () => {
  const work = (text: string) => evaluate(`FROM scratch\n${text}`).steps[0]?.work;
  expect(work("RUN <<E\na\nb\nE")).toMatchObject({ args: ["/bin/sh", "-c", "a\nb\n"] });
  expect(work("RUN <<E\n#!/bin/x\na\nE")).toMatchObject({
    args: ["/dev/pipes/E"],
    script: { path: "/dev/pipes/E", content: "#!/bin/x\na\n" },
  });
  expect(work("RUN cat <<E 3<<F\na\nE\nb\nF")).toMatchObject({
    args: ["/bin/sh", "-c", "cat <<E 3<<F\na\nE\nb\nF"],
  });
  expect(work('COPY <<A <<"B" /d/\n$PATH "q"\nA\n$PATH\nB')).toMatchObject({
    inline: [
      { name: "A", content: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "q"\n' },
      { name: "B", content: "$PATH\n" },
    ],
  });
});

test("mounts of RUN", () => {
  const mounts = (text: string) => {
    const work = evaluate(`FROM scratch\nENV D=/x\nRUN ${text} cmd`).steps[1]?.work;
    return work?.kind === "run" ? work.mounts : [];
  };
  expect(mounts("--mount=target=$D --mount=type=tmpfs,dst=/t,size=1m")).toEqual([
    { type: "bind", from: undefined, source: "/", target: "/x", readonly: true },
    { type: "tmpfs", target: "/t", size: 1 << 20 },
  ]);
  expect(mounts("--mount=type=cache,target=/c,sharing=locked,mode=0700,uid=5")).toMatchObject([
    { type: "cache", id: "/c", sharing: "locked", mode: 0o700, uid: 5, gid: 0, readonly: false },
  ]);
  expect(
    mounts("--mount=type=secret,id=s --mount=type=secret,id=t,env=T --mount=type=ssh"),
  ).toMatchObject([
    { type: "secret", id: "s", target: "/run/secrets/s", required: false, mode: 0o400 },
    { type: "secret", id: "t", target: undefined, env: "T" },
    { type: "ssh", id: "default" },
  ]);
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["type=what", /unsupported mount type "what"/],
    ["type=bind", /target is required/],
    ["type=cache,target=/x,sharing=all", /unsupported sharing value "all"/],
    ["type=tmpfs,target=/x,from=y", /unexpected key 'from' for mount type 'tmpfs'/],
    ["target", /must be a key=value pair/],
  ];
  for (const [text, message] of wrong) expect(() => mounts(`--mount=${text}`)).toThrow(message);
});

test("stages by name and number, the nearest before", () => {
  const dockerfile = parseDockerfile("FROM a AS one\nFROM b AS Two\nFROM c AS one\nFROM d");
  expect(findStage(dockerfile, "ONE")?.index).toBe(2);
  expect(findStage(dockerfile, "one", 2)?.index).toBe(0);
  expect(findStage(dockerfile, "1")?.from.image).toBe("b");
  expect(targetStage(dockerfile, "two").index).toBe(1);
  expect(targetStage(dockerfile, "").index).toBe(3);
  expect(() => targetStage(dockerfile, "three")).toThrow(/target stage "three" could not be found/);
  expect(() => parseDockerfile("RUN x")).toThrow(/no build stage in current context/);
});
