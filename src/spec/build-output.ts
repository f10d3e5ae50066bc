/**
 * What comes of a build, as the parameter `outputs` of POST /build says it: a list of types with attributes, as BuildKit
 * has them. Where on the client's disk it goes is the client's own business.
 */
import { fault } from "../base/errors.ts";
import { parseReference } from "./reference.ts";

/** One output as it is sent. */
export interface OutputEntry {
  readonly Type: string;
  readonly Attrs: Readonly<Record<string, string>>;
}

/** How layers are compressed. */
export type Compression = "gzip" | "zstd" | "uncompressed";

/** The form of an image that leaves the store. */
export interface Packing {
  readonly compression: Compression;
  readonly level: number | undefined;
  /** Layers that came compressed in another way, too. */
  readonly force: boolean;
  /** OCI's media types rather than Docker's. */
  readonly oci: boolean;
}

/** One output, understood. */
export type BuildOutput =
  /** The files themselves, as an archive; `split`: each platform's in a directory of its own. */
  | { readonly kind: "files"; readonly split: boolean | undefined }
  | {
      readonly kind: "archive";
      readonly form: "oci" | "docker";
      readonly names: readonly string[];
      readonly packing: Packing;
    }
  | {
      readonly kind: "image";
      readonly names: readonly string[];
      readonly store: boolean;
      readonly push: boolean;
      /** Pushed without a tag. */
      readonly byDigest: boolean;
      readonly packing: Packing;
    };

function bad(message: string): Error {
  return fault("invalid", "build-output", message);
}

/** Attributes of one output, each of which has to be asked for. */
class Attributes {
  private readonly left: Map<string, string>;

  constructor(private readonly entry: OutputEntry) {
    this.left = new Map(Object.entries(entry.Attrs));
  }

  text(name: string): string | undefined {
    const value = this.left.get(name);
    this.left.delete(name);
    return value;
  }

  boolean(name: string): boolean | undefined {
    const value = this.text(name);
    // An attribute without a value is on, as BuildKit has it.
    if (value === undefined || value === "") return value === "" ? true : undefined;
    if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
    if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
    throw bad(`non-bool value ${JSON.stringify(value)} specified for ${name}`);
  }

  /** Throws for what nobody has asked for. */
  end(): void {
    const [unknown] = this.left.keys();
    if (unknown !== undefined)
      throw bad(`unknown attribute ${JSON.stringify(unknown)} of the output ${this.entry.Type}`);
  }
}

const LEVELS: Readonly<Record<Compression, number>> = { gzip: 9, zstd: 22, uncompressed: 0 };

function packingOf(attributes: Attributes, ociByDefault: boolean): Packing {
  const compression = attributes.text("compression") ?? "gzip";
  if (compression !== "gzip" && compression !== "zstd" && compression !== "uncompressed")
    throw bad(`unsupported layer compression type: ${compression}: use gzip, zstd or uncompressed`);
  const text = attributes.text("compression-level");
  const level = text === undefined ? undefined : Number(text);
  if (
    level !== undefined &&
    !(Number.isInteger(level) && level >= 0 && level <= LEVELS[compression])
  )
    throw bad(
      `compression-level of ${compression} is a number from 0 to ${LEVELS[compression]}: ${text}`,
    );
  const force = attributes.boolean("force-compression") ?? false;
  // Docker's own media types have no word for zstd.
  const oci = attributes.boolean("oci-mediatypes") ?? (ociByDefault || compression === "zstd");
  if (!oci && compression === "zstd")
    throw bad("compression=zstd needs oci-mediatypes=true: Docker's media types have no zstd");
  // No file of a new layer is ever younger than SOURCE_DATE_EPOCH.
  attributes.boolean("rewrite-timestamp");
  return { compression, level, force, oci };
}

function namesOf(attributes: Attributes, tags: readonly string[]): string[] {
  const given = attributes.text("name");
  const names = given === undefined ? [...tags] : given.split(",").filter((name) => name !== "");
  for (const name of names)
    if (parseReference(name).digest !== undefined)
      throw fault("invalid", "tag-digest", "refusing to create a tag with a digest reference");
  return names;
}

function imageOutput(attributes: Attributes, tags: readonly string[], type: string): BuildOutput {
  const names = namesOf(attributes, tags);
  const push = attributes.boolean("push") ?? type === "registry";
  const byDigest = attributes.boolean("push-by-digest") ?? false;
  const store = attributes.boolean("store") ?? true;
  if (push && names.length === 0) throw bad("tag is needed when pushing to registry");
  if (byDigest && !push) throw bad("push-by-digest needs push=true");
  return { kind: "image", names, store, push, byDigest, packing: packingOf(attributes, false) };
}

function outputOf(entry: OutputEntry, tags: readonly string[]): BuildOutput {
  const attributes = new Attributes(entry);
  const read = (): BuildOutput => {
    switch (entry.Type) {
      case "local":
      case "tar":
        return { kind: "files", split: attributes.boolean("platform-split") };
      case "oci":
      case "docker": {
        const names = namesOf(attributes, tags);
        const packing = packingOf(attributes, entry.Type === "oci");
        return { kind: "archive", form: entry.Type, names, packing };
      }
      case "image":
      case "registry":
        return imageOutput(attributes, tags, entry.Type);
      default:
        throw bad(
          `exporter ${JSON.stringify(entry.Type)} could not be found: use local, tar, oci, docker, image or registry`,
        );
    }
  };
  const output = read();
  attributes.end();
  return output;
}

const isEntry = (
  value: unknown,
): value is { Type: string; Attrs?: Record<string, string> | null } =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as OutputEntry).Type === "string" &&
  Object.values((value as OutputEntry).Attrs ?? {}).every((one) => typeof one === "string");

/**
 * The outputs that a build is to have; an image in the store without any. `tags` name what has no name of its own. Throws a
 * Fault "invalid".
 */
export function parseOutputs(text: string, tags: readonly string[]): BuildOutput[] {
  let value: unknown;
  try {
    value = text === "" ? [] : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!Array.isArray(value) || !value.every(isEntry))
    throw bad(`outputs is no list of types with attributes: ${text.slice(0, 200)}`);
  const entries = value.length === 0 ? [{ Type: "image" }] : value;
  return entries.map(({ Type, Attrs }) => outputOf({ Type, Attrs: Attrs ?? {} }, tags));
}

/** Whether bytes of an output go to the client. */
export function isDelivered(output: BuildOutput): boolean {
  return output.kind !== "image";
}
