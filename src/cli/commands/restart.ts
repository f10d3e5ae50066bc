/**
 * `berth restart`.
 */
import { stopCommand } from "../stop-command.ts";

/** The command. */
export const command = stopCommand("restart", "Restart one or more containers");
