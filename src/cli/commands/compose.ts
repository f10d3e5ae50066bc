/**
 * `berth compose`: docker's plugin for it, on berth's daemon; without the plugin, where to get it.
 */
import { type Command, type Context, ExitError } from "../command.ts";
import { findPlugin, pluginDirectories, runPlugin } from "../plugins.ts";
import { contextName, targetArguments, targetOf } from "../target.ts";

type Variables = Record<string, string | undefined>;

/** Docker's variables for the daemon that this command line is for. */
async function variablesOf({ target }: Context): Promise<Variables> {
  const variables: Variables = { ...process.env };
  for (const name of ["BERTH_HOST", "BERTH_CONTEXT", "DOCKER_HOST", "DOCKER_CONTEXT"])
    delete variables[name];
  const context = contextName(target, process.env);
  if (context !== "default") return { ...variables, DOCKER_CONTEXT: context };
  const { url } = await targetOf(target, process.env);
  return { ...variables, DOCKER_HOST: url };
}

function missing(url: string): ExitError {
  const standalone = Bun.which("docker-compose");
  const instead =
    standalone === null
      ? "Or install docker-compose (Debian: docker-compose), and call it with"
      : `Or call ${standalone}, which is here, with`;
  return new ExitError(
    1,
    `berth: compose is a plugin of docker's command line, and it is not here.
Install it (Docker's packages: docker-compose-plugin), or put the program docker-compose into ${pluginDirectories()[0]}: berth runs it on its own daemon.
${instead} DOCKER_HOST=${url}`,
  );
}

/** The command. What follows its name is the plugin's. */
export const command: Command = {
  usage: "[OPTIONS] COMMAND",
  short: "Define and run multi-container applications (by docker's plugin)",
  args: [0, Number.POSITIVE_INFINITY],
  flags: [],
  verbatim: true,
  async run(context, { args }) {
    const variables = await variablesOf(context);
    const plugin = findPlugin("compose");
    if (plugin === undefined) throw missing((await targetOf(context.target, process.env)).url);
    // It starts the daemon that is started on demand. What is wrong with another, the plugin says.
    await context.client.json("GET", "/version").catch(() => {});
    const { host: _, context: __, ...tls } = context.target;
    const globals = targetArguments({ ...tls, host: "", context: "" });
    return runPlugin(plugin, [...globals, "compose", ...args], variables);
  },
};
