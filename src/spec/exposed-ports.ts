/**
 * Ports as images and containers declare them.
 */

/** One port or a range ("80", "80/TCP", "5000-5002/udp") as the ports it means: "80/tcp". Undefined for anything else. */
export function exposedPorts(text: string): string[] | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < 1 || last > 65_535 || first > last) return undefined;
  const protocol = (match[3] ?? "tcp").toLowerCase();
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol}`);
}
