/**
 * `berth plugin create`, `install`, `push`, `set` and `upgrade`: what is wrong with the command line is said as docker says
 * it, and then the daemon says that it runs no plugins.
 */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { familiarReference, parseReference } from "../../spec/reference.ts";
import { type Command, ExitError } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";

const short = "Plugins are not supported: berth runs none";
const untrusted = flag("disable-content-trust", "", "bool", "Skip image verification", "true");
const permissions = flag(
  "grant-all-permissions",
  "",
  "bool",
  "Grant all permissions necessary to run the plugin",
);

/** Reads a plugin's name; throws in docker's words for one that can be none. */
const named = (text: string) => familiarReference(parseReference(text));

function checkDirectory(given: string): void {
  const path = resolve(given);
  if (!existsSync(path)) throw new ExitError(1, `lstat ${path}: no such file or directory`);
  if (!statSync(path).isDirectory()) throw new ExitError(1, "context must be a directory");
  const config = `${path}/config.json`;
  if (!existsSync(config)) throw new ExitError(1, `open ${config}: no such file or directory`);
}

/** The commands, by what follows `plugin`. */
export const commands = {
  create: {
    usage: "[OPTIONS] PLUGIN PLUGIN-DATA-DIR",
    short,
    args: [2, Number.POSITIVE_INFINITY],
    flags: [flag("compress", "", "bool", "Compress the context using gzip")],
    async run({ client }, { args: [name = "", directory = ""] }) {
      named(name);
      checkDirectory(directory);
      await client.json("POST", "/plugins/create", { query: { name } });
      return 0;
    },
  },
  install: {
    usage: "[OPTIONS] PLUGIN [KEY=VALUE...]",
    short,
    args: [1, Number.POSITIVE_INFINITY],
    flags: [
      flag("alias", "", "string", "Local name for plugin"),
      flag("disable", "", "bool", "Do not enable the plugin on install"),
      ...[untrusted, permissions],
    ],
    async run({ client }, { args: [name = ""] }) {
      await client.json("GET", "/plugins/privileges", { query: { remote: named(name) } });
      return 0;
    },
  },
  push: {
    usage: "[OPTIONS] PLUGIN[:TAG]",
    short,
    args: [1, 1],
    flags: [untrusted],
    async run({ client }, { args: [name = ""] }) {
      await client.json("POST", `/plugins/${named(name)}/push`);
      return 0;
    },
  },
  set: {
    usage: "PLUGIN KEY=VALUE [KEY=VALUE...]",
    short,
    args: [2, Number.POSITIVE_INFINITY],
    flags: [],
    async run({ client }, { args: [name = "", ...body] }) {
      await client.json("POST", `/plugins/${encodeURIComponent(name)}/set`, { body });
      return 0;
    },
  },
  upgrade: {
    usage: "[OPTIONS] PLUGIN [REMOTE]",
    short,
    args: [1, 2],
    flags: [
      ...[untrusted, permissions],
      flag("skip-remote-check", "", "bool", "Do not check if specified remote plugin matches"),
    ],
    async run({ client }, { args: [name = ""] }) {
      try {
        await client.json("GET", `/plugins/${encodeURIComponent(name)}/json`);
      } catch (error) {
        throw new Error(`error reading plugin data: ${describeError(error)}`);
      }
      return 0;
    },
  },
} satisfies Record<string, Command>;
