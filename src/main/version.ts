/**
 * Which berth this is.
 */
import { version } from "../../package.json" with { type: "json" };

/** The release's number. */
export const VERSION: string = version;
