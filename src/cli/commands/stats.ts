/**
 * `berth stats`.
 */
import type { ApiClient } from "../../client/index.ts";
import type { ContainerStatsResponse, ContainerSummary } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { blockBytes, cpuPercent, memoryUsage, networkBytes } from "../container-usage.ts";
import { describeError } from "../failure.ts";
import { flag, type Parsed } from "../flags.ts";
import { binarySize, humanSize } from "../human.ts";
import { draw } from "../output.ts";
import { listText, type Row, terminalList, writeList } from "../table.ts";
import { isTerminal } from "../terminal.ts";

const CLEAR = "\x1b[2J";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
const REFRESH_MS = 1000;

const headings = {
  Container: "CONTAINER",
  ID: "CONTAINER ID",
  Name: "NAME",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  BlockIO: "BLOCK I/O",
  PIDs: "PIDS",
};
const table =
  "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

function rowOf(name: string, stats: ContainerStatsResponse | undefined, whole: boolean): Row {
  const id = stats?.id ?? "";
  const head = {
    Container: name,
    ID: whole ? id : id.slice(0, 12),
    Name: (stats?.name ?? "").replace(/^\//, ""),
  };
  if (stats === undefined)
    return {
      ...head,
      CPUPerc: "--",
      MemUsage: "-- / --",
      MemPerc: "--",
      NetIO: "--",
      BlockIO: "--",
      PIDs: "--",
    };
  const usage = memoryUsage(stats);
  const limit = stats.memory_stats?.limit ?? 0;
  const { received, sent } = networkBytes(stats);
  const { read, written } = blockBytes(stats);
  return {
    ...head,
    CPUPerc: `${cpuPercent(stats).toFixed(2)}%`,
    MemUsage: `${binarySize(usage)} / ${binarySize(limit)}`,
    MemPerc: `${(limit === 0 ? 0 : (usage / limit) * 100).toFixed(2)}%`,
    NetIO: `${humanSize(received)} / ${humanSize(sent)}`,
    BlockIO: `${humanSize(read)} / ${humanSize(written)}`,
    PIDs: String(stats.pids_stats?.current ?? 0),
  };
}

async function namesOf(client: ApiClient, parsed: Parsed): Promise<string[]> {
  if (parsed.args.length > 0) return [...parsed.args];
  const query = { all: parsed.on("all") || undefined };
  const list = await client.json<ContainerSummary[]>("GET", "/containers/json", { query });
  return list.flatMap(({ Id }) => (Id ? [Id] : []));
}

async function collect(client: ApiClient, parsed: Parsed): Promise<Row[]> {
  const names = await namesOf(client, parsed);
  const named = parsed.args.length > 0;
  const found = await Promise.allSettled(
    names.map((name) =>
      client.json<ContainerStatsResponse>("GET", `/containers/${encodeURIComponent(name)}/stats`, {
        query: { stream: false },
      }),
    ),
  );
  return found.flatMap((result, index) => {
    const name = names[index] ?? "";
    if (result.status === "fulfilled") return [rowOf(name, result.value, parsed.on("no-trunc"))];
    // One that was listed and has gone since is no error.
    if (named) throw new Error(describeError(result.reason));
    return [];
  });
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] [CONTAINER...]",
  short: "Display a live stream of container(s) resource usage statistics",
  args: [0, Number.POSITIVE_INFINITY],
  flags: [
    flag("all", "a", "bool", "Show all containers (default shows just running)"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("no-stream", "", "bool", "Disable streaming stats and only pull the first result"),
    flag("no-trunc", "", "bool", "Do not truncate output"),
  ],
  async run({ client }, parsed) {
    const format = parsed.text("format") || configuredFormat("statsFormat");
    for (let before = CLEAR; ; before = "") {
      const how = { format, table, headings, type: "container.statsContext" };
      const rows = await collect(client, parsed);
      if (parsed.on("no-stream")) {
        await writeList(rows, how);
        return 0;
      }
      const text = isTerminal(1) ? terminalList(rows, how) : listText(rows, how);
      // Written over what is there, line by line: nothing flickers.
      draw(`${before}${HOME}${text.replaceAll("\n", `${CLEAR_LINE}\n`)}${CLEAR_BELOW}`);
      await Bun.sleep(REFRESH_MS);
    }
  },
};
