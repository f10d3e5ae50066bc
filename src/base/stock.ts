/**
 * Things that take long to make, held ready.
 */
import { messageOf } from "./errors.ts";
import { log } from "./log.ts";

/** How long after a taking new ones are made: whoever has taken one comes first. */
const PAUSE_MS = 20;

/** A stock of some kind of thing. */
export class Stock<T> {
  private readonly ready: T[] = [];
  private filling: Promise<void> | undefined;
  private closed = false;

  constructor(
    /** As a warning names one. */
    private readonly what: string,
    private readonly size: number,
    private readonly make: () => Promise<T>,
    private readonly drop: (one: T) => Promise<void>,
  ) {}

  /** One that is ready; undefined when there is none, which is then made by whoever needs it. The next are made soon. */
  take(): T | undefined {
    setTimeout(() => this.fill(), PAUSE_MS);
    return this.ready.shift();
  }

  /** Begins to make what is missing. */
  fill(): void {
    if (this.filling !== undefined || this.closed || this.ready.length >= this.size) return;
    this.filling = this.fillNow()
      .catch((error) => log.warn(`cannot prepare ${this.what}`, { error: messageOf(error) }))
      .finally(() => {
        this.filling = undefined;
      });
  }

  private async fillNow(): Promise<void> {
    while (!this.closed && this.ready.length < this.size) this.ready.push(await this.make());
  }

  /** Lets go of everything; nothing is made any more. */
  async close(): Promise<void> {
    this.closed = true;
    await this.filling;
    for (const one of this.ready.splice(0)) await this.drop(one);
  }
}
