/**
 * What a Dockerfile is expected to come to: the rows of the conformance suite.
 */

/** A file of a context: its content, or more about it. */
export type ContextFile =
  | string
  | {
      readonly type?: "file" | "directory" | "symlink" | "hardlink" | "fifo";
      readonly content?: string | Uint8Array;
      readonly mode?: number;
      readonly uid?: number;
      readonly mtime?: number;
      readonly link?: string;
      readonly xattrs?: Readonly<Record<string, string>>;
    };

/** A context by its paths, without its Dockerfile. */
export type Files = Readonly<Record<string, ContextFile>>;

/** One build. */
export interface BuildInput {
  readonly dockerfile: string;
  readonly files?: Files;
  /** Parameters of POST /build. */
  readonly query?: Readonly<Record<string, string>>;
}

/** One row. */
export interface Case extends BuildInput {
  readonly name: string;
  /** Fields of the configuration; those that are not named do not matter. */
  readonly config?: Readonly<Record<string, unknown>>;
  /**
   * Everything that is not as in the base, by its path: "755 0:0 text" for a file, "755 0:0 /" for a directory, "-> x" for
   * a symlink, "= x" for a hard link, "gone" for what is missing.
   */
  readonly tree?: Readonly<Record<string, string>>;
  /** The build fails, and says so. */
  readonly error?: RegExp;
  /** Lines of the history that the build added, the oldest first. */
  readonly history?: readonly string[];
  /** Why the classic builder is not asked: it cannot do this, or BuildKit does it otherwise and BuildKit's way counts. */
  readonly notClassic?: string;
}

/** Two builds: what the second one takes from the cache of the first. */
export interface CacheCase extends BuildInput {
  readonly name: string;
  readonly again: Partial<BuildInput>;
  /** For each RUN, COPY, ADD and WORKDIR of the second build that needs work: whether it is there already. */
  readonly hits: readonly boolean[];
  readonly notClassic?: string;
}
