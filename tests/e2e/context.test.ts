/** Contexts, TLS and ssh: which daemon a command reaches, as docker's command line has it, with the same files. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { freePort, makeCertificates } from "../kits/certificates.ts";
import { type CommandOptions, type Done, TestDaemon } from "../kits/daemon.ts";
import { giveToDaemon, scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const home = scratchDirectory("berth-context-");

makeCertificates(home);
giveToDaemon(`${home}/server-key.pem`);
const port = await freePort();
const daemon = new TestDaemon([
  ...["-H", `tcp://127.0.0.1:${port}`, "--tlsverify", "--tlscacert", `${home}/ca.pem`],
  ...["--tlscert", `${home}/server.pem`, "--tlskey", `${home}/server-key.pem`],
]);
const secure = `host=tcp://127.0.0.1:${port},ca=${home}/ca.pem,cert=${home}/client.pem,key=${home}/client-key.pem`;

/** An ssh that goes nowhere: it runs the command here, as the shell at the other end would. */
const fakeSsh = `#!/bin/sh
echo "$*" >> ${home}/ssh-calls
while [ "$1" != -- ]; do shift; done
shift
[ "$1" != unreachable ] || { echo "ssh: connect to host unreachable port 22: No route to host" >&2; exit 255; }
shift
exec sh -c "$*"
`;

beforeAll(async () => {
  mkdirSync(`${home}/bin`);
  writeFileSync(`${home}/bin/ssh`, fakeSsh);
  chmodSync(`${home}/bin/ssh`, 0o755);
  writeFileSync(
    `${home}/bin/berth`,
    `#!/bin/sh\nexec "${import.meta.dir}/../../dist/berth" "$@"\n`,
  );
  chmodSync(`${home}/bin/berth`, 0o755);
  await daemon.start();
});

afterAll(async () => {
  await daemon.destroy();
  rmSync(home, { recursive: true });
  expect(await settledLeftover(before)).toEqual([]);
});

type Client = "berth" | "docker";

function call(
  client: Client,
  { env, ...options }: CommandOptions,
  ...args: string[]
): Promise<Done> {
  const own = {
    ...{ BERTH_HOST: "", DOCKER_HOST: "", DOCKER_CONFIG: `${home}/config` },
    PATH: `${home}/bin:${process.env.PATH}`,
  };
  const all = { cwd: home, ...options, env: { ...own, ...env } };
  return client === "berth" ? daemon.berthWith(all, ...args) : daemon.dockerWith(all, ...args);
}

const berth = (...args: string[]) => call("berth", {}, ...args);
const docker = (...args: string[]) => call("docker", {}, ...args);

/** Lines that both clients are given, each on a configuration of its own. */
const lines: readonly string[] = [
  "context ls -q",
  "context show",
  "context create aa --description words --docker host=tcp://192.0.2.1:2375",
  "context create aa",
  "context create b",
  "context create default",
  "context create bb --docker foo=1",
  "context create bb --docker host=zzz",
  "context create bb --docker zzz",
  "context create bb --docker host=ssh://u@h --description x",
  "context create b2 --from aa",
  "context create b3 --from nope",
  "context create b3 --from aa --docker host=tcp://192.0.2.1",
  "context create b4 --docker from=aa",
  "context create b5 --docker ca=/nope,host=tcp://x",
  `context create tls --docker ${secure}`,
  `context create t2 --docker host=tcp://192.0.2.1:2376,ca=${home}/ca.pem,skip-tls-verify=true`,
  `context create t3 --docker host=tcp://192.0.2.1,ca=${home}/ext`,
  "context create t4 --docker skip-tls-verify=x",
  "context create t5 --docker host=",
  "context inspect tls aa",
  "context inspect aa nope bb",
  "context inspect -f {{.Name}}={{.Endpoints.docker.Host}} aa bb",
  "context use aa",
  "context show",
  "context ls",
  "context ls --format {{.Name}}:{{.Current}}:{{.DockerEndpoint}}:{{.Description}}",
  "context rm aa",
  "context rm b2 nope bb",
  "context rm -f aa",
  "context rm default",
  "context show",
  "context update t2 --docker host=tcp://192.0.2.2 --description new",
  "context inspect t2",
  "context update nope",
  "context use nope",
  "context use t2",
  "context use default",
  "context export tls tls.tar",
  "context export tls tls.tar",
  "context export nope",
  "context import e2 tls.tar",
  "context import e2 tls.tar",
  "context import e3 nofile",
  "context inspect e2",
  "--context nope ps",
  "--context tls -H tcp://192.0.2.1 ps",
];

