/**
 * Log entries as the API streams them: in Docker's frames, or plain with a terminal.
 */

const HEADER = 8;
const encoder = new TextEncoder();

/** One frame of Docker's multiplexed stream: {1 stdout | 2 stderr, 0, 0, 0, length big-endian}, bytes. */
export function frame(stream: "stdout" | "stderr", data: Uint8Array): Uint8Array {
  const framed = new Uint8Array(HEADER + data.length);
  framed[0] = stream === "stdout" ? 1 : 2;
  new DataView(framed.buffer).setUint32(4, data.length);
  framed.set(data, HEADER);
  return framed;
}

/** Turns entries into what is sent; a timestamp stands only where a line begins. */
export class LogFormatter {
  private readonly lineBegins = { stdout: true, stderr: true };

  constructor(
    private readonly tty: boolean,
    private readonly timestamps: boolean,
    /** What stands before each line; undefined: nothing, not even a space. */
    private readonly details?: string,
  ) {}

  format(entry: {
    readonly stream: "stdout" | "stderr";
    readonly text: string;
    readonly time: string;
  }): Uint8Array {
    const begins = this.lineBegins[entry.stream];
    const details = this.details === undefined || !begins ? "" : `${this.details} `;
    const stamp = `${this.timestamps && begins ? `${entry.time} ` : ""}${details}`;
    this.lineBegins[entry.stream] = entry.text.endsWith("\n");
    const data = encoder.encode(stamp + entry.text);
    return this.tty ? data : frame(entry.stream, data);
  }
}
