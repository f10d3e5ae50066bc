/**
 * One request on a connection of its own, its answer read whole: how a short command asks its daemon. Few functions, where
 * `Connection` and `ApiResponse` are a dozen, since each that a start goes through for the first time costs it some 50 µs.
 */
import { Framing } from "./framing.ts";
import { NoAnswer, parseHead } from "./head.ts";

/** An answer (RFC 9112) with all of its body. */
export interface WholeAnswer {
  readonly status: number;
  readonly text: string;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}

/** An answer as far as it has come. */
class Arriving {
  #pieces: Uint8Array[] = [];
  #status = 0;
  #framing: Framing | undefined;

  /** Takes the next bytes; true when the answer is complete. Throws an Error for what is no answer. */
  take(bytes: Uint8Array): boolean {
    if (this.#framing !== undefined) return this.#takeBody(this.#framing, bytes);
    this.#pieces.push(bytes);
    const head = new TextDecoder("latin1").decode(joined(this.#pieces));
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const parsed = parseHead(head.slice(0, end));
    const body = joined(this.#pieces).subarray(end + 4);
    this.#pieces = [];
    this.#status = parsed.status;
    this.#framing = new Framing(parsed);
    return this.#takeBody(this.#framing, body);
  }

  #takeBody(framing: Framing, bytes: Uint8Array): boolean {
    this.#pieces.push(...framing.take(bytes));
    return framing.whole;
  }

  /**
   * The answer, which is complete, or which the connection's end has completed. Throws NoAnswer when nothing came, an Error when
   * a part is missing.
   */
  whole(): WholeAnswer {
    const framing = this.#framing;
    if (framing === undefined && this.#pieces.length === 0) throw new NoAnswer();
    if (framing === undefined || !(framing.endless || framing.whole))
      throw new Error("unexpected EOF");
    return { status: this.#status, text: new TextDecoder().decode(joined(this.#pieces)) };
  }
}

/**
 * Sends a request, whose head says `Connection: close`, and reads the answer. Rejects with the system's error (code ENOENT,
 * ECONNREFUSED, …) when nobody is there, and with NoAnswer when the connection ends before an answer begins.
 */
export function askOnce(
  target: { readonly unix: string } | { readonly hostname: string; readonly port: number },
  request: string,
): Promise<WholeAnswer> {
  return new Promise((resolve, reject) => {
    let unsent = new TextEncoder().encode(request);
    const answer = new Arriving();
    const send = (socket: { write(bytes: Uint8Array): number }) => {
      const sent = unsent.length === 0 ? 0 : socket.write(unsent);
      if (sent > 0) unsent = unsent.subarray(sent);
    };
    const ended = () => {
      try {
        resolve(answer.whole());
      } catch (error) {
        reject(error);
      }
    };
    const socket = {
      binaryType: "uint8array" as const,
      open: send,
      drain: send,
      data(from: { end(): void }, bytes: Uint8Array) {
        try {
          // Bun reuses its buffer once the callback returns.
          if (!answer.take(bytes.slice())) return;
          resolve(answer.whole());
        } catch (error) {
          reject(error);
        }
        from.end();
      },
      end: ended,
      close: ended,
      error: (_: unknown, error: Error) => reject(error),
    };
    const connecting =
      "unix" in target
        ? Bun.connect<undefined>({ unix: target.unix, socket })
        : Bun.connect<undefined>({ hostname: target.hostname, port: target.port, socket });
    connecting.catch(reject);
  });
}
