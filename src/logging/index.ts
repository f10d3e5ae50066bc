/**
 * logging: log drivers. Reads the local copy that the shim writes, and forwards it to where a driver sends; knows containers
 * only as sources.
 */
export { compressFile } from "./compress-file.ts";
export { checkReceiver, Forwarder } from "./forwarder.ts";
export { rotatedFiles } from "./log-files.ts";
export {
  bytesOf,
  checkLogOptions,
  flagOf,
  type LogOptions,
  logDriverNames,
  logTarget,
} from "./options.ts";
export { type LogLife, type LogQuery, readLogs } from "./reader.ts";
export type { LogEntry } from "./record.ts";
export { attributesText, checkTag, detailsText, type LogSource, logAttributes } from "./source.ts";
