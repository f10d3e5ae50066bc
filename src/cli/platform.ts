/**
 * `--platform` as the API takes it.
 */
import { messageOf } from "../base/errors.ts";
import { parsePlatform } from "../spec/platform.ts";

/** A platform as a query's JSON; undefined when none is named. Throws in Docker's words for what is none. */
export function platformJson(text: string): string | undefined {
  if (text === "") return undefined;
  try {
    return JSON.stringify(parsePlatform(text));
  } catch (error) {
    throw new Error(`invalid platform: ${messageOf(error)}`);
  }
}
