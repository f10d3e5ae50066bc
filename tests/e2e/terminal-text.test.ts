/**
 * What a terminal is shown: lists of its width, colours where they are wanted, and nothing that a hostile daemon or
 * registry would have it obey. A pipe gets what it always got.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile, TerminalSession } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");
const scratch = scratchDirectory("bt-shown-");

/** What another terminal would obey: a title, a cleared screen, an answer typed by itself, a reversed line. */
const EVIL = "x\x1b]0;owned\x07\x1b[2J\x1b[6n\x9b2J\rname\nline\u202e";
/** What of it is never to reach a terminal. */
const OBEYED = ["\x1b]0;", "\x1b[2J", "\x1b[6n", "\x9b", "\x07", "\u202e"];

const container = {
  Id: "0123456789abcdef",
  Names: [`/${EVIL}`],
  Image: EVIL,
  Command: EVIL,
  Created: 1,
  State: "running",
  Status: EVIL,
  Ports: [],
  Labels: { evil: EVIL },
  NetworkSettings: { Networks: { [EVIL]: {} } },
  Mounts: [],
};
const image = {
  ...{ Id: `sha256:${"0".repeat(64)}`, RepoTags: [`${EVIL}:1`], RepoDigests: [], Size: 1 },
  ...{ Created: 1, Containers: 0, Labels: { evil: EVIL }, SharedSize: -1, Manifests: [] },
};
const progress = [
  { status: `Pulling ${EVIL}`, id: EVIL },
  { status: `Downloading${EVIL}`, id: `a${EVIL}`, progressDetail: { current: 1, total: 2 } },
  { status: EVIL },
  { stream: EVIL },
  { error: EVIL, errorDetail: { message: EVIL } },
];

/** A daemon whose every word is hostile. */
function answer(path: string): Response {
  if (path.endsWith("/containers/json")) return Response.json([container]);
  if (path.endsWith("/images/json")) return Response.json([image]);
  if (path.endsWith("/volumes"))
    return Response.json({ Volumes: [{ Name: EVIL, Driver: EVIL, Labels: null }] });
  if (path.endsWith("/networks"))
    return Response.json([{ Id: "0".repeat(64), Name: EVIL, Driver: EVIL, Scope: EVIL }]);
  if (path.endsWith("/containers/evil/json")) return Response.json({ ...container, Name: EVIL });
  if (path.endsWith("/history"))
    return Response.json([{ Id: "x", Created: 1, CreatedBy: EVIL, Comment: EVIL, Size: 1 }]);
  if (path.endsWith("/changes")) return Response.json([{ Path: `/${EVIL}`, Kind: 1 }]);
  if (path.endsWith("/top"))
    return Response.json({ Titles: ["PID", "CMD"], Processes: [["1", EVIL]] });
  if (path.endsWith("/events"))
    return new Response(
      `${JSON.stringify({ Type: "container", Action: EVIL, Actor: { ID: EVIL, Attributes: { name: EVIL } }, time: 1, timeNano: 1e9 })}\n`,
    );
  if (path.endsWith("/images/create") || path.endsWith("/images/load") || path.endsWith("/push"))
    return new Response(progress.map((one) => `${JSON.stringify(one)}\n`).join(""));
  if (path.endsWith("/version"))
    return Response.json({ Version: EVIL, Components: [{ Name: EVIL, Version: EVIL }] });
  return Response.json({ message: EVIL }, { status: 500 });
}
const server = Bun.serve({
  unix: `${scratch}/evil.sock`,
  fetch: (request) => answer(new URL(request.url).pathname),
});
const evil = { BERTH_HOST: `unix://${scratch}/evil.sock` };
afterAll(async () => {
  await server.stop(true);
  rmSync(scratch, { recursive: true });
});

async function shownBy(
  argv: readonly string[],
  env: Record<string, string>,
  columns = 100,
): Promise<string> {
  // The size is there before the command is.
  const script = `stty cols ${columns}; exec "$0" "$@"`;
  const session = new TerminalSession(["sh", "-c", script, executable, ...argv], env);
  await session.ended();
  return session.shown;
}

