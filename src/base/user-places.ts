/**
 * Where an ordinary user's own daemon has its things (the XDG base directory specification). Pure.
 */

import type { PluginPlaces } from "./docker-plugin.ts";

/** Directories and files; nothing says that they are there. */
export interface UserPlaces {
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly socket: string;
  /** daemon.json, policy.json */
  readonly configuration: string;
  /** Of Docker's plugins: where Docker's own daemon looks for a user's. */
  readonly plugins: PluginPlaces;
}

const absolute = (path: string | undefined) => (path?.startsWith("/") ? path : undefined);

/** The places of the user with this number, as the environment has it. */
export function userPlaces(
  env: Readonly<Record<string, string | undefined>>,
  uid: number,
): UserPlaces {
  const home = absolute(env.HOME) ?? `/tmp/berth-${uid}`;
  const runtime = absolute(env.XDG_RUNTIME_DIR) ?? `/run/user/${uid}`;
  const configuration = absolute(env.XDG_CONFIG_HOME) ?? `${home}/.config`;
  return {
    dataRoot: `${absolute(env.XDG_DATA_HOME) ?? `${home}/.local/share`}/berth`,
    execRoot: `${runtime}/berth`,
    socket: `${runtime}/berth.sock`,
    configuration: `${configuration}/berth`,
    plugins: {
      sockets: [`${runtime}/docker/plugins`],
      specs: [`${configuration}/docker/plugins`, `${home}/.local/lib/docker/plugins`],
    },
  };
}
