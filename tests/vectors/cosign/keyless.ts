/** Keyless signatures, good and damaged ones, with what cosign's own code says of each, as record-keyless.ts has written it down. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";

/** A signature, and whom it is wanted of. */
export interface KeylessCase {
  readonly name: string;
  /** Of the image's manifest. */
  readonly digest: string;
  /** A bundle, or undefined: what lies under cosign's tag. */
  readonly bundle?: string;
  readonly payload?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** A subject is one of the two; the second is what a URI begins with. */
  readonly subject?: string | undefined;
  readonly subjectPrefix?: string;
  readonly issuer: string;
  /** Which of the logs is trusted. */
  readonly log: "own" | "other";
  /** What cosign says against it; empty: nothing. */
  readonly cosign: string;
}

/** All of them. */
export interface KeylessVectors {
  /** Of cosign. */
  readonly version: string;
  /** The image's manifest. */
  readonly manifest: string;
  /** The authorities, PEM. */
  readonly authorities: string;
  /** The logs' keys, PEM. */
  readonly logs: Readonly<Record<KeylessCase["log"], string>>;
  readonly cases: readonly KeylessCase[];
}

/** Reads those of a version. */
export function keylessVectors(version: string): KeylessVectors {
  const path = join(import.meta.dir, `keyless-${version}.deflate`);
  return JSON.parse(inflateRawSync(readFileSync(path)).toString()) as KeylessVectors;
}
