/**
 * `berth port`.
 */
import { bracketed } from "../../base/host-port.ts";
import type { ContainerInspectResponse } from "../../spec/engine-api.ts";
import type { Command } from "../command.ts";
import { out } from "../output.ts";

/** The command. */
export const command: Command = {
  usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  short: "List port mappings or a specific mapping for the container",
  args: [1, 2],
  flags: [],
  async run({ client }, { args: [name, wanted] }) {
    const [number = "", protocol = "tcp"] = (wanted ?? "").split("/");
    if (wanted !== undefined && !/^\d+$/.test(number))
      throw new Error(
        `Error: invalid port (${number}): strconv.ParseUint: parsing ${JSON.stringify(number)}: invalid syntax`,
      );
    const { NetworkSettings } = await client.json<ContainerInspectResponse>(
      "GET",
      `/containers/${name}/json`,
    );
    const ports = Object.entries(NetworkSettings?.Ports ?? {});
    const key = wanted === undefined ? undefined : `${number}/${protocol}`;
    const shown = ports.filter(
      ([port, bindings]) => bindings !== null && (key === undefined || port === key),
    );
    if (key !== undefined && shown.length === 0)
      throw new Error(`Error: No public port '${wanted}' published for ${name}`);
    for (const [port, bindings] of shown)
      for (const { HostIp = "", HostPort = "" } of bindings ?? []) {
        const address = `${bracketed(HostIp)}:${HostPort}`;
        out(key === undefined ? `${port} -> ${address}\n` : `${address}\n`);
      }
    return 0;
  },
};