test("docker's words and effects, line by line", async () => {
  const said = { berth: "", docker: "" };
  for (const client of ["docker", "berth"] as const) {
    const env = { DOCKER_CONFIG: `${home}/lines` };
    for (const line of lines) {
      const { out, err, status } = await call(client, { env }, ...line.split(" "));
      // The widths of columns depend on the default socket's name.
      const plain = `${out}${err}`
        .replaceAll(/\bberth context/g, "docker context")
        .replace(/ {2,}/g, " ")
        .replaceAll("run/berth/berth", "var/run/docker");
      said[client] += `$ ${line}\n${plain}[${status}]\n`;
    }
    rmSync(`${home}/lines`, { recursive: true });
    rmSync(`${home}/tls.tar`);
  }
  expect(said.berth).toBe(said.docker);
});

test("a daemon with --tlsverify lets in who has a certificate, through a context of either client", async () => {
  for (const [maker, user] of [
    [berth, docker],
    [docker, berth],
  ] as const) {
    const name = maker === berth ? "ours" : "theirs";
    expect((await maker("context", "create", name, "--docker", secure)).status).toBe(0);
    expect((await maker("context", "use", name)).out).toBe(`${name}\n`);
    const args = ["run", "--rm", "-i", "busybox", "cat"];
    const echoed = await call(user === berth ? "berth" : "docker", { stdin: "over TLS" }, ...args);
    expect([echoed.out, echoed.err, echoed.status]).toEqual(["over TLS", "", 0]);
    expect((await user("context", "show")).out).toBe(`${name}\n`);
  }
  await berth("context", "use", "default");
  const key = `${home}/config/contexts/tls`;
  const { stdout } = Bun.spawnSync(["find", key, "-name", "key.pem", "-perm", "0600"]);
  expect(stdout.toString().trim().split("\n").length).toBe(2);
});

test("nobody else is let in, and no other server is believed", async () => {
  const url = `tcp://127.0.0.1:${port}`;
  const flags = (ca: string, cert: string) => [
    ...["--tlsverify", "-H", url, "--tlscacert", `${home}/${ca}.pem`],
    ...["--tlscert", `${home}/${cert}.pem`, "--tlskey", `${home}/${cert}-key.pem`],
  ];
  const right = await berth(...flags("ca", "client"), "version", "--format", "{{.Server.Os}}");
  expect([right.out, right.err]).toEqual(["linux\n", ""]);
  for (const args of [
    flags("ca", "stranger"),
    flags("stranger", "client"),
    ["--tlsverify", "-H", url, "--tlscacert", `${home}/ca.pem`],
    ["-H", url],
  ]) {
    const refused = await berth(...args, "ps");
    expect([refused.status, refused.out]).toEqual([1, ""]);
    expect(refused.err).not.toBe("");
  }
  const variables = {
    ...{ DOCKER_TLS_VERIFY: "1", DOCKER_HOST: url, DOCKER_CERT_PATH: `${home}/by-variable` },
  };
  mkdirSync(variables.DOCKER_CERT_PATH);
  for (const [from, to] of [
    ["ca", "ca"],
    ["client", "cert"],
    ["client-key", "key"],
  ])
    writeFileSync(`${variables.DOCKER_CERT_PATH}/${to}.pem`, readFileSync(`${home}/${from}.pem`));
  expect((await call("berth", { env: variables }, "ps", "-q")).status).toBe(0);
  const info = await daemon.docker("info", "--format", "{{json .Warnings}}");
  expect(info.out).not.toContain("without");
});

