/**
 * `--platform` as the API takes it.
 */
import { messageOf } from "../base/errors.ts";
import { parsePlatform } from "../spec/platform.ts";

/**
 * A platform as a query's JSON; undefined when none is named. Throws in Docker's words for what is none; `words`: what
 * its command says before them.
 */
export function platformJson(text: string, words = ""): string | undefined {
  if (text === "") return undefined;
  try {
    return JSON.stringify(parsePlatform(text));
  } catch (error) {
    throw new Error(`${words}${messageOf(error)}`);
  }
}
