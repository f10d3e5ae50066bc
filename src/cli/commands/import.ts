/**
 * `berth import`.
 */
import { parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { showProgress } from "../progress.ts";
import { splitTag } from "../reference.ts";
import { checkReadable, inputFrom } from "../streams.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  short: "Import the contents from a tarball to create a filesystem image",
  args: [1, Number.POSITIVE_INFINITY],
  flags: [
    flag("change", "c", "list", "Apply Dockerfile instruction to the created image"),
    flag("message", "m", "string", "Set commit message for imported image"),
    flag("platform", "", "string", "Set platform if server is multi-platform capable"),
  ],
  async run({ client }, parsed) {
    const [source = "-", target = ""] = parsed.args;
    const remote = /^https?:\/\//.test(source);
    if (!remote) checkReadable(source);
    // What can be no name is told of before anything is sent.
    if (target !== "") parseReference(target);
    const { repository, tag } = splitTag(target);
    const platform = parsed.text("platform");
    const query = {
      fromSrc: remote ? source : "-",
      repo: target === "" ? undefined : target.includes("@") ? target : repository,
      tag: target.includes("@") ? undefined : tag,
      message: parsed.text("message") || undefined,
      changes: parsed.all("change"),
      platform: platform === "" ? undefined : platform.toLowerCase(),
    };
    const body = remote ? {} : { stream: inputFrom(source) };
    const response = await client.request("POST", "/images/create", { query, ...body });
    await showProgress(response.values(), out);
    return 0;
  },
};
