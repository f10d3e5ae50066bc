/**
 * The client of the Engine API, as the command line, compose and the tests use it. It knows nothing of the
 * engine behind the socket.
 */

export { Demultiplexer } from "../base/demux.ts";
export { ChunkedDecoder } from "./chunked.ts";
export { ApiClient, type OnUnreachable, type Query, type RequestOptions } from "./client.ts";
export { type Connection, connectTo } from "./connection.ts";
export { ApiError } from "./head.ts";
export {
  defaultHost,
  type Host,
  type HostTls,
  parseHost,
  resolveHost,
  type SshTarget,
} from "./host.ts";
export type { ApiResponse } from "./response.ts";
/** ssh's command lines, and what its failures mean: loaded by who needs them. */
export const sshWords = () => import("./ssh-command.ts");
