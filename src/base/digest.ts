/** How content is named. */

/** The digest of bytes, or of a text in UTF-8: "sha256:…". */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}
