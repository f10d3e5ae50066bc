/** `berth compose` by docker's plugin, and `berth buildx` without it. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const home = scratchDirectory("berth-plugins-");
afterAll(() => rmSync(home, { recursive: true, force: true }));

const env = { DOCKER_CONFIG: home };
const berth = (...args: string[]) => daemon.berthWith({ env }, ...args);

/** A plugin that says how it was called, and asks the daemon that it was given. */
function install(directory: string, script: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/docker-compose`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

test("without the plugin: where to get it, and what to do meanwhile", async () => {
  const { status, out, err } = await berth("compose", "up", "-d");
  expect([status, out]).toEqual([1, ""]);
  expect(err).toContain("docker-compose-plugin");
  expect(err).toContain(`${home}/cli-plugins`);
  expect(err).toContain(`DOCKER_HOST=unix://${daemon.socket}`);
});

test("the plugin gets the rest of the line as it is, and berth's daemon", async () => {
  await daemon.berth("run", "-d", "--name", "seen", "busybox", "sleep", "1000");
  install(
    `${home}/cli-plugins`,
    `printf '<%s>' "$@"; echo; echo "$DOCKER_HOST $DOCKER_CONTEXT$BERTH_HOST"; docker ps --format '{{.Names}}'; cat; exit 7`,
  );
  const words = ["--help", "-f", "a b", "up", "--", "-x"];
  const { status, out, err } = await daemon.berthWith({ env, stdin: "input" }, "compose", ...words);
  expect([err, status]).toEqual(["", 7]);
  expect(out).toBe(`<compose><--help><-f><a b><up><--><-x>\nunix://${daemon.socket} \nseen\ninput`);
  await daemon.berth("rm", "-f", "seen");
});

test("a context is given by its name, -H by its address; TLS flags go along; extra directories are looked into", async () => {
  rmSync(`${home}/cli-plugins`, { recursive: true });
  install(`${home}/extra`, `echo "$* host=$DOCKER_HOST context=$DOCKER_CONTEXT"`);
  writeFileSync(`${home}/config.json`, JSON.stringify({ cliPluginsExtraDirs: [`${home}/extra`] }));
  await berth("context", "create", "named", "--docker", `host=unix://${daemon.socket}`);
  const none = { ...env, BERTH_HOST: "" };
  const said = async (...args: string[]) =>
    (await daemon.berthWith({ env: none }, ...args, "compose", "ls")).out;
  expect(await said("--context", "named")).toBe("compose ls host= context=named\n");
  expect(await said("-H", "tcp://127.0.0.1:1")).toBe(
    "compose ls host=tcp://127.0.0.1:1 context=\n",
  );
  expect(await said("-H", "tcp://127.0.0.1:1", "--tlsverify")).toBe(
    "--tlsverify compose ls host=tcp://127.0.0.1:1 context=\n",
  );
});

test("Ctrl-C is the plugin's to answer: it ends what it has begun, and its status is berth's", async () => {
  install(
    `${home}/extra`,
    "trap 'echo cleaned up; exit 3' INT; echo ready; while :; do sleep 0.05; done",
  );
  const terminal = daemon.onTerminal("--config", home, "compose", "up");
  await terminal.see("ready");
  terminal.type("\x03");
  await terminal.see("cleaned up");
  expect(await terminal.ended()).toBe(3);
});

test("buildx: the daemon's builder is the one there is", async () => {
  const said = async (...args: string[]) => (await berth("buildx", ...args)).out;
  const version = (await daemon.berth("version", "--format", "{{.Server.Version}}")).out.trim();
  const platform = (await daemon.berth("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"))
    .out;
  const lines = (await said("ls")).split("\n");
  expect(lines[0]).toMatch(/^NAME\/NODE +DRIVER\/ENDPOINT +STATUS +BUILDKIT +PLATFORMS$/);
  expect(lines[1]).toMatch(/^default\* +berth +/);
  expect(lines[2]?.replace(/ +/g, " ")).toBe(
    String.raw` \_ default \_ default running v${version} ${platform.trim()}`,
  );
  expect(await said("ls", "--format", "{{.Name}}")).toBe("default*\n \\_ default\n");
  const inspected = await said("inspect", "--bootstrap");
  expect(inspected).toContain("Status:           running\n");
  expect(inspected).toContain(`Platforms:        ${platform}`);
  expect(await said("version")).toBe(`berth/buildx v${version}\n`);
  expect((await berth("buildx", "use", "default")).status).toBe(0);
  const other = await berth("buildx", "inspect", "other");
  expect([other.status, other.err]).toEqual([1, 'ERROR: no builder "other" found\n']);
});

test("buildx build, du and prune are berth's own", async () => {
  const dockerfile = "FROM busybox\nRUN echo built > /it\n";
  const built = await daemon.berthWith(
    { env, stdin: dockerfile },
    ...["buildx", "build", "--load", "-q", "-t", "by-buildx", "-"],
  );
  expect([built.err, built.status]).toEqual(["", 0]);
  expect((await berth("run", "--rm", "by-buildx", "cat", "/it")).out).toBe("built\n");
  expect((await berth("buildx", "du")).out).toContain("RECLAIMABLE");
  await berth("rmi", "by-buildx");
  const pruned = await berth("buildx", "prune", "-af");
  expect([pruned.err, pruned.status]).toEqual(["", 0]);
  expect((await berth("buildx", "du")).out).not.toContain("true");
});

test("what buildx has and berth has not is refused with what serves instead", async () => {
  for (const [line, instead] of [
    ["bake -f x.hcl", "berth build"],
    ["create --use --name other", "one builder"],
    ["rm other", "berth builder prune"],
    ["imagetools inspect busybox", "berth manifest inspect"],
    ["history ls", "berth build --progress plain"],
  ] as const) {
    const { status, out, err } = await berth("buildx", ...line.split(" "));
    expect([line, status, out]).toEqual([line, 1, ""]);
    expect(err).toContain(`ERROR: berth buildx ${line.split(" ")[0]} is not supported: `);
    expect(err).toContain(instead);
  }
});
