/**
 * `--output`, `--push` and `--load` of `berth build`: what the daemon is asked for, and where it goes on this machine.
 */
import type { ByteStream } from "../base/compression.ts";
import type { OutputEntry } from "../spec/build-output.ts";
import { checkArchivePath, writeArchive } from "./archive-output.ts";
import { splitCsv } from "./container-options/mounts.ts";
import { checkDirectoryPath, writeDirectory } from "./directory-output.ts";
import type { Parsed } from "./flags.ts";
import { isTerminal } from "./terminal.ts";

/** Where an output's bytes go; "" is the standard output. */
interface Destination {
  readonly kind: "file" | "directory";
  readonly path: string;
}

/** An output, as it was asked for. */
export interface LocalOutput {
  readonly entry: OutputEntry;
  /** Undefined: nothing of it comes here. */
  readonly destination: Destination | undefined;
}

/** The fields of one --output, of which the shortest is a path alone. */
function fieldsOf(text: string): Map<string, string> {
  const fields = splitCsv(text);
  if (fields.length === 1 && fields[0] === text && !text.startsWith("type="))
    return new Map([
      ["type", text === "-" ? "tar" : "local"],
      ["dest", text],
    ]);
  const found = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf("=");
    if (at < 0) throw new Error(`invalid value ${field}`);
    found.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  return found;
}

const no = (text: string | undefined) => text !== undefined && /^(0|f|false)$/i.test(text);

/** Where an archive or directory goes; undefined for an image that stays with the daemon. */
function destinationOf(type: string, fields: Map<string, string>): Destination | undefined {
  const dest = fields.get("dest");
  fields.delete("dest");
  if (type === "local") {
    if (!dest) throw new Error("dest is required for local exporter");
    return { kind: "directory", path: dest };
  }
  if (!["tar", "oci", "docker"].includes(type)) {
    if (dest !== undefined) throw new Error(`dest is no attribute of the output ${type}`);
    return undefined;
  }
  const unpacked = type !== "tar" && no(fields.get("tar"));
  if (type !== "tar") fields.delete("tar");
  if (unpacked) {
    if (!dest) throw new Error(`dest is required for ${type} exporter with tar=false`);
    return { kind: "directory", path: dest };
  }
  if (type === "docker" && dest === undefined) return undefined;
  if (!dest || dest === "-") {
    if (isTerminal(1))
      throw new Error(`dest file is required for ${type} exporter. refusing to write to console`);
    return { kind: "file", path: "" };
  }
  return { kind: "file", path: dest };
}

function outputOf(text: string): LocalOutput {
  const fields = fieldsOf(text);
  const type = fields.get("type");
  if (!type) throw new Error("type is required for output");
  fields.delete("type");
  const destination = destinationOf(type, fields);
  // Without a place of its own it goes into the store.
  const Type = type === "docker" && destination === undefined ? "image" : type;
  return { entry: { Type, Attrs: Object.fromEntries(fields) }, destination };
}

function check({ destination }: LocalOutput): void {
  if (destination === undefined) return;
  if (destination.kind === "directory") checkDirectoryPath(destination.path);
  else if (destination.path !== "") checkArchivePath(destination.path, "build");
}

const image = (Attrs: Record<string, string>): LocalOutput => ({
  entry: { Type: "image", Attrs },
  destination: undefined,
});

/** The outputs that a command line asks for; none: an image in the store. Throws for those that cannot be written. */
export function outputsOf(parsed: Parsed): LocalOutput[] {
  const given = parsed.all("output").map(outputOf);
  const [push, load] = [parsed.on("push"), parsed.on("load")];
  if (push && load) throw new Error("push and load may not be set together at the moment");
  for (const one of given) check(one);
  if (given.filter(({ destination }) => destination?.path === "").length > 1)
    throw new Error("more than one output goes to the standard output");
  if (load) return [...given, image({})];
  if (!push) return given;
  const isImage = ({ entry }: LocalOutput) => ["image", "registry"].includes(entry.Type);
  if (!given.some(isImage)) return [...given, image({ push: "true" })];
  return given.map((one) => {
    const { Type, Attrs } = one.entry;
    return isImage(one) ? { ...one, entry: { Type, Attrs: { ...Attrs, push: "true" } } } : one;
  });
}

/** Writes an output's bytes to where they go: all of them, or nothing. */
export function writeOutput({ destination }: LocalOutput, bytes: ByteStream): Promise<void> {
  if (destination === undefined) throw new Error("the daemon sends an output that stays with it");
  const { kind, path } = destination;
  return kind === "directory" ? writeDirectory(path, bytes) : writeArchive(path, bytes);
}
