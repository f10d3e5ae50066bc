/**
 * What to do when ssh, or what it was to run on the other host, has failed.
 */
import type { SshTarget } from "./host.ts";

/** The shell's status for a program that is not there. */
const NOT_FOUND = 127;

/** One kind of failure: how ssh tells of it, and what helps. */
interface Trouble {
  readonly sign: RegExp;
  readonly advice: (target: SshTarget) => string;
}

const portOption = ({ port }: SshTarget) => (port === undefined ? "" : ` -p ${port}`);
const login = ({ user, host }: SshTarget) => (user === undefined ? host : `${user}@${host}`);
/** As files of known hosts name it. */
const knownName = ({ host, port }: SshTarget) =>
  port === undefined || port === "22" ? host : `'[${host}]:${port}'`;

/** The first that fits counts. */
const troubles: readonly Trouble[] = [
  {
    sign: /REMOTE HOST IDENTIFICATION HAS CHANGED/,
    advice: (target) =>
      `The host's key is not the one that was known: it was installed anew, or somebody else answers for it. When you know why, forget the old key with: ssh-keygen -R ${knownName(target)}`,
  },
  {
    sign: /Host key verification failed/,
    advice: (target) =>
      `The host's key is not known here. See it with: ssh-keyscan${portOption(target)} ${target.host} | ssh-keygen -lf -\nWhen it is the right one, accept it with: ssh${portOption(target)} ${login(target)}`,
  },
  {
    sign: /Permission denied|Too many authentication failures|no mutual signature/,
    advice: (target) =>
      `The host takes none of the keys that ssh offers. Name the right one in ~/.ssh/config (IdentityFile) or give it to ssh-agent, or let the host know it with: ssh-copy-id${portOption(target)} ${login(target)}`,
  },
  {
    sign: /Could not resolve hostname/,
    advice: ({ host }) => `There is no such host as ${host}: look at the address.`,
  },
  {
    sign: /Connection refused/,
    advice: ({ host, port }) =>
      `Nobody listens there: start sshd on ${host}, or name its port (ssh://USER@${host}:PORT; this was ${port ?? "22"}).`,
  },
  {
    sign: /timed out|No route to host|Network is unreachable/,
    advice: ({ host }) => `${host} does not answer: is it on, and does a firewall let ssh through?`,
  },
];

const option = (name: string, value: string | undefined) =>
  value === undefined ? "" : ` --generic-ssh-${name} ${value}`;

/** What to do about an ssh that has ended with this status and said that; "" when nothing is known. */
export function sshAdvice(target: SshTarget, status: number | null, said: string): string {
  if (status === NOT_FOUND)
    return `berth is not in the PATH of ${login(target)} there. Put it onto the host with: berth machine create --generic-ip-address ${target.host}${option("port", target.port)}${option("user", target.user)} NAME`;
  if (status !== 255) return "";
  return troubles.find(({ sign }) => sign.test(said))?.advice(target) ?? "";
}
