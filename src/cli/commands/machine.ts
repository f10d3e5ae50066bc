/**
 * `berth machine`: hosts that ssh reaches, with berth put onto them; docker-machine's words for it.
 */
import { messageOf } from "../../base/errors.ts";
import type { SshTarget } from "../../client/index.ts";
import { type Command, ExitError, forEachName } from "../command.ts";
import { currentContext } from "../config-file.ts";
import { removeContext } from "../contexts.ts";
import { useContext } from "../docker-config.ts";
import { flag, type Parsed, UsageError } from "../flags.ts";
import {
  getMachine,
  listMachines,
  type Machine,
  targetOfMachine,
  urlOf,
} from "../machine/record.ts";
import { out } from "../output.ts";
import { contextName } from "../target.ts";

const tell = (line: string) => out(`${line}\n`);

const create: Command = {
  usage: "[OPTIONS] NAME",
  short: "Put berth onto a host that ssh reaches, and make a context of it",
  args: [1, 1],
  local: true,
  flags: [
    flag("driver", "d", "string", "How hosts are made", '"generic"'),
    flag("generic-ip-address", "", "string", "Address of the host"),
    flag("generic-ssh-user", "", "string", "User to log in as", '"root"'),
    flag("generic-ssh-port", "", "int", "Port of its sshd", "22"),
    flag("generic-ssh-key", "", "string", "File of the private key, if ssh does not know it"),
  ],
  async run(_context, parsed) {
    const [name = ""] = parsed.args;
    const { createMachine, wishedMachine } = await import("../machine/create.ts");
    const wished = wishedMachine(name, parsed);
    await createMachine(wished, tell);
    tell(
      `Use it with: berth --context ${name} ps; or in this shell: eval $(berth machine env ${name})`,
    );
    const { SSHKeyPath } = wished.Driver;
    if (SSHKeyPath !== "")
      tell(`For docker's own client, give the key to the agent of ssh: ssh-add ${SSHKeyPath}`);
    return 0;
  },
};

/** True for the machine that commands of this shell reach. */
function isActive(machine: Machine): boolean {
  const { BERTH_HOST, DOCKER_HOST } = process.env;
  const host = BERTH_HOST || DOCKER_HOST;
  const nothing = { host: "", context: "", tls: false, tlsverify: false };
  if (host) return host === urlOf(machine);
  const files = { tlscacert: "", tlscert: "", tlskey: "" };
  return contextName({ ...nothing, ...files }, process.env) === machine.Name;
}

interface Seen {
  readonly state: "Running" | "Stopped";
  readonly version: string;
  readonly error: string;
}

/** Asks the host. */
async function look(target: SshTarget, patienceMs: number): Promise<Seen> {
  const { runThere } = await import("../machine/remote.ts");
  try {
    const asked = await runThere(target, "berth version --format '{{.Server.Version}}'", {
      patienceMs,
    });
    if (asked.status === 0) return { state: "Running", version: `v${asked.out.trim()}`, error: "" };
    return { state: "Running", version: "Unknown", error: asked.err.trim() };
  } catch (error) {
    const text = messageOf(error);
    const [, said = text] = /stderr=(.*)/.exec(text) ?? [];
    return { state: "Stopped", version: "Unknown", error: said };
  }
}

type Row = Readonly<Record<string, string>>;

async function rowOf(machine: Machine, patienceMs: number): Promise<Row> {
  const { state, version, error } = await look(targetOfMachine(machine), patienceMs);
  return {
    ...{ Name: machine.Name, DriverName: machine.DriverName, State: state },
    ...{ Active: isActive(machine) ? "*" : "-", URL: urlOf(machine) },
    ...{ DockerVersion: version, Error: error.split("\n")[0] ?? "" },
  };
}

/** Tests rows by pairs such as state=Running; those of one key are alternatives. */
function filterOf(pairs: readonly string[]): (row: Row) => boolean {
  const fields: Readonly<Record<string, string>> = {
    name: "Name",
    state: "State",
    driver: "DriverName",
  };
  const wanted = pairs.map((pair) => {
    const [key = "", value] = pair.split(/=(.*)/s);
    const field = fields[key.toLowerCase()];
    if (field === undefined || value === undefined)
      throw new Error(
        `Unsupported filter ${JSON.stringify(pair)}: there are name=, state= and driver=`,
      );
    return { field, value: value.toLowerCase() };
  });
  return (row) =>
    wanted.every(({ field }) =>
      wanted.some((one) => one.field === field && row[field]?.toLowerCase() === one.value),
    );
}