test("ssh://: everything goes through dial-stdio on the other host", async () => {
  const url = `ssh://me@there:2222${daemon.socket}`;
  const listed = await berth("-H", url, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; exit 7");
  expect([listed.err, listed.status]).toEqual(["", 7]);
  const echoed = await call(
    "berth",
    { stdin: "by ssh" },
    "-H",
    url,
    "run",
    "--rm",
    "-i",
    "busybox",
    "cat",
  );
  expect([echoed.out, echoed.err, echoed.status]).toEqual(["by ssh", "", 0]);
  const [called = ""] = readFileSync(`${home}/ssh-calls`, "utf8").split("\n");
  expect(called).toBe(
    `-o ConnectTimeout=30 -T -l me -p 2222 -- there berth -H unix://${daemon.socket} system dial-stdio`,
  );
  await berth("context", "create", "far", "--docker", `host=${url}`);
  const large = "x".repeat(3 << 20);
  const all = await call(
    "berth",
    { stdin: large },
    "-c",
    "far",
    "run",
    "--rm",
    "-i",
    "busybox",
    "cat",
  );
  expect(all.out === large).toBe(true);
  const away = await berth("-H", "ssh://unreachable", "ps");
  expect(away.status).toBe(1);
  expect(away.err).toContain("has exited with exit status 255");
  expect(away.err).toContain("No route to host");
});

test("addresses that would be taken for ssh's options, or have a password, are refused", async () => {
  for (const [url, why] of [
    ["ssh://-oProxyCommand=touch%20x", "no name of a host"],
    ["ssh://-oProxyCommand=x@host", "no name of a host"],
    ["ssh://me:secret@host", "plain-text password is not supported"],
    ["ssh://", "no host specified"],
    ["ssh://host?x=1", "extra query after the host"],
  ] as const) {
    const refused = await berth("-H", url, "ps");
    expect([refused.status, refused.out]).toEqual([1, ""]);
    expect(refused.err).toContain(why);
  }
});

test("damaged files and hostile archives: an error, and nothing is kept", async () => {
  const archive = (name: string, ...files: [path: string, text: string][]) => {
    const root = mkdtempSync(`${home}/archive-`);
    for (const [path, text] of files) {
      mkdirSync(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      writeFileSync(`${root}/${path}`, text);
    }
    const names = files.map(([path]) => path);
    const done = Bun.spawnSync(["tar", "-C", root, "-cPf", `${home}/${name}`, ...names]);
    expect(done.exitCode).toBe(0);
    return name;
  };
  const meta = JSON.stringify({
    Name: "x",
    Metadata: {},
    Endpoints: { docker: { Host: "tcp://h" } },
  });
  writeFileSync(`${home}/rubbish`, "rubbish".repeat(1000));
  writeFileSync(`${home}/large`, new Uint8Array(11 << 20));
  writeFileSync(`${home}/broken.zip`, "PK\x05\x06".padEnd(22, "\xff"));
  for (const file of [
    archive("escape.tar", ["meta.json", meta], ["tls/docker/../../../../escaped.pem", "x"]),
    archive("other.tar", ["meta.json", meta], ["tls/kubernetes/ca.pem", "x"]),
    archive("odd.tar", ["meta.json", "{"]),
    archive("none.tar", ["tls/docker/ca.pem", "x"]),
    ...["rubbish", "large", "broken.zip"],
  ]) {
    const refused = await berth("context", "import", "hostile", file);
    expect([file, refused.status, refused.out]).toEqual([file, 1, ""]);
    expect(refused.err).not.toBe("");
    expect((await berth("context", "ls", "-q")).out).not.toContain("hostile");
  }
  expect(existsSync(`${home}/config/escaped.pem`)).toBe(false);
  const config = `${home}/broken-config`;
  mkdirSync(config);
  writeFileSync(`${config}/config.json`, "{");
  const broken = await call("berth", { env: { DOCKER_CONFIG: config } }, "ps");
  expect([broken.status, broken.err]).toEqual([
    1,
    expect.stringContaining("config.json cannot be read"),
  ]);
});

test("a zip of a context is read, too", async () => {
  const meta = {
    Name: "z",
    Metadata: { Description: "zipped" },
    Endpoints: { docker: { Host: "tcp://h:1" } },
  };
  writeFileSync(`${home}/meta.json`, JSON.stringify(meta));
  const made = Bun.spawnSync(
    [
      "python3",
      "-c",
      "import zipfile,sys; z=zipfile.ZipFile('c.zip','w',zipfile.ZIP_DEFLATED); z.write('meta.json'); z.write('ca.pem','tls/docker/ca.pem')",
    ],
    { cwd: home },
  );
  expect(made.exitCode).toBe(0);
  expect((await berth("context", "import", "zipped", "c.zip")).out).toBe("zipped\n");
  const shown = await docker("context", "inspect", "-f", "{{json .TLSMaterial}}", "zipped");
  expect(shown.out).toBe('{"docker":["ca.pem"]}\n');
  expect(statSync(`${home}/config/contexts`).isDirectory()).toBe(true);
});
