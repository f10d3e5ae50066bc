/**
 * One record in the form that each driver's receiver understands. Pure.
 */
import { deflateSync, gzipSync } from "node:zlib";
import { ExtData, encode } from "@msgpack/msgpack";
import { facilityOf, flagOf, type LogOptions } from "./options.ts";
import type { LogEntry } from "./record.ts";
import type { LogSource } from "./source.ts";

/** What is the same for every record of a container. */
export interface EncoderContext {
  readonly source: LogSource;
  readonly options: LogOptions;
  readonly tag: string;
  readonly extra: Readonly<Record<string, string>>;
  /** This host's name. */
  readonly host: string;
  /** This process's id. */
  readonly pid: number;
  /** Of the transport: what frames and chunks depend on. */
  readonly transport: string;
}

/** Makes the messages of one record: mostly one, several when it must be cut. */
export type Encoder = (entry: LogEntry) => Uint8Array[];

const text = new TextEncoder();

/** Severities of syslog, which GELF and journald use too: err and info. */
function severityOf({ stream }: LogEntry): number {
  return stream === "stderr" ? 3 : 6;
}

function lineOf(entry: LogEntry): string {
  return entry.text.endsWith("\n") ? entry.text.slice(0, -1) : entry.text;
}

function isPartial(entry: LogEntry): boolean {
  return !entry.text.endsWith("\n");
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** "Jan  2 15:04:05" (RFC 3164, section 4.1.2). */
function stampOf(time: string): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${clock}`;
}

/** RFC 3339 with so many decimals of the second. */
function preciseStamp(time: string, decimals: number): string {
  const match = /^(.{19})(?:\.(\d+))?/.exec(time);
  const fraction =
    decimals > 0 ? `.${(match?.[2] ?? "").padEnd(decimals, "0").slice(0, decimals)}` : "";
  return `${match?.[1]}${fraction}Z`;
}

/** Syslog: BSD's form (RFC 3164) with or without the host, or RFC 5424. */
export function syslogEncoder(context: EncoderContext): Encoder {
  const { options, tag, host, pid, transport } = context;
  const facility = facilityOf(options["syslog-facility"] ?? "") ?? 3;
  const format = options["syslog-format"] ?? "";
  const counted = format.startsWith("rfc5424") && transport === "tls";
  return (entry) => {
    const priority = facility * 8 + severityOf(entry);
    const heads: Record<string, () => string> = {
      "": () => `<${priority}>${stampOf(entry.time)} ${tag}[${pid}]:`,
      rfc3164: () => `<${priority}>${stampOf(entry.time)} ${host} ${tag}[${pid}]:`,
      rfc5424: () => `<${priority}>1 ${preciseStamp(entry.time, 0)} ${host} ${tag} ${pid} ${tag} -`,
      rfc5424micro: () =>
        `<${priority}>1 ${preciseStamp(entry.time, 6)} ${host} ${tag} ${pid} ${tag} -`,
    };
    const message = text.encode(`${heads[format]?.()} ${lineOf(entry)}\n`);
    if (!counted) return [message];
    return [Buffer.concat([text.encode(`${message.length} `), message])];
  };
}

/** GELF's chunks carry at most this much of the message, as Docker cuts them. */
const GELF_CHUNK = 1420 - 12;
const GELF_CHUNKS_MAX = 128;

function gelfChunks(message: Uint8Array): Uint8Array[] {
  if (message.length <= 1420) return [message];
  const count = Math.ceil(message.length / GELF_CHUNK);
  // What is too large for GELF is cut off; the local copy has it whole.
  const total = Math.min(count, GELF_CHUNKS_MAX);
  const id = crypto.getRandomValues(new Uint8Array(8));
  return Array.from({ length: total }, (_, i) =>
    Buffer.concat([
      Uint8Array.of(0x1e, 0x0f),
      id,
      Uint8Array.of(i, total),
      message.subarray(i * GELF_CHUNK, (i + 1) * GELF_CHUNK),
    ]),
  );
}

/** GELF 1.1: compressed and cut in chunks over UDP, ended by a zero over TCP. */
export function gelfEncoder(context: EncoderContext): Encoder {
  const { source, options, tag, extra, host, transport } = context;
  const constant = {
    _command: source.command,
    _container_id: source.id,
    _container_name: source.name,
    _created: source.created,
    _image_id: source.imageId,
    _image_name: source.imageName,
    _tag: tag,
    ...Object.fromEntries(Object.entries(extra).map(([key, value]) => [`_${key}`, value])),
  };
  const compression = options["gelf-compression-type"] || "gzip";
  const level = Number(options["gelf-compression-level"] ?? 1);
  return (entry) => {
    const line = lineOf(entry);
    if (line === "") return [];
    const json = JSON.stringify({
      version: "1.1",
      host,
      short_message: line,
      timestamp: Number((Date.parse(entry.time) / 1000).toFixed(3)),
      level: severityOf(entry),
      ...constant,
    });
    if (transport === "tcp") return [text.encode(`${json}\0`)];
    const plain = text.encode(json);
    if (compression === "none") return gelfChunks(plain);
    return gelfChunks((compression === "zlib" ? deflateSync : gzipSync)(plain, { level }));
  };
}

/** Fluentd's EventTime: seconds and nanoseconds as extension 0. */
function eventTime(time: string): ExtData {
  const data = new Uint8Array(8);
  const view = new DataView(data.buffer);
  view.setUint32(0, Math.floor(Date.parse(time) / 1000));
  view.setUint32(4, Number((/\.(\d{1,9})/.exec(time)?.[1] ?? "").padEnd(9, "0")));
  return new ExtData(0, data);
}

/** Fluentd's forward protocol, a message a record. With acknowledgements each names its chunk. */
export function fluentdEncoder(context: EncoderContext, chunkOf?: () => string): Encoder {
  const { source, options, tag, extra } = context;
  const precise = flagOf(options, "fluentd-sub-second-precision");
  return (entry) => {
    const record = {
      container_id: source.id,
      container_name: `/${source.name}`,
      source: entry.stream,
      log: lineOf(entry),
      ...(isPartial(entry) ? { partial_message: "true" } : {}),
      ...extra,
    };
    const time = precise ? eventTime(entry.time) : Math.floor(Date.parse(entry.time) / 1000);
    const option = chunkOf === undefined ? [] : [{ chunk: chunkOf() }];
    return [encode([tag, time, record, ...option])];
  };
}

function journalField(name: string, value: string): Uint8Array {
  if (!value.includes("\n")) return text.encode(`${name}=${value}\n`);
  const data = text.encode(value);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(data.length), true);
  return Buffer.concat([text.encode(`${name}\n`), length, data, text.encode("\n")]);
}

/** The journal's native protocol (systemd, "Native Journal Protocol"). */
export function journaldEncoder(context: EncoderContext): Encoder {
  const { source, tag, extra } = context;
  const own: Record<string, string> = {
    CONTAINER_ID: source.id.slice(0, 12),
    CONTAINER_ID_FULL: source.id,
    CONTAINER_NAME: source.name,
    CONTAINER_TAG: tag,
    IMAGE_NAME: source.imageName,
    SYSLOG_IDENTIFIER: tag,
  };
  // The journal takes capitals, digits and underscores, and no underscore first.
  for (const [key, value] of Object.entries(extra))
    own[
      key
        .toUpperCase()
        .replace(/[^A-Z0-9]/g, "_")
        .replace(/^_+/, "")
    ] = value;
  const constant = Object.entries(own).map(([name, value]) => journalField(name, value));
  return (entry) => {
    const line = lineOf(entry);
    if (line === "") return [];
    return [
      Buffer.concat([
        journalField("MESSAGE", line),
        journalField("PRIORITY", String(severityOf(entry))),
        journalField("SYSLOG_TIMESTAMP", entry.time),
        ...(isPartial(entry) ? [journalField("CONTAINER_PARTIAL_MESSAGE", "true")] : []),
        ...constant,
      ]),
    ];
  };
}
