/** RUN, and what the cache must have and must not have. */
import type { CacheCase, Case } from "./case.ts";

const on = (...lines: string[]) => `FROM busybox\n${lines.join("\n")}\n`;
const mounts = "20.10 has no RUN --mount";
const heredocs = "20.10 has no here-documents";

/** The rows about RUN. */
export const commands: readonly Case[] = [
  { name: "as text", dockerfile: on("RUN echo a  b > /x"), tree: { x: "644 0:0 a b\n" } },
  { name: "as a list", dockerfile: on('RUN ["touch", "/a b"]'), tree: { "a b": "644 0:0 " } },
  {
    name: "as a list without a shell",
    dockerfile: on('RUN ["sh", "-c", "echo $0 > /x", "$HOME"]'),
    tree: { x: "644 0:0 $HOME\n" },
  },
  {
    name: "over lines",
    dockerfile: on("RUN echo a > /x && \\", "  # comment", "  echo b >> /x"),
    tree: { x: "644 0:0 a\nb\n" },
  },
  {
    name: "removes what the base has",
    dockerfile: "FROM furnished\nRUN rm /afile && rm -r /full\n",
    tree: { afile: "gone", full: "gone", "full/x": "gone" },
  },
  {
    name: "replaces a directory",
    dockerfile: "FROM furnished\nRUN rm -r /full && mkdir /full && echo y > /full/y\n",
    tree: { "full/x": "gone", "full/y": "644 0:0 y\n" },
  },
  {
    name: "replaces a directory by a file",
    dockerfile: "FROM furnished\nRUN rm -r /full && echo y > /full\n",
    tree: { full: "644 0:0 y\n", "full/x": "gone" },
  },
  {
    name: "changes a mode and an owner",
    dockerfile: "FROM furnished\nRUN chmod 600 /afile && chown 3:4 /afile\n",
    tree: { afile: "600 3:4 f\n" },
  },
  {
    name: "makes links",
    dockerfile: on("RUN echo x > /x && ln -s x /l && mkfifo /p"),
    tree: { x: "644 0:0 x\n", l: "-> x", p: "644 0:0 fifo" },
  },
  { name: "changes nothing", dockerfile: on("RUN true"), tree: {} },
  { name: "fails", dockerfile: on("RUN exit 3"), error: /returned a non-zero code: 3/ },
  { name: "is not found", dockerfile: on('RUN ["/nowhere"]'), error: /nowhere/ },
  {
    name: "of nothing",
    dockerfile: on("RUN"),
    error: /RUN requires at least one argument/,
    notClassic: "20.10 says nothing of it",
  },
  {
    name: "leaves no resolv.conf, hosts or hostname",
    dockerfile: on("RUN cat /etc/resolv.conf /etc/hosts > /dev/null; echo x > /x"),
    tree: { x: "644 0:0 x\n" },
  },
  {
    name: "in a directory of a base, as its user, with its shell",
    dockerfile: "FROM workplace\nUSER 0\nRUN pwd > x; id -u >> x\n",
    tree: { "work/x": "644 0:0 /work\n0\n" },
  },
  {
    name: "HOME of the user",
    dockerfile: "FROM furnished\nRUN echo $HOME > /h\nUSER app\nRUN echo $HOME > /tmp/h\n",
    tree: { h: "644 0:0 /root\n", "tmp/h": "644 1000:1001 /home/app\n" },
  },
  {
    name: "without a network",
    dockerfile: on("RUN --network=none ls /sys/class/net > /n"),
    tree: { n: "644 0:0 lo\n" },
    notClassic: "20.10 has no RUN --network",
  },
  {
    name: "a here-document",
    dockerfile: on("RUN <<E", "echo a > /x", "echo b >> /x", "E"),
    tree: { x: "644 0:0 a\nb\n" },
    notClassic: heredocs,
  },
  {
    name: "a here-document for a program",
    dockerfile: on("RUN cat <<E > /x", "a $((1+1))", "E"),
    tree: { x: "644 0:0 a 2\n" },
    notClassic: heredocs,
  },
  {
    name: "two here-documents",
    dockerfile: on("RUN cat <<A > /x && cat <<B >> /x", "a", "A", "b", "B"),
    tree: { x: "644 0:0 a\nb\n" },
    notClassic: heredocs,
  },
  {
    name: "a here-document with an interpreter",
    dockerfile: on("RUN <<E", "#!/bin/awk -f", 'BEGIN { print "awk" > "/x" }', "E"),
    tree: { x: "644 0:0 awk\n" },
    notClassic: heredocs,
  },
  {
    name: "a bind of the context",
    dockerfile: on("RUN --mount=target=/c cat /c/f > /x"),
    files: { f: "f" },
    tree: { x: "644 0:0 f" },
    notClassic: mounts,
  },
  {
    name: "a bind of a stage",
    dockerfile:
      "FROM busybox AS a\nRUN echo t > /t\nFROM busybox\nRUN --mount=from=a,source=/t,target=/m cp /m /x\n",
    tree: { x: "644 0:0 t\n" },
    notClassic: mounts,
  },
  {
    name: "a cache is there for the next one",
    dockerfile: on(
      "RUN --mount=type=cache,target=/c,id=conf,mode=0700,uid=5 stat -c '%a %u' /c > /m; echo 1 > /c/f",
      "RUN --mount=type=cache,target=/d,id=conf cat /d/f > /x",
    ),
    tree: { m: "644 0:0 700 5\n", x: "644 0:0 1\n" },
    notClassic: mounts,
  },
  {
    name: "a tmpfs",
    dockerfile: on(
      "RUN --mount=type=tmpfs,target=/t echo x > /t/x && grep -c ' /t tmpfs' /proc/mounts > /x",
    ),
    tree: { x: "644 0:0 1\n" },
    notClassic: mounts,
  },
  {
    name: "a secret that nobody gave",
    dockerfile: on(
      "RUN --mount=type=secret,id=s ls /run/secrets > /x 2>&1; test ! -e /run/secrets/s",
    ),
    notClassic: mounts,
  },
  {
    name: "a secret that must be there",
    dockerfile: on("RUN --mount=type=secret,id=s,required true"),
    error: /secret s: not found/,
    notClassic: mounts,
  },
  {
    name: "a mount of an unknown type",
    dockerfile: on("RUN --mount=type=foo,target=/x true"),
    error: /unsupported mount type "foo"/,
    notClassic: mounts,
  },
  {
    name: "a mount without a target",
    dockerfile: on("RUN --mount=type=tmpfs true"),
    error: /target is required/,
    notClassic: mounts,
  },
];

