/**
 * Addresses in front of ports, as Go's net.JoinHostPort writes them.
 */

/** An address as it stands in front of a port: one of IPv6 in brackets. */
export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
