/** One command line with several formats. */

/** The line with each of the formats. */
export const formatted = (line: string, ...formats: readonly string[]) =>
  formats.map((format) => `${line} --format '${format}'`);
