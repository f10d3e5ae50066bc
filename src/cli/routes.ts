/**
 * Every command's spellings, and where its code is. The code is loaded when the command is called, so that a
 * short command pays only for itself.
 */
import type { Command } from "./command.ts";

/** One spelling of a command. */
export interface Route {
  readonly path: string;
  readonly short: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** The groups, with what they manage. */
export const groups: Readonly<Record<string, string>> = {
  builder: "Manage builds",
  buildx: "Manage builds, by the name of docker's plugin",
  container: "Manage containers",
  context: "Manage contexts",
  image: "Manage images",
  machine: "Put berth onto hosts that ssh reaches",
  manifest: "Manage Docker image manifests and manifest lists",
  network: "Manage networks",
  plugin: "Manage plugins",
  registry: "Serve a registry of one's own",
  system: "Manage the engine",
  volume: "Manage volumes",
};

function spellings(paths: string, short: string, load: Route["load"]): Route[] {
  return paths.split(", ").map((path) => ({ path, short, load }));
}

function contextRoutes(): Route[] {
  const from = async (name: keyof typeof import("./commands/context.ts").commands) => ({
    command: (await import("./commands/context.ts")).commands[name],
  });
  return [
    ...spellings("context create", "Create a context", () => from("create")),
    ...spellings(
      "context export",
      "Export a context to a tar archive FILE or a tar stream on STDOUT.",
      () => from("export"),
    ),
    ...spellings("context import", "Import a context from a tar or zip file", () => from("import")),
    ...spellings("context inspect", "Display detailed information on one or more contexts", () =>
      from("inspect"),
    ),
    ...spellings("context ls, context list", "List contexts", () => from("list")),
    ...spellings("context rm, context remove", "Remove one or more contexts", () => from("remove")),
    ...spellings("context show", "Print the name of the current context", () => from("show")),
    ...spellings("context update", "Update a context", () => from("update")),
    ...spellings("context use", "Set the current docker context", () => from("use")),
  ];
}

function pluginRoutes(): Route[] {
  const from = async (name: keyof typeof import("./commands/plugin.ts").commands) => ({
    command: (await import("./commands/plugin.ts")).commands[name],
  });
  return [
    ...spellings("plugin disable", "Disable a plugin", () => from("disable")),
    ...spellings("plugin enable", "Enable a plugin", () => from("enable")),
    ...spellings(
      "plugin inspect",
      "Display detailed information on one or more plugins",
      async () => ({ command: (await import("./commands/inspect.ts")).pluginCommand }),
    ),
    ...spellings("plugin ls, plugin list", "List plugins", () => from("list")),
    ...spellings("plugin rm, plugin remove", "Remove one or more plugins", () => from("remove")),
    ...(["create", "install", "push", "set", "upgrade"] as const).map((name) => ({
      path: `plugin ${name}`,
      short: "",
      load: async () => ({
        command: (await import("./commands/plugin-refused.ts")).commands[name],
      }),
    })),
  ];
}

function machineRoutes(): Route[] {
  const verb = (
    words: string,
    name: keyof typeof import("./commands/machine.ts").commands,
    short: string,
  ) =>
    spellings(words, short, async () => ({
      command: (await import("./commands/machine.ts")).commands[name],
    }));
  const cannot = (name: "start" | "stop" | "restart" | "kill") =>
    verb(`machine ${name}`, name, `Refused: the generic driver cannot ${name} hosts`);
  return [
    ...verb("machine active", "active", "Print the machine that commands reach"),
    ...verb(
      "machine create",
      "create",
      "Put berth onto a host that ssh reaches, and make a context of it",
    ),
    ...verb("machine env", "env", "Print what makes a shell's commands reach a machine"),
    ...verb("machine inspect", "inspect", "Print what is known of a machine"),
    ...verb("machine ip", "ip", "Print a machine's address"),
    ...cannot("kill"),
    ...verb("machine ls, machine list", "list", "List machines"),
    ...cannot("restart"),
    ...verb(
      "machine rm, machine remove",
      "remove",
      "Take berth away from machines, and forget them",
    ),
    ...verb("machine ssh", "ssh", "Log into a machine, or run a command there"),
    ...cannot("start"),
    ...verb("machine status", "status", "Print whether a machine can be reached"),
    ...cannot("stop"),
    ...verb("machine upgrade", "upgrade", "Put this executable onto machines; containers go on"),
    ...verb("machine url", "url", "Print the address of a machine's daemon"),
  ];
}

function buildxRoutes(): Route[] {
  const from = async (name: keyof typeof import("./commands/buildx.ts").commands) => ({
    command: (await import("./commands/buildx.ts")).commands[name],
  });
  // Not shown, but a script that asks gets an answer.
  const cannot = (name: import("./commands/buildx.ts").Refused): Route => ({
    path: `buildx ${name}`,
    short: "",
    load: async () => ({ command: (await import("./commands/buildx.ts")).refused(name) }),
  });
  return [
    ...spellings("buildx inspect", "Inspect current builder instance", () => from("inspect")),
    ...spellings("buildx ls", "List builder instances", () => from("list")),
    ...spellings("buildx use", "Set the current builder instance", () => from("use")),
    ...spellings("buildx version", "Show buildx version information", () => from("version")),
    ...(["bake", "create", "rm", "stop", "imagetools", "history", "debug"] as const).map(cannot),
  ];
}

function manifestRoutes(): Route[] {
  const from = async (name: keyof typeof import("./commands/manifest.ts").commands) => ({
    command: (await import("./commands/manifest.ts")).commands[name],
  });
  return [
    ...spellings("manifest annotate", "Add additional information to a local image manifest", () =>
      from("annotate"),
    ),
    ...spellings(
      "manifest create",
      "Create a local manifest list for annotating and pushing to a registry",
      () => from("create"),
    ),
    ...spellings(
      "manifest inspect",
      "Display an image manifest, or manifest list",
      () => import("./commands/manifest-inspect.ts"),
    ),
    ...spellings("manifest push", "Push a manifest list to a repository", () => from("push")),
    ...spellings("manifest rm", "Delete one or more manifest lists from local storage", () =>
      from("remove"),
    ),
  ];
}

/** What only swarms have, by noun: not shown, but a script that asks gets the daemon's answer. */
const swarmVerbs: Readonly<Record<string, string>> = {
  config: "create inspect ls|list rm|remove",
  node: "demote inspect ls|list promote ps rm|remove update",
  secret: "create inspect ls|list rm|remove",
  service: "create inspect logs ls|list ps rm|remove rollback scale update",
  stack: "config deploy|up ls|list ps rm|remove|down services",
  swarm: "ca init join join-token leave unlock unlock-key update",
};

function swarmRoutes(): Route[] {
  return Object.entries(swarmVerbs).flatMap(([noun, verbs]) =>
    verbs.split(" ").flatMap((words) => {
      const [verb = "", ...others] = words.split("|");
      const load = async () => ({
        command: (await import("./commands/swarm.ts")).commandOf(`${noun} ${verb}`),
      });
      return [verb, ...others].map((word) => ({ path: `${noun} ${word}`, short: "", load }));
    }),
  );
}

/** Whether a word begins the name of a group's command. */
export function isGroup(word: string | undefined): word is string {
  return word !== undefined && (word in groups || word in swarmVerbs);
}

const single = (name: string) => `${name}, container ${name}`;

/** All spellings; those of one command share its loader. */
export const routes: readonly Route[] = [
  ...spellings(
    single("run"),
    "Create and run a new container from an image",
    () => import("./commands/run.ts"),
  ),
  ...spellings(single("create"), "Create a new container", () => import("./commands/create.ts")),
  ...spellings(
    single("start"),
    "Start one or more stopped containers",
    () => import("./commands/start.ts"),
  ),
  ...spellings(
    single("stop"),
    "Stop one or more running containers",
    () => import("./commands/stop.ts"),
  ),
  ...spellings(
    single("restart"),
    "Restart one or more containers",
    () => import("./commands/restart.ts"),
  ),
  ...spellings(
    single("kill"),
    "Kill one or more running containers",
    () => import("./commands/kill.ts"),
  ),
  ...spellings(
    single("pause"),
    "Pause all processes within one or more containers",
    () => import("./commands/pause.ts"),
  ),
  ...spellings(
    single("unpause"),
    "Unpause all processes within one or more containers",
    () => import("./commands/unpause.ts"),
  ),
  ...spellings(
    single("wait"),
    "Block until one or more containers stop, then print their exit codes",
    () => import("./commands/wait.ts"),
  ),
  ...spellings(
    "rm, container rm, container remove",
    "Remove one or more containers",
    () => import("./commands/rm.ts"),
  ),
  ...spellings(
    "ps, container ls, container list, container ps",
    "List containers",
    () => import("./commands/ps.ts"),
  ),
  ...spellings(single("logs"), "Fetch the logs of a container", () => import("./commands/logs.ts")),
  ...spellings(
    single("exec"),
    "Execute a command in a running container",
    () => import("./commands/exec.ts"),
  ),
  ...spellings("images, image ls, image list", "List images", () => import("./commands/images.ts")),
  ...spellings(
    "build, image build, builder build, buildx build",
    "Build an image from a Dockerfile",
    () => import("./commands/build.ts"),
  ),
  ...spellings(
    "rmi, image rm, image remove",
    "Remove one or more images",
    () => import("./commands/rmi.ts"),
  ),
  ...spellings(
    "save, image save",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    () => import("./commands/save.ts"),
  ),
  ...spellings(
    "load, image load",
    "Load an image from a tar archive or STDIN",
    () => import("./commands/load.ts"),
  ),
  ...spellings(
    "inspect, container inspect",
    "Return low-level information on objects",
    () => import("./commands/inspect.ts"),
  ),
  ...spellings("image inspect", "Display detailed information on one or more images", async () => ({
    command: (await import("./commands/inspect.ts")).imageCommand,
  })),
  ...spellings(
    "image verify",
    "Check an image's signature in its registry",
    () => import("./commands/image-verify.ts"),
  ),
  ...spellings(
    "network inspect",
    "Display detailed information on one or more networks",
    async () => ({
      command: (await import("./commands/inspect.ts")).networkCommand,
    }),
  ),
  ...spellings(
    "volume inspect",
    "Display detailed information on one or more volumes",
    async () => ({
      command: (await import("./commands/inspect.ts")).volumeCommand,
    }),
  ),
  ...spellings("version", "Show the version information", () => import("./commands/version.ts")),
  ...spellings(
    "info, system info",
    "Display system-wide information",
    () => import("./commands/info.ts"),
  ),
  ...spellings(
    "events, system events",
    "Get real time events from the server",
    () => import("./commands/events.ts"),
  ),
  ...spellings(
    single("attach"),
    "Attach local standard input, output, and error streams to a running container",
    () => import("./commands/attach.ts"),
  ),
  ...spellings(single("rename"), "Rename a container", () => import("./commands/rename.ts")),
  ...spellings(
    single("port"),
    "List port mappings or a specific mapping for the container",
    () => import("./commands/port.ts"),
  ),
  ...spellings(
    single("top"),
    "Display the running processes of a container",
    () => import("./commands/top.ts"),
  ),
  ...spellings(
    single("stats"),
    "Display a live stream of container(s) resource usage statistics",
    () => import("./commands/stats.ts"),
  ),
  ...spellings(
    single("diff"),
    "Inspect changes to files or directories on a container's filesystem",
    () => import("./commands/diff.ts"),
  ),
  ...spellings(
    single("commit"),
    "Create a new image from a container's changes",
    () => import("./commands/commit.ts"),
  ),
  ...spellings(
    single("export"),
    "Export a container's filesystem as a tar archive",
    () => import("./commands/export.ts"),
  ),
  ...spellings(
    single("cp"),
    "Copy files/folders between a container and the local filesystem",
    () => import("./commands/cp.ts"),
  ),
  ...spellings(
    single("update"),
    "Update configuration of one or more containers",
    () => import("./commands/update.ts"),
  ),
  ...spellings("container prune", "Remove all stopped containers", async () => ({
    command: (await import("./commands/prune.ts")).commands.container,
  })),
  ...spellings("image prune", "Remove unused images", async () => ({
    command: (await import("./commands/prune.ts")).commands.image,
  })),
  ...spellings("volume prune", "Remove unused local volumes", async () => ({
    command: (await import("./commands/prune.ts")).commands.volume,
  })),
  ...spellings("network prune", "Remove all unused networks", async () => ({
    command: (await import("./commands/prune.ts")).commands.network,
  })),
  ...spellings(
    "builder du, buildx du",
    "Disk usage of the cache of builds",
    () => import("./commands/builder-du.ts"),
  ),
  ...spellings("builder export", "Write a cache mount to a tar archive", async () => ({
    command: (await import("./commands/builder-mounts.ts")).commands.exporting,
  })),
  ...spellings("builder import", "Make a cache mount of a tar archive", async () => ({
    command: (await import("./commands/builder-mounts.ts")).commands.importing,
  })),
  ...spellings("builder prune, buildx prune", "Remove build cache", async () => ({
    command: (await import("./commands/prune.ts")).commands.builder,
  })),
  ...spellings("system prune", "Remove unused data", async () => ({
    command: (await import("./commands/prune.ts")).commands.system,
  })),
  ...spellings(
    "system migrate",
    "Move images and containers to another storage driver",
    () => import("./commands/system-migrate.ts"),
  ),
  ...spellings(
    "system check",
    "Check everything that the engine keeps on the disk, and repair it",
    () => import("./commands/system-check.ts"),
  ),
  ...spellings(
    "system install",
    "Install this executable with its completions, manual pages and systemd units",
    async () => ({ command: (await import("./commands/system-install.ts")).commands.install }),
  ),
  ...spellings(
    "system uninstall",
    "Take away what 'berth system install' has put in place",
    async () => ({ command: (await import("./commands/system-install.ts")).commands.uninstall }),
  ),
  ...spellings("system df", "Show disk usage", () => import("./commands/system-df.ts")),
  ...spellings(
    "tag, image tag",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    () => import("./commands/tag.ts"),
  ),
  ...spellings(
    "import, image import",
    "Import the contents from a tarball to create a filesystem image",
    () => import("./commands/import.ts"),
  ),
  ...spellings("pull, image pull", "Download an image from a registry", async () => ({
    command: (await import("./commands/pull.ts")).commands.pull,
  })),
  ...spellings("push, image push", "Upload an image to a registry", async () => ({
    command: (await import("./commands/pull.ts")).commands.push,
  })),
  ...spellings("login", "Authenticate to a registry", async () => ({
    command: (await import("./commands/login.ts")).commands.login,
  })),
  ...spellings("logout", "Log out from a registry", async () => ({
    command: (await import("./commands/login.ts")).commands.logout,
  })),
  ...spellings("search", "Search Docker Hub for images", () => import("./commands/search.ts")),
  ...manifestRoutes(),
  ...buildxRoutes(),
  ...spellings(
    "compose",
    "Define and run multi-container applications (by docker's plugin)",
    () => import("./commands/compose.ts"),
  ),
  ...spellings(
    "history, image history",
    "Show the history of an image",
    () => import("./commands/history.ts"),
  ),
  ...spellings("volume create", "Create a volume", async () => ({
    command: (await import("./commands/volume.ts")).commands.create,
  })),
  ...spellings("volume ls, volume list", "List volumes", async () => ({
    command: (await import("./commands/volume.ts")).commands.list,
  })),
  ...spellings("volume rm, volume remove", "Remove one or more volumes", async () => ({
    command: (await import("./commands/volume.ts")).commands.remove,
  })),
  ...spellings("volume update", "Update a volume (cluster volumes only)", async () => ({
    command: (await import("./commands/volume.ts")).commands.update,
  })),
  ...spellings("volume export", "Write what a volume holds to a tar archive", async () => ({
    command: (await import("./commands/volume.ts")).commands.exporting,
  })),
  ...spellings("volume import", "Make a volume of a tar archive", async () => ({
    command: (await import("./commands/volume.ts")).commands.importing,
  })),
  ...spellings("volume cp", "Copy files between a volume and the local filesystem", async () => ({
    command: (await import("./commands/cp.ts")).volumeCopy,
  })),
  ...spellings("volume snapshot", "Keep what a volume holds as another volume", async () => ({
    command: (await import("./commands/volume.ts")).commands.snapshot,
  })),
  ...spellings("volume clone", "Make a volume that holds what another does", async () => ({
    command: (await import("./commands/volume.ts")).commands.clone,
  })),
  ...spellings(
    "registry serve",
    "Serve images to others over the distribution protocol",
    async () => ({ command: (await import("./commands/registry.ts")).commands.serve }),
  ),
  ...spellings(
    "registry garbage-collect",
    "Delete blobs that no manifest of a registry names",
    async () => ({ command: (await import("./commands/registry.ts")).commands.collect }),
  ),
  ...contextRoutes(),
  ...machineRoutes(),
  ...pluginRoutes(),
  ...swarmRoutes(),
  { path: "trust", short: "", load: () => import("./commands/trust.ts") },
  { path: "checkpoint", short: "", load: () => import("./commands/checkpoint.ts") },
  ...spellings(
    "completion",
    "Print a shell's completion script",
    () => import("./commands/completion.ts"),
  ),
  ...spellings(
    "doctor",
    "Check what this host has for containers, and say what is missing",
    () => import("./commands/doctor.ts"),
  ),
  ...spellings("__complete", "", () => import("./commands/complete.ts")),
  ...spellings("system dial-stdio", "", () => import("./commands/dial-stdio.ts")),
  ...spellings("network create", "Create a network", async () => ({
    command: (await import("./commands/network.ts")).commands.create,
  })),
  ...spellings("network ls, network list", "List networks", async () => ({
    command: (await import("./commands/network.ts")).commands.list,
  })),
  ...spellings("network rm, network remove", "Remove one or more networks", async () => ({
    command: (await import("./commands/network.ts")).commands.remove,
  })),
  ...spellings("network connect", "Connect a container to a network", async () => ({
    command: (await import("./commands/network.ts")).commands.connect,
  })),
  ...spellings("network disconnect", "Disconnect a container from a network", async () => ({
    command: (await import("./commands/network.ts")).commands.disconnect,
  })),
];
