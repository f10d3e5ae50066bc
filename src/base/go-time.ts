/**
 * Times in RFC 3339 as Go writes them: pure.
 */

/** A time as Go writes it again: with no zeros behind its fraction. */
export function withoutZeros(time: string): string {
  return time.replace(/\.(\d*?)0*(?=Z|[+-])/, (_, digits: string) => digits && `.${digits}`);
}

/** A time as time.Time's String() has it: 2026-11-24 08:00:00.5 +0000 UTC. */
export function goTimeText(time: string): string {
  const [, date, clock, zone = "Z"] = /^(\S+?)T([\d:.]+)(.+)$/.exec(withoutZeros(time)) ?? [];
  const offset = zone.replace(":", "");
  return `${date} ${clock} ${/Z|[+-]0000/.test(offset) ? "+0000 UTC" : `${offset} ${offset}`}`;
}
