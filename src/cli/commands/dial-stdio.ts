/**
 * `berth system dial-stdio`: joins its standard streams with the daemon's socket; the far end of ssh://.
 */
import type { Connection } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { out } from "../output.ts";

async function toDaemon(connection: Connection): Promise<void> {
  for await (const chunk of Bun.stdin.stream()) await connection.write(chunk);
  connection.end();
}

/** The command; programs call it, not people. */
export const command: Command = {
  usage: "",
  short: "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
  args: [0, 0],
  flags: [],
  async run({ client }) {
    const connection = await client.connect();
    // It ends with the daemon's side: whoever is at the other end of the streams may have closed only one.
    void toDaemon(connection).catch(() => connection.close());
    for (let chunk = await connection.read(); chunk !== undefined; chunk = await connection.read())
      out(chunk);
    return 0;
  },
};
