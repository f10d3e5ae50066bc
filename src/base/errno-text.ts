/**
 * The kernel's refusals in the words of Go's programs, which Docker's users know.
 */

const texts: Readonly<Record<number, string>> = {
  1: "operation not permitted",
  2: "no such file or directory",
  5: "input/output error",
  6: "no such device or address",
  11: "resource temporarily unavailable",
  12: "cannot allocate memory",
  13: "permission denied",
  15: "block device required",
  16: "device or resource busy",
  17: "file exists",
  19: "no such device",
  20: "not a directory",
  21: "is a directory",
  22: "invalid argument",
  24: "too many open files",
  28: "no space left on device",
  30: "read-only file system",
  38: "function not implemented",
  40: "too many levels of symbolic links",
  93: "protocol not supported",
  95: "operation not supported",
  99: "cannot assign requested address",
  101: "network is unreachable",
  104: "connection reset by peer",
  110: "connection timed out",
  111: "connection refused",
  112: "host is down",
  113: "no route to host",
  115: "operation now in progress",
  116: "stale NFS file handle",
};

/** An error of the kernel in the words of Go's programs. */
export function errnoText(errno: number): string {
  return texts[errno] ?? `errno ${errno}`;
}

/** Why a system call of this process failed, in the words of Go's programs. */
export function goReason(error: unknown): string {
  const number = error instanceof Error && "errno" in error ? Number(error.errno) : 0;
  return number === 0 ? String(error) : errnoText(Math.abs(number));
}
