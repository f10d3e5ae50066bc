/**
 * Where each command's code is. It is loaded when the command is called, so that a short command pays only for itself. What
 * commands there are, `routes.ts` says; that none is forgotten here, the compiler. Functions and not a table of loaders, because
 * a start would make all of these, and reads only the function that it goes through.
 */
import type { Command } from "./command.ts";
import type { Spelling } from "./routes.ts";

type Verb<Group extends string> = Spelling extends infer One
  ? One extends `${Group} ${infer V}`
    ? V
    : never
  : never;
type Alone = Exclude<Spelling, `${string} ${string}`>;

type OnlyAlone = Exclude<
  Alone,
  Verb<"container"> | Verb<"image"> | "ps" | "images" | "rmi" | "info" | "events"
>;

async function ofContainers(verb: Verb<"container">): Promise<Command | undefined> {
  switch (verb) {
    case "run":
      return (await import("./commands/run.ts")).command;
    case "create":
      return (await import("./commands/create.ts")).command;
    case "start":
      return (await import("./commands/start.ts")).command;
    case "stop":
      return (await import("./commands/stop.ts")).command;
    case "restart":
      return (await import("./commands/restart.ts")).command;
    case "kill":
      return (await import("./commands/kill.ts")).command;
    case "pause":
      return (await import("./commands/pause.ts")).command;
    case "unpause":
      return (await import("./commands/unpause.ts")).command;
    case "wait":
      return (await import("./commands/wait.ts")).command;
    case "rm":
    case "remove":
      return (await import("./commands/rm.ts")).command;
    case "ls":
    case "list":
    case "ps":
      return (await import("./commands/ps.ts")).command;
    case "logs":
      return (await import("./commands/logs.ts")).command;
    case "exec":
      return (await import("./commands/exec.ts")).command;
    case "inspect":
      return (await import("./commands/inspect.ts")).command;
    case "attach":
      return (await import("./commands/attach.ts")).command;
    case "rename":
      return (await import("./commands/rename.ts")).command;
    case "port":
      return (await import("./commands/port.ts")).command;
    case "top":
      return (await import("./commands/top.ts")).command;
    case "stats":
      return (await import("./commands/stats.ts")).command;
    case "diff":
      return (await import("./commands/diff.ts")).command;
    case "commit":
      return (await import("./commands/commit.ts")).command;
    case "export":
      return (await import("./commands/export.ts")).command;
    case "cp":
      return (await import("./commands/cp.ts")).command;
    case "update":
      return (await import("./commands/update.ts")).command;
    case "prune":
      return (await import("./commands/prune.ts")).commands.container;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofImages(verb: Verb<"image">): Promise<Command | undefined> {
  switch (verb) {
    case "ls":
    case "list":
      return (await import("./commands/images.ts")).command;
    case "build":
      return (await import("./commands/build.ts")).command;
    case "rm":
    case "remove":
      return (await import("./commands/rmi.ts")).command;
    case "save":
      return (await import("./commands/save.ts")).command;
    case "load":
      return (await import("./commands/load.ts")).command;
    case "inspect":
      return (await import("./commands/inspect.ts")).imageCommand;
    case "verify":
      return (await import("./commands/image-verify.ts")).command;
    case "prune":
      return (await import("./commands/prune.ts")).commands.image;
    case "tag":
      return (await import("./commands/tag.ts")).command;
    case "import":
      return (await import("./commands/import.ts")).command;
    case "pull":
    case "push":
      return (await import("./commands/pull.ts")).commands[verb];
    case "history":
      return (await import("./commands/history.ts")).command;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofVolumes(verb: Verb<"volume">): Promise<Command | undefined> {
  switch (verb) {
    case "inspect":
      return (await import("./commands/inspect.ts")).volumeCommand;
    case "prune":
      return (await import("./commands/prune.ts")).commands.volume;
    case "create":
    case "update":
    case "snapshot":
    case "clone":
      return (await import("./commands/volume.ts")).commands[verb];
    case "ls":
    case "list":
      return (await import("./commands/volume.ts")).commands.list;
    case "rm":
    case "remove":
      return (await import("./commands/volume.ts")).commands.remove;
    case "export":
      return (await import("./commands/volume.ts")).commands.exporting;
    case "import":
      return (await import("./commands/volume.ts")).commands.importing;
    case "cp":
      return (await import("./commands/cp.ts")).volumeCopy;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofNetworks(verb: Verb<"network">): Promise<Command | undefined> {
  switch (verb) {
    case "inspect":
      return (await import("./commands/inspect.ts")).networkCommand;
    case "prune":
      return (await import("./commands/prune.ts")).commands.network;
    case "create":
    case "connect":
    case "disconnect":
      return (await import("./commands/network.ts")).commands[verb];
    case "ls":
    case "list":
      return (await import("./commands/network.ts")).commands.list;
    case "rm":
    case "remove":
      return (await import("./commands/network.ts")).commands.remove;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofSystem(verb: Verb<"system">): Promise<Command | undefined> {
  switch (verb) {
    case "info":
      return (await import("./commands/info.ts")).command;
    case "events":
      return (await import("./commands/events.ts")).command;
    case "prune":
      return (await import("./commands/prune.ts")).commands.system;
    case "migrate":
      return (await import("./commands/system-migrate.ts")).command;
    case "check":
      return (await import("./commands/system-check.ts")).command;
    case "install":
    case "uninstall":
      return (await import("./commands/system-install.ts")).commands[verb];
    case "df":
      return (await import("./commands/system-df.ts")).command;
    case "dial-stdio":
      return (await import("./commands/dial-stdio.ts")).command;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofBuilder(verb: Verb<"builder">): Promise<Command | undefined> {
  switch (verb) {
    case "build":
      return ofImages(verb);
    case "du":
      return (await import("./commands/builder-du.ts")).command;
    case "export":
      return (await import("./commands/builder-mounts.ts")).commands.exporting;
    case "import":
      return (await import("./commands/builder-mounts.ts")).commands.importing;
    case "prune":
      return (await import("./commands/prune.ts")).commands.builder;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofManifests(verb: Verb<"manifest">): Promise<Command | undefined> {
  switch (verb) {
    case "annotate":
    case "create":
    case "push":
      return (await import("./commands/manifest.ts")).commands[verb];
    case "inspect":
      return (await import("./commands/manifest-inspect.ts")).command;
    case "rm":
      return (await import("./commands/manifest.ts")).commands.remove;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofBuildx(verb: Verb<"buildx">): Promise<Command | undefined> {
  switch (verb) {
    case "build":
      return ofImages(verb);
    case "du":
    case "prune":
      return ofBuilder(verb);
    case "inspect":
    case "use":
    case "version":
      return (await import("./commands/buildx.ts")).commands[verb];
    case "ls":
      return (await import("./commands/buildx.ts")).commands.list;
    case "bake":
    case "create":
    case "rm":
    case "stop":
    case "imagetools":
    case "history":
    case "debug":
      return (await import("./commands/buildx.ts")).refused(verb);
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofRegistry(verb: Verb<"registry">): Promise<Command | undefined> {
  switch (verb) {
    case "serve":
      return (await import("./commands/registry.ts")).commands[verb];
    case "garbage-collect":
      return (await import("./commands/registry.ts")).commands.collect;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofContexts(verb: Verb<"context">): Promise<Command | undefined> {
  switch (verb) {
    case "create":
    case "export":
    case "import":
    case "inspect":
    case "show":
    case "update":
    case "use":
      return (await import("./commands/context.ts")).commands[verb];
    case "ls":
    case "list":
      return (await import("./commands/context.ts")).commands.list;
    case "rm":
    case "remove":
      return (await import("./commands/context.ts")).commands.remove;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofMachines(verb: Verb<"machine">): Promise<Command | undefined> {
  switch (verb) {
    case "active":
    case "create":
    case "env":
    case "inspect":
    case "ip":
    case "kill":
    case "restart":
    case "ssh":
    case "start":
    case "status":
    case "stop":
    case "upgrade":
    case "url":
      return (await import("./commands/machine.ts")).commands[verb];
    case "ls":
    case "list":
      return (await import("./commands/machine.ts")).commands.list;
    case "rm":
    case "remove":
      return (await import("./commands/machine.ts")).commands.remove;
    default:
      verb satisfies never;
      return undefined;
  }
}

async function ofPlugins(verb: Verb<"plugin">): Promise<Command | undefined> {
  switch (verb) {
    case "disable":
    case "enable":
      return (await import("./commands/plugin.ts")).commands[verb];
    case "inspect":
      return (await import("./commands/inspect.ts")).pluginCommand;
    case "ls":
    case "list":
      return (await import("./commands/plugin.ts")).commands.list;
    case "rm":
    case "remove":
      return (await import("./commands/plugin.ts")).commands.remove;
    case "create":
    case "install":
    case "push":
    case "set":
    case "upgrade":
      return (await import("./commands/plugin-refused.ts")).commands[verb];
    default:
      verb satisfies never;
      return undefined;
  }
}

/** A command of swarms. */
async function ofSwarms(
  noun: "config" | "node" | "secret" | "service" | "stack" | "swarm",
  verb: string,
): Promise<Command | undefined> {
  const { routes } = await import("./routes.ts");
  const path = routes.find((one) => one.path === `${noun} ${verb}`)?.spellings[0];
  if (path === undefined) return undefined;
  return (await import("./commands/swarm.ts")).commandOf(path);
}

async function alone(word: Alone): Promise<Command | undefined> {
  switch (word) {
    case "run":
    case "create":
    case "start":
    case "stop":
    case "restart":
    case "kill":
    case "pause":
    case "unpause":
    case "wait":
    case "rm":
    case "logs":
    case "exec":
    case "inspect":
    case "attach":
    case "rename":
    case "port":
    case "top":
    case "stats":
    case "diff":
    case "commit":
    case "export":
    case "cp":
    case "update":
      return ofContainers(word);
    case "ps":
      return ofContainers("ls");
    case "images":
      return ofImages("ls");
    case "build":
    case "save":
    case "load":
    case "tag":
    case "import":
    case "pull":
    case "push":
    case "history":
      return ofImages(word);
    case "rmi":
      return ofImages("rm");
    case "info":
    case "events":
      return ofSystem(word);
    default:
      return onlyAlone(word);
  }
}

async function onlyAlone(word: OnlyAlone): Promise<Command | undefined> {
  switch (word) {
    case "version":
      return (await import("./commands/version.ts")).command;
    case "login":
    case "logout":
      return (await import("./commands/login.ts")).commands[word];
    case "search":
      return (await import("./commands/search.ts")).command;
    case "compose":
      return (await import("./commands/compose.ts")).command;
    case "trust":
      return (await import("./commands/trust.ts")).command;
    case "checkpoint":
      return (await import("./commands/checkpoint.ts")).command;
    case "completion":
      return (await import("./commands/completion.ts")).command;
    case "doctor":
      return (await import("./commands/doctor.ts")).command;
    case "__complete":
      return (await import("./commands/complete.ts")).command;
    default:
      word satisfies never;
      return undefined;
  }
}

/** A command, by the words that name it: `["ps"]`, `["container", "ls"]`. Undefined when nothing is called so. */
export async function loadCommand(words: readonly string[]): Promise<Command | undefined> {
  const [word, verb] = words;
  if (verb === undefined) return alone(word as Alone);
  switch (word) {
    case "container":
      return ofContainers(verb as Verb<"container">);
    case "image":
      return ofImages(verb as Verb<"image">);
    case "volume":
      return ofVolumes(verb as Verb<"volume">);
    case "network":
      return ofNetworks(verb as Verb<"network">);
    case "system":
      return ofSystem(verb as Verb<"system">);
    case "builder":
      return ofBuilder(verb as Verb<"builder">);
    case "manifest":
      return ofManifests(verb as Verb<"manifest">);
    case "buildx":
      return ofBuildx(verb as Verb<"buildx">);
    case "registry":
      return ofRegistry(verb as Verb<"registry">);
    case "context":
      return ofContexts(verb as Verb<"context">);
    case "machine":
      return ofMachines(verb as Verb<"machine">);
    case "plugin":
      return ofPlugins(verb as Verb<"plugin">);
    case "config":
    case "node":
    case "secret":
    case "service":
    case "stack":
    case "swarm":
      return ofSwarms(word, verb);
    default:
      return undefined;
  }
}
