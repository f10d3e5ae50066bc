/**
 * What docker's client refuses before it asks the daemon: values of flags that are none, and modes that nothing has.
 */
import { ExitError } from "../command.ts";
import { type Parsed, readValue } from "../flags.ts";
import { net } from "../late-modules.ts";

/** An address, perhaps with blanks around it. */
export function isAddress(text: string): boolean {
  return net().isIP(text.trim()) !== 0 && !text.includes("%");
}

/** `NAME:ADDRESS`, `NAME=ADDRESS`, with brackets around it if one likes, as the API takes it. Throws in Docker's words. */
export function extraHost(value: string): string {
  const at = value.includes("=") ? value.indexOf("=") : value.indexOf(":");
  const name = value.slice(0, Math.max(at, 0));
  if (name === "" || name.includes(":"))
    throw new Error(`bad format for add-host: ${JSON.stringify(value)}`);
  const given = value.slice(at + 1);
  if (given === "host-gateway") return `${name}:${given}`;
  const address = /^\[(.+)\]$/.exec(given)?.[1] ?? given;
  if (!isAddress(address))
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${name}:${address}`;
}

const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(`^(${LABEL}(?:\\.${LABEL})*)\\.?\\s*$`);

/** A search domain; a point stands for none at all. Throws in Docker's words. */
export function searchDomain(value: string): string {
  const domain = value.trim();
  if (domain === ".") return domain;
  const name = DOMAIN.exec(domain)?.[1] ?? "";
  if (!/[a-zA-Z]/.test(name) || name.length >= 255)
    throw new Error(`${domain} is not a valid domain`);
  return name;
}

const SYSCTLS =
  /^(?:kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|net\..*|fs\.mqueue\..*)$/s;

function checkSysctl(value: string): void {
  if (!value.includes("=") || !SYSCTLS.test(value.split("=", 1)[0] ?? ""))
    throw new Error(`sysctl '${value}' is not allowed`);
}

function checkDeviceRule(value: string): void {
  if (!/^[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(value))
    throw new Error(`invalid device cgroup format '${value}'`);
}

function checkDns(value: string): void {
  if (!isAddress(value)) throw new Error(`IP address is not correctly formatted: ${value}`);
}

function checkLink(value: string): void {
  const parts = value.split(":");
  if (value === "") throw new Error("empty string specified for links");
  if (parts.length > 2) throw new Error(`bad format for links: ${value}`);
}

const values: Readonly<Record<string, (value: string) => unknown>> = {
  "add-host": extraHost,
  "device-cgroup-rule": checkDeviceRule,
  dns: checkDns,
  "dns-search": searchDomain,
  sysctl: checkSysctl,
};

/** Throws a UsageError for a link that is none. */
export function checkLinks(parsed: Parsed): void {
  for (const value of parsed.all("link")) readValue("--link", value, checkLink);
}

const WINDOWS = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"];

/** Throws a UsageError for a value that its flag cannot have, an ExitError for a flag of another system's. */
export function checkValues(parsed: Parsed): void {
  const foreign = WINDOWS.filter((name) => parsed.has(name)).map(
    (name) =>
      `"--${name}" is only supported on a berth daemon running on windows, but the berth daemon is running on linux`,
  );
  if (foreign.length > 0) throw new ExitError(1, foreign.join("\n"));
  if (parsed.on("use-api-socket"))
    throw new Error(
      "--use-api-socket is not supported: a container that has the daemon's socket is root on the host, so name it yourself: -v /run/berth/berth.sock:/var/run/docker.sock",
    );
  checkLinks(parsed);
  for (const [name, read] of Object.entries(values))
    for (const value of parsed.all(name)) readValue(`--${name}`, value, read);
}

/** Throws in Docker's words for a mode of a namespace that there is not. */
export function checkModes(parsed: Parsed): void {
  const isContainer = /^container:.+$/s.test(parsed.text("pid"));
  const isOneOf = (flag: string, ...modes: string[]) => ["", ...modes].includes(parsed.text(flag));
  if (!isContainer && !isOneOf("pid", "host")) throw new Error("--pid: invalid PID mode");
  if (!isOneOf("uts", "host")) throw new Error("--uts: invalid UTS mode");
  // Docker has no other mode than the host's.
  const isOwn = /^(?:auto|remap)(?::.*)?$/s.test(parsed.text("userns"));
  if (!isOwn && !isOneOf("userns", "host")) throw new Error("--userns: invalid USER mode");
  if (!isOneOf("cgroupns", "host", "private")) throw new Error("--cgroupns: invalid CGROUP mode");
}
