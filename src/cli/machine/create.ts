/**
 * `berth machine create`: from an address to a host that both command lines can use. What fails midway is taken back.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { ApiClient, parseHost, type SshTarget } from "../../client/index.ts";
import { checkContextName, findContext } from "../contexts.ts";
import { type Parsed, UsageError } from "../flags.ts";
import {
  checkHost,
  installThere,
  removeThere,
  type Surveyed,
  settleThere,
  surveyHost,
} from "./provision.ts";
import { type Installed, type Machine, putMachine, targetOfMachine, urlOf } from "./record.ts";

type Tell = (line: string) => void;

/** The machine that the command line asks for. Throws for what can be no machine. */
export function wishedMachine(name: string, parsed: Parsed): Machine {
  const driver = parsed.text("driver", "generic");
  if (driver !== "generic")
    throw new Error(
      `Driver ${JSON.stringify(driver)} not found: berth makes no hosts, but puts itself onto those that ssh reaches (--driver generic --generic-ip-address ADDRESS)`,
    );
  const IPAddress = parsed.text("generic-ip-address");
  if (IPAddress === "")
    throw new UsageError("berth: generic driver requires the --generic-ip-address option");
  checkContextName(name);
  if (findContext(name) !== undefined)
    throw new Error(`Host already exists: ${JSON.stringify(name)}`);
  const key = parsed.text("generic-ssh-key");
  const SSHKeyPath = key === "" ? "" : resolve(key);
  if (SSHKeyPath !== "" && !existsSync(SSHKeyPath))
    throw new Error(`SSH key does not exist: ${JSON.stringify(key)}`);
  const SSHUser = parsed.text("generic-ssh-user", "root");
  if (!/^[A-Za-z_][\w.-]*$/.test(SSHUser))
    throw new UsageError(`berth: ${JSON.stringify(SSHUser)} is no name of a user`);
  const SSHPort = parsed.number("generic-ssh-port", 22);
  if (SSHPort < 1 || SSHPort > 65535)
    throw new UsageError(`berth: --generic-ssh-port ${SSHPort} is no port`);
  return {
    Name: name,
    DriverName: "generic",
    Driver: { IPAddress, MachineName: name, SSHUser, SSHPort, SSHKeyPath },
    Installed: { Berth: false, DockerLink: false, Member: false },
  };
}

/** Asks the daemon there for its version: the way is open from end to end. */
async function versionThere(url: string, target: SshTarget): Promise<string> {
  const host = { ...parseHost(url, true), target: { ssh: target } };
  const client = new ApiClient(host, async () => false);
  try {
    return (await client.json<{ Version: string }>("GET", "/version")).Version;
  } finally {
    client.close();
  }
}

/** Throws when what was installed is not found by a command over ssh. */
async function checkPath(target: SshTarget): Promise<void> {
  if ((await surveyHost(target)).berth === "")
    throw new Error(
      `/usr/local/bin is not in the PATH of a command over ssh on ${target.host}: set it there (for example SetEnv PATH=… in sshd_config)`,
    );
}

async function provision(
  machine: Machine,
  host: Surveyed,
  note: (installed: Partial<Installed>) => void,
  tell: Tell,
): Promise<void> {
  const target = targetOfMachine(machine);
  if (host.berth === "") {
    note({ Berth: true });
    await installThere(target, host, tell);
    await checkPath(target);
  } else tell(`It is installed there already (${host.berth}), and stays.`);
  await settleThere(target, host, machine.Driver.SSHUser, note);
  tell("Checking connection to the daemon...");
  const version = await versionThere(urlOf(machine), target);
  tell(`berth ${version} is up and running!`);
}

/** Makes the machine. `tell` hears each step. Rejects with nothing left behind, as far as the host can still be reached. */
export async function createMachine(wished: Machine, tell: Tell): Promise<void> {
  const target = targetOfMachine(wished);
  const { SSHUser } = wished.Driver;
  tell("Running pre-create checks...");
  const host = await surveyHost(target);
  checkHost(host, SSHUser, process.arch);
  tell("Creating machine...");
  let installed = wished.Installed;
  const note = (more: Partial<Installed>) => {
    installed = { ...installed, ...more };
  };
  try {
    await provision(wished, host, note, tell);
  } catch (error) {
    tell("Taking back what was done...");
    // Why it could not be done matters more than why it cannot be taken back.
    await removeThere(target, host, SSHUser, installed).catch((why) => tell(messageOf(why)));
    throw error;
  }
  putMachine({ ...wished, Installed: installed });
}
