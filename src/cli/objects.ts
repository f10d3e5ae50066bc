/**
 * Single objects by a user's template, or as JSON.
 */
import { execute } from "./gotemplate/execute.ts";
import { parseTemplate } from "./gotemplate/parse.ts";

/** Gives what formats an object: "json", or a Go template. Throws for a template that cannot be read. */
export function objectFormatter(format: string): (object: unknown) => string {
  if (format === "json") return (object) => `${JSON.stringify(object)}\n`;
  const template = parseTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"));
  return (object) => `${execute(template, object)}\n`;
}
