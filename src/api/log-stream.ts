/**
 * Log entries as the API streams them: in Docker's frames, or plain with a terminal.
 */

const HEADER = 8;
const encoder = new TextEncoder();

const numbers = { stdout: 1, stderr: 2, error: 3 } as const;

/** One frame of Docker's multiplexed stream: {1 stdout | 2 stderr | 3 an error, 0, 0, 0, length big-endian}, bytes. */
export function frame(stream: keyof typeof numbers, data: Uint8Array): Uint8Array {
  const framed = new Uint8Array(HEADER + data.length);
  framed[0] = numbers[stream];
  new DataView(framed.buffer).setUint32(4, data.length);
  framed.set(data, HEADER);
  return framed;
}

interface Entry {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  readonly time: string;
}

/** Turns entries into what is sent; a timestamp stands only where a line begins. */
export class LogFormatter<E extends Entry> {
  private readonly lineBegins = { stdout: true, stderr: true };

  constructor(
    private readonly tty: boolean,
    private readonly timestamps: boolean,
    /** What stands before each line; undefined: nothing, not even a space. */
    private readonly details?: (entry: E) => string,
  ) {}

  format(entry: E): Uint8Array {
    const begins = this.lineBegins[entry.stream];
    const details = this.details === undefined || !begins ? "" : `${this.details(entry)} `;
    const stamp = `${this.timestamps && begins ? `${entry.time} ` : ""}${details}`;
    this.lineBegins[entry.stream] = entry.text.endsWith("\n");
    const data = encoder.encode(stamp + entry.text);
    return this.tty ? data : frame(entry.stream, data);
  }

  /** What tells a client that something could not be read: it prints it, and ends with a status of its own. */
  error(message: string): Uint8Array {
    const data = encoder.encode(`Error grabbing logs: ${message}\n`);
    return this.tty ? data : frame("error", data);
  }
}
