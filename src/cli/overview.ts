/**
 * The text of `berth --help`, made of the command table when the executable is built: the table itself is not loaded for it.
 */
import { overview } from "./usage.ts" with { type: "macro" };

/** The text. */
export const overviewText: string = overview("");
