/**
 * `berth doctor`: whether this host has what containers need.
 */

import { userPlaces } from "../../base/user-places.ts";
import { ApiClient } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { checksFor, rootlessChecksFor } from "../doctor/checks.ts";
import type { Check, Finding } from "../doctor/finding.ts";
import { type HostView, thisHost } from "../doctor/host.ts";
import { flag, UsageError } from "../flags.ts";
import { out } from "../output.ts";
import { type TargetFlags, targetOf } from "../target.ts";

/** What is read of the daemon's `info`. */
interface DaemonInfo {
  readonly ServerVersion?: string;
  readonly Warnings?: readonly string[] | null;
  readonly FirewallBackend?: {
    readonly Driver?: string;
    readonly Info?: readonly (readonly string[])[];
  };
}

const marks = { ok: "ok  ", warn: "WARN", fail: "FAIL" } as const;

function askDaemon(target: TargetFlags) {
  return async () => {
    try {
      const client = new ApiClient(await targetOf(target, process.env), async () => false);
      const info = await client.json<DaemonInfo>("GET", "/info");
      client.close();
      return {
        version: info.ServerVersion ?? "",
        warnings: info.Warnings ?? [],
        firewall: info.FirewallBackend?.Driver,
        forwarding: info.FirewallBackend?.Info?.find(([name]) => name === "Forwarding")?.[1],
      };
    } catch {
      return undefined;
    }
  };
}

function shown(name: string, { grade, found, means, advice }: Finding): string {
  const more = [
    ...(means === undefined ? [] : [`      what it means: ${means}\n`]),
    ...(advice === undefined ? [] : [`      what to do: ${advice}\n`]),
  ];
  return `${marks[grade]}  ${name}: ${found}\n${more.join("")}`;
}

const HOST_ROOT = "/var/lib/berth";
const HOST_SOCKET = "/run/berth/berth.sock";

/** The checks for the daemon that is meant: the host's, unless the user may not use it or has said the own one. */
function chosenChecks(host: HostView, rootless: boolean, dataRoot: string): readonly Check[] {
  if (rootless && host.uid === 0)
    throw new UsageError("berth: --rootless is for users other than root: run it as one of these");
  const isHosts = host.uid === 0 || (host.exists(HOST_SOCKET) && host.writable(HOST_SOCKET));
  if (isHosts && !rootless) return checksFor(dataRoot || HOST_ROOT);
  return rootlessChecksFor(dataRoot || userPlaces(host.env, host.uid).dataRoot);
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS]",
  short: "Check what this host has for containers, and say what is missing",
  args: [0, 0],
  local: true,
  flags: [
    flag("data-root", "", "string", "The daemon's data root", '"/var/lib/berth"'),
    flag(
      "rootless",
      "",
      "bool",
      "Check for a daemon of your own, without root; so it is also for whom the host's is not",
    ),
    flag("format", "", "string", 'Format output ("json": a line for each check)'),
  ],
  async run({ target }, parsed) {
    const host = thisHost(askDaemon(target));
    const isJson = parsed.text("format") === "json";
    let failed = 0;
    for (const { name, run } of chosenChecks(
      host,
      parsed.on("rootless"),
      parsed.text("data-root"),
    )) {
      const finding = await run(host);
      if (finding.grade === "fail") failed++;
      const { grade, found, means, advice } = finding;
      if (isJson)
        out(
          `${JSON.stringify({ Check: name, Grade: grade, Found: found, Means: means, Do: advice })}\n`,
        );
      else out(shown(name, finding));
    }
    return failed > 0 ? 1 : 0;
  },
};