const files = { f: "1", g: "1" };

/** What the cache must have, and must not have. */
export const caching: readonly CacheCase[] = [
  {
    name: "the same again",
    dockerfile: on("RUN echo 1", "COPY f /", "WORKDIR /w", "RUN echo 2"),
    files,
    again: {},
    hits: [true, true, true, true],
  },
  {
    name: "another command, and all after it",
    dockerfile: on("RUN echo 1", "RUN echo 2 > /2", "RUN echo 3"),
    again: { dockerfile: on("RUN echo 1", "RUN echo x > /2", "RUN echo 3") },
    hits: [true, false, false],
  },
  {
    name: "another content, and all after it",
    dockerfile: on("RUN echo 1", "COPY f /", "RUN echo 2"),
    files,
    again: { files: { f: "2", g: "1" } },
    hits: [true, false, false],
  },
  {
    name: "a file that nothing copies",
    dockerfile: on("COPY f /", "RUN echo n"),
    files,
    again: { files: { f: "1", g: "2" } },
    hits: [true, true],
  },
  {
    name: "a time alone",
    dockerfile: on("COPY f /", "RUN echo t"),
    files,
    again: { files: { f: { content: "1", mtime: 1_600_000_000 } } },
    hits: [true, true],
  },
  {
    name: "a mode",
    dockerfile: on("COPY f /", "RUN echo m"),
    files,
    again: { files: { f: { content: "1", mode: 0o755 } } },
    hits: [false, false],
  },
  {
    name: "an owner in the context",
    dockerfile: on("COPY f /own"),
    files,
    again: { files: { f: { content: "1", uid: 9 } } },
    hits: [true],
    notClassic: "20.10 looks at owners that its client has made root's",
  },
  {
    name: "a file more in a directory",
    dockerfile: on("COPY . /all/"),
    files: { f: "1", ".dockerignore": "Dockerfile" },
    again: { files: { f: "1", h: "", ".dockerignore": "Dockerfile" } },
    hits: [false],
  },
  {
    name: "another name",
    dockerfile: on("COPY . /named/"),
    files: { f: "1", ".dockerignore": "Dockerfile" },
    again: { files: { x: "1", ".dockerignore": "Dockerfile" } },
    hits: [false],
  },
  {
    name: "another link",
    dockerfile: on("COPY . /links/"),
    files: { l: { type: "symlink", link: "a" }, ".dockerignore": "Dockerfile" },
    again: { files: { l: { type: "symlink", link: "b" }, ".dockerignore": "Dockerfile" } },
    hits: [false],
    notClassic: "20.10 does not see where links of a directory lead",
  },
  {
    name: "another --chown",
    dockerfile: on("COPY --chown=1 f /"),
    files,
    again: { dockerfile: on("COPY --chown=2 f /") },
    hits: [false],
  },
  {
    name: "another --chmod",
    dockerfile: on("COPY --chmod=600 f /"),
    files,
    again: { dockerfile: on("COPY --chmod=644 f /z") },
    hits: [false],
    notClassic: "20.10 has no --chmod",
  },
  {
    name: "another destination",
    dockerfile: on("COPY f /p"),
    files,
    again: { dockerfile: on("COPY f /q") },
    hits: [false],
  },
  {
    name: "an environment",
    dockerfile: on("ENV A=1", "RUN echo e"),
    again: { dockerfile: on("ENV A=2", "RUN echo e") },
    hits: [false],
  },
  {
    name: "an argument that is declared",
    dockerfile: on("ARG A", "RUN echo d"),
    query: { buildargs: '{"A":"1"}' },
    again: { query: { buildargs: '{"A":"2"}' } },
    hits: [false],
  },
  {
    name: "an argument that is declared later",
    dockerfile: on("RUN echo l", "ARG A"),
    query: { buildargs: '{"A":"1"}' },
    again: { query: { buildargs: '{"A":"2"}' } },
    hits: [true],
  },
  {
    name: "a proxy",
    dockerfile: on("RUN echo p"),
    query: { buildargs: '{"HTTP_PROXY":"1"}' },
    again: { query: { buildargs: '{"HTTP_PROXY":"2"}' } },
    hits: [true],
  },
  {
    name: "a label",
    dockerfile: on("LABEL a=1", "RUN echo label"),
    again: { dockerfile: on("LABEL a=2", "RUN echo label") },
    hits: [true],
    notClassic: "20.10 asks for the same configuration; only files count",
  },
  {
    name: "CMD",
    dockerfile: on("CMD a", "RUN echo cmd"),
    again: { dockerfile: on("CMD b", "RUN echo cmd") },
    hits: [true],
    notClassic: "20.10 asks for the same configuration; only files count",
  },
  {
    name: "a user",
    dockerfile: on("USER 1", "RUN echo u"),
    again: { dockerfile: on("USER 2", "RUN echo u") },
    hits: [false],
  },
  {
    name: "a directory",
    dockerfile: on("WORKDIR /tmp", "RUN echo w"),
    again: { dockerfile: on("WORKDIR /home", "RUN echo w") },
    hits: [false, false],
    notClassic: "20.10 has a step for a directory that is there",
  },
  {
    name: "a shell",
    dockerfile: on("RUN echo s"),
    again: { dockerfile: on('SHELL ["/bin/sh", "-ec"]', "RUN echo s") },
    hits: [false],
  },
  {
    name: "another base",
    dockerfile: on("RUN echo b"),
    again: { dockerfile: "FROM furnished\nRUN echo b\n" },
    hits: [false],
  },
  {
    name: "another command that changes no files",
    dockerfile: on("RUN echo 1", "RUN echo 3"),
    again: { dockerfile: on("RUN echo y", "RUN echo 3") },
    hits: [false, true],
    notClassic: "20.10 goes by the image before; here only its files count",
  },
  {
    name: "comments and empty lines",
    dockerfile: on("RUN echo c"),
    again: { dockerfile: "# x\nFROM busybox\n\n# y\nRUN echo c\n" },
    hits: [true],
  },
  {
    name: "nocache",
    dockerfile: on("RUN echo n1", "RUN echo n2"),
    again: { query: { nocache: "1" } },
    hits: [false, false],
  },
  {
    name: "what a stage gives",
    dockerfile:
      "FROM busybox AS a\nRUN echo 1 > /x\nFROM busybox\nCOPY --from=a /x /\nRUN echo st\n",
    again: {
      dockerfile:
        "FROM busybox AS a\nRUN echo 1 > /x; true\nFROM busybox\nCOPY --from=a /x /\nRUN echo st\n",
    },
    hits: [false, true, true],
    notClassic: "20.10 goes by the image of the stage, BuildKit by the content",
  },
  {
    name: "the content of a bind",
    dockerfile: on("RUN --mount=target=/c,source=f true"),
    files,
    again: { files: { f: "2" } },
    hits: [false],
    notClassic: "20.10 has no RUN --mount",
  },
  {
    name: "what lies beside a bind",
    dockerfile: on("RUN --mount=target=/c,source=f echo b"),
    files,
    again: { files: { f: "1", g: "2" } },
    hits: [true],
    notClassic: "20.10 has no RUN --mount",
  },
  {
    name: "the script of a here-document",
    dockerfile: on("RUN <<E", "echo 1", "E"),
    again: { dockerfile: on("RUN <<E", "echo 2", "E") },
    hits: [false],
    notClassic: "20.10 has no here-documents",
  },
];
