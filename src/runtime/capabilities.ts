/**
 * Capability names and the kernel's bit masks (capabilities(7)).
 */

const names = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

/** Every capability's name, by its number. */
export const capabilityNames: readonly string[] = names;

/** The mask of a list of names; names that no kernel has count for nothing. */
export function capabilityMask(list: readonly string[]): bigint {
  let mask = 0n;
  for (const name of list) {
    const number = names.indexOf(name);
    if (number >= 0) mask |= 1n << BigInt(number);
  }
  return mask;
}

/** The names of a mask, in the order of their numbers. */
export function capabilityList(mask: bigint): string[] {
  return names.filter((_, number) => (mask >> BigInt(number)) & 1n);
}
