/**
 * The state before a build's step that failed, to look into.
 */
import type { Context } from "./command.ts";
import { err } from "./output.ts";
import { isTerminal } from "./terminal.ts";

/** A shell in the state before the step that failed, which is then forgotten; without a terminal, how to have one. */
export async function lookInto({ client }: Context, image: string | undefined): Promise<void> {
  if (image === undefined) return;
  const short = image.replace("sha256:", "").slice(0, 12);
  const argv = ["run", "--rm", "-it", short];
  if (!isTerminal(0) || !isTerminal(1)) {
    err(`The state before this step: berth ${argv.join(" ")} (forget it: berth rmi ${short})\n`);
    return;
  }
  err("A shell in the state before this step; its end ends the build:\n");
  const shell = Bun.spawn([process.execPath, ...argv], {
    stdio: ["inherit", "inherit", "inherit"],
    env: { ...process.env, BERTH_HOST: client.host.url },
  });
  await shell.exited;
  await client.json("DELETE", `/images/${image}`);
}
