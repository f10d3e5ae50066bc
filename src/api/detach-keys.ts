/**
 * The key sequence by which a terminal's client leaves without ending the container.
 */
import { fault } from "../base/errors.ts";

const DEFAULT = "ctrl-p,ctrl-q";

/** "ctrl-p,ctrl-q", "a,b", "ctrl-@" as bytes. Throws a Fault "invalid" in Docker's words. */
export function parseDetachKeys(text: string): number[] {
  return (text || DEFAULT).split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1]?.toUpperCase();
    if (control === undefined)
      throw fault("invalid", "detach-keys", `Invalid detach keys (${text}) provided`);
    return control.charCodeAt(0) & 0x1f;
  });
}

/** Watches input for the sequence; what might be its beginning is held back until that is clear. */
export class DetachWatcher {
  private matched = 0;

  /** `left` is called once the sequence is complete. */
  constructor(
    private readonly keys: readonly number[],
    private readonly left: () => void = () => {},
  ) {}

  /** The bytes to pass on, and whether the sequence is complete. */
  feed(chunk: Uint8Array): { pass: Uint8Array; detached: boolean } {
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.keys[this.matched]) {
        this.matched++;
        if (this.matched === this.keys.length) {
          this.left();
          return { pass: Uint8Array.from(pass), detached: true };
        }
        continue;
      }
      // Not the sequence after all: what was held back goes first.
      pass.push(...this.keys.slice(0, this.matched));
      this.matched = byte === this.keys[0] ? 1 : 0;
      if (this.matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}
