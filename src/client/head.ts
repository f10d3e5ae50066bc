/**
 * An HTTP/1.1 response's head (RFC 9112), and a refusal.
 */

/** A daemon's refusal, with the text that it gave. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** The connection ended before any of an answer came, as one does whose daemon is just being killed. */
export class NoAnswer extends Error {
  constructor() {
    super("unexpected EOF: the daemon closed the connection without an answer");
    this.name = "NoAnswer";
  }
}

/** How often a request that changes nothing is made when it gets no answer: by then a killed daemon's socket is refused. */
export const ATTEMPTS = 3;
/** What a process takes to let go of its sockets once it has been killed. */
export const BETWEEN_ATTEMPTS_MS = 20;

/** What precedes a body. Header names are in lower case. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** The answer to HEAD: its headers speak of a body that does not come. */
  readonly bodiless?: boolean;
}

/** Reads a head's text, without the empty line at its end. Throws an Error for what is none. */
export function parseHead(text: string): ResponseHead {
  const [first = "", ...lines] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (!status) throw new Error(`malformed HTTP response ${JSON.stringify(first)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status, headers };
}
