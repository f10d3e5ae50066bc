/**
 * `berth exec`.
 */
import { DETACHED } from "../attached.ts";
import { type Command, ExitError } from "../command.ts";
import { readEnvironment } from "../container-options/environment.ts";
import { flag } from "../flags.ts";
import { copyInput, copyOutput, followSize } from "../streams.ts";
import { consoleSize, isTerminal, rawMode } from "../terminal.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  short: "Execute a command in a running container",
  args: [2, Number.POSITIVE_INFINITY],
  interspersed: false,
  flags: [
    flag("detach", "d", "bool", "Detached mode: run command in the background"),
    flag("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    flag("env", "e", "env", "Set environment variables"),
    flag("env-file", "", "list", "Read in a file of environment variables"),
    flag("interactive", "i", "bool", "Keep STDIN open even if not attached"),
    flag("privileged", "", "bool", "Give extended privileges to the command"),
    flag("tty", "t", "bool", "Allocate a pseudo-TTY"),
    flag("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])"),
    flag("workdir", "w", "string", "Working directory inside the container"),
  ],
  async run({ client }, parsed) {
    const [container = "", ...Cmd] = parsed.args;
    const Detach = parsed.on("detach");
    const Tty = parsed.on("tty");
    const stdin = parsed.on("interactive") && !Detach;
    if (Tty && stdin && !isTerminal(0)) throw new ExitError(1, "the input device is not a TTY");
    const ConsoleSize = Tty ? consoleSize() : undefined;
    const body = {
      ConsoleSize,
      User: parsed.text("user"),
      Privileged: parsed.on("privileged"),
      Tty,
      AttachStdin: stdin,
      AttachStdout: !Detach,
      AttachStderr: !Detach,
      DetachKeys: parsed.text("detach-keys"),
      Env: readEnvironment(parsed.all("env"), parsed.all("env-file")),
      WorkingDir: parsed.text("workdir"),
      Cmd,
    };
    const target = `/containers/${encodeURIComponent(container)}/exec`;
    const { Id } = await client.json<{ Id: string }>("POST", target, { body });
    const path = `/exec/${Id}`;
    if (Detach) {
      await client.json("POST", `${path}/start`, { body: { Detach, Tty } });
      return 0;
    }
    const connection = await client.hijack(`${path}/start`, { body: { Detach, Tty, ConsoleSize } });
    const ends: (() => void)[] = [];
    try {
      if (Tty && stdin) ends.push(rawMode(0));
      if (Tty) ends.push(followSize((query) => client.json("POST", `${path}/resize`, { query })));
      if (stdin) void copyInput(connection);
      await copyOutput(connection, Tty);
    } finally {
      for (const end of ends) end();
      connection.close();
    }
    const ended = await client.json<{ ExitCode: number | null; Running: boolean }>(
      "GET",
      `${path}/json`,
    );
    if (Tty && stdin && ended.Running) throw new ExitError(1, DETACHED);
    return ended.ExitCode ?? 0;
  },
};
