/**
 * Running things on another host with ssh. A script goes there as one word for its shell, so that standard input is free.
 */
import { type SshTarget, sshWords } from "../../client/index.ts";

/** ssh's own failures have this status; so has a script's that ends with it, which none here does. */
const SSH_FAILED = 255;

/** What a script did. */
export interface Done {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** How a script is run. */
export interface RunOptions {
  /** A file that is its standard input. */
  readonly input?: string;
  /** After so many milliseconds it is given up. */
  readonly patienceMs?: number;
}

async function spawn(argv: string[], { input, patienceMs }: RunOptions) {
  try {
    return Bun.spawn(argv, {
      stdin: input === undefined ? "ignore" : Bun.file(input),
      stdout: "pipe",
      stderr: "pipe",
      ...(patienceMs === undefined ? {} : { timeout: patienceMs }),
    });
  } catch (error) {
    throw (await sshWords()).withoutSsh(error);
  }
}

/** Runs a script of POSIX sh there; rejects, saying what to do, when ssh does not reach the host. */
export async function runThere(
  target: SshTarget,
  script: string,
  options: RunOptions = {},
): Promise<Done> {
  const { shellWord, sshArguments, sshFailure } = await sshWords();
  const argv = sshArguments(target);
  const child = await spawn([...argv, `sh -c ${shellWord(script)}`], options);
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const status = await child.exited;
  if (child.signalCode !== null) throw new Error(`${target.host} does not answer`);
  if (status === SSH_FAILED) throw sshFailure(target, argv, { status }, err);
  return { status, out, err };
}

/** The same for a script that must succeed; `doing` says what failed. */
export async function mustRunThere(
  target: SshTarget,
  doing: string,
  script: string,
  options: RunOptions = {},
): Promise<string> {
  const { status, out, err } = await runThere(target, script, options);
  if (status === 0) return out;
  throw new Error(`${doing} on ${target.host} failed: ${(err || out).trim()}`);
}

/** ssh for a person: a shell, or a command whose words ssh joins. Gives its exit status. */
export async function ssh(target: SshTarget, words: readonly string[]): Promise<number> {
  const { sshArguments } = await sshWords();
  try {
    const argv = [...sshArguments(target, []), ...words];
    return await Bun.spawn(argv, { stdio: ["inherit", "inherit", "inherit"] }).exited;
  } catch (error) {
    throw (await sshWords()).withoutSsh(error);
  }
}
