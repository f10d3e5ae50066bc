/**
 * The log drivers and their options (--log-driver, --log-opt). Every driver keeps a local copy, which `logs` reads; what a
 * driver is besides says where records are forwarded to.
 */

import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";

/** Where journald takes records. */
export const JOURNAL_SOCKET = "/run/systemd/journal/socket";

/** Options of one container's log, by name. */
export type LogOptions = Readonly<Record<string, string>>;

/** Options of every driver; those of the copy have a meaning for what forwards only. */
const always = [
  ...["mode", "max-buffer-size"],
  ...["cache-disabled", "cache-max-file", "cache-max-size", "cache-compress"],
];
const attributes = ["labels", "labels-regex", "env", "env-regex", "tag"];

/** The options that each driver takes. */
const drivers: Readonly<Record<string, readonly string[]>> = {
  fluentd: [
    ...attributes,
    ...["fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-buffer-limit"],
    ...["fluentd-retry-wait", "fluentd-max-retries", "fluentd-sub-second-precision"],
    ...["fluentd-request-ack", "fluentd-async-reconnect-interval", "fluentd-write-timeout"],
  ],
  gelf: [
    ...attributes,
    ...["gelf-address", "gelf-compression-type", "gelf-compression-level"],
    ...["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"],
  ],
  journald: attributes,
  "json-file": [...attributes, "max-size", "max-file", "compress"],
  local: ["max-size", "max-file", "compress"],
  none: [],
  syslog: [
    ...attributes,
    ...["syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert"],
    ...["syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"],
  ],
};

/** The drivers' names, sorted. */
export const logDriverNames: readonly string[] = Object.keys(drivers).sort();

const facilities =
  "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console solaris-cron local0 local1 local2 local3 local4 local5 local6 local7".split(
    " ",
  );

/** The number of a syslog facility, by name or number; undefined when there is none such. */
export function facilityOf(name: string): number | undefined {
  if (name === "") return facilities.indexOf("daemon");
  const at = facilities.indexOf(name);
  if (at >= 0) return at;
  return /^\d+$/.test(name) && Number(name) < 24 ? Number(name) : undefined;
}

function bad(message: string): Error {
  return fault("invalid", "log-option", message);
}

const units: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** "20m" as bytes; undefined for what is no size. */
export function bytesOf(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([bkmg]?)i?b?$/i.exec(text);
  if (match === null) return undefined;
  return Math.floor(Number(match[1]) * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

function checkSize(options: LogOptions, name: string, prefix = ""): void {
  const value = options[name];
  if (value !== undefined && value !== "-1" && bytesOf(value) === undefined)
    throw bad(`${prefix}invalid size: '${value}'`);
}

function checkCount(options: LogOptions, name: string): void {
  const value = options[name];
  if (value === undefined) return;
  if (!/^[+-]?\d{1,9}$/.test(value))
    throw bad(`strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
  if (Number(value) < 1) throw bad(`${name} cannot be less than 1`);
}

/** What compresses must have something to compress: a file that rotation has left. */
function checkCompression(driver: string, options: LogOptions): void {
  const single = options["max-file"] !== undefined && Number(options["max-file"]) < 2;
  if (!flagOf(options, "compress") || !(single || options["max-size"] === "-1")) return;
  throw bad(
    driver === "local"
      ? "compression cannot be enabled when max file count is 1"
      : "compress cannot be true when max-file is less than 2 or max-size is not set",
  );
}

function checkKept(driver: string, options: LogOptions): void {
  checkSize(options, "max-size", driver === "local" ? "invalid value for max-size: " : "");
  if (driver === "json-file" && options["max-size"] !== undefined)
    if (bytesOf(options["max-size"]) === 0) throw bad("max-size must be a positive number");
  checkCount(options, "max-file");
  checkCompression(driver, options);
}

function checkCopy(options: LogOptions): void {
  for (const name of ["cache-disabled", "cache-compress"])
    if (!isFlag(options[name] ?? ""))
      throw bad(`invalid value for option ${name}: ${options[name]}`);
  checkSize(options, "cache-max-size", "invalid value for option cache-max-size: ");
  checkCount(options, "cache-max-file");
}

function isFlag(value: string): boolean {
  return /^(1|t|true|0|f|false|)$/i.test(value);
}

/** A value that Go's strconv.ParseBool takes for true. Throws a Fault "invalid" for what it refuses. */
export function flagOf(options: LogOptions, name: string, otherwise = "false"): boolean {
  const value = options[name] ?? otherwise;
  if (!isFlag(value))
    throw bad(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax: ${name}`);
  return /^(1|t|true)$/i.test(value);
}

function checkRegex(options: LogOptions, name: string): void {
  try {
    new RegExp(options[name] ?? "");
  } catch {
    throw bad(`invalid regular expression ${JSON.stringify(options[name])} for ${name}`);
  }
}

/** Where records go. */
export type Target =
  | { readonly kind: "udp" | "tcp" | "tls"; readonly host: string; readonly port: number }
  | { readonly kind: "unix" | "unixgram"; readonly path: string };

/** Reads an address such as "tcp://host:port" or "unix:///path". Throws a Fault "invalid". */
export function targetOf(
  address: string,
  kinds: Readonly<Record<string, Target["kind"]>>,
  defaultPort: number,
): Target {
  const match = /^([a-z0-9+]+):\/\/(.*)$/.exec(address);
  const kind = kinds[match?.[1] ?? ""];
  const rest = match?.[2] ?? "";
  if (kind === undefined)
    throw bad(
      `unsupported scheme: '${match?.[1] ?? address}': use ${Object.keys(kinds).join(", ")}`,
    );
  if (kind === "unix" || kind === "unixgram") {
    if (!rest.startsWith("/")) throw bad(`invalid address ${JSON.stringify(address)}: no path`);
    return { kind, path: rest };
  }
  const parts = /^(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?\/?$/.exec(rest);
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3]);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined || port < 1 || port > 65_535)
    throw bad(`invalid address ${JSON.stringify(address)}: use SCHEME://HOST:PORT`);
  return { kind, host, port };
}

