/**
 * `berth context`: named daemons.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import type { Command, Context } from "../command.ts";
import { ExitError, forEachName } from "../command.ts";
import { currentContext } from "../config-file.ts";
import {
  type ContextMeta,
  checkContextName,
  DEFAULT_CONTEXT,
  findContext,
  getContext,
  listContexts,
  noSuchContext,
  placesOf,
  putContext,
  removeContext,
  type TlsFiles,
  tlsOf,
} from "../contexts.ts";
import { useContext } from "../docker-config.ts";
import { flag, type Parsed } from "../flags.ts";
import { err, out } from "../output.ts";
import { contextName, defaultAddress, overridingVariable } from "../target.ts";

const DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration";
const MEMORY = "<IN MEMORY>";
/** Longer errors are cut in the table. */
const ERROR_MAX = 45;

/** The default context as if it had a file. */
function defaultMeta({ target }: Context): ContextMeta {
  const Host = target.host || defaultAddress(process.env);
  return { Name: "default", Metadata: {}, Endpoints: { docker: { Host, SkipTLSVerify: false } } };
}

function metaOf(context: Context, name: string): ContextMeta {
  return name === DEFAULT_CONTEXT ? defaultMeta(context) : getContext(name);
}

interface Wish {
  readonly endpoint: Readonly<Record<string, unknown>> | undefined;
  readonly tls: TlsFiles | undefined;
}

/** The endpoint that the flags ask for; undefined when they say nothing of it. */
async function wishOf(context: Context, parsed: Parsed): Promise<Wish> {
  if (!parsed.has("docker")) return { endpoint: undefined, tls: undefined };
  const { endpointOf, endpointPairs } = await import("../context-endpoint.ts");
  const pairs = endpointPairs(parsed.all("docker"));
  const from = pairs.get("from");
  if (from !== undefined && findContext(from) === undefined && from !== "default")
    throw new Error(`unable to create docker endpoint config: ${noSuchContext(from).message}`);
  if (from !== undefined)
    return { endpoint: metaOf(context, from).Endpoints.docker ?? {}, tls: tlsOf(from) };
  const { settings, tls } = endpointOf(pairs);
  return { endpoint: { ...settings }, tls };
}

const endpointKeys = `Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation
`;
const editFlags = [
  flag("description", "", "string", "Description of the context"),
  flag("docker", "", "stringToString", "set the docker endpoint", "[]"),
];

const create: Command = {
  usage: "[OPTIONS] CONTEXT",
  short: "Create a context",
  more: endpointKeys,
  args: [1, 1],
  local: true,
  flags: [...editFlags, flag("from", "", "string", "create context from a named context")],
  async run(context, parsed) {
    const [name = ""] = parsed.args;
    checkContextName(name);
    if (findContext(name) !== undefined)
      throw new Error(`context ${JSON.stringify(name)} already exists`);
    if (parsed.has("from") && parsed.has("docker"))
      throw new Error("cannot use --docker flag when --from is set");
    const wish = await wishOf(context, parsed);
    // Without an endpoint it is a copy: of the one that is named, or of the one in use.
    const source = parsed.text("from") || contextName(context.target, process.env);
    const copied = wish.endpoint === undefined ? metaOf(context, source) : undefined;
    const described =
      source === DEFAULT_CONTEXT && copied ? { Description: DEFAULT_DESCRIPTION } : {};
    const said = parsed.text("description");
    putContext(
      {
        Name: name,
        Metadata: {
          ...described,
          ...copied?.Metadata,
          ...(said === "" ? {} : { Description: said }),
        },
        Endpoints: copied?.Endpoints ?? { docker: wish.endpoint ?? {} },
      },
      copied === undefined ? wish.tls : tlsOf(source),
    );
    out(`${name}\n`);
    err(`Successfully created context ${JSON.stringify(name)}\n`);
    return 0;
  },
};

