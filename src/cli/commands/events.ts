/**
 * `berth events`.
 */

import { messageOf } from "../../base/errors.ts";
import type { EventMessage } from "../../spec/engine-api.ts";
import { type Command, ExitError } from "../command.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { parseMoment } from "../moment.ts";
import { out } from "../output.ts";

/** What writes an event by a user's template; one that fits no event is refused before there is any. */
async function formatterOf(format: string): Promise<((event: EventMessage) => void) | undefined> {
  if (format === "") return undefined;
  const { answerTemplate, checkAnswer, writeAnswer } = await import("../answers.ts");
  const template = answerTemplate(format, "Error parsing format");
  try {
    checkAnswer(template, "event");
  } catch (error) {
    throw new ExitError(64, `Error parsing format: ${messageOf(error)}`);
  }
  return (event) => writeAnswer(template, "event", event);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Get real time events from the server",
  args: [0, 0],
  flags: [
    flag("filter", "f", "filter", "Filter output based on conditions provided"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("since", "", "string", "Show all events created since timestamp"),
    flag("until", "", "string", "Stream events until this timestamp"),
  ],
  async run({ client }, parsed) {
    const now = Date.now();
    const write = await formatterOf(parsed.text("format"));
    const query = {
      filters: encodeFilters(parsed.all("filter")),
      since: parseMoment(parsed.text("since"), now),
      until: parseMoment(parsed.text("until"), now),
    };
    const response = await client.request("GET", "/events", { query });
    for await (const event of response.values<EventMessage>()) {
      if (write !== undefined) {
        write(event);
        continue;
      }
      const attributes = Object.entries(event.Actor?.Attributes ?? {})
        .sort()
        .map(([key, value]) => `${key}=${value}`)
        .join(", ");
      const nano = event.timeNano ?? 0;
      const fraction = String(nano % 1e9).padStart(9, "0");
      const time = `${new Date(nano / 1e6).toISOString().slice(0, 19)}.${fraction}Z`;
      out(
        `${time} ${event.Type} ${event.Action} ${event.Actor?.ID}${attributes === "" ? "" : ` (${attributes})`}\n`,
      );
    }
    return 0;
  },
};
