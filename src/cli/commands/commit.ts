/**
 * `berth commit`.
 */

import { parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { splitTag } from "../reference.ts";

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
    if (reference !== "") parseReference(reference);
    const { repository, tag } = splitTag(reference);
    const { Id } = await client.json<{ Id: string }>("POST", "/commit", {
      query: {
        container,
        repo: repository || undefined,
        tag,
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
