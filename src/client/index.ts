/**
 * The client of the Engine API, as the command line, compose and the tests use it. It knows nothing of the
 * engine behind the socket.
 */

export { Demultiplexer } from "../base/demux.ts";
export { ChunkedDecoder } from "./chunked.ts";
export { ApiClient, type OnUnreachable, type Query, type RequestOptions } from "./client.ts";
export { type Connection, connectTo } from "./connection.ts";
export {
  defaultHost,
  type Host,
  type HostTls,
  parseHost,
  resolveHost,
  type SshTarget,
} from "./host.ts";
export { ApiError, type ApiResponse } from "./response.ts";
export { shellWord, sshArguments, sshFailure, withoutSsh } from "./ssh-command.ts";
