/**
 * Attach, logs and exec: the routes that carry streams.
 */
import { fault, messageOf } from "../../base/errors.ts";
import { gathered } from "../../base/gather.ts";
import { DetachWatcher, parseDetachKeys } from "../detach-keys.ts";
import { type EngineStreamHandlers, type Hijacked, joinStreams } from "../hijack.ts";
import { frame, LogFormatter } from "../log-stream.ts";
import type { ContainersPort, FilesPort } from "../ports.ts";
import { boolean, preciseTimeOf, requiredInteger } from "../request.ts";
import { type Context, ok, pump, type Route, sendAll } from "../route.ts";
import { execBody, execStartBody } from "../schemas.ts";
import { streamType } from "../versions.ts";

function tailOf(query: URLSearchParams): number {
  const text = query.get("tail") ?? "all";
  if (text === "all" || text === "") return -1;
  const tail = Number(text);
  // A tail that is no number shows everything, as Docker has it.
  return Number.isInteger(tail) && tail >= 0 ? tail : -1;
}

async function logs(context: Context, containers: ContainersPort): Promise<undefined> {
  const { params, query, response, signal } = context;
  const [stdout, stderr] = [boolean(query, "stdout"), boolean(query, "stderr")];
  if (!stdout && !stderr)
    throw fault("invalid", "log-streams", "Bad parameters: you must choose at least one stream");
  let damage = 0;
  const log = containers.logs(
    params.id ?? "",
    {
      stdout,
      stderr,
      follow: boolean(query, "follow"),
      since: preciseTimeOf(query, "since"),
      until: preciseTimeOf(query, "until"),
      tail: tailOf(query),
      damaged: (places) => {
        damage = places;
      },
    },
    signal,
  );
  response.writeHead(200, { "Content-Type": streamType(context.version, log.tty) });
  response.flushHeaders();
  const formatter = new LogFormatter(
    log.tty,
    boolean(query, "timestamps"),
    boolean(query, "details") ? log.details : undefined,
  );
  const messages = async function* () {
    for await (const entry of log.entries) yield formatter.format(entry);
    if (damage > 0) yield formatter.error(damageText(damage));
  };
  return sendAll(context, messages(), (message) => message);
}

/** Records that cannot be read are left out, and it is said. */
function damageText(places: number): string {
  return `the log is damaged in ${places} place${places === 1 ? "" : "s"}, and what stood there is left out`;
}

/** How long a replay of the log waits behind the answer's head, for clients (docker-py) that read both at once and lose it. */
const HEAD_FIRST_MS = 10;
/** The same for an exec of those clients alone: one that writes at once is faster than they are. */
const EXEC_HEAD_FIRST_MS = 25;

async function attach(
  context: Context,
  containers: ContainersPort,
  takeOver: (tty: boolean) => Hijacked,
): Promise<undefined> {
  const { params, query } = context;
  const container = containers.get(params.id ?? "");
  const tty = container.record.config.Tty === true;
  const choice = {
    stdin: boolean(query, "stdin"),
    stdout: boolean(query, "stdout"),
    stderr: boolean(query, "stderr"),
  };
  const keys = parseDetachKeys(query.get("detachKeys") ?? "");
  const replay = boolean(query, "logs");
  // Checked before the connection is taken over, so that the client gets a status.
  containers.checkAttachable(params.id ?? "");
  const client = takeOver(tty);
  if (replay) {
    await Bun.sleep(HEAD_FIRST_MS);
    // An error frame would end the client's attachment.
    const damaged = (places: number) => {
      const text = new TextEncoder().encode(`berth: ${damageText(places)}\n`);
      client.write(tty ? text : frame("stderr", text));
    };
    const past = containers.logs(
      container.id,
      { ...choice, follow: false, since: "", until: "", tail: -1, damaged },
      context.signal,
    );
    const formatter = new LogFormatter(tty, false);
    await pump(client, context.signal, past.entries, (entry) => formatter.format(entry));
  }
  if (!boolean(query, "stream")) {
    client.end();
    return undefined;
  }
  const detach =
    tty && choice.stdin
      ? new DetachWatcher(keys, () => containers.detached(container.id))
      : undefined;
  await joinStreams(
    client,
    (handlers) => containers.attach(container.id, choice, handlers),
    detach,
  );
  return undefined;
}

async function execStart(
  context: Context,
  containers: ContainersPort,
): Promise<ReturnType<Route["handle"]>> {
  const { Detach = false, ...asked } = await context.json(execStartBody);
  // A size could not be given before 1.42.
  const ConsoleSize = context.version < 42 ? undefined : asked.ConsoleSize;
  const exec = containers.execs.get(context.params.id ?? "");
  if (Detach) {
    await containers.execs.start(exec, ConsoleSize, {
      data: () => {},
      end: () => {},
      drain: () => {},
    });
    return { status: 200 };
  }
  // Checked before the connection is taken over, so that the client gets a status.
  containers.execs.checkFresh(exec);
  if (!exec.container.running)
    throw fault("conflict", "not-running", `container ${exec.container.id} is not running`);
  const { tty, streams, detachKeys } = exec.config;
  const detach =
    tty && streams.stdin
      ? new DetachWatcher(parseDetachKeys(detachKeys), () => containers.execs.detached(exec))
      : undefined;
  // The head goes out before anything can follow it: some clients (docker-py) read both at once, and lose what follows.
  const client = context.hijack(tty);
  if (context.request.headers["user-agent"]?.startsWith("docker-sdk-python"))
    await Bun.sleep(EXEC_HEAD_FIRST_MS);
  try {
    const start = (handlers: EngineStreamHandlers) =>
      containers.execs.start(exec, ConsoleSize, handlers);
    await joinStreams(client, start, detach);
  } catch (error) {
    // As dockerd does: in the output, which the exec's exit code goes with.
    const text = new TextEncoder().encode(`${messageOf(error)}\r\n`);
    client.write(tty ? text : frame("stdout", text));
    client.end();
  }
  return undefined;
}

