/**
 * References as a user writes them, taken apart for the API: nothing is checked here.
 */

/** "repository[:tag]". A colon after the last slash begins the tag; one before it, a port. */
export function splitTag(reference: string): {
  readonly repository: string;
  readonly tag: string | undefined;
} {
  const colon = reference.indexOf(":", reference.lastIndexOf("/") + 1);
  if (colon < 0) return { repository: reference, tag: undefined };
  return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

/** An image's name as part of an address: its slashes stay. */
export function imagePath(name: string): string {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** The same with the default registry and its default path, as the last line of a pull shows it. */
export function wholeName(name: string): string {
  const [first = ""] = name.split("/");
  if (name.includes("/") && (/[.:]/.test(first) || first === "localhost")) return name;
  return `docker.io/${name.includes("/") ? "" : "library/"}${name}`;
}