async function piped(argv: readonly string[], env: Record<string, string>): Promise<string> {
  const child = Bun.spawn([executable, ...argv], {
    env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return out + err;
}

const hostile = [
  "ps",
  "ps --no-trunc",
  "ps --format {{.Names}}",
  "ps --format {{.Labels}}",
  'ps --format {{.Label"evil"}}',
  "ps --format table{{.Names}}",
  "ps --format json",
  "images",
  "images --tree",
  "images --format {{.Repository}}",
  "volume ls",
  "volume ls -q",
  "network ls",
  "history x",
  "diff x",
  "container top x",
  "events --until 5",
  "inspect evil",
  "inspect --format {{.Name}} evil",
  "inspect --format {{json.Name}} evil",
  "version",
  "pull x",
  "push x",
  "logs x",
  "info",
  "rm x",
];

for (const line of hostile)
  test(`nothing that a daemon says is obeyed: ${line}`, async () => {
    const argv = line
      .split(" ")
      .map((word) => word.replace('Label"', 'Label "').replace("json.", "json ."));
    const shown = await shownBy(argv, evil);
    for (const sequence of OBEYED) expect(shown).not.toContain(sequence);
    expect(shown.length).toBeGreaterThan(2);
  });

test("a pipe gets a name as it is", async () => {
  expect(await piped(["ps", "--format", "{{.Names}}"], evil)).toContain(EVIL);
  expect(await piped(["inspect", "-f", "{{.Name}}", "evil"], evil)).toContain(EVIL);
  expect(await piped(["rm", "x"], evil)).toContain(EVIL);
});

test("a newline in a name does not make a row", async () => {
  const shown = await shownBy(["ps", "--format", "{{.Names}}"], evil, 500);
  expect(shown.trim().split("\n")).toHaveLength(1);
  expect(shown).toContain("\\x1b]0;owned\\x07");
});

test("a user's own control characters in a format stay", async () => {
  const shown = await shownBy(["ps", "--format", "\x1b[31m{{.ID}}\x1b[0m"], evil);
  expect(shown).toContain("\x1b[31m0123456789ab\x1b[0m");
});

test("lists are as wide as the terminal; a wide one and one without a size show what a pipe gets", async () => {
  const env = { BERTH_HOST: `unix://${daemon.socket}` };
  const name = "a-container-with-a-rather-long-name";
  const ports = ["-p", "127.0.0.1:40801:80", "-p", "127.0.0.1:40802:81"];
  await daemon.berth("run", "-d", "--name", name, ...ports, "busybox", "sleep", "1000");
  const normal = (text: string) =>
    text
      .replaceAll("\r", "")
      .replaceAll(/(About )?(a|an|\d+) \w+( ago)?|Less than a second( ago)?/g, "T")
      // Ages of other lengths make columns of other widths.
      .replaceAll(/ {2,}/g, "  ");
  for (const line of ["ps", "images", "stats --no-stream"]) {
    const argv = line.split(" ");
    for (const columns of [110, 90, 70]) {
      const rows = (await shownBy(argv, env, columns)).replaceAll("\r", "").trimEnd().split("\n");
      expect({
        line,
        columns,
        widest: Math.max(...rows.map((row) => Bun.stringWidth(row))),
      }).toEqual({
        line,
        columns,
        widest: expect.any(Number),
      });
      for (const row of rows) expect(Bun.stringWidth(row)).toBeLessThanOrEqual(columns);
    }
    for (const columns of [1, 10]) expect(await shownBy(argv, env, columns)).not.toBe("");
    if (line === "stats --no-stream") continue;
    const plain = normal(await piped(argv, env));
    for (const columns of [500, 0]) expect(normal(await shownBy(argv, env, columns))).toBe(plain);
    expect(normal(await shownBy(argv, { ...env, TERM: "" }, 500))).toBe(plain);
  }
  const wide = await shownBy(["ps"], env, 100);
  expect(wide).toContain(name);
  await daemon.berth("rm", "-f", name);
});

test("colours come only where they are wanted", async () => {
  const env = { BERTH_HOST: `unix://${daemon.socket}` };
  const context = mkdtempSync(`${scratch}/context-`);
  writeFileSync(`${context}/Dockerfile`, "FROM busybox\nRUN echo said\n");
  const COLOUR = /\x1b\[[\d;]*m/;
  const build = ["build", "--no-cache", context];
  for (const line of [build, ["images", "--tree"]]) {
    expect(await shownBy(line, env)).toMatch(COLOUR);
    expect(await shownBy(line, { ...env, NO_COLOR: "1" })).not.toMatch(COLOUR);
    expect(await shownBy(["--no-color", ...line], env)).not.toMatch(COLOUR);
    expect(await shownBy(line, { ...env, TERM: "dumb" })).not.toMatch(COLOUR);
    expect(await shownBy(line, { ...env, TERM: "" })).not.toMatch(COLOUR);
  }
  // Without a cursor to move there is no place to draw in, either.
  expect(await shownBy(build, { ...env, TERM: "dumb" })).not.toContain("\x1b");
  expect(await shownBy(build, { ...env, NO_COLOR: "1" })).toContain("\x1b[");
  await daemon.berth("image", "prune", "-f");
});

test("what may have been meant is told of everything that has a name, and to nobody but a person", async () => {
  const env = { BERTH_HOST: `unix://${daemon.socket}` };
  await daemon.berth("create", "--name", "webserver", "busybox");
  await daemon.berth("volume", "create", "datavolume");
  await daemon.berth("network", "create", "frontnet");
  const lines: readonly [line: string, meant: string][] = [
    ["contaner ls", "container"],
    ["ps --fromat x", "--format"],
    ["--hots x ps", "--host"],
    ["stop webservr", "webserver"],
    ["inspect websrver", "webserver"],
    ["image inspect busybx", "busybox:latest"],
    ["rmi busybx", "busybox:latest"],
    ["network inspect frontne", "frontnet"],
    ["network rm frontne", "frontnet"],
    ["volume inspect datavolme", "datavolume"],
    ["volume rm datavolme", "datavolume"],
    ["run --rm --network frontne busybox true", "frontnet"],
    ["run --rm --pull never busybx true", "busybox:latest"],
    ["context use defualt", "default"],
  ];
  for (const [line, meant] of lines) {
    const shown = await shownBy(line.split(" "), env);
    expect({ line, shown }).toEqual({
      line,
      shown: expect.stringContaining(`Did you mean ${meant}?`),
    });
    expect(await piped(line.split(" "), env)).not.toContain("Did you mean");
  }
  await daemon.berth("rm", "webserver");
  await daemon.berth("network", "rm", "frontnet");
  await daemon.berth("volume", "rm", "datavolume");
});