async function exportTo(context: Context, containers: ContainersPort): Promise<undefined> {
  const { response } = context;
  const archive = containers.export(context.params.id ?? "");
  response.writeHead(200, { "Content-Type": "application/octet-stream" });
  return sendAll(context, gathered(archive), (chunk) => chunk);
}

function statHeader(stat: unknown): Record<string, string> {
  const value = Buffer.from(JSON.stringify(stat)).toString("base64");
  return { "X-Docker-Container-Path-Stat": value };
}

function pathOf(query: URLSearchParams): string {
  const path = query.get("path") ?? "";
  if (path === "")
    throw fault("invalid", "no-path", "Bad parameter: missing query parameter: path");
  if (path.includes("\0")) throw fault("invalid", "nul-byte", "the path has a NUL byte");
  return path;
}

/** What is at a path: the answer to HEAD of an archive. */
export async function statArchive(context: Context, files: FilesPort): Promise<undefined> {
  const { params, query, response } = context;
  const stat = await files.statPath(params.id ?? "", pathOf(query));
  response.writeHead(200, statHeader(stat));
  response.end();
  return undefined;
}

/** What is at a path as an archive. */
export async function copyOut(context: Context, files: FilesPort): Promise<undefined> {
  const { params, query, response, signal } = context;
  const { stat, archive } = await files.copyOut(params.id ?? "", pathOf(query), signal);
  response.writeHead(200, { "Content-Type": "application/x-tar", ...statHeader(stat) });
  return sendAll(context, gathered(archive), (chunk) => chunk);
}

/** An archive is unpacked at a path. */
export async function copyIn(context: Context, files: FilesPort): Promise<undefined> {
  const { params, query, request, response } = context;
  const how = {
    path: pathOf(query),
    noOverwriteDirNonDir: boolean(query, "noOverwriteDirNonDir"),
    copyUIDGID: boolean(query, "copyUIDGID"),
  };
  await files.copyIn(params.id ?? "", how, request);
  response.writeHead(200);
  response.end();
  return undefined;
}

/** The routes. */
export const streamRoutes: readonly Route[] = [
  {
    method: "HEAD",
    path: "/containers/:id/archive",
    handle: (context, { containers }) => statArchive(context, containers),
  },
  {
    method: "GET",
    path: "/containers/:id/archive",
    handle: (context, { containers }) => copyOut(context, containers),
  },
  {
    method: "PUT",
    path: "/containers/:id/archive",
    handle: (context, { containers }) => copyIn(context, containers),
  },
  {
    method: "GET",
    path: "/containers/:id/export",
    handle: (context, { containers }) => exportTo(context, containers),
  },
  {
    method: "GET",
    path: "/containers/:id/logs",
    handle: (context, { containers }) => logs(context, containers),
  },
  {
    method: "POST",
    path: "/containers/:id/attach",
    handle: (context, { containers }) => attach(context, containers, context.hijack),
  },
  {
    method: "GET",
    path: "/containers/:id/attach/ws",
    handle: (context, { containers }) => attach(context, containers, context.hijackWebSocket),
  },
  {
    method: "POST",
    path: "/containers/:id/exec",
    async handle(context, { containers }) {
      const body = await context.json(execBody);
      parseDetachKeys(body.DetachKeys ?? "");
      const id = containers.createExec(context.params.id ?? "", {
        args: body.Cmd ?? [],
        tty: body.Tty === true,
        streams: {
          stdin: body.AttachStdin === true,
          stdout: body.AttachStdout === true,
          stderr: body.AttachStderr === true,
        },
        env: body.Env ?? [],
        user: body.User ?? "",
        workingDirectory: body.WorkingDir ?? "",
        privileged: body.Privileged === true,
        detachKeys: body.DetachKeys ?? "",
        consoleSize: context.version < 42 ? undefined : body.ConsoleSize,
      });
      return { status: 201, json: { Id: id } };
    },
  },
  {
    method: "POST",
    path: "/exec/:id/start",
    handle: async (context, { containers }) =>
      (await execStart(context, containers)) as Awaited<ReturnType<Route["handle"]>>,
  },
  {
    method: "POST",
    path: "/exec/:id/resize",
    async handle({ params, query }, { containers }) {
      await containers.execs.resize(
        containers.execs.get(params.id ?? ""),
        requiredInteger(query, "h"),
        requiredInteger(query, "w"),
      );
      return { status: 200 };
    },
  },
  {
    method: "GET",
    path: "/exec/:id/json",
    handle({ params }, { containers }) {
      const exec = containers.execs.get(params.id ?? "");
      const [entrypoint = "", ...args] = exec.config.args;
      return ok({
        ID: exec.id,
        Running: exec.running,
        ExitCode: exec.exitCode ?? null,
        ProcessConfig: {
          tty: exec.config.tty,
          entrypoint,
          arguments: args,
          privileged: exec.config.privileged,
          user: exec.config.user,
        },
        OpenStdin: exec.config.streams.stdin,
        OpenStdout: exec.config.streams.stdout,
        OpenStderr: exec.config.streams.stderr,
        CanRemove: false,
        ContainerID: exec.container.id,
        DetachKeys: exec.config.detachKeys,
        Pid: exec.pid,
      });
    },
  },
];
