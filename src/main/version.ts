/**
 * Which berth this is.
 */
import manifest from "../../package.json" with { type: "json" };

/** The release's number. */
export const VERSION: string = manifest.version;
