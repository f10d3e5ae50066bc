/** ARG in every scope, and stages. */
import type { Case } from "./case.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const env = (...own: string[]) => ({ Env: [PATH, ...own] });
const on = (...lines: string[]) => `FROM busybox\n${lines.join("\n")}\n`;
const given = (args: object) => ({ buildargs: JSON.stringify(args) });

/** The rows. */
export const variables: readonly Case[] = [
  { name: "ARG with a default", dockerfile: on("ARG A=d", "ENV E=$A"), config: env("E=d") },
  {
    name: "ARG that is given",
    dockerfile: on("ARG A=d", "ENV E=$A"),
    query: given({ A: "g" }),
    config: env("E=g"),
  },
  {
    name: "ARG that is given as empty",
    dockerfile: on("ARG A=d", "ENV E=$A"),
    query: given({ A: "" }),
    config: env("E="),
  },
  {
    name: "ARG that is used before it is declared",
    dockerfile: on("ENV E=${A:-no}", "ARG A=d"),
    query: given({ A: "g" }),
    config: env("E=no"),
  },
  {
    name: "ARG without a value",
    dockerfile: on("ARG A", "ENV E=${A:-none}"),
    config: env("E=none"),
  },
  { name: "ARG again", dockerfile: on("ARG A=1", "ARG A=2", "ENV E=$A"), config: env("E=2") },
  {
    name: "ARG by another ARG",
    dockerfile: on("ARG A=1", "ARG B=$A-2", "ENV E=$B"),
    config: env("E=1-2"),
  },
  {
    name: "ENV beats ARG",
    dockerfile: on("ARG A=arg", "ENV A=env", "ENV E=$A"),
    query: given({ A: "g" }),
    config: env("A=env", "E=env"),
  },
  {
    name: "ENV of the base beats ARG",
    dockerfile: "FROM furnished\nARG BASE=arg\nLABEL e=$BASE\n",
    config: { Labels: { base: "yes", over: "base", e: "b" } },
  },
  {
    name: "ARG is in the environment of RUN, and nowhere after",
    dockerfile: on("ARG A=1", "RUN echo $A > /a"),
    config: env(),
    tree: { a: "644 0:0 1\n" },
  },
  {
    name: "ARG is in the history of RUN",
    dockerfile: on("ARG A=1", "RUN true"),
    history: ["ARG A=1", "RUN |1 A=1 /bin/sh -c true # buildkit"],
  },
  {
    name: "ARG before FROM is for FROM alone",
    dockerfile: "ARG A=busybox\nFROM $A\nENV E=${A:-none}\n",
    config: env("E=none"),
  },
  {
    name: "ARG before FROM that a stage takes",
    dockerfile: "ARG A=d\nFROM busybox\nARG A\nENV E=$A\n",
    config: env("E=d"),
  },
  {
    name: "ARG before FROM that is given",
    dockerfile: "ARG A=nowhere\nFROM ${A}\n",
    query: given({ A: "busybox" }),
    config: env(),
  },
  {
    name: "ARG before FROM with a stage's own default",
    dockerfile: "ARG A=top\nFROM busybox\nARG A=own\nENV E=$A\n",
    config: env("E=own"),
  },
  {
    name: "ARG ends with its stage",
    dockerfile: "FROM busybox AS a\nARG X=1\nFROM busybox\nENV E=${X:-none}\n",
    config: env("E=none"),
  },
  {
    name: "ARG of a stage is none of the stage upon it",
    dockerfile: "FROM busybox AS a\nARG X=1\nRUN true\nFROM a\nENV E=${X:-none}\n",
    config: env("E=none"),
    notClassic: "BuildKit: what a stage stands on has declared is not inherited",
  },
  {
    name: "several ARGs at once",
    dockerfile: on("ARG A=1 B=2", "ENV E=$A$B"),
    config: env("E=12"),
  },
  {
    name: "an argument that nothing declares",
    dockerfile: on("ENV E=${X:-none}"),
    query: given({ X: "1" }),
    config: env("E=none"),
  },
  {
    name: "a proxy needs no declaration, and leaves nothing",
    dockerfile: on("RUN echo $HTTP_PROXY > /p"),
    query: given({ HTTP_PROXY: "http://p" }),
    config: env(),
    tree: { p: "644 0:0 http://p\n" },
    history: ["RUN /bin/sh -c echo $HTTP_PROXY > /p # buildkit"],
  },
  {
    name: "TARGETARCH must be declared",
    dockerfile: on("ENV N=${TARGETOS:-none}", "ARG TARGETOS", "ENV E=$TARGETOS"),
    config: env("N=none", "E=linux"),
    notClassic: "20.10 has no platform arguments",
  },
  {
    name: "TARGETPLATFORM before FROM",
    dockerfile:
      "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETOS BUILDOS\nENV E=$TARGETOS-$BUILDOS\n",
    config: env("E=linux-linux"),
    notClassic: "20.10 has no platform arguments",
  },
  {
    name: "ARG in COPY, USER, WORKDIR and LABEL",
    dockerfile: on("ARG V=v", "WORKDIR /$V", "COPY $V ./", "LABEL l=$V", "USER $V"),
    files: { v: "v" },
    config: { WorkingDir: "/v", Labels: { l: "v" }, User: "v" },
    tree: { v: "755 0:0 /", "v/v": "644 0:0 v" },
  },
  {
    name: "CMD substitutes nothing",
    dockerfile: on("ARG V=v", 'CMD ["$V"]'),
    config: { Cmd: ["$V"] },
  },
  { name: "ARG with a blank name", dockerfile: on("ARG =x"), error: /names can not be blank/ },
  { name: "ARG of nothing", dockerfile: on("ARG"), error: /ARG requires/ },
  {
    name: "stages by name",
    dockerfile: "FROM busybox AS One\nRUN echo x > /x\nFROM busybox\nCOPY --from=ONE /x /y\n",
    tree: { y: "644 0:0 x\n" },
  },
  {
    name: "stages by number",
    dockerfile: "FROM busybox\nRUN echo x > /x\nFROM busybox\nCOPY --from=0 /x /y\n",
    tree: { y: "644 0:0 x\n" },
  },
  {
    name: "a stage upon a stage",
    dockerfile: "FROM busybox AS a\nENV A=1\nRUN echo x > /x\nFROM a\nENV B=2\n",
    config: env("A=1", "B=2"),
    tree: { x: "644 0:0 x\n" },
  },
  {
    name: "a target by name",
    dockerfile: "FROM busybox AS a\nENV A=1\nFROM busybox AS b\nENV B=1\n",
    query: { target: "a" },
    config: env("A=1"),
  },
  {
    name: "a target that does not exist",
    dockerfile: "FROM busybox AS a\n",
    query: { target: "z" },
    error: /target stage "?z"? could not be found|failed to reach build target z/,
  },
  {
    name: "a stage that nobody needs is not done",
    dockerfile: "FROM busybox AS bad\nRUN exit 1\nFROM busybox\nENV A=1\n",
    config: env("A=1"),
    notClassic: "20.10 does all stages before the target",
  },
  {
    name: "a name of a stage that begins with a digit",
    dockerfile: "FROM busybox AS 1a\n",
    error: /invalid name for build stage/,
  },
  {
    name: "FROM with two words",
    dockerfile: "FROM busybox a\n",
    error: /FROM requires either one or three arguments/,
  },
  {
    name: "FROM of an empty variable",
    dockerfile: "ARG A\nFROM $A\n",
    error: /should not be blank/,
  },
  {
    name: "FROM scratch has nothing",
    dockerfile: "FROM scratch\nCOPY a /\n",
    files: { a: "a" },
    tree: { a: "644 0:0 a" },
  },
  {
    name: "COPY from an image",
    dockerfile: "FROM scratch\nCOPY --from=furnished /afile /copied\n",
    tree: { copied: "644 0:0 f\n" },
  },
  {
    name: "COPY from a stage that comes later",
    dockerfile: "FROM busybox AS a\nCOPY --from=b /bin /b\nFROM busybox AS b\n",
    query: { target: "a" },
    error: /"?b"?/,
  },
  {
    name: "COPY from a variable",
    dockerfile: "FROM busybox AS a\nFROM busybox\nARG S=a\nCOPY --from=$S /bin /b\n",
    error: /\$S|variable expansion|invalid/,
  },
  {
    name: "the name of an image that a stage takes over",
    dockerfile: "FROM busybox AS furnished\nRUN echo own > /own\nFROM furnished\n",
    config: env(),
    tree: { own: "644 0:0 own\n" },
  },
];
