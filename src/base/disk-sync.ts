/**
 * Waiting for the disk: one file system's data, written out beside the event loop, and once for all who ask meanwhile.
 */
import { fault } from "./errors.ts";

/** The file system of one directory. */
export class DiskSync {
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;

  constructor(private readonly directory: string) {}

  /** Resolves when all that was written before the call has reached the disk. Rejects with a Fault when it could not. */
  flush(): Promise<void> {
    // What is under way may have passed by what the caller has written last.
    if (this.running === undefined) return this.begin();
    this.next ??= this.running
      .catch(() => {})
      .then(() => {
        this.next = undefined;
        return this.begin();
      });
    return this.next;
  }

  /** Keeps the disk busy, so that a later flush has less to do. */
  nudge(): void {
    // Whoever flushes hears of what is wrong.
    if (this.running === undefined) this.begin().catch(() => {});
  }

  private begin(): Promise<void> {
    this.running = this.run().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    const child = Bun.spawn(["sync", "-f", this.directory], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [status, said] = await Promise.all([child.exited, child.stderr.text()]);
    if (status !== 0)
      throw fault("failed", "disk-sync", `cannot write to the disk: ${said.trim()}`);
  }
}
