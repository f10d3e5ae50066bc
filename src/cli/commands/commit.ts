/**
 * `berth commit`.
 */
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  short: "Create a new image from a container's changes",
  args: [1, 2],
  flags: [
    flag("author", "a", "string", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
    flag("change", "c", "list", "Apply Dockerfile instruction to the created image"),
    flag("message", "m", "string", "Commit message"),
    flag("pause", "p", "bool", "Pause container during commit", "true"),
  ],
  async run({ client }, parsed) {
    const [container = "", reference = ""] = parsed.args;
    // A colon after the last slash begins the tag; before it, a port.
    const colon = reference.indexOf(":", reference.lastIndexOf("/") + 1);
    const { Id } = await client.json<{ Id: string }>("POST", "/commit", {
      query: {
        container,
        repo: (colon < 0 ? reference : reference.slice(0, colon)) || undefined,
        tag: colon < 0 ? undefined : reference.slice(colon + 1),
        author: parsed.text("author") || undefined,
        comment: parsed.text("message") || undefined,
        changes: parsed.all("change"),
        pause: parsed.on("pause", true),
      },
      body: {},
    });
    out(`${Id}\n`);
    return 0;
  },
};
