/** Every command of docker's, from its own help: berth's has the same flags, short forms, types and defaults, and maybe more. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
/** What berth has not, and says so: swarms, plugins, content trust, checkpoints. */
const absent =
  /^(?:config|node|secret|service|stack|swarm|trust|checkpoint|plugin (?:create|install|push|set|upgrade))\b/;

/** Flags that differ, by the reason. */
const differing: Readonly<Record<string, readonly string[]>> = {
  "an older builder's, which change nothing here or are refused": [
    ...["build --compress", "build --disable-content-trust", "build --isolation"],
    "build --security-opt",
  ],
  "as docker's buildx has it": ["build --cache-from", "build --platform", "build --network"],
  "refused, since it gives away the host": ["run --use-api-socket", "create --use-api-socket"],
};
const explained = new Set(Object.values(differing).flat());

/** Flags by name: short form, type and default. A long line goes on in the next, indented. */
function flagsOf(help: string): Map<string, string> {
  const flags = new Map<string, string>();
  for (const line of help.replaceAll(/\n {12,}(?=\S)/g, " ").split("\n")) {
    const found = /^ {2}(?:(-\w), | {4})--([\w-]+)(?: (\S+))?(?: {2,}(.*))?$/.exec(line);
    if (found === null) continue;
    const [, short = "", name = "", type = "bool", words = ""] = found;
    const initial = /\(default (.*)\)$/.exec(words)?.[1] ?? "";
    flags.set(name, [short, type, initial].filter(Boolean).join(" "));
  }
  return flags;
}

function commandsOf(help: string): string[] {
  const found = [...help.matchAll(/^(?:[A-Z]\w+ )*Commands:\n((?: {2}.*\n)+)/gm)];
  return found.flatMap(([, list = ""]) =>
    [...list.matchAll(/^ {2}([\w-]+)\*? /gm)].map(([, name = ""]) => name),
  );
}

let compared = 0;

async function differences(path: readonly string[]): Promise<string[]> {
  const name = path.join(" ");
  if (absent.test(name)) return [];
  const [docker, berth] = await Promise.all([
    daemon.docker(...path, "--help"),
    daemon.berth(...path, "--help"),
  ]);
  compared++;
  const [theirs, ours] = [flagsOf(docker.out), flagsOf(berth.out)];
  const last = path.at(-1) ?? "";
  const own =
    name === "" || berth.status !== docker.status
      ? berth.status === docker.status
        ? []
        : [`${name}: status ${berth.status}`]
      : Array.from(theirs).flatMap(([flag, kind]) => {
          const same = ours.get(flag) === kind || explained.has(`${last} --${flag}`);
          return same ? [] : [`${name} --${flag}: ${kind}, not ${ours.get(flag)}`];
        });
  const below = commandsOf(docker.out).map((word) => differences([...path, word]));
  return [...own, ...(await Promise.all(below)).flat()];
}

test("every command has docker's flags", async () => {
  expect(await differences([])).toEqual([]);
  expect(compared).toBeGreaterThan(100);
}, 300_000);
