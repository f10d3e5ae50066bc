/**
 * What the daemon knows of its guard. It is told so that it can refuse in clear words what the guard and the kernel would refuse
 * anyway: nothing depends on its obedience.
 */
import { z } from "zod";

/** The containers' control groups are below this one of the group that the daemon's user has been given. */
export const CONTAINERS = "containers";

/** Where the daemon inside reads that it is there. */
export const GUARD = "BERTH_GUARD";

const settings = z.object({
  /** The guard's socket. */
  socket: z.string(),
  /** Who the daemon is on the host, as --user has it. */
  user: z.string(),
  /** The policy's file, which messages name. */
  file: z.string(),
  ports: z.array(z.tuple([z.number(), z.number()]).readonly()).readonly(),
  addresses: z.array(z.object({ address: z.string(), prefix: z.number() })).readonly(),
  binds: z.array(z.object({ path: z.string(), readOnly: z.boolean() })).readonly(),
  devices: z.array(z.string()).readonly(),
  privileged: z.boolean(),
});

/** What is allowed, as far as the daemon has to know. */
export type GuardedSettings = z.infer<typeof settings>;

/** Reads them from the environment; undefined: there is no guard. */
export function guardedSettings(env: NodeJS.ProcessEnv): GuardedSettings | undefined {
  const text = env[GUARD];
  return text === undefined ? undefined : settings.parse(JSON.parse(text));
}
