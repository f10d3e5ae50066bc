/** Some seventeen hundred command lines, with `docker` and with `berth` against one daemon: what they say and how they end. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { changingLines as changingTables } from "./differential/changing.ts";
import { bothChange, bothRead, inParallel, type Said } from "./differential/clients.ts";
import { differing } from "./differential/differing.ts";
import { readingLines as readingTables } from "./differential/reading.ts";

const daemon = daemonOfFile();
const LONG = 900_000;

/** Lines of a file of them: odd flags, wrong values, missing objects, formats of everything. */
function linesOf(name: string): string[] {
  const path = join(import.meta.dir, "differential", name);
  return readFileSync(path, "utf8").split("\n").filter(Boolean);
}

const unique = (...lists: readonly string[][]) => [...new Set(lists.flat())];
const readingLines = unique([...readingTables], linesOf("more-reading.txt"));
const changingLines = unique([...changingTables], linesOf("more-changing.txt"));

beforeAll(async () => {
  const made = ["create", "--name", "made", "--label", "a.b-c=1", "-e", "K=v", "-p", "8080:80"];
  const runs = ["run", "-d", "--name", "runs", "--network", "net1", "-p", "127.0.0.1:8081:80"];
  for (const words of [
    ["network", "create", "--label", "n=1", "net1"],
    ["volume", "create", "--label", "v=1", "vol1"],
    [...made, "-v", "vol1:/v", "busybox", "echo", "a b"],
    [...runs, "busybox", "sleep", "1000"],
    ["run", "--name", "ended", "busybox", "sh", "-c", "echo one; echo two >&2; exit 3"],
    ["tag", "busybox", "other:1"],
  ])
    await daemon.docker(...words);
}, LONG);

/** Lines that differ although they should not, with what was said; and lines that agree although they are listed. */
async function surprises(
  lines: readonly string[],
  both: (line: string) => Promise<[docker: Said, berth: Said]>,
) {
  const found = await inParallel(lines, async (line) => {
    const [docker, berth] = await both(line);
    const same = Bun.deepEquals(docker, berth);
    if (line in differing) return same ? [{ line, agrees: true }] : [];
    return same ? [] : [{ line, docker, berth }];
  });
  return found.flat();
}

test("formats of config.json are taken by both", async () => {
  const config = join(daemon.directory, "config");
  mkdirSync(config);
  const formats = {
    psFormat: "P {{.Names}}",
    imagesFormat: "table I {{.Tag}}",
    networksFormat: "N {{.Name}}",
    volumesFormat: "V {{.Name}}",
    statsFormat: "S {{.Name}}",
    pluginsFormat: "table {{.Name}}",
  };
  writeFileSync(join(config, "config.json"), JSON.stringify(formats));
  const env = { DOCKER_CONFIG: config };
  for (const line of [
    "ps -a",
    "images",
    "network ls",
    "volume ls",
    "stats --no-stream made",
  ].concat(["plugin ls", "ps -aq", "images -q", "ps -a --format json"])) {
    const [docker, berth] = await bothRead(daemon, line, { env });
    expect({ line, ...berth }).toEqual({ line, ...docker });
  }
});

test(
  "command lines that change nothing",
  async () => {
    expect(await surprises(readingLines, (line) => bothRead(daemon, line))).toEqual([]);
  },
  LONG,
);

test(
  "command lines that change something, each with objects of its own",
  async () => {
    expect(await surprises(changingLines, (line) => bothChange(daemon, line))).toEqual([]);
  },
  LONG,
);

test("every listed difference is that of a line", () => {
  const lines = new Set([...readingLines, ...changingLines]);
  expect(Object.keys(differing).filter((line) => !lines.has(line))).toEqual([]);
});
