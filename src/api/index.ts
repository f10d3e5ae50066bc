/**
 * api: the Docker Engine API over HTTP. Sees its own ports; makes no decision about containers.
 */
export type { AuditEntry, Authorization, Gate, Peer, Question } from "./gate.ts";
export type {
  ApiPorts,
  BuildOptions,
  BuildPort,
  BuildResult,
  DiskKind,
  DiskPort,
  ImagesPort,
  NetworksPort,
  OwnRegistryPort,
  PruneWish,
  QueryFilters,
  RegistryPort,
  SystemPort,
  VolumesPort,
} from "./ports.ts";
export type { Reply } from "./route.ts";
export { API_VERSION, ApiServer, MIN_API_VERSION, type ServerTls } from "./server.ts";
