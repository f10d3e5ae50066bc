/**
 * A COPY or ADD as plain data, for whoever does it elsewhere.
 */
import type { CopyWork } from "../dockerfile/evaluate.ts";

/** Whom files are to belong to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A tree to copy from. */
export interface TreeSpec {
  /** On the host; merged, the uppermost first. */
  readonly directories: readonly string[];
  /** Patterns of what is not to be seen; paths are from the tree's root. */
  readonly ignore?: readonly string[] | undefined;
  /** Whether files' attributes count: not those of files from outside. */
  readonly attributes: boolean;
  /** A file with digests of contents (digests.ts); only of a tree whose files nobody but this daemon changes. */
  readonly digests?: string | undefined;
}

/** Something that was fetched: a file, or a directory whose contents are meant. */
export interface FetchedSpec {
  readonly tree: TreeSpec;
  /** In the tree. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** What is copied, to where. */
export interface CopySpec {
  readonly work: CopyWork;
  /** Where its sources are. */
  readonly tree: TreeSpec;
  /** What was fetched for it. */
  readonly fetched: readonly FetchedSpec[];
  /** The directories of the file system that is copied to, the uppermost first. */
  readonly base: readonly string[];
  /** Undefined: files keep their owners. */
  readonly owner: Owner | undefined;
  /** The time of what has none of its own; seconds since 1970. */
  readonly time: number;
  /** No time is later; seconds since 1970. */
  readonly latest?: number | undefined;
}
