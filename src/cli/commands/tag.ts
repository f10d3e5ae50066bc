/**
 * `berth tag`.
 */
import { messageOf } from "../../base/errors.ts";
import { parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { imagePath, splitTag } from "../reference.ts";

const isId = (name: string) => /^(sha256:)?[0-9a-f]{64}$/.test(name);

/** Throws in Docker's words for what can be no name. */
function checkName(name: string, mayBe: boolean): void {
  try {
    if (!mayBe) parseReference(name);
  } catch (error) {
    const why = messageOf(error);
    throw new Error(
      `Error parsing reference: ${JSON.stringify(name)} is not a valid repository/tag: ${why}`,
    );
  }
}

/** The command. */
export const command: Command = {
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  args: [2, 2],
  flags: [],
  interspersed: false,
  async run({ client }, { args: [source = "", target = ""] }) {
    checkName(source, isId(source));
    checkName(target, false);
    if (target.includes("@")) throw new Error("refusing to create a tag with a digest reference");
    const { repository: repo, tag = "latest" } = splitTag(target);
    await client.json("POST", `/images/${imagePath(source)}/tag`, { query: { repo, tag } });
    return 0;
  },
};
