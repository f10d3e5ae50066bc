/**
 * A container's local log, which every driver but "none" has: how it is kept, and what its records carry. Pure.
 */
import { hostname } from "node:os";
import { fault } from "../base/errors.ts";
import {
  attributesText,
  bytesOf,
  flagOf,
  type LogOptions,
  type LogSource,
  logAttributes,
} from "../logging/index.ts";
import type { PlanLog } from "../runtime/index.ts";
import { wireConstants } from "../spec/wire.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { EngineSettings } from "./deps.ts";
import { logPath } from "./places.ts";

/** What log drivers know of a container. */
export function logSourceOf(record: ContainerRecord): LogSource {
  const { config } = record;
  return {
    id: record.id,
    name: record.name,
    imageId: record.image,
    imageName: config.Image ?? "",
    command: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(" "),
    created: record.created,
    hostname: hostname(),
    labels: config.Labels ?? {},
    env: config.Env ?? [],
  };
}

/** A container's log driver and its options. */
export function loggingOf({ hostConfig }: ContainerRecord): {
  readonly driver: string;
  readonly options: LogOptions;
} {
  const { Type, Config } = hostConfig.LogConfig ?? {};
  return { driver: Type || "json-file", options: Config ?? {} };
}

/** The attributes of a container's records by what is known of it now. */
export function attributesNow(record: ContainerRecord): Record<string, string> {
  return logAttributes(logSourceOf(record), loggingOf(record).options);
}

/** True when the log can be read; with the option cache-disabled, what forwards keeps its copy for itself. */
export function isReadable(record: ContainerRecord): boolean {
  const { driver, options } = loggingOf(record);
  if (driver === "json-file" || driver === "local") return true;
  return driver !== "none" && !flagOf(options, "cache-disabled");
}

/** Bytes of records that wait for the disk with mode=non-blocking, unless max-buffer-size says otherwise. */
const RING_SIZE = 1 << 20;

interface Kept {
  /** 0: never rotated. */
  readonly maxSize: number;
  readonly maxFiles: number;
  readonly compress: boolean;
}

function keptOf(settings: EngineSettings, record: ContainerRecord): Kept {
  const { driver, options } = loggingOf(record);
  const keeps = driver === "json-file" || driver === "local";
  const named = (name: string) => (keeps ? name : `cache-${name}`);
  const size = options[named("max-size")] ?? "";
  const maxSize = size === "-1" ? 0 : (bytesOf(size) ?? settings.logMaxSize);
  const maxFiles = Number(options[named("max-file")] ?? settings.logMaxFiles) || 1;
  // As in Docker, json-file has to be asked for what the others do by themselves.
  const asked = flagOf(options, named("compress"), driver === "json-file" ? "false" : "true");
  return { maxSize, maxFiles, compress: asked && maxSize > 0 && maxFiles > 1 };
}

/** True when the files that rotation leaves are to be compressed. */
export function compresses(settings: EngineSettings, record: ContainerRecord): boolean {
  return loggingOf(record).driver !== "none" && keptOf(settings, record).compress;
}

/** How the shim keeps the log; undefined for containers without one. */
export function logCopyOf(settings: EngineSettings, record: ContainerRecord): PlanLog | undefined {
  const { driver, options } = loggingOf(record);
  if (driver === "none") return undefined;
  const size = bytesOf(options["max-buffer-size"] ?? "") || RING_SIZE;
  return {
    path: logPath(settings, record),
    ...keptOf(settings, record),
    attributes: driver === "json-file" ? attributesText(attributesNow(record)) : "",
    ring: options.mode === "non-blocking" ? size : 0,
  };
}

/** Throws a Fault "invalid" when a container's records would carry more than there is room for. */
export function checkAttributes(record: ContainerRecord): void {
  const size = Buffer.byteLength(attributesText(attributesNow(record)));
  if (size > wireConstants.LOG_ATTRS_MAX)
    throw fault(
      "invalid",
      "log-attributes",
      `the log options ask for ${size} bytes of attributes in each record: ${wireConstants.LOG_ATTRS_MAX} is the most`,
    );
}
