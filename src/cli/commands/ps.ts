/**
 * `berth ps`.
 */
import type { ContainerSummary, Port } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { ellipsis, goTime, humanDuration, humanSize } from "../human.ts";
import { out } from "../output.ts";
import { type Row, writeList } from "../table.ts";

interface Run {
  first: number;
  last: number;
  host: number | undefined;
  ip: string;
  type: string;
}

/** Ports as Docker shows them: neighbours of one address are one range. */
export function showPorts(ports: readonly Port[]): string {
  const sorted = ports.toSorted(
    (a, b) =>
      (a.IP ?? "").localeCompare(b.IP ?? "") ||
      a.Type.localeCompare(b.Type) ||
      a.PrivatePort - b.PrivatePort ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0),
  );
  const runs: Run[] = [];
  for (const port of sorted) {
    const run = runs.at(-1);
    const host = port.PublicPort || undefined;
    const next =
      run !== undefined &&
      run.ip === (port.IP ?? "") &&
      run.type === port.Type &&
      port.PrivatePort === run.last + 1;
    const hostNext =
      run?.host === undefined
        ? host === undefined
        : host === run.host + port.PrivatePort - run.first;
    if (next && hostNext) run.last = port.PrivatePort;
    else
      runs.push({
        first: port.PrivatePort,
        last: port.PrivatePort,
        host,
        ip: port.IP ?? "",
        type: port.Type,
      });
  }
  const range = (first: number, last: number) =>
    first === last ? String(first) : `${first}-${last}`;
  // Published ones come first, as in the lists of older daemons' tools.
  return runs
    .map((run) => {
      const inside = `${range(run.first, run.last)}/${run.type}`;
      if (run.host === undefined) return inside;
      const ip = run.ip.includes(":") ? `[${run.ip}]` : run.ip;
      return `${ip}:${range(run.host, run.host + run.last - run.first)}->${inside}`;
    })
    .join(", ");
}

function rowOf(one: ContainerSummary, whole: boolean): Row {
  const labels = one.Labels ?? {};
  const names = (one.Names ?? []).map((name) => name.replace(/^\//, ""));
  const own = whole ? names : names.filter((name) => !name.includes("/"));
  const command = whole ? (one.Command ?? "") : ellipsis(one.Command ?? "", 20);
  const id = one.Id ?? "";
  const mounts = (one.Mounts ?? []).map((mount) => mount.Name || mount.Source || "");
  const rw = humanSize(one.SizeRw ?? 0);
  const image = one.Image ?? "";
  return {
    Command: JSON.stringify(command),
    CreatedAt: goTime(one.Created ?? 0),
    ID: whole ? id : id.slice(0, 12),
    Image: image === "" ? "<no image>" : image,
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .toSorted()
      .join(","),
    LocalVolumes: String((one.Mounts ?? []).filter((mount) => mount.Driver === "local").length),
    Mounts: mounts.map((name) => (whole ? name : ellipsis(name, 15))).join(","),
    Names: own.join(","),
    Networks: Object.keys(one.NetworkSettings?.Networks ?? {}).join(","),
    Ports: showPorts(one.Ports ?? []),
    RunningFor: `${humanDuration(Date.now() / 1000 - (one.Created ?? 0))} ago`,
    Size: one.SizeRootFs ? `${rw} (virtual ${humanSize(one.SizeRootFs)})` : rw,
    State: one.State ?? "",
    Status: one.Status ?? "",
    Label: (name: unknown) => labels[String(name)] ?? "",
  };
}

const headings = {
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  ID: "CONTAINER ID",
  Image: "IMAGE",
  Labels: "LABELS",
  LocalVolumes: "LOCAL VOLUMES",
  Mounts: "MOUNTS",
  Names: "NAMES",
  Networks: "NETWORKS",
  Ports: "PORTS",
  RunningFor: "CREATED",
  Size: "SIZE",
  State: "STATE",
  Status: "STATUS",
};

const table =
  "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "List containers",
  args: [0, 0],
  flags: [
    flag("all", "a", "bool", "Show all containers (default shows just running)"),
    flag("filter", "f", "filter", "Filter output based on conditions provided"),
    flag("format", "", "string", "Format output using a custom template"),
    flag("last", "n", "int", "Show n last created containers (includes all states)", "-1"),
    flag("latest", "l", "bool", "Show the latest created container (includes all states)"),
    flag("no-trunc", "", "bool", "Don't truncate output"),
    flag("quiet", "q", "bool", "Only display container IDs"),
    flag("size", "s", "bool", "Display total file sizes"),
  ],
  async run({ client }, parsed) {
    const limit = parsed.on("latest") ? 1 : parsed.number("last", -1);
    const format = parsed.text("format");
    const size = parsed.on("size") || /\{\{[^}]*\.Size/.test(format);
    const query = {
      all: parsed.on("all") || undefined,
      limit: limit > 0 ? limit : undefined,
      size: size || undefined,
      filters: encodeFilters(parsed.all("filter")),
    };
    const found = await client.json<ContainerSummary[]>("GET", "/containers/json", { query });
    const rows = found.map((one) => rowOf(one, parsed.on("no-trunc")));
    if (parsed.on("quiet") && format === "") out(rows.map((row) => `${row.ID}\n`).join(""));
    else
      writeList(rows, {
        format,
        headings,
        table: parsed.on("size") ? `${table}\t{{.Size}}` : table,
      });
    return 0;
  },
};