/** Where a driver sends; undefined for those that only keep. Throws a Fault "invalid". */
export function logTarget(driver: string, options: LogOptions): Target | undefined {
  switch (driver) {
    case "syslog":
      return targetOf(
        options["syslog-address"] || "unixgram:///dev/log",
        { udp: "udp", tcp: "tcp", "tcp+tls": "tls", unix: "unix", unixgram: "unixgram" },
        options["syslog-address"]?.startsWith("tcp+tls") ? 6514 : 514,
      );
    case "gelf":
      if (!options["gelf-address"]) throw bad("gelf-address is a required parameter");
      return targetOf(options["gelf-address"], { udp: "udp", tcp: "tcp" }, 12_201);
    case "fluentd": {
      const address = options["fluentd-address"] || "localhost:24224";
      const full = address.includes("://") ? address : `tcp://${address}`;
      return targetOf(full, { tcp: "tcp", tls: "tls", unix: "unix" }, 24_224);
    }
    case "journald":
      return { kind: "unixgram", path: JOURNAL_SOCKET };
    default:
      return undefined;
  }
}

const syslogFormats = ["", "rfc3164", "rfc5424", "rfc5424micro"];
const gelfValues: Readonly<Record<string, RegExp>> = {
  "gelf-compression-type": /^(gzip|zlib|none)$/,
  "gelf-compression-level": /^(-1|[0-9])$/,
};

function checkDriverValues(driver: string, options: LogOptions): void {
  logTarget(driver, options);
  checkKept(driver, options);
  checkCopy(options);
  checkSize(options, "fluentd-buffer-limit");
  for (const name of ["fluentd-async", "fluentd-sub-second-precision", "fluentd-request-ack"])
    flagOf(options, name);
  for (const name of ["labels-regex", "env-regex"]) checkRegex(options, name);
  if (facilityOf(options["syslog-facility"] ?? "") === undefined)
    throw bad("invalid syslog facility");
  if (!syslogFormats.includes(options["syslog-format"] ?? "")) throw bad("Invalid syslog format");
  for (const [name, known] of Object.entries(gelfValues)) {
    const value = options[name] ?? "";
    if (value !== "" && !known.test(value))
      throw bad(`unknown value ${JSON.stringify(value)} for log opt "${name}" for gelf log driver`);
  }
}

/** Checks a driver and its options. Throws Faults "invalid" in Docker's words. */
export function checkLogOptions(driver: string, options: LogOptions): void {
  const known = own(drivers, driver);
  if (known === undefined)
    throw fault(
      "invalid",
      "log-driver",
      `logger: no log driver named '${driver}' is registered: there are ${logDriverNames.join(", ")}`,
    );
  const { mode = "" } = options;
  if (!["", "blocking", "non-blocking"].includes(mode))
    throw bad(`logger: logging mode not supported: ${mode}`);
  if (options["max-buffer-size"] !== undefined && mode !== "non-blocking")
    throw bad("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  checkSize(options, "max-buffer-size", "error parsing option max-buffer-size: ");
  for (const name of Object.keys(options))
    if (!known.includes(name) && !always.includes(name))
      throw bad(
        driver === "local"
          ? `unknown log opt '${name}' for log driver local`
          : `unknown log opt '${name}' for ${driver} log driver`,
      );
  checkDriverValues(driver, options);
}