const list: Command = {
  usage: "[OPTIONS]",
  short: "List machines",
  args: [0, 0],
  local: true,
  flags: [
    flag("quiet", "q", "bool", "Only show names"),
    flag("filter", "", "list", "Filter output (name=, state=, driver=)"),
    flag("timeout", "t", "int", "Seconds to wait for a host's answer", "10"),
    flag("format", "f", "string", "Format output using a custom template"),
  ],
  async run(_context, parsed) {
    const fits = filterOf(parsed.all("filter"));
    const machines = listMachines();
    if (parsed.on("quiet") && !parsed.has("filter")) {
      for (const { Name } of machines) tell(Name);
      return 0;
    }
    const patienceMs = parsed.number("timeout", 10) * 1000;
    const rows = await Promise.all(machines.map((machine) => rowOf(machine, patienceMs)));
    const shown = rows.filter(fits);
    if (parsed.on("quiet")) for (const { Name = "" } of shown) tell(Name);
    else (await import("../table.ts")).writeList(shown, tableOf(parsed.text("format")));
    return 0;
  },
};

const tableOf = (format: string) => ({
  format,
  table:
    "{{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t{{.DockerVersion}}\t{{.Error}}",
  headings: {
    ...{ Name: "NAME", Active: "ACTIVE", DriverName: "DRIVER", State: "STATE", URL: "URL" },
    ...{ DockerVersion: "BERTH", Error: "ERRORS" },
  },
});

/** A command that says something of each machine that is named. */
function telling(short: string, say: (machine: Machine) => Promise<string> | string): Command {
  return {
    usage: "MACHINE [MACHINE...]",
    short,
    args: [1, Number.POSITIVE_INFINITY],
    local: true,
    flags: [],
    run: (_context, parsed) =>
      forEachName(parsed.args, async (name) => tell(await say(getMachine(name)))),
  };
}

const active: Command = {
  usage: "",
  short: "Print the machine that commands reach",
  args: [0, 0],
  local: true,
  flags: [],
  async run() {
    const found = listMachines().find(isActive);
    if (found === undefined) throw new Error("No active host found");
    tell(found.Name);
    return 0;
  },
};

