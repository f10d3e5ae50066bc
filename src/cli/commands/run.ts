/**
 * `berth run`: create, attach, start, wait.
 */
import { foreground } from "../attached.ts";
import { type Command, ExitError } from "../command.ts";
import { containerFlags } from "../container-options/flags.ts";
import { createRequest } from "../container-options/request.ts";
import { checkPull, createContainer } from "../create.ts";
import { describeError } from "../failure.ts";
import { flag, type Parsed, UsageError } from "../flags.ts";
import { print } from "../output.ts";
import { isTerminal } from "../terminal.ts";

/** 127: something was not found, such as the command; 126: it cannot be invoked; 125: anything else. */
function statusError(error: unknown): unknown {
  if (error instanceof ExitError || error instanceof UsageError) return error;
  const text = describeError(error);
  const status = /executable file not found|no such file or directory|system cannot find/.test(text)
    ? 127
    : /permission denied|is a directory/.test(text)
      ? 126
      : 125;
  return new ExitError(status, `berth: ${text}\n\nRun 'berth run --help' for more information`);
}

function check(parsed: Parsed): void {
  if (!parsed.on("detach")) {
    if (parsed.on("tty") && parsed.on("interactive") && !isTerminal(0))
      throw new ExitError(1, "the input device is not a TTY");
    return;
  }
  if (parsed.has("attach"))
    throw new ExitError(1, "conflicting options: cannot specify both --attach and --detach");
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create and run a new container from an image",
  args: [1, Number.POSITIVE_INFINITY],
  interspersed: false,
  failure: 125,
  flags: [
    ...containerFlags,
    flag("detach", "d", "bool", "Run container in background and print container ID"),
    flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    flag("sig-proxy", "", "bool", "Proxy received signals to the process", "true"),
  ],
  async run({ client }, parsed) {
    checkPull(parsed);
    createRequest(parsed);
    check(parsed);
    const { id, body } = await createContainer(client, parsed).catch((error: unknown) => {
      throw statusError(error);
    });
    const start = async () => {
      try {
        await client.json("POST", `/containers/${id}/start`);
      } catch (error) {
        throw statusError(error);
      }
    };
    const { AttachStdin: stdin, AttachStdout: stdout, AttachStderr: stderr } = body;
    if (!stdin && !stdout && !stderr) {
      // Whether it could be started or not: it is there.
      await start().finally(() => print(`${id}\n`));
      return 0;
    }
    const ended = foreground(client, {
      id,
      tty: body.Tty === true,
      stdin: stdin === true,
      stdout: stdout === true,
      stderr: stderr === true,
      signals: parsed.on("sig-proxy", true),
      detachKeys: parsed.text("detach-keys"),
      removed: parsed.on("rm"),
      start,
    });
    // What is no answer to create or start has a status of its own.
    return ended.catch((error: unknown) => {
      throw error instanceof ExitError ? error : new ExitError(1, describeError(error));
    });
  },
};
