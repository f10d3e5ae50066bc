/**
 * `berth info`.
 */
import type { SystemInfo } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { objectFormatter } from "../objects.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Display system-wide information",
  args: [0, 0],
  flags: [flag("format", "f", "string", "Format output using a custom template")],
  async run({ client }, parsed) {
    const info = await client.json<SystemInfo>("GET", "/info");
    if (parsed.has("format")) {
      out(objectFormatter(parsed.text("format"))(info));
      return 0;
    }
    const lines: [string, unknown][] = [
      ["Containers", info.Containers],
      [" Running", info.ContainersRunning],
      [" Paused", info.ContainersPaused],
      [" Stopped", info.ContainersStopped],
      ["Images", info.Images],
      ["Server Version", info.ServerVersion],
      ["Storage Driver", info.Driver],
      ...(info.DriverStatus ?? []).map(([name, value]): [string, unknown] => [` ${name}`, value]),
      ["Cgroup Version", info.CgroupVersion],
      ["Swap Limit", info.SwapLimit],
      ["Kernel Version", info.KernelVersion],
      ["Operating System", info.OperatingSystem],
      ["Architecture", info.Architecture],
      ["CPUs", info.NCPU],
      ["Total Memory", `${((info.MemTotal ?? 0) / 2 ** 30).toFixed(2)}GiB`],
      ["Name", info.Name],
      ["ID", info.ID],
      ["Root Dir", info.DockerRootDir],
      ["Security Options", (info.SecurityOptions ?? []).join(" ")],
    ];
    out(lines.map(([name, value]) => `${name}: ${String(value)}\n`).join(""));
    for (const warning of info.Warnings ?? []) out(`${warning}\n`);
    return 0;
  },
};
