/**
 * `berth import`.
 */
import { existsSync } from "node:fs";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { splitTag } from "../reference.ts";
import { inputFrom } from "../streams.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  short: "Import the contents from a tarball to create a filesystem image",
  args: [1, 2],
  flags: [
    flag("change", "c", "list", "Apply Dockerfile instruction to the created image"),
    flag("message", "m", "string", "Set commit message for imported image"),
    flag("platform", "", "string", "Set platform if server is multi-platform capable"),
  ],
  async run({ client }, parsed) {
    const [source = "-", target = ""] = parsed.args;
    const remote = /^https?:\/\//.test(source);
    if (!remote && source !== "-" && !existsSync(source))
      throw new Error(`open ${source}: no such file or directory`);
    const { repository, tag } = splitTag(target);
    const query = {
      fromSrc: remote ? source : "-",
      repo: target === "" ? undefined : repository,
      tag,
      message: parsed.text("message") || undefined,
      changes: parsed.all("change"),
    };
    const stream = inputFrom(source);
    const response = await client.request(
      "POST",
      "/images/create",
      remote ? { query } : { query, stream },
    );
    for await (const value of response.values<{ status?: string; error?: string }>()) {
      if (value.error !== undefined) throw new Error(value.error);
      if (value.status !== undefined) out(`${value.status}\n`);
    }
    return 0;
  },
};
