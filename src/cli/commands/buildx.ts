/**
 * `berth buildx`: docker's plugin for builds has several builders; berth has the one of its daemon, which is called default.
 */

import { messageOf } from "../../base/errors.ts";
import type { ApiClient } from "../../client/index.ts";
import { type Command, ExitError } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { writeList } from "../table.ts";
import { contextName } from "../target.ts";

const BUILDER = "default";

interface Builder {
  readonly status: string;
  readonly version: string;
  readonly platforms: string;
  readonly error: string;
}

/** Asks the daemon for its builder. */
async function builderOf(client: ApiClient): Promise<Builder> {
  try {
    const { Version, Os, Arch } = await client.json<Record<"Version" | "Os" | "Arch", string>>(
      "GET",
      "/version",
    );
    return { status: "running", version: `v${Version}`, platforms: `${Os}/${Arch}`, error: "" };
  } catch (error) {
    return { status: "error", version: "", platforms: "", error: messageOf(error) };
  }
}

function checkName(name: string): void {
  if (name !== BUILDER) throw new ExitError(1, `ERROR: no builder ${JSON.stringify(name)} found`);
}

const list: Command = {
  usage: "[OPTIONS]",
  short: "List builder instances",
  args: [0, 0],
  flags: [
    flag("format", "", "string", "Format the output", '"table"'),
    flag("no-trunc", "", "bool", "Don't truncate output"),
  ],
  async run({ client, target }, parsed) {
    const { status, version, platforms, error } = await builderOf(client);
    const empty = { LastActivity: "", Status: "", Buildkit: "", Platforms: "", Error: "" };
    const node = { Status: status, Buildkit: version, Platforms: platforms, Error: error };
    const rows = [
      { ...empty, Name: `${BUILDER}*`, DriverEndpoint: "berth" },
      {
        ...{ ...empty, ...node },
        Name: String.raw` \_ ${BUILDER}`,
        DriverEndpoint: String.raw` \_ ${contextName(target, process.env)}`,
      },
    ];
    writeList(rows, {
      format: parsed.text("format"),
      table: "{{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}",
      headings: {
        ...{ Name: "NAME/NODE", DriverEndpoint: "DRIVER/ENDPOINT", LastActivity: "LAST ACTIVITY" },
        ...{ Status: "STATUS", Buildkit: "BUILDKIT", Platforms: "PLATFORMS", Error: "ERROR" },
      },
    });
    if (error !== "") throw new Error(error);
    return 0;
  },
};

const inspect: Command = {
  usage: "[OPTIONS] [NAME]",
  short: "Inspect current builder instance",
  args: [0, 1],
  flags: [flag("bootstrap", "", "bool", "Ensure builder has booted before inspecting")],
  async run({ client, target }, parsed) {
    checkName(parsed.args[0] ?? BUILDER);
    const { version, platforms, status, error } = await builderOf(client);
    if (error !== "") throw new Error(error);
    const endpoint = contextName(target, process.env);
    out(`Name:   ${BUILDER}
Driver: berth

Nodes:
Name:             ${BUILDER}
Endpoint:         ${endpoint}
Status:           ${status}
BuildKit version: ${version} (berth's own builder)
Platforms:        ${platforms}
`);
    return 0;
  },
};

const version: Command = {
  usage: "",
  short: "Show buildx version information",
  args: [0, 0],
  flags: [],
  local: true,
  async run(context) {
    out(`berth/buildx v${context.version}\n`);
    return 0;
  },
};

const use: Command = {
  usage: "[OPTIONS] NAME",
  short: "Set the current builder instance",
  args: [1, 1],
  flags: [
    flag("default", "", "bool", "Set builder as default for current context"),
    flag("global", "", "bool", "Builder persists context changes"),
  ],
  local: true,
  async run(_context, parsed) {
    checkName(parsed.args[0] ?? "");
    return 0;
  },
};

/** What berth's builder has not, and what serves instead. */
const INSTEAD = {
  bake: "call 'berth build' for each target, or docker's own buildx with a builder of its own",
  create: "the daemon has one builder, and needs no other: leave this out",
  rm: "the daemon's builder cannot be removed; 'berth builder prune' empties its cache",
  stop: "the builder is part of the daemon; there is nothing to stop",
  imagetools:
    "'berth manifest inspect' shows what a registry has, 'berth manifest create' and 'push' make a list of images",
  history: "the daemon keeps no records of builds; 'berth build --progress plain' shows one",
  debug:
    "'berth build --progress plain' shows each step; 'RUN' of a shell command shows what is there",
} as const;

/** The names of what is refused. */
export type Refused = keyof typeof INSTEAD;

/** A command that says why there is none such, whatever follows it. */
export function refused(verb: Refused): Command {
  return {
    usage: "[OPTIONS]",
    short: "Refused: berth has one builder, that of its daemon",
    args: [0, Number.POSITIVE_INFINITY],
    flags: [],
    local: true,
    verbatim: true,
    async run({ name }) {
      throw new ExitError(1, `ERROR: ${name} is not supported: ${INSTEAD[verb]}`);
    },
  };
}

/** The commands, by what follows `buildx`, without build, du and prune, which are those of `builder`. */
export const commands = { list, inspect, version, use } as const;
