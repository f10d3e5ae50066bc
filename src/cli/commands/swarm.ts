/**
 * `berth swarm`, `node`, `service`, `stack`, `secret` and `config`: an engine of one host is in no swarm, and its
 * daemon says so. What is wrong with a command line is said before, as docker says it.
 */
import { type Command, type Context, ExitError, forEachName } from "../command.ts";
import { describeError } from "../failure.ts";
import type { FlagType } from "../flag-values.ts";
import { type Flag, flag, type Parsed } from "../flags.ts";
import { out } from "../output.ts";
import { swarmWords } from "./swarm-words.ts";

function flagsOf(words: string): Flag[] {
  return words
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, name = "", short = "", type = "bool"] = /^([\w-]+)(?:,(\w))?(?::(\w+))?$/.exec(
        word,
      ) as RegExpExecArray;
      return flag(name, short, type as FlagType, "Of swarms, which berth has not");
    });
}

/** How many arguments a usage line asks for. */
function countOf(usage: string): Command["args"] {
  const words = usage.split(" ").filter((word) => word !== "" && word !== "[OPTIONS]");
  const least = words.filter((word) => !word.startsWith("[")).length;
  return [least, usage.includes("...") ? Number.POSITIVE_INFINITY : words.length];
}

function checkWords(path: string, parsed: Parsed): void {
  const [first = ""] = parsed.args;
  const availability = parsed.text("availability", "active");
  if (/^swarm (?:init|join)$/.test(path) && !/^(?:active|pause|drain)$/i.test(availability))
    throw new ExitError(
      1,
      `invalid availability ${JSON.stringify(availability)}, only active, pause and drain are supported`,
    );
  if (path === "swarm join-token" && !/^(?:worker|manager)$/.test(first))
    throw new ExitError(1, `unknown role ${first}`);
  if (path === "swarm unlock") throw new ExitError(1, "Error: This node is not part of a swarm");
  const files = parsed.all("compose-file");
  if (/^stack (?:config|deploy)$/.test(path) && files.length === 0)
    throw new ExitError(1, "Specify a Compose file (with --compose-file)");
}

/** What the daemon says when it is asked for what the command is about: always a refusal. */
async function ask({ client }: Context, path: string): Promise<void> {
  const [noun = "", verb = ""] = path.split(" ");
  if (noun === "swarm" && /^(?:init|join|leave)$/.test(verb))
    await client.json("POST", `/swarm/${verb}`, { body: {} });
  await client.json("GET", { swarm: "/swarm", stack: "/services" }[noun] ?? `/${noun}s`);
  throw new ExitError(1, `berth ${path}: swarms are not supported`);
}

/** One command, by its noun and verb. */
export function commandOf(path: string): Command {
  const [usage = "", flags = ""] = swarmWords[path] ?? [];
  const [noun, verb] = path.split(" ");
  return {
    usage,
    short: "Swarms are not supported: this engine is for one host",
    args: countOf(usage),
    flags: flagsOf(flags),
    interspersed: path !== "service create",
    async run(context, parsed) {
      checkWords(path, parsed);
      const isInspect = verb === "inspect" && !parsed.on("pretty");
      if (isInspect) out(parsed.has("format") ? "\n" : "[]\n");
      if (verb === "inspect" || (verb === "rm" && noun !== "stack"))
        return forEachName(parsed.args, () => ask(context, path));
      if (verb === "scale")
        return forEachName(parsed.args, (arg) =>
          ask(context, path).catch((error) => {
            throw new Error(`${arg.replace(/=.*/s, "")}: ${describeError(error)}`);
          }),
        );
      try {
        await ask(context, path);
      } catch (error) {
        if (verb !== "unlock-key" || parsed.on("rotate")) throw error;
        throw new Error(`could not fetch unlock key: ${describeError(error)}`);
      }
      return 1;
    },
  };
}
