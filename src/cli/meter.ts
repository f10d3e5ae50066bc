/**
 * One bar for what a command moves itself: how much of it there is, how fast it goes, and what is left when that is known.
 */
import { draw } from "./output.ts";
import { ProgressBars } from "./progress-bars.ts";
import { isScreen, terminalSize } from "./terminal.ts";

/** What shows how far something is. */
export interface Meter {
  /** So many bytes are done. */
  at(bytes: number): void;
  /** Takes the bar away, and shows none any more. */
  close(): void;
}

/** A bar on a descriptor; undefined where there is no terminal that can show one. */
export function meterOn(fd: 1 | 2, label: string, total?: number): Meter | undefined {
  if (!isScreen(fd)) return undefined;
  const bars = new ProgressBars(
    (text) => draw(text, fd),
    () => terminalSize(fd) ?? { rows: 24, columns: 80 },
  );
  let closed = false;
  return {
    at(bytes) {
      if (!closed) bars.show("", label, { current: bytes, total });
    },
    close() {
      if (!closed) bars.clear();
      closed = true;
    },
  };
}

/** The same pieces; a bar shows meanwhile how many bytes went by. */
export async function* metered(
  pieces: AsyncIterable<Uint8Array>,
  meter: Meter | undefined,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      bytes += piece.length;
      meter?.at(bytes);
      yield piece;
    }
  } finally {
    meter?.close();
  }
}
