/**
 * `berth builder du`: the cache of builds, as `docker buildx du` lists it.
 */
import { humanDuration } from "../../base/durations.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { humanSize } from "../human.ts";
import { out } from "../output.ts";
import { align } from "../table.ts";
import type { CacheRow } from "./system-df.ts";

const sum = (rows: readonly CacheRow[]) => rows.reduce((total, { Size }) => total + Size, 0);
const since = (time: string) =>
  `${humanDuration(Math.max(0, (Date.now() - Date.parse(time)) / 1000))} ago`;

function wholeText(row: CacheRow): string {
  return align([
    `ID:\t${row.ID}`,
    ...(row.Parents.length === 0 ? [] : [`Parents:\t${row.Parents.join(", ")}`]),
    `Created at:\t${row.CreatedAt}`,
    `Mutable:\t${row.Type === "exec.cachemount"}`,
    `Reclaimable:\t${!row.InUse}`,
    `Shared:\t${row.Shared}`,
    `Size:\t${humanSize(row.Size, 4)}`,
    `Description:\t${row.Description.replaceAll(/\s+/g, " ")}`,
    `Usage count:\t${row.UsageCount}`,
    `Last used:\t${since(row.LastUsedAt)}`,
    `Type:\t${row.Type}`,
  ]);
}

function tableText(rows: readonly CacheRow[]): string {
  const lines = rows.map((row) => {
    // As buildx marks them: what changes, and what takes no room of its own.
    const id = `${row.ID}${row.Type === "exec.cachemount" ? "*" : ""}`;
    const size = `${humanSize(row.Size, 4)}${row.Shared ? "*" : ""}`;
    return `${id}\t${!row.InUse}\t${size}\t${since(row.LastUsedAt)}`;
  });
  return align(["ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED", ...lines]);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Disk usage",
  args: [0, 0],
  flags: [flag("verbose", "", "bool", "Show all that is known of each record")],
  async run({ client }, parsed) {
    const query = { type: "build-cache" };
    const usage = await client.json<{ BuildCache: CacheRow[] | null }>("GET", "/system/df", {
      query,
    });
    const rows = usage.BuildCache ?? [];
    out(parsed.on("verbose") ? rows.map((row) => `${wholeText(row)}\n`).join("") : tableText(rows));
    const own = rows.filter(({ Shared }) => !Shared);
    const free = own.filter(({ InUse }) => !InUse);
    const shared = rows.filter(({ Shared }) => Shared);
    out(
      align([
        ...(shared.length === 0 ? [] : [`Shared:\t${humanSize(sum(shared), 4)}`]),
        `Private:\t${humanSize(sum(own), 4)}`,
        `Reclaimable:\t${humanSize(sum(free), 4)}`,
        `Total:\t${humanSize(sum(rows), 4)}`,
      ]),
    );
    return 0;
  },
};
