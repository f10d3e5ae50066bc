/**
 * Machines: hosts that berth was put onto by ssh. Each is a context, kept where docker keeps them, whose metadata have a
 * "Machine" with docker-machine's names of what is known of it; so there is no second list that could differ from the first.
 */
import { bracketed } from "../../base/host-port.ts";
import { parseHost, type SshTarget } from "../../client/index.ts";
import { type ContextMeta, findContext, listContexts, putContext } from "../contexts.ts";

/** What `create` has put there, and `rm` takes away. */
export interface Installed {
  /** The executable and its files. */
  readonly Berth: boolean;
  /** The name `docker` for it, which docker's own client calls. */
  readonly DockerLink: boolean;
  /** The user's membership in the group that owns the socket. */
  readonly Member: boolean;
}

/** One machine. */
export interface Machine {
  readonly Name: string;
  readonly DriverName: "generic";
  readonly Driver: {
    readonly IPAddress: string;
    readonly MachineName: string;
    readonly SSHUser: string;
    readonly SSHPort: number;
    /** The file of the key; "" for those that ssh knows. */
    readonly SSHKeyPath: string;
  };
  readonly Installed: Installed;
}

const SSH_PORT = 22;

/** The address of a machine's daemon. */
export function urlOf({ Driver: { IPAddress, SSHUser, SSHPort } }: Machine): string {
  const host = bracketed(IPAddress);
  return `ssh://${SSHUser}@${host}${SSHPort === SSH_PORT ? "" : `:${SSHPort}`}`;
}

/** How ssh reaches a machine. Throws for an address that is none. */
export function targetOfMachine(machine: Machine): SshTarget {
  const { target, url } = parseHost(urlOf(machine), true);
  if (!("ssh" in target)) throw new Error(`${url} is no address for ssh`);
  return { ...target.ssh, identity: machine.Driver.SSHKeyPath || undefined };
}

function table(value: unknown): Readonly<Record<string, unknown>> {
  const is = typeof value === "object" && value !== null && !Array.isArray(value);
  return is ? (value as Readonly<Record<string, unknown>>) : {};
}

/** The machine that a context is; undefined when it is none. */
function machineOf({ Name, Metadata }: ContextMeta): Machine | undefined {
  const { Driver, Installed } = table(Metadata.Machine);
  const { IPAddress, SSHUser, SSHPort, SSHKeyPath } = table(Driver);
  if (typeof IPAddress !== "string" || typeof SSHUser !== "string") return undefined;
  const { Berth, DockerLink, Member } = table(Installed);
  return {
    Name,
    DriverName: "generic",
    Driver: {
      ...{ IPAddress, MachineName: Name, SSHUser },
      SSHPort: typeof SSHPort === "number" ? SSHPort : SSH_PORT,
      SSHKeyPath: typeof SSHKeyPath === "string" ? SSHKeyPath : "",
    },
    Installed: { Berth: Berth === true, DockerLink: DockerLink === true, Member: Member === true },
  };
}

/** The machine of a name; undefined when there is none. */
export function findMachine(name: string): Machine | undefined {
  const found = findContext(name);
  return found && machineOf(found);
}

/** The machine of a name. Throws when there is none. */
export function getMachine(name: string): Machine {
  const machine = findMachine(name);
  if (machine === undefined)
    throw new Error(
      `Machine ${JSON.stringify(name)} does not exist. Use "berth machine ls" to list machines. Use "berth machine create" to add a new one.`,
    );
  return machine;
}

/** All machines, by their names. */
export function listMachines(): Machine[] {
  return listContexts().flatMap((context) => machineOf(context) ?? []);
}

/** Keeps a machine as a context. */
export function putMachine(machine: Machine): void {
  putContext(
    {
      Name: machine.Name,
      Metadata: { Description: `berth machine, ${machine.DriverName}`, Machine: machine },
      Endpoints: { docker: { Host: urlOf(machine), SkipTLSVerify: false } },
    },
    new Map(),
  );
}
