/**
 * The frames of a zstd stream (RFC 8878), followed without unpacking them: whether the stream ends where a frame does.
 * The runtime's decompressor says nothing of a stream that is cut short.
 */

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

type Step = "magic" | "skippable" | "descriptor" | "header" | "block" | "data" | "checksum";

/** Follows one stream. */
export class ZstdFrames {
  private step: Step = "magic";
  /** Bytes of the present step, as far as they are needed. */
  private held: number[] = [];
  private wanted = 4;
  /** Bytes to pass over. */
  private left = 0;
  private hasChecksum = false;
  private last = false;
  private broken = false;

  /** Whether the bytes so far end with a frame. What is no zstd at all is left to the decompressor. */
  get complete(): boolean {
    return this.broken || (this.step === "magic" && this.held.length === 0);
  }

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.broken; ) {
      if (this.left > 0) {
        const passed = Math.min(this.left, bytes.length - at);
        this.left -= passed;
        at += passed;
        if (this.left === 0) this.afterData();
        continue;
      }
      this.held.push(bytes[at++] ?? 0);
      if (this.held.length < this.wanted) continue;
      const value = this.held.reduceRight((sum, byte) => sum * 256 + byte, 0);
      this.held = [];
      this.advance(value);
    }
  }

  private expect(step: Step, bytes: number): void {
    this.step = step;
    this.wanted = bytes;
  }

  /** Passes over data; there may be none. */
  private pass(bytes: number): void {
    this.left = bytes;
    if (bytes === 0) this.afterData();
  }

  private advance(value: number): void {
    if (this.step === "magic") {
      if (value === FRAME) this.expect("descriptor", 1);
      else if (value >= SKIPPABLE && value < SKIPPABLE + 16) this.expect("skippable", 4);
      else this.broken = true;
    } else if (this.step === "skippable") {
      this.pass(value);
    } else if (this.step === "descriptor") {
      const isSingle = (value & 0x20) !== 0;
      this.hasChecksum = (value & 0x04) !== 0;
      const dictionary = [0, 1, 2, 4][value & 3] ?? 0;
      const content = [isSingle ? 1 : 0, 2, 4, 8][value >> 6] ?? 0;
      const size = (isSingle ? 0 : 1) + dictionary + content;
      this.step = "header";
      this.pass(size);
    } else if (this.step === "block") {
      this.last = (value & 1) !== 0;
      const kind = (value >> 1) & 3;
      this.step = "data";
      // A run has one byte, whatever its length.
      this.pass(kind === 1 ? 1 : value >> 3);
    }
  }

  private afterData(): void {
    if (this.step === "data" && this.last && this.hasChecksum) {
      this.step = "checksum";
      this.left = 4;
    } else if (this.step === "header" || (this.step === "data" && !this.last))
      this.expect("block", 3);
    else this.expect("magic", 4);
  }
}
