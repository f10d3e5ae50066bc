/** What a daemon that is in no swarm says to those who ask for what only swarms have. */
import { fault } from "../base/errors.ts";

/** Refused for want of a swarm, in the words given. */
export function unavailable(message: string): Error {
  return fault("unavailable", "no-swarm", message);
}

/** Docker's words for most of it. */
export function notManager(): Error {
  return unavailable(
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  );
}
