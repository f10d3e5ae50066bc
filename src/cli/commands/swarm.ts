/**
 * `berth swarm`, `node`, `service`, `stack`, `secret` and `config`: an engine of one host is in no swarm, and its
 * daemon says so.
 */
import { type Command, ExitError } from "../command.ts";
import { out } from "../output.ts";

/** The command, under each of its names; what follows is not read. */
export const command: Command = {
  usage: "COMMAND",
  short: "Swarms are not supported: this engine is for one host",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [],
  interspersed: false,
  async run({ client, name }, { args: [verb] }) {
    const noun = name.slice("berth ".length);
    if (verb === "inspect") out("[]\n");
    if (noun === "swarm" && ["init", "join", "leave"].includes(verb ?? ""))
      await client.json("POST", `/swarm/${verb}`, { body: {} });
    const path = noun === "swarm" ? "/swarm" : noun === "stack" ? "/services" : `/${noun}s`;
    await client.json("GET", path);
    throw new ExitError(1, `${name} ${verb ?? ""}: swarms are not supported`);
  },
};
