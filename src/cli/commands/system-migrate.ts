/**
 * `berth system migrate`: works on the data root itself, while no daemon does.
 */
import type { Command } from "../command.ts";
import { flag, UsageError } from "../flags.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "--to DRIVER [OPTIONS]",
  short: "Move images and containers to another storage driver",
  flags: [
    flag("to", "", "string", "The storage driver: overlay2, erofs, btrfs, fuse-overlayfs or vfs"),
    flag("data-root", "", "string", "The daemon's data root", '"/var/lib/berth"'),
    flag("config-file", "", "string", "The daemon's daemon.json", '"/etc/berth/daemon.json"'),
  ],
  args: [0, 0],
  async run({ migrate }, parsed) {
    const [to, dataRoot, configFile] = ["to", "data-root", "config-file"].map((name) =>
      parsed.text(name),
    );
    if (!to) throw new UsageError("berth: 'berth system migrate' requires --to DRIVER");
    await migrate(
      { to, ...(dataRoot ? { dataRoot } : {}), ...(configFile ? { configFile } : {}) },
      (line) => out(`${line}\n`),
    );
    return 0;
  },
};
