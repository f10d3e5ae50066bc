/**
 * ssh's command lines, and what its failures mean. Apart from what starts it, so that no command loads that which needs none.
 */
import { errnoOf, messageOf } from "../base/errors.ts";
import type { SshTarget } from "./host.ts";
import { sshAdvice } from "./ssh-advice.ts";

/** The ssh that reaches a host; what is to be run there comes behind it. `options`: more of ssh's own. */
export function sshArguments(target: SshTarget, options: readonly string[] = ["-T"]): string[] {
  const { host, user, port, identity } = target;
  return [
    ...["ssh", "-o", "ConnectTimeout=30", ...options],
    ...(identity === undefined ? [] : ["-i", identity, "-o", "IdentitiesOnly=yes"]),
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", port]),
    ...["--", host],
  ];
}

/** What to say of an ssh that has failed: the command, its end, its own words, and what to do. */
export function sshFailure(
  target: SshTarget,
  argv: readonly string[],
  ended: { readonly status: number | null; readonly signal?: string | null },
  said: string,
): Error {
  const how = ended.signal ? `signal ${ended.signal}` : `exit status ${ended.status}`;
  const advice = sshAdvice(target, ended.status, said);
  return new Error(
    `command [${argv.join(" ")}] has exited with ${how}, make sure the URL is valid, and berth is installed on the remote host: stderr=${said.trim()}${advice && `\n${advice}`}`,
  );
}

/** What to say when there is no ssh here. */
export function withoutSsh(error: unknown): Error {
  return errnoOf(error) === "ENOENT"
    ? new Error("there is no ssh in the PATH: install it (Debian: openssh-client)")
    : new Error(`cannot start ssh: ${messageOf(error)}`);
}

/** A word as a shell reads it: ssh hands what is to be run to one. */
export function shellWord(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
