/** Instructions that change the configuration. */
import type { Case } from "./case.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const env = (...own: string[]) => ({ Env: [PATH, ...own] });
const sh = (text: string) => ["/bin/sh", "-c", text];
const ms = 1_000_000;

/** A Dockerfile of busybox and some lines. */
const on = (...lines: string[]) => `FROM busybox\n${lines.join("\n")}\n`;

/** The rows. */
export const configuration: readonly Case[] = [
  { name: "ENV with =", dockerfile: on("ENV A=1 B=2"), config: env("A=1", "B=2"), tree: {} },
  { name: "ENV with a space", dockerfile: on("ENV A some text"), config: env("A=some text") },
  {
    name: "ENV with quotes",
    dockerfile: on(`ENV A="x y" B='z w' C=p\\ q`),
    config: env("A=x y", "B=z w", "C=p q"),
  },
  {
    name: "ENV sees what stood before it",
    dockerfile: on("ENV A=1", "ENV A=2 B=$A"),
    config: env("A=2", "B=1"),
  },
  { name: "ENV again", dockerfile: on("ENV A=1", "ENV B=1", "ENV A=2"), config: env("A=2", "B=1") },
  { name: "ENV with an empty value", dockerfile: on("ENV A="), config: env("A=") },
  { name: "ENV with an = in its value", dockerfile: on("ENV A=b=c"), config: env("A=b=c") },
  {
    name: "ENV over lines",
    dockerfile: on("ENV A=1 \\", "    B=2 \\", "# a comment", "    C=3"),
    config: env("A=1", "B=2", "C=3"),
  },
  {
    name: "ENV with escaped variables",
    dockerfile: on("ENV A=x", "ENV B=\\$A C='$A' D=\"$A\""),
    config: env("A=x", "B=$A", "C=$A", "D=x"),
  },
  { name: "ENV with braces", dockerfile: on("ENV A=x", "ENV B=${A}y"), config: env("A=x", "B=xy") },
  {
    name: "${:-}",
    dockerfile: on("ENV A=${N:-d} B=${N-d}"),
    config: env("A=d", "B=d"),
    notClassic: "20.10 has no ${N-d}",
  },
  {
    name: "${:+}",
    dockerfile: on("ENV N=", "ENV A=${N:+d} B=${N+d}"),
    config: env("N=", "A=", "B=d"),
    notClassic: "20.10 has no ${N+d}",
  },
  { name: "${:?} that is not set", dockerfile: on('ENV A="${N:?no N}"'), error: /N: no N/ },
  {
    name: "${#}",
    dockerfile: on("ENV N=foobarfoo", "ENV A=${N#f*o} B=${N##f*o}"),
    config: env("N=foobarfoo", "A=obarfoo", "B="),
    notClassic: "20.10 has no ${N#p}",
  },
  {
    name: "${%}",
    dockerfile: on("ENV N=foobarfoo", "ENV A=${N%o*} B=${N%%o*}"),
    config: env("N=foobarfoo", "A=foobarfo", "B=f"),
    notClassic: "20.10 has no ${N%p}",
  },
  {
    name: "${/}",
    dockerfile: on("ENV N=foobarfoo", "ENV A=${N/foo/x} B=${N//foo/x}"),
    config: env("N=foobarfoo", "A=xbarfoo", "B=xbarx"),
    notClassic: "20.10 has no ${N/p/r}",
  },
  {
    name: "${} within ${}",
    dockerfile: on("ENV D=deep", "ENV A=${N:-${D}}"),
    config: env("D=deep", "A=deep"),
  },
  {
    name: "a modifier that does not exist",
    dockerfile: on("ENV A=${N:!x}"),
    error: /unsupported modifier/,
  },
  { name: "${ without an end", dockerfile: on("ENV A=${N"), error: /missing '?}?'?|syntax error/ },
  { name: "ENV without a value", dockerfile: on("ENV A"), error: /ENV must have two arguments/ },
  { name: "ENV with a blank name", dockerfile: on("ENV =x"), error: /names can not be blank/ },
  { name: "ENV mixing forms", dockerfile: on("ENV A=1 B"), error: /can't find = in "B"/ },
  {
    name: "LABEL",
    dockerfile: on('LABEL a=1 b.c="x y"', "LABEL a=2"),
    config: { Labels: { a: "2", "b.c": "x y" } },
    tree: {},
  },
  {
    name: "LABEL with quoted names and variables",
    dockerfile: on("ENV V=v", 'LABEL "com.x.y"="$V z"'),
    config: { Labels: { "com.x.y": "v z" } },
  },
  {
    name: "LABEL over the base's",
    dockerfile: "FROM furnished\nLABEL over=own\n",
    config: { Labels: { base: "yes", over: "own" } },
  },
  {
    name: "labels of the request",
    dockerfile: on("LABEL a=1"),
    query: { labels: '{"a":"2","b":"3"}' },
    config: { Labels: { a: "2", b: "3" } },
  },
  { name: "CMD as a list", dockerfile: on('CMD ["a", "b c"]'), config: { Cmd: ["a", "b c"] } },
  {
    name: "CMD as text",
    dockerfile: on("CMD echo $HOME  x"),
    config: { Cmd: sh("echo $HOME  x") },
  },
  { name: "CMD twice", dockerfile: on("CMD a", 'CMD ["b"]'), config: { Cmd: ["b"] } },
  { name: "CMD that is no JSON", dockerfile: on("CMD ['a']"), config: { Cmd: sh("['a']") } },
  {
    name: "CMD that is empty",
    dockerfile: on("CMD []"),
    config: {},
    notClassic: "20.10 keeps an empty list as null",
  },
  {
    name: "ENTRYPOINT as a list",
    dockerfile: on('ENTRYPOINT ["e"]'),
    config: { Entrypoint: ["e"] },
  },
  {
    name: "ENTRYPOINT as text",
    dockerfile: on("ENTRYPOINT exec e"),
    config: { Entrypoint: sh("exec e") },
  },
  {
    name: "ENTRYPOINT drops the base's CMD",
    dockerfile: 'FROM furnished\nENTRYPOINT ["new"]\n',
    config: { Entrypoint: ["new"], Cmd: undefined },
  },
  {
    name: "ENTRYPOINT keeps a CMD of the same stage",
    dockerfile: 'FROM furnished\nCMD ["c"]\nENTRYPOINT ["new"]\n',
    config: { Entrypoint: ["new"], Cmd: ["c"] },
  },
  {
    name: "CMD keeps the base's ENTRYPOINT",
    dockerfile: 'FROM furnished\nCMD ["c"]\n',
    config: { Entrypoint: ["/entry"], Cmd: ["c"] },
  },
  {
    name: "everything is inherited",
    dockerfile: "FROM furnished\n",
    config: {
      Env: ["PATH=/custom:/bin:/usr/bin", "BASE=b"],
      Entrypoint: ["/entry"],
      Cmd: ["base-cmd"],
      StopSignal: "SIGINT",
      ExposedPorts: { "1/tcp": {} },
      Volumes: { "/basevol": {} },
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5000 * ms },
    },
    tree: {},
  },
  {
    name: "SHELL",
    dockerfile: on('SHELL ["/bin/sh", "-ec"]', "CMD x", "RUN false || echo y > /y"),
    config: { Shell: ["/bin/sh", "-ec"], Cmd: ["/bin/sh", "-ec", "x"] },
    tree: { y: "644 0:0 y\n" },
  },
  {
    name: "SHELL that is inherited",
    dockerfile: "FROM workplace\nCMD x\n",
    config: { Cmd: ["/bin/sh", "-ec", "x"], Shell: ["/bin/sh", "-ec"] },
  },
  {
    name: "SHELL as text",
    dockerfile: on("SHELL /bin/sh"),
    error: /SHELL requires the arguments to be in JSON form/,
  },
  {
    name: "EXPOSE",
    dockerfile: on("EXPOSE 80 443/tcp 53/udp 9/sctp"),
    config: { ExposedPorts: { "80/tcp": {}, "443/tcp": {}, "53/udp": {}, "9/sctp": {} } },
  },
  {
    name: "EXPOSE a range",
    dockerfile: on("EXPOSE 8000-8002/udp"),
    config: { ExposedPorts: { "8000/udp": {}, "8001/udp": {}, "8002/udp": {} } },
  },
  {
    name: "EXPOSE variables",
    dockerfile: on('ENV P=80 Q="81 82"', "EXPOSE $P ${Q}"),
    config: { ExposedPorts: { "80/tcp": {}, "81/tcp": {}, "82/tcp": {} } },
  },
  {
    name: "EXPOSE beside the base's",
    dockerfile: "FROM furnished\nEXPOSE 2\n",
    config: { ExposedPorts: { "1/tcp": {}, "2/tcp": {} } },
  },
  {
    name: "EXPOSE nonsense",
    dockerfile: on("EXPOSE x"),
    error: /invalid containerPort|Invalid containerPort/i,
  },
  {
    name: "EXPOSE a port that is too large",
    dockerfile: on("EXPOSE 65536"),
    error: /invalid containerPort/i,
  },
  {
    name: "VOLUME as words",
    dockerfile: on("VOLUME /a /b"),
    config: { Volumes: { "/a": {}, "/b": {} } },
    tree: {},
  },
  {
    name: "VOLUME as a list",
    dockerfile: on('VOLUME ["/a b", "c"]'),
    config: { Volumes: { "/a b": {}, c: {} } },
  },
  {
    name: "VOLUME of a variable",
    dockerfile: on("ENV V=/v", "VOLUME $V"),
    config: { Volumes: { "/v": {} } },
  },
  {
    name: "VOLUME of nothing",
    dockerfile: on("VOLUME"),
    error: /VOLUME requires at least one argument/,
  },
  {
    name: "what a later RUN writes into a volume",
    dockerfile: on("VOLUME /v", "RUN mkdir -p /v && echo x > /v/x"),
    tree: { v: "755 0:0 /", "v/x": "644 0:0 x\n" },
    notClassic: "20.10 mounts a volume there and loses the file; BuildKit keeps it",
  },
  {
    name: "USER",
    dockerfile: on("USER 1000:1000", "RUN id -u > /tmp/u"),
    config: { User: "1000:1000" },
    tree: { "tmp/u": "644 1000:1000 1000\n" },
  },
  {
    name: "USER by name",
    dockerfile: "FROM furnished\nUSER app\nRUN id -u > /tmp/u; id -g >> /tmp/u; id -G >> /tmp/u\n",
    config: { User: "app" },
    tree: { "tmp/u": "644 1000:1001 1000\n1001\n1001 2002\n" },
  },
  {
    name: "USER by a name that nobody has",
    dockerfile: on("USER nobodyatall", "RUN true"),
    error: /nobodyatall/,
  },
  { name: "USER of a variable", dockerfile: on("ARG U=7", "USER ${U}"), config: { User: "7" } },
  { name: "USER of nothing", dockerfile: on("USER"), error: /USER requires exactly one argument/ },
  {
    name: "WORKDIR",
    dockerfile: on("WORKDIR /a/b", "RUN pwd > x"),
    config: { WorkingDir: "/a/b" },
    tree: { a: "755 0:0 /", "a/b": "755 0:0 /", "a/b/x": "644 0:0 /a/b\n" },
  },
  {
    name: "WORKDIR that is relative",
    dockerfile: on("WORKDIR /a", "WORKDIR b/../c", "WORKDIR ."),
    config: { WorkingDir: "/a/c" },
    tree: { a: "755 0:0 /", "a/c": "755 0:0 /" },
  },
  {
    name: "WORKDIR of variables",
    dockerfile: on("ENV D=/d", "WORKDIR $D/${E:-e}"),
    config: { WorkingDir: "/d/e" },
    tree: { d: "755 0:0 /", "d/e": "755 0:0 /" },
  },
  {
    name: "WORKDIR that is there",
    dockerfile: on("WORKDIR /tmp"),
    config: { WorkingDir: "/tmp" },
    tree: {},
  },
  {
    name: "WORKDIR through a link",
    dockerfile: "FROM furnished\nWORKDIR /link/new\n",
    config: { WorkingDir: "/link/new" },
    tree: { "real/new": "755 0:0 /" },
  },
  {
    name: "WORKDIR of another user",
    dockerfile: on("USER 5:6", "WORKDIR /w"),
    tree: { w: "755 5:6 /" },
    notClassic: "20.10 makes it root's; BuildKit the user's",
  },
  {
    name: "WORKDIR that is a file",
    dockerfile: "FROM furnished\nWORKDIR /afile\n",
    error: /afile/,
  },
  {
    name: "WORKDIR with a slash at its end",
    dockerfile: on("WORKDIR /a/"),
    config: { WorkingDir: "/a" },
    tree: { a: "755 0:0 /" },
    notClassic: "20.10 keeps the slash; BuildKit cleans the path",
  },
  {
    name: "WORKDIR with spaces",
    dockerfile: on("WORKDIR /a b"),
    config: { WorkingDir: "/a b" },
    tree: { "a b": "755 0:0 /" },
  },
  { name: "STOPSIGNAL", dockerfile: on("STOPSIGNAL SIGTERM"), config: { StopSignal: "SIGTERM" } },
  {
    name: "STOPSIGNAL as a number of a variable",
    dockerfile: on("ARG S=9", "STOPSIGNAL $S"),
    config: { StopSignal: "9" },
  },
  {
    name: "STOPSIGNAL nonsense",
    dockerfile: on("STOPSIGNAL NONSENSE"),
    error: /[Ii]nvalid signal: NONSENSE/,
  },
  {
    name: "HEALTHCHECK with everything",
    dockerfile: on(
      "HEALTHCHECK --interval=1m --timeout=3s --start-period=1m30s --retries=5 CMD curl x",
    ),
    config: {
      Healthcheck: {
        Test: ["CMD-SHELL", "curl x"],
        Interval: 60_000 * ms,
        Timeout: 3000 * ms,
        StartPeriod: 90_000 * ms,
        Retries: 5,
      },
    },
  },
  {
    name: "HEALTHCHECK with --start-interval",
    dockerfile: on("HEALTHCHECK --start-interval=2s CMD x"),
    config: { Healthcheck: { Test: ["CMD-SHELL", "x"], StartInterval: 2000 * ms } },
    notClassic: "20.10 has no --start-interval",
  },
  {
    name: "HEALTHCHECK as a list",
    dockerfile: on('HEALTHCHECK CMD ["a", "b"]'),
    config: { Healthcheck: { Test: ["CMD", "a", "b"] } },
  },
  {
    name: "HEALTHCHECK NONE",
    dockerfile: "FROM furnished\nHEALTHCHECK NONE\n",
    config: { Healthcheck: { Test: ["NONE"] } },
    notClassic: "20.10 keeps the base's interval; BuildKit replaces the whole",
  },
  {
    name: "HEALTHCHECK of another type",
    dockerfile: on("HEALTHCHECK FOO x"),
    error: /Unknown type "FOO" in HEALTHCHECK/,
  },
  {
    name: "HEALTHCHECK that is too often",
    dockerfile: on("HEALTHCHECK --interval=1us CMD x"),
    error: /cannot be less than 1ms/,
  },
  {
    name: "HEALTHCHECK without a command",
    dockerfile: on("HEALTHCHECK CMD"),
    error: /Missing command after HEALTHCHECK CMD/,
  },
  {
    name: "HEALTHCHECK with an unknown flag",
    dockerfile: on("HEALTHCHECK --foo=1 CMD x"),
    error: /[uU]nknown flag: (--)?foo/,
  },
  {
    name: "HEALTHCHECK NONE with words",
    dockerfile: on("HEALTHCHECK NONE x"),
    error: /NONE takes no arguments/,
  },
  {
    name: "ONBUILD is kept for others",
    dockerfile: on("ONBUILD RUN echo x", "ONBUILD COPY . /"),
    config: { OnBuild: ["RUN echo x", "COPY . /"] },
    tree: {},
  },
  {
    name: "ONBUILD is done by others",
    dockerfile: "FROM trigger\n",
    files: { f: "file" },
    query: { buildargs: '{"GIVEN":"g"}' },
    config: { ...env("O=1"), OnBuild: undefined },
    tree: { triggered: "644 0:0 g\n", onbuild: "755 0:0 /", "onbuild/f": "644 0:0 file" },
  },
  {
    name: "ONBUILD before what stands in the Dockerfile",
    dockerfile: "FROM trigger\nENV O=2\nRUN cat /triggered > /after\n",
    files: { f: "file" },
    config: env("O=2"),
    tree: {
      triggered: "644 0:0 none\n",
      after: "644 0:0 none\n",
      onbuild: "755 0:0 /",
      "onbuild/f": "644 0:0 file",
    },
  },
  {
    name: "ONBUILD ONBUILD",
    dockerfile: on("ONBUILD ONBUILD RUN x"),
    error: /ONBUILD ONBUILD.* isn't allowed/,
  },
  {
    name: "ONBUILD FROM",
    dockerfile: on("ONBUILD FROM x"),
    error: /FROM isn't allowed as an ONBUILD trigger/,
  },
  { name: "MAINTAINER", dockerfile: on("MAINTAINER me <me@x>"), history: ["MAINTAINER me <me@x>"] },
  {
    name: "instructions in lower case",
    dockerfile: "from busybox\nenv A=1\ncmd x\n",
    config: { ...env("A=1"), Cmd: sh("x") },
  },
  { name: "an unknown instruction", dockerfile: on("FOO x"), error: /unknown instruction: FOO/ },
  {
    name: "the escape directive",
    dockerfile: "# escape=`\nFROM busybox\nENV A=1 `\n  B=c:\\d\n",
    config: env("A=1", "B=c:\\d"),
  },
  {
    name: "a directive after a comment is none",
    dockerfile: "# a comment\n# escape=`\nFROM busybox\nENV A=1 \\\n  B=2\n",
    config: env("A=1", "B=2"),
  },
  {
    name: "lines that end as on Windows",
    dockerfile: "FROM busybox\r\nENV A=1 \\\r\n  B=2\r\nCMD x\r\n",
    config: { ...env("A=1", "B=2"), Cmd: sh("x") },
  },
  { name: "a byte order mark", dockerfile: "\uFEFFFROM busybox\nENV A=1\n", config: env("A=1") },
  {
    name: "comments and empty lines everywhere",
    dockerfile: "\n# c\n\nFROM busybox\n  # c\n\n  ENV A=1\n# c",
    config: env("A=1"),
  },
  {
    name: "a # that is no comment",
    dockerfile: on("ENV A=x#y B=#z"),
    config: env("A=x#y", "B=#z"),
  },
  {
    name: "an empty line within a continued instruction",
    dockerfile: on("ENV A=1 \\", "", "  B=2"),
    config: env("A=1", "B=2"),
  },
  {
    name: "no instructions",
    dockerfile: "# nothing\n",
    error: /file with no instructions|no build stage/,
  },
  {
    name: "an instruction before FROM",
    dockerfile: "RUN x\nFROM busybox\n",
    error: /no build stage in current context/,
  },
  {
    name: "only ARG",
    dockerfile: "ARG X=1\n",
    error: /no stages to build|no build stage/,
    notClassic: "20.10 builds nothing and calls it an image",
  },
  {
    name: "history",
    dockerfile: on("ENV A=1", "LABEL l=v", "RUN true", "WORKDIR /", 'CMD ["x"]'),
    history: ["ENV A=1", "LABEL l=v", "RUN /bin/sh -c true # buildkit", "WORKDIR /", 'CMD ["x"]'],
  },
];
