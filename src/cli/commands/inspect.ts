/**
 * `berth inspect`, of one kind of object or of the first kind that has the name.
 */
import { type ApiClient, ApiError } from "../../client/index.ts";
import type { SecurityReport } from "../../spec/extensions.ts";
import { inspector } from "../answers.ts";
import type { Command } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { objectFormatter } from "../objects.ts";
import { err, out } from "../output.ts";
import { platformJson } from "../platform.ts";
import { imagePath } from "../reference.ts";
import { securityText } from "../security-text.ts";

const kinds = ["container", "image", "network", "volume"] as const;
/** What can be named by a type only: what a swarm has, of which the daemon says that there is none, and plugins. */
const allKinds = [
  ...["config", "container", "image", "network", "node", "plugin", "secret", "service"],
  ...["task", "volume"],
] as const;
type Kind = (typeof allKinds)[number];

function pathOf(kind: Kind, name: string): string {
  if (kind === "container") return `/containers/${encodeURIComponent(name)}/json`;
  if (kind === "image") return `/images/${imagePath(name)}/json`;
  if (kind === "plugin") return `/plugins/${encodeURIComponent(name)}/json`;
  return `/${kind}s/${encodeURIComponent(name)}`;
}

/** What is asked for beyond the names. */
interface Asked {
  readonly kinds: readonly Kind[];
  readonly size?: boolean;
  /** As JSON. */
  readonly platform?: string | undefined;
  /** A template sees docker's types alone, whatever else the daemon has said. */
  readonly onlyTyped?: boolean;
}

/** Whether the name may be that of another kind of object: there is none of this kind, or it can be none. */
function isElsewhere(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    (error.status === 404 || error.message.includes("invalid reference format"))
  );
}

async function find(
  client: ApiClient,
  { kinds: wanted, size, platform }: Asked,
  name: string,
): Promise<[kind: Kind, object: unknown]> {
  const [only, ...more] = wanted;
  if (name === "" && more.length > 0)
    throw new Error("invalid container name or ID: value is empty");
  if (name === "")
    throw new Error(`Error: No such ${more.length === 0 ? only : "object"}: ${name}`);
  for (const kind of wanted) {
    try {
      const query = { size: (kind === "container" && size) || undefined, platform };
      const object = await client.json<unknown>("GET", pathOf(kind, name), { query });
      return [kind, object];
    } catch (error) {
      if (wanted.length === 1 || !isElsewhere(error)) throw error;
    }
  }
  throw new Error(`Error: No such object: ${name}`);
}

/** Prints what is found, then what is not, and what could not be formatted. Gives the exit status. */
async function inspectAll(
  client: ApiClient,
  asked: Asked,
  names: readonly string[],
  format: string,
): Promise<number> {
  const show =
    format === "" || format === "json" ? undefined : inspector(format, asked.onlyTyped === true);
  const found: unknown[] = [];
  const failures: unknown[] = [];
  let text = "";
  for (const name of names) {
    try {
      const [kind, object] = await find(client, asked, name);
      if (show === undefined) found.push(object);
      else text += show(kind, object);
    } catch (error) {
      failures.push(error);
    }
  }
  if (show) out(text || "\n");
  else if (format === "json") out(`${JSON.stringify(found)}\n`);
  else out(`${found.length === 0 ? "[]" : JSON.stringify(found, undefined, 4)}\n`);
  for (const failure of failures) {
    err(`${describeError(failure)}\n`);
    err(await (await import("../suggest.ts")).whatHelps(client, failure));
  }
  return failures.length > 0 ? 1 : 0;
}

/** Prints what containers really have. Gives the exit status. */
async function inspectSecurity(
  client: ApiClient,
  names: readonly string[],
  format: string,
): Promise<number> {
  const show =
    format === "" || format === "json"
      ? (report: SecurityReport) =>
          format === "" ? securityText(report) : `${JSON.stringify(report)}\n`
      : objectFormatter(format);
  let status = 0;
  for (const name of names) {
    try {
      const path = `/berth/containers/${encodeURIComponent(name)}/security`;
      out(show(await client.json<SecurityReport>("GET", path)));
    } catch (error) {
      err(`${describeError(error)}\n`);
      status = 1;
    }
  }
  return status;
}

/** The kinds that a type names; undefined: every kind. Throws in Docker's words for another. */
function kindsOf(type: string | undefined): readonly Kind[] {
  if (type === undefined) return kinds;
  const wanted = allKinds.filter((kind) => kind === type);
  if (wanted.length > 0) return wanted;
  const known = allKinds.map((kind) => JSON.stringify(kind)).join(", ");
  const what = type === "" ? "type is empty" : `unknown type: ${JSON.stringify(type)}`;
  throw new Error(`${what}: must be one of ${known}`);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  short: "Return low-level information on objects",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("format", "f", "string", "Format output using a custom template"),
    flag("size", "s", "bool", "Display total file sizes if the type is container"),
    flag("type", "", "string", "Only inspect objects of the given type"),
    flag("security", "", "bool", "Show what running containers really have, from /proc"),
  ],
  async run({ client, name: called }, parsed) {
    if (parsed.on("security")) return inspectSecurity(client, parsed.args, parsed.text("format"));
    const type = parsed.has("type")
      ? parsed.text("type")
      : kinds.find((kind) => called === `berth ${kind} inspect`);
    const asked = { kinds: kindsOf(type), size: parsed.on("size") };
    return inspectAll(client, asked, parsed.args, parsed.text("format"));
  },
};

/** `berth network inspect` and its like: without what only containers have. */
function inspectOf(kind: "network" | "plugin" | "volume", more: Command["flags"]): Command {
  const name = kind.toUpperCase();
  return {
    usage: `[OPTIONS] ${name} [${name}...]`,
    short: `Display detailed information on one or more ${kind}s`,
    args: [1, Number.POSITIVE_INFINITY],
    flags: [flag("format", "f", "string", "Format output using a custom template"), ...more],
    run({ client }, parsed) {
      const asked = { kinds: [kind], onlyTyped: kind === "volume" };
      return inspectAll(client, asked, parsed.args, parsed.text("format"));
    },
  };
}

/** `berth network inspect`; what only swarms have to tell is accepted. */
export const networkCommand = inspectOf("network", [
  flag("verbose", "v", "bool", "Verbose output for diagnostics"),
]);

/** `berth plugin inspect`. */
export const pluginCommand = inspectOf("plugin", []);

/** `berth volume inspect`. */
export const volumeCommand = inspectOf("volume", []);

/** `berth image inspect`. */
export const imageCommand: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Display detailed information on one or more images",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("format", "f", "string", "Format output using a custom template"),
    flag("platform", "", "string", "Inspect a specific platform of the multi-platform image"),
  ],
  run({ client }, parsed) {
    const platform = platformJson(parsed.text("platform"));
    return inspectAll(client, { kinds: ["image"], platform }, parsed.args, parsed.text("format"));
  },
};
