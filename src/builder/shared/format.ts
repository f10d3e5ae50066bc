/**
 * What a cache says that hosts share: which keys lead to which layer. It stands in the configuration of a manifest whose layers
 * are the cache's, or in that of an image. Read from hostile bytes, bounded and checked; it can say what layer a key leads to,
 * but not what a layer stands on: that is in the key.
 */
import { fault } from "../../base/errors.ts";

/** A step's result. */
export interface SharedStep {
  /** Each of them leads to it. */
  readonly keys: readonly string[];
  /** Its layer's number among those of the cache or image; undefined: the step changes nothing. */
  readonly layer?: number | undefined;
  /** ISO 8601. */
  readonly created: string;
  /** The instruction. */
  readonly description: string;
}

/** All that a cache says. */
export interface SharedRecords {
  /** Digests of the uncompressed layers; in an image its own. */
  readonly diffIds: readonly string[];
  readonly steps: readonly SharedStep[];
}

/** The media type of a cache's configuration. */
export const CACHE_CONFIG = "application/vnd.berth.build-cache.config.v1+json";
/** Where an image's configuration has its cache. */
export const INLINE_FIELD = "berth.build-cache";

const VERSION = 1;
const STEPS_MAX = 20_000;
const KEYS_MAX = 8;
const DESCRIPTION_MAX = 64 << 10;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const KEY = /^[0-9a-f]{64}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

function wrong(why: string): Error {
  return fault("invalid", "build-cache-format", `this is no cache of builds: ${why}`);
}

function stepOf(value: unknown, layers: number): SharedStep {
  if (typeof value !== "object" || value === null) throw wrong("a step is no object");
  const { keys, layer, created, description } = value as Record<string, unknown>;
  if (!Array.isArray(keys) || keys.length > KEYS_MAX || keys.length === 0)
    throw wrong("a step has no keys");
  if (!keys.every((key) => typeof key === "string" && KEY.test(key)))
    throw wrong("a step has a key that is none");
  if (
    layer !== undefined &&
    !(Number.isInteger(layer) && Number(layer) >= 0 && Number(layer) < layers)
  )
    throw wrong("a step names a layer that is not there");
  if (typeof created !== "string" || !TIME.test(created) || Number.isNaN(Date.parse(created)))
    throw wrong("a step has no time");
  if (typeof description !== "string" || description.length > DESCRIPTION_MAX)
    throw wrong("a step has no description");
  return { keys: keys as string[], layer: layer as number | undefined, created, description };
}

/** Reads what a cache says. `own`: the layers of the image that it stands in. Throws a Fault "invalid". */
export function parseRecords(value: unknown, own?: readonly string[]): SharedRecords {
  if (typeof value !== "object" || value === null) throw wrong("it is no object");
  const { version, steps, diffIds: named } = value as Record<string, unknown>;
  if (version !== VERSION) throw wrong(`its version is ${JSON.stringify(version)}`);
  const diffIds = own ?? named;
  if (
    !Array.isArray(diffIds) ||
    !diffIds.every((one) => typeof one === "string" && DIGEST.test(one))
  )
    throw wrong("its layers have no digests");
  if (!Array.isArray(steps) || steps.length > STEPS_MAX) throw wrong("it has no steps");
  return { diffIds: diffIds as string[], steps: steps.map((one) => stepOf(one, diffIds.length)) };
}

/** Writes what a cache of its own says. */
export function writeRecords({ diffIds, steps }: SharedRecords): object {
  return { version: VERSION, diffIds, steps };
}

/** Writes what an image says of its layers. */
export function writeInline(steps: readonly SharedStep[]): object {
  return { version: VERSION, steps };
}
