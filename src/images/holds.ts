/**
 * What must not be deleted for the time being, though nothing that is recorded refers to it yet.
 */

/** Counts who holds what. */
export class Holds {
  private readonly counts = new Map<string, number>();

  /** Hears of keys that nobody holds any more. */
  onRelease: (keys: readonly string[]) => void = () => {};

  /** Holds keys while the work goes on. */
  async during<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    for (const key of keys) this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    try {
      return await work();
    } finally {
      for (const key of keys) {
        const left = (this.counts.get(key) ?? 1) - 1;
        if (left > 0) this.counts.set(key, left);
        else this.counts.delete(key);
      }
      this.onRelease(keys.filter((key) => !this.has(key)));
    }
  }

  has(key: string): boolean {
    return this.counts.has(key);
  }
}