const env: Command = {
  usage: "[OPTIONS] [MACHINE]",
  short: "Print what makes a shell's commands reach a machine",
  args: [0, 1],
  local: true,
  flags: [
    flag(
      "shell",
      "",
      "string",
      "Shell to print for: bash, zsh, fish, tcsh, emacs (default: $SHELL)",
    ),
    flag("unset", "u", "bool", "Forget the variables instead"),
  ],
  async run(_context, parsed) {
    const { shellLines } = await import("../machine/shells.ts");
    const shell = parsed.text("shell") || (process.env.SHELL ?? "").replace(/^.*\//, "");
    const [name] = parsed.args;
    const said = ["berth machine env", ...(parsed.has("shell") ? [`--shell ${shell}`] : [])].join(
      " ",
    );
    if (parsed.on("unset")) {
      const none = { DOCKER_HOST: undefined, DOCKER_MACHINE_NAME: undefined };
      out(shellLines(shell, none, `${said} -u`));
      return 0;
    }
    if (name === undefined) throw new UsageError("berth: Expected one machine name as an argument");
    const variables = { DOCKER_HOST: urlOf(getMachine(name)), DOCKER_MACHINE_NAME: name };
    out(shellLines(shell, variables, `${said} ${name}`));
    return 0;
  },
};

const ssh: Command = {
  usage: "MACHINE [COMMAND] [ARG...]",
  short: "Log into a machine, or run a command there",
  args: [1, Number.POSITIVE_INFINITY],
  interspersed: false,
  local: true,
  flags: [],
  async run(_context, { args: [name = "", ...words] }) {
    const { ssh: sshTo } = await import("../machine/remote.ts");
    return sshTo(targetOfMachine(getMachine(name)), words);
  },
};

const inspect: Command = {
  usage: "[OPTIONS] MACHINE",
  short: "Print what is known of a machine",
  args: [1, 1],
  local: true,
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run(_context, parsed) {
    const machine = getMachine(parsed.args[0] ?? "");
    const format = parsed.text("format");
    if (format === "") tell(JSON.stringify(machine, null, 4));
    else out((await import("../objects.ts")).objectFormatter(format)(machine));
    return 0;
  },
};

/** What can only be done by who has made the host. */
function refused(verb: string): Command {
  return {
    usage: "MACHINE [MACHINE...]",
    short: `Refused: the generic driver cannot ${verb} hosts`,
    args: [1, Number.POSITIVE_INFINITY],
    local: true,
    flags: [],
    run: (_context, parsed) =>
      forEachName(parsed.args, async (name) => {
        getMachine(name);
        const instead =
          verb === "start"
            ? "switch it on where it stands"
            : `log into it, and do it there: berth machine ssh ${name}`;
        throw new Error(
          `generic driver does not support ${verb}: the host ${name} is not berth's; ${instead}`,
        );
      }),
  };
}

/** Forgets the context, also as the one in use. */
function forget(name: string): void {
  if (currentContext() === name) useContext("");
  removeContext(name);
}

async function removeMachine(machine: Machine, isForced: boolean): Promise<void> {
  const { removeThere, runningThere, surveyHost } = await import("../machine/provision.ts");
  const { Name, Driver, Installed } = machine;
  const target = targetOfMachine(machine);
  try {
    const host = await surveyHost(target);
    const running = Installed.Berth && !isForced ? await runningThere(target) : 0;
    if (running > 0)
      throw new ExitError(
        1,
        `containers run on ${Name} (${running}): stop them, or use -f to leave them running there without a daemon`,
      );
    await removeThere(target, host, Driver.SSHUser, Installed);
  } catch (error) {
    if (!isForced) throw error;
    tell(`${messageOf(error)}\n${Name} is forgotten all the same.`);
  }
  forget(Name);
  tell(`Successfully removed ${Name}`);
}

async function isMeant(names: readonly string[], parsed: Parsed): Promise<boolean> {
  if (parsed.on("y") || parsed.on("force")) return true;
  const { confirm } = await import("../confirm.ts");
  return confirm(
    `About to remove ${names.join(", ")}\nWARNING: berth is uninstalled there, if 'machine create' has installed it. Its data (/var/lib/berth) stay.`,
  );
}

const remove: Command = {
  usage: "[OPTIONS] MACHINE [MACHINE...]",
  short: "Take berth away from machines, and forget them",
  args: [1, Number.POSITIVE_INFINITY],
  local: true,
  flags: [
    flag(
      "force",
      "f",
      "bool",
      "Forget it even if the host cannot be reached, or has running containers",
    ),
    flag("y", "y", "bool", "Do not ask"),
  ],
  async run(_context, parsed) {
    if (!(await isMeant(parsed.args, parsed))) return 1;
    return forEachName(parsed.args, (name) => removeMachine(getMachine(name), parsed.on("force")));
  },
};

const upgrade: Command = {
  usage: "MACHINE [MACHINE...]",
  short: "Put this executable onto machines; containers go on",
  args: [1, Number.POSITIVE_INFINITY],
  local: true,
  flags: [],
  async run({ version }, parsed) {
    const { checkHost, surveyHost, upgradeThere } = await import("../machine/provision.ts");
    return forEachName(parsed.args, async (name) => {
      const machine = getMachine(name);
      const target = targetOfMachine(machine);
      const host = await surveyHost(target);
      checkHost(host, machine.Driver.SSHUser, process.arch);
      if (!host.isManaged)
        throw new Error(
          `berth on ${name} (${host.berth || "in no PATH"}) was not installed by 'berth system install': upgrade it as it was installed`,
        );
      await upgradeThere(target, host, tell);
      tell(`${name} has berth ${version}`);
    });
  },
};

/** The commands, by what follows `machine`. */
export const commands = {
  ...{ create, list, active, env, ssh, inspect, remove, upgrade },
  ip: telling("Print a machine's address", ({ Driver }) => Driver.IPAddress),
  url: telling("Print the address of a machine's daemon", urlOf),
  status: telling("Print whether a machine can be reached", async (machine) => {
    const patienceMs = 30_000;
    return (await look(targetOfMachine(machine), patienceMs)).state;
  }),
  start: refused("start"),
  stop: refused("stop"),
  restart: refused("restart"),
  kill: refused("kill"),
} as const;
