/**
 * Resource limits by name (getrlimit(2)).
 */

const names = [
  "CPU",
  "FSIZE",
  "DATA",
  "STACK",
  "CORE",
  "RSS",
  "NPROC",
  "NOFILE",
  "MEMLOCK",
  "AS",
  "LOCKS",
  "SIGPENDING",
  "MSGQUEUE",
  "NICE",
  "RTPRIO",
  "RTTIME",
];

/** The kernel's number of "RLIMIT_NOFILE" and the like, or undefined. */
export function rlimitNumber(type: string): number | undefined {
  const number = names.indexOf(type.replace(/^RLIMIT_/, ""));
  return number < 0 ? undefined : number;
}
