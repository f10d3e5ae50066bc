/**
 * Sizes and ages in Docker's words.
 */
const sizeUnits = ["B", "kB", "MB", "GB", "TB", "PB"];

/** A size with `digits` significant digits, powers of 1000: 1.23MB. */
export function humanSize(bytes: number, digits = 3): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < sizeUnits.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${Number(size.toPrecision(digits))}${sizeUnits[unit]}`;
}

/** A size with four significant digits, powers of 1024: 1.234MiB. */
export function binarySize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Number(size.toPrecision(4))}${units[unit]}`;
}

/** A duration in seconds as Docker says it: About a minute, 3 hours. */
export function humanDuration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.round(seconds / 3600);
  if (seconds < 1) return "Less than a second";
  if (Math.floor(seconds) === 1) return "1 second";
  if (seconds < 60) return `${Math.floor(seconds)} seconds`;
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`;
}

/** A local time as Go prints it by default: 2026-11-24 08:00:00 +0000 UTC. */
export function goTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const name = offset === 0 ? "UTC" : zone;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone} ${name}`;
}

/** Cuts to `width` characters, the last being an ellipsis when something was cut. */
export function ellipsis(text: string, width: number): string {
  const letters = [...text];
  return letters.length <= width ? text : `${letters.slice(0, width - 1).join("")}…`;
}
