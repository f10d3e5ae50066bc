/**
 * Compresses the files that rotation leaves of containers' logs. While a container runs its shim alone renames them: it is
 * offered the compressed copy of a file, and puts it where the file is by then. Whatever is cut off by a death, of either, is
 * a file that is still plain, and a temporary one that the next look removes.
 */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { log } from "../base/log.ts";
import { compressFile, rotatedFiles } from "../logging/index.ts";
import type { Container } from "./container.ts";
import type { EngineSettings } from "./deps.ts";
import { compresses } from "./log-copy.ts";
import { logPath } from "./places.ts";

/** A compressed file that the shim has been given and has not put in its place yet. */
interface Offer {
  readonly path: string;
  /** Held open, so that no other file gets its inode. */
  readonly source: FileHandle;
}

/** One container's work. */
interface Work {
  busy: boolean;
  again: boolean;
  offer: Offer | undefined;
}

const SUFFIX = ".tmp";
/** ESRCH: the shim has ended. */
const NO_SHIM = 3;

/** What a daemon that was killed has left. */
function removeLeftovers(path: string): void {
  for (const name of new Bun.Glob(`${basename(path)}.*${SUFFIX}`).scanSync(dirname(path)))
    rmSync(`${dirname(path)}/${name}`, { force: true });
}

/** Puts a compressed file in its place, where nobody else does. */
function swap(path: string, inode: number, compressed: string): void {
  for (const file of rotatedFiles(path)) {
    if (file.compressed || statSync(file.path, { throwIfNoEntry: false })?.ino !== inode) continue;
    renameSync(compressed, `${file.path}.gz`);
    rmSync(file.path);
    return;
  }
  rmSync(compressed, { force: true });
}

/** All compression of this daemon: one file at a time. */
export class LogCompression {
  private readonly works = new Map<string, Work>();
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly settings: EngineSettings) {}

  /** A log's files have changed, or may have: compresses what is to be compressed. */
  look(container: Container): void {
    const { record } = container;
    if (!compresses(this.settings, record)) return;
    const work = this.works.get(record.id) ?? { busy: false, again: false, offer: undefined };
    this.works.set(record.id, work);
    work.again = true;
    if (!work.busy) void this.run(container, work);
  }

  /** Looks at the logs of containers that do not run; the shims of the others tell of theirs. */
  async catchUp(containers: readonly Container[]): Promise<void> {
    for (const container of containers) {
      if (!container.running && container.record.hasBeenStarted) this.look(container);
      await Bun.sleep(0);
    }
  }

  private async run(container: Container, work: Work): Promise<void> {
    const { id } = container;
    work.busy = true;
    try {
      while (work.again && !container.removed) {
        work.again = false;
        await this.once(container, work);
      }
    } catch (error) {
      if (!container.removed) log.warn("a log cannot be compressed", { id, error });
    } finally {
      work.busy = false;
      if (work.offer === undefined || container.removed) this.works.delete(id);
      if (container.removed) await work.offer?.source.close();
    }
  }

  /** Compresses the newest file that is plain: the oldest is gone soonest. */
  private async once(container: Container, work: Work): Promise<void> {
    const path = logPath(this.settings, container.record);
    if (work.offer !== undefined) {
      // The shim has not come to it; it tells when it has.
      if (container.shim !== undefined && existsSync(work.offer.path)) return;
      await work.offer.source.close();
      work.offer = undefined;
    }
    removeLeftovers(path);
    const plain = rotatedFiles(path).findLast(({ compressed }) => !compressed);
    if (plain === undefined) return;
    const source = await open(plain.path, "r");
    const { ino } = await source.stat();
    const compressed = `${path}.${ino}${SUFFIX}`;
    try {
      await this.inTurn(() => compressFile(source, compressed));
      await this.handOver(container, work, { path: compressed, source }, ino);
    } finally {
      if (work.offer === undefined) await source.close();
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work);
    this.turn = next.catch(() => {});
    return next;
  }

  private async handOver(
    container: Container,
    work: Work,
    offer: Offer,
    inode: number,
  ): Promise<void> {
    // Set before it is asked for: what the shim tells of it comes first.
    work.offer = offer;
    const error = (await container.shim?.swapLog(inode, offer.path)) ?? NO_SHIM;
    if (error === 0) return;
    work.offer = undefined;
    if (error !== NO_SHIM) {
      rmSync(offer.path, { force: true });
      return;
    }
    const path = logPath(this.settings, container.record);
    await container.exclusively(async () => {
      // One that has been started meanwhile has a shim that tells of its files.
      if (container.shim !== undefined || container.removed) return;
      swap(path, inode, offer.path);
      work.again = true;
    });
  }
}
