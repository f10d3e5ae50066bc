/**
 * `berth trust`: docker's content trust (Notary) is not part of berth, which knows signatures of another kind.
 */
import { type Command, ExitError } from "../command.ts";
import { out } from "../output.ts";

/** The command; what follows is not read. */
export const command: Command = {
  usage: "COMMAND",
  short: "Content trust is not supported: see 'berth image verify'",
  args: [0, Number.POSITIVE_INFINITY],
  flags: [],
  verbatim: true,
  local: true,
  run({ name }, { args: [verb] }) {
    const text = `${name}: berth has no content trust (Notary), which its images no longer have either. Who has signed an image: 'berth image verify'. Only signed ones: the daemon's --signature-policy.`;
    if (verb !== undefined && verb !== "--help" && verb !== "-h")
      return Promise.reject(new ExitError(1, text));
    out(`${text}\n`);
    return Promise.resolve(0);
  },
};
