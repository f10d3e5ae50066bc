/**
 * `berth ps`.
 */
import { humanDuration } from "../../base/durations.ts";
import { bracketed } from "../../base/host-port.ts";
import type { ContainerSummary, Port } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { configuredFormat } from "../config-file.ts";
import { encodeFilters } from "../filters.ts";
import { flag } from "../flags.ts";
import { ellipsis, goTime, humanSize } from "../human.ts";
import { err, print } from "../output.ts";
import { type Row, writeList } from "../table.ts";

/** `0.0.0.0:80->80`, with brackets around an IPv6 address. */
function mapping(ip: string, host: string, inside: string): string {
  return `${bracketed(ip)}:${host}->${inside}`;
}

/** Compares as Docker orders ports: by the container's, then the address, the host's and the protocol. */
function portOrder(a: Port, b: Port): number {
  const text = (x: string, y: string) => (x < y ? -1 : x > y ? 1 : 0);
  return (
    a.PrivatePort - b.PrivatePort ||
    text(a.IP ?? "", b.IP ?? "") ||
    (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
    text(a.Type, b.Type)
  );
}

/**
 * Ports as Docker shows them: neighbours that keep their number on the host (or are not published) become a
 * range, all others follow one by one.
 */
export function showPorts(ports: readonly Port[]): string {
  const open = new Map<string, { ip: string; type: string; first: number; last: number }>();
  const shown: string[] = [];
  const moved: string[] = [];
  const close = (run: { ip: string; type: string; first: number; last: number }) => {
    const range = run.first === run.last ? `${run.first}` : `${run.first}-${run.last}`;
    shown.push(`${run.ip === "" ? range : mapping(run.ip, range, range)}/${run.type}`);
  };
  for (const port of ports.toSorted(portOrder)) {
    const { PrivatePort: number, Type: type } = port;
    const ip = port.IP ?? "";
    if (ip !== "" && port.PublicPort !== number) {
      moved.push(`${mapping(ip, String(port.PublicPort), String(number))}/${type}`);
      continue;
    }
    const key = `${ip}/${type}`;
    const run = open.get(key);
    if (run && number === run.last + 1) {
      run.last = number;
      continue;
    }
    if (run) close(run);
    open.set(key, { ip, type, first: number, last: number });
  }
  for (const run of open.values()) close(run);
  return [...shown, ...moved].join(", ");
}

/** A container's fields as a template sees them. */
export function rowOf(one: ContainerSummary, whole: boolean): Row {
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
    // Worked out when it is shown: the first local time of a process costs 12 ms.
    get CreatedAt() {
      return goTime(one.Created ?? 0);
    },
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
    Platform: null,
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

/** What docker calls "raw". */
export function rawFormat(size: boolean): string {
  const fields = [
    ...["container_id: {{.ID}}", "image: {{.Image}}", "command: {{.Command}}"],
    ...["created_at: {{.CreatedAt}}", "state: {{- pad .State 1 0}}"],
    ...["status: {{- pad .Status 1 0}}", "names: {{.Names}}", "labels: {{- pad .Labels 1 0}}"],
    ...["ports: {{- pad .Ports 1 0}}", ...(size ? ["size: {{.Size}}"] : [])],
  ];
  return fields.map((field) => `${field}\n`).join("");
}

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
    const last = parsed.number("last", -1);
    const limit = parsed.on("latest") && last === -1 ? 1 : last;
    const quiet = parsed.on("quiet");
    const format = quiet ? "" : parsed.text("format") || configuredFormat("psFormat");
    if (quiet && parsed.text("format") !== "")
      err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n");
    // A row as a whole has its size, too.
    const tellsSize = /\{\{[^}]*(\.Size|json\s+\.(?![\w]))/.test(format);
    const size = parsed.on("size") || tellsSize;
    const query = {
      all: parsed.on("all") || undefined,
      limit: limit > 0 ? limit : undefined,
      size: size || undefined,
      filters: encodeFilters(parsed.all("filter")),
    };
    const found = await client.json<ContainerSummary[]>("GET", "/containers/json", { query });
    const rows = found.map((one) => rowOf(one, parsed.on("no-trunc")));
    if (quiet && parsed.text("format") === "raw")
      await print(rows.map((row) => `container_id: ${row.ID}\n`).join(""));
    else if (quiet) await print(rows.map((row) => `${row.ID}\n`).join(""));
    else
      await writeList(rows, {
        format,
        headings,
        type: "formatter.ContainerContext",
        raw: rawFormat(parsed.on("size")),
        words: ["failed to parse template", "failed to execute template"],
        table: parsed.on("size") ? `${table}\t{{.Size}}` : table,
      });
    return 0;
  },
};
