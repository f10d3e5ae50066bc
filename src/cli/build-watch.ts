/**
 * build --watch: builds again whenever a file that the build would be sent is another than it was.
 *
 * What the kernel tells of changes only wakes this up; whether there is something new is found by looking at the files, so
 * that what .dockerignore leaves out wakes nobody, and a change that came while a build went on is not missed.
 */
import { watch } from "node:fs";
import { err } from "./output.ts";

/** Files that are looked at. */
export interface Watched {
  /** Where they are, with all that is below. */
  readonly directory: string;
  /** What tells each file's versions apart, by their paths. Throws while there is nothing to build from. */
  files(): ReadonlyMap<string, string>;
}

/** So long nothing has to change until a build begins: an editor or a checkout writes more than one file. */
const QUIET_MS = 150;
/** Where the kernel cannot tell of changes, files are looked at so often. */
const POLL_MS = 2_000;
const NAMED_MAX = 3;

type Versions = ReadonlyMap<string, string>;

function versionsOf(all: readonly Watched[]): Versions {
  const found = new Map<string, string>();
  for (const { directory, files } of all)
    try {
      for (const [path, version] of files()) found.set(`${directory}/${path}`, version);
    } catch {
      // A Dockerfile that is just being replaced, say.
    }
  return found;
}

function changed(before: Versions, now: Versions): string[] {
  const own = [...now].filter(([path, version]) => before.get(path) !== version);
  const gone = [...before.keys()].filter((path) => !now.has(path));
  return [...own.map(([path]) => path), ...gone];
}

/** Wakes whoever waits when something may have changed. */
class Alarm {
  private wake = () => {};
  private rang = false;
  private polling: Timer | undefined;

  constructor(deep: readonly string[], flat: readonly string[]) {
    const ring = () => {
      this.rang = true;
      this.wake();
    };
    try {
      for (const directory of [...deep, ...flat]) {
        const watcher = watch(directory, { recursive: deep.includes(directory) }, ring);
        watcher.on("error", () => this.poll(ring));
      }
    } catch {
      // No more of the kernel's watches are to be had.
      this.poll(ring);
    }
  }

  private poll(ring: () => void): void {
    this.polling ??= setInterval(ring, POLL_MS);
  }

  /** Resolves when something has happened since it was last asked, and nothing more happens for a moment. */
  async quiet(): Promise<void> {
    if (!this.rang)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    while (this.rang) {
      this.rang = false;
      await Bun.sleep(QUIET_MS);
    }
    this.wake = () => {};
  }
}

function shown(paths: readonly string[]): string {
  const named = paths.slice(0, NAMED_MAX).join(", ");
  const more = paths.length - NAMED_MAX;
  return more > 0 ? `${named} and ${more} more` : named;
}

/** Builds now and after each change; it ends with the process. `build` tells of its own failures. */
export async function buildAndWatch(
  watched: readonly Watched[],
  /** More directories where something may change that counts, without what is below. */
  beside: readonly string[],
  build: () => Promise<void>,
): Promise<never> {
  const directories = watched.map(({ directory }) => directory);
  const alarm = new Alarm(directories, beside);
  for (;;) {
    const before = versionsOf(watched);
    await build();
    err("\nWatching for changes; Ctrl-C ends.\n");
    let paths = changed(before, versionsOf(watched));
    while (paths.length === 0) {
      await alarm.quiet();
      paths = changed(before, versionsOf(watched));
    }
    err(`\nChanged: ${shown(paths)}\n`);
  }
}
