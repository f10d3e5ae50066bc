/** What this program says of itself in `version` and `info`. */
import type { Context } from "./command.ts";
import { contextName } from "./target.ts";

/** The members that docker's client has too; there is no Go here, and no build on its own. */
export function clientVersion({ version, target }: Context) {
  return {
    Version: version,
    DefaultAPIVersion: "1.51",
    Os: process.platform,
    Arch: process.arch === "x64" ? "amd64" : process.arch,
    Context: contextName(target, process.env),
  };
}
