/**
 * What lies where under the data root: pure. A path says what kind of thing it belongs to, and to which.
 */

/** What takes room under a data root. */
export type DataKind =
  | "blobs"
  | "recipes"
  | "downloads"
  | "layers"
  | "writable"
  | "container-files"
  | "logs"
  | "volumes"
  | "database"
  | "registry"
  | "builds"
  | "deleting"
  | "engine"
  | "unknown";

/** Every kind, in the order of a report. */
export const dataKinds: readonly DataKind[] = [
  "layers",
  "blobs",
  "recipes",
  "downloads",
  "writable",
  "container-files",
  "logs",
  "volumes",
  "database",
  "registry",
  "builds",
  "deleting",
  "engine",
  "unknown",
];

/** Whose a path is. */
export interface DataPlace {
  readonly kind: DataKind;
  /** The digest, chain id, container or volume; undefined for what belongs to the engine itself. */
  readonly owner?: string;
}

const own = new Set([
  "bin",
  "probe",
  "lock",
  "lock-journal",
  "engine-id",
  "storage.json",
  "content",
  "volumes",
  "containers",
]);
const digestOf = (name: string) => `sha256:${name.split(".")[0]}`;

function contentPlace([folder, first, second]: readonly string[]): DataPlace {
  if (folder === "blobs" && first === "sha256" && second !== undefined)
    return { kind: "blobs", owner: digestOf(second) };
  if (folder === "recipes" && first !== undefined)
    return { kind: "recipes", owner: digestOf(first) };
  if (folder === "uploads") return { kind: "registry" };
  if (folder === "ingest" && first !== undefined)
    return { kind: "downloads", owner: first.endsWith(".partial") ? digestOf(first) : first };
  if (folder === "blobs" || folder === "recipes" || folder === "ingest" || folder === undefined)
    return { kind: "engine" };
  return { kind: "unknown" };
}

function driverPlace([folder, first]: readonly string[]): DataPlace {
  if (folder === "trash" || folder === "new")
    return { kind: first === undefined ? "engine" : "deleting" };
  if (first === undefined || folder === "init") return { kind: "engine" };
  if (folder === "layers") return { kind: "layers", owner: digestOf(first) };
  if (folder === "containers") return { kind: "writable", owner: first };
  return { kind: "unknown" };
}

/** Says whose a path below the data root is. `driver`: the folder of the storage driver in use. */
export function placeOf(path: string, driver: string): DataPlace {
  const [top = "", ...rest] = path.split("/");
  const [first, second] = rest;
  if (top === "content") return contentPlace(rest);
  if (top === driver) return driverPlace(rest);
  if (/\.db(-wal|-shm|-journal)?$/.test(top) && first === undefined) return { kind: "database" };
  // A registry of its own has its usual root here; the daemon's has its blobs among all others.
  if (top === "registry") return { kind: "registry" };
  // What builds keep between their runs: mounts of the type cache, and contexts.
  if (top === "build") return { kind: "builds" };
  if (top === "trash") return { kind: first === undefined ? "engine" : "deleting" };
  if (top === "volumes" && first !== undefined)
    return /^\.(removed|copying|copied)-/.test(first)
      ? { kind: "deleting" }
      : { kind: "volumes", owner: first };
  if (top === "containers" && first !== undefined) {
    const isLog = second?.startsWith(`${first}-json.log`) === true;
    return { kind: isLog ? "logs" : "container-files", owner: first };
  }
  return { kind: own.has(top) ? "engine" : "unknown" };
}
