/**
 * `berth stop`.
 */
import { stopCommand } from "../stop-command.ts";

/** The command. */
export const command = stopCommand("stop", "Stop one or more running containers");