const update: Command = {
  usage: "[OPTIONS] CONTEXT",
  short: "Update a context",
  more: endpointKeys,
  args: [1, 1],
  local: true,
  flags: editFlags,
  async run(context, parsed) {
    const [name = ""] = parsed.args;
    checkContextName(name);
    const found = getContext(name);
    const { endpoint, tls } = await wishOf(context, parsed);
    const said = parsed.text("description");
    putContext(
      {
        ...found,
        Metadata: { ...found.Metadata, ...(said === "" ? {} : { Description: said }) },
        Endpoints: { ...found.Endpoints, ...(endpoint === undefined ? {} : { docker: endpoint }) },
      },
      tls,
    );
    out(`${name}\n`);
    err(`Successfully updated context ${JSON.stringify(name)}\n`);
    return 0;
  },
};

/** Tells that a variable says which daemon, whatever context is in use. `wanted`: what could be used instead. */
function warnOfVariable(wanted: string): void {
  const variable = overridingVariable(process.env);
  if (variable !== undefined)
    err(
      `Warning: ${variable} environment variable overrides the active context. To use ${wanted}, either set the global --context flag, or unset ${variable} environment variable.\n`,
    );
}

const list: Command = {
  usage: "[OPTIONS]",
  short: "List contexts",
  args: [0, 0],
  local: true,
  flags: [
    flag("format", "", "string", "Format output using a custom template"),
    flag("quiet", "q", "bool", "Only show context names"),
  ],
  async run(context, parsed) {
    const current = contextName(context.target, process.env);
    const described = { ...defaultMeta(context), Metadata: { Description: DEFAULT_DESCRIPTION } };
    const rows = [described, ...listContexts()].map(({ Name, Metadata, Endpoints }) => ({
      Name,
      Current: Name === current,
      Description: String(Metadata.Description ?? ""),
      DockerEndpoint: String(Endpoints.docker?.Host ?? ""),
      Error: "",
    }));
    if (!rows.some(({ Current }) => Current))
      rows.push({
        ...{ Name: current, Current: true, Description: "", DockerEndpoint: "" },
        Error: noSuchContext(current).message,
      });
    rows.sort((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
    if (parsed.on("quiet")) for (const { Name } of rows) out(`${Name}\n`);
    else {
      const { writeList } = await import("../table.ts");
      const table =
        "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
      const short = (text: string) =>
        text.length > ERROR_MAX ? `${text.slice(0, ERROR_MAX - 1)}…` : text;
      const format = parsed.text("format");
      const isTable = format === "" || format.startsWith("table");
      await writeList(isTable ? rows.map((row) => ({ ...row, Error: short(row.Error) })) : rows, {
        format,
        table,
        type: "formatter.clientContextContext",
        headings: {
          ...{ Name: "NAME", Description: "DESCRIPTION" },
          ...{ DockerEndpoint: "DOCKER ENDPOINT", Error: "ERROR" },
        },
      });
    }
    if (context.target.context === "") warnOfVariable("a context");
    return 0;
  },
};

function inspected(context: Context, name: string): object {
  const { Name, Metadata, Endpoints } = metaOf(context, name);
  const inMemory = name === DEFAULT_CONTEXT;
  const { meta, tls } = placesOf(name);
  const files = inMemory ? [] : [...tlsOf(name).keys()];
  return {
    ...{ Name, Metadata, Endpoints },
    TLSMaterial: files.length === 0 ? {} : { docker: files },
    Storage: { MetadataPath: inMemory ? MEMORY : meta, TLSPath: inMemory ? MEMORY : tls },
  };
}

const inspect: Command = {
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  short: "Display detailed information on one or more contexts",
  args: [0, Number.POSITIVE_INFINITY],
  local: true,
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run(context, parsed) {
    const names = parsed.args.length > 0 ? parsed.args : [contextName(context.target, process.env)];
    const format = parsed.text("format");
    const isJson = format === "" || format === "json";
    const show = isJson ? undefined : (await import("../answers.ts")).inspector(format);
    const found: object[] = [];
    let text = "";
    // What is there is shown first; then what is not is told of.
    const failures: string[] = [];
    for (const name of names) {
      try {
        const one = inspected(context, name);
        if (show === undefined) found.push(one);
        else text += show("context", one);
      } catch (error) {
        failures.push(messageOf(error));
      }
    }
    if (show === undefined) {
      // As Go writes JSON.
      const json = JSON.stringify(found, null, format === "" ? 4 : undefined);
      text = json.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
    }
    out(show === undefined || text === "" ? `${text}\n` : text);
    if (failures.length > 0) throw new Error(failures.join("\n"));
    return 0;
  },
};

const show: Command = {
  usage: "",
  short: "Print the name of the current context",
  args: [0, 0],
  local: true,
  flags: [],
  async run({ target }) {
    out(`${contextName(target, process.env)}\n`);
    return 0;
  },
};

const use: Command = {
  usage: "CONTEXT",
  short: "Set the current docker context",
  args: [0, Number.POSITIVE_INFINITY],
  local: true,
  flags: [],
  async run(_context, parsed) {
    const [name = ""] = parsed.args;
    const count = parsed.args.length;
    // Here docker counts in other words than everywhere else.
    if (count !== 1) throw new Error(`accepts 1 arg(s), received ${count}`);
    if (name !== DEFAULT_CONTEXT) {
      checkContextName(name);
      getContext(name);
    }
    useContext(name === DEFAULT_CONTEXT ? "" : name);
    out(`${name}\n`);
    err(`Current context is now ${JSON.stringify(name)}\n`);
    if (name !== DEFAULT_CONTEXT) warnOfVariable(JSON.stringify(name));
    return 0;
  },
};

const remove: Command = {
  usage: "CONTEXT [CONTEXT...]",
  short: "Remove one or more contexts",
  args: [1, Number.POSITIVE_INFINITY],
  local: true,
  flags: [flag("force", "f", "bool", "Force the removal of a context in use")],
  async run(_context, parsed) {
    const force = parsed.on("force");
    return forEachName(parsed.args, async (name) => {
      if (name === DEFAULT_CONTEXT) throw new Error('context "default" cannot be removed');
      if (!force && findContext(name) === undefined)
        throw new Error(`context ${JSON.stringify(name)} does not exist`);
      if (currentContext() === name) {
        if (!force)
          throw new Error(`context ${JSON.stringify(name)} is in use, set -f flag to force remove`);
        useContext("");
      }
      removeContext(name);
      out(`${name}\n`);
    });
  },
};

const exportTo: Command = {
  usage: "[OPTIONS] CONTEXT [FILE|-]",
  short: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
  args: [1, 2],
  local: true,
  flags: [],
  async run(context, parsed) {
    const [name = "", file = `${name}.dockercontext`] = parsed.args;
    const { contextArchive } = await import("../context-archive.ts");
    const isDefault = name === DEFAULT_CONTEXT;
    const archive = contextArchive(metaOf(context, name), isDefault ? new Map() : tlsOf(name));
    if (file === "-") {
      if (process.stdout.isTTY)
        throw new Error("cowardly refusing to export to a terminal, specify a file path");
      out(archive);
      return 0;
    }
    if (existsSync(file)) throw new Error(`open ${file}: file exists`);
    writeFileSync(file, archive, { mode: 0o600, flag: "wx" });
    err(`Written file ${JSON.stringify(file)}\n`);
    return 0;
  },
};

const importFrom: Command = {
  usage: "CONTEXT FILE|-",
  short: "Import a context from a tar or zip file",
  args: [2, 2],
  local: true,
  flags: [],
  async run(_context, parsed) {
    const [name = "", file = ""] = parsed.args;
    checkContextName(name);
    if (findContext(name) !== undefined)
      throw new Error(`context ${JSON.stringify(name)} already exists`);
    const { readContextArchive } = await import("../context-archive.ts");
    if (file !== "-" && !existsSync(file))
      throw new ExitError(1, `open ${file}: no such file or directory`);
    const bytes = file === "-" ? await Bun.stdin.bytes() : readFileSync(file);
    const { meta, tls } = await readContextArchive(bytes);
    putContext({ ...meta, Name: name }, tls);
    out(`${name}\n`);
    err(`Successfully imported context ${JSON.stringify(name)}\n`);
    return 0;
  },
};

/** The commands, by what they do. */
export const commands = {
  ...{ create, update, list, inspect, show, use, remove },
  export: exportTo,
  import: importFrom,
} as const;
