/**
 * A container's security as text, for `berth inspect --security`.
 */
import type { IdRange, SecurityReport } from "../spec/extensions.ts";

const WHOLE = 4294967295;

function mapText(ranges: readonly IdRange[]): string {
  const [only, ...more] = ranges;
  const isIdentity = only?.ContainerId === 0 && only.HostId === 0 && only.Size === WHOLE;
  if (isIdentity && more.length === 0) return "none: ids are those of the host";
  return ranges
    .map(({ ContainerId, HostId, Size }) => `${ContainerId} is ${HostId} of the host (${Size})`)
    .join(", ");
}

const listed = (words: readonly string[]) => (words.length === 0 ? "none" : words.join(" "));
const plain = (names: readonly string[]) => listed(names.map((name) => name.replace(/^CAP_/, "")));

function rowsOf(report: SecurityReport): [string, string][] {
  const { User, Capabilities: sets, Seccomp, Namespaces } = report;
  const names = (shared: boolean) =>
    listed(Namespaces.filter((one) => one.SharedWithHost === shared).map(({ Type }) => Type));
  return [
    ["Process", String(report.Pid)],
    [
      "User on the host",
      `uid ${User.Uid}, gid ${User.Gid}, groups ${listed(User.Groups.map(String))}`,
    ],
    ["Uid map", mapText(report.UidMap)],
    ["Gid map", mapText(report.GidMap)],
    ["Effective", plain(sets.Effective)],
    ["Permitted", plain(sets.Permitted)],
    ["Bounding", plain(sets.Bounding)],
    ["Inheritable", plain(sets.Inheritable)],
    ["Ambient", plain(sets.Ambient)],
    ["Seccomp", Seccomp.Mode === "filter" ? `filter (${Seccomp.Filters})` : Seccomp.Mode],
    ["No new privileges", report.NoNewPrivileges ? "yes" : "no"],
    ["Label", report.Label || "none"],
    ["Own namespaces", names(false)],
    ["Host's namespaces", names(true)],
    ["Masked", listed(report.MaskedPaths)],
    ["Read-only", listed(report.ReadonlyPaths)],
    ["Device rules", report.DeviceRules?.join(", ") ?? "a program, which the kernel does not show"],
    ["Open devices", listed(report.OpenDevices)],
    ["OOM score", String(report.OomScoreAdj)],
    ["Limits", report.Rlimits.map(({ Name, Soft, Hard }) => `${Name} ${Soft}/${Hard}`).join(", ")],
    ["Cgroups", report.Cgroups.join(" ")],
  ];
}

/** The whole text, with a newline at its end. */
export function securityText(report: SecurityReport): string {
  const lines = rowsOf(report).map(([name, value]) => `  ${name.padEnd(18)} ${value}`);
  return `${report.Name.replace(/^\//, "")} (${report.Id.slice(0, 12)})\n${lines.join("\n")}\n`;
}
