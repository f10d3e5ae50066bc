/**
 * Which manifest a client can read, by its Accept headers.
 */

/** True if a client takes a media type; one that names none takes everything. */
export function accepts(header: string | undefined, mediaType: string): boolean {
  const ranges = (header ?? "")
    .split(",")
    .map((item) => {
      const [type = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
      return { type, refused: parameters.some((one) => /^q=0(\.0*)?$/.test(one)) };
    })
    .filter(({ type }) => type !== "");
  if (ranges.length === 0) return true;
  const [group] = mediaType.split("/");
  const fitting = ["*/*", `${group}/*`, mediaType.toLowerCase()];
  return ranges.some(({ type, refused }) => !refused && fitting.includes(type));
}
