/**
 * `berth rmi`.
 */
import { ApiError } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { describeError } from "../failure.ts";
import { flag } from "../flags.ts";
import { err, out } from "../output.ts";
import { platformJson } from "../platform.ts";
import { imagePath } from "../reference.ts";

interface Step {
  readonly Deleted?: string;
  readonly Untagged?: string;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Remove one or more images",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("force", "f", "bool", "Force removal of the image"),
    flag("no-prune", "", "bool", "Do not delete untagged parents"),
    flag(
      "platform",
      "",
      "strings",
      'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    ),
  ],
  async run({ client }, parsed) {
    const force = parsed.on("force");
    const platforms = parsed.all("platform").map((text) => platformJson(text) ?? "");
    const query = {
      force: force || undefined,
      noprune: parsed.on("no-prune") || undefined,
      platforms: platforms.length === 0 ? undefined : platforms,
    };
    const failures: string[] = [];
    let serious = false;
    for (const name of parsed.args) {
      try {
        const path = `/images/${imagePath(name)}`;
        const done = await client.json<Step[]>("DELETE", path, { query });
        for (const { Deleted, Untagged } of done)
          out(Deleted ? `Deleted: ${Deleted}\n` : `Untagged: ${Untagged}\n`);
      } catch (error) {
        const meant = await (await import("../suggest.ts")).whatHelps(client, error);
        failures.push(`${describeError(error)}\n${meant}`);
        serious ||= !(error instanceof ApiError && error.status === 404);
      }
    }
    err(failures.join(""));
    // With force, an image that is gone already is none to fail about.
    return failures.length > 0 && (serious || !force) ? 1 : 0;
  },
};
