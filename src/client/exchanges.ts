/**
 * Requests over connections that are kept alive, and bodies that stream: what one request by itself does without.
 */
import { gathered } from "../base/gather.ts";
import type { OnUnreachable } from "./client.ts";
import { Connection } from "./connection.ts";
import { ATTEMPTS, BETWEEN_ATTEMPTS_MS, NoAnswer } from "./head.ts";
import type { Host } from "./host.ts";
import { ApiResponse, readHead } from "./response.ts";

/** The connections to one daemon. */
export class Exchanges {
  #idle: Connection[] = [];

  constructor(
    readonly host: Host,
    readonly onUnreachable: OnUnreachable,
  ) {}

  /** Closes what is kept open. */
  close(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  /**
   * Sends a request (its head, and a body that is no stream) with what streams after it, and reads the answer's head.
   * `bodiless`: the answer is to HEAD.
   */
  async exchange(
    request: string,
    body: AsyncIterable<Uint8Array> | undefined,
    bodiless: boolean,
  ): Promise<ApiResponse> {
    const repeatable = /^(GET|HEAD) /.test(request) && !("ssh" in this.host.target);
    for (let attempt = 1; ; ) {
      const kept = this.#idle.pop();
      if (kept?.ended) continue;
      const connection = kept ?? (await this.open());
      // Nobody answers what is cut off by its source: the connection is given up, and the failure is the source's.
      const source: { failure?: Error } = {};
      const failed = (error: unknown): void => {
        source.failure = error instanceof Error ? error : new Error(String(error));
        connection.close();
      };
      const stream = body && tellingFailure(body, failed);
      const sending = send(connection, request, stream);
      // A refusal may come before the body is sent; the answer then says more than the write's failure.
      sending.catch(() => {});
      const head = await readHead(connection).catch((error) => {
        throw source.failure ?? error;
      });
      if (source.failure !== undefined) throw source.failure;
      if (head) {
        const answer = { ...head, bodiless };
        return new ApiResponse(connection, answer, (c) => this.#idle.push(c));
      }
      connection.close();
      if (kept) continue;
      if (!repeatable || ++attempt > ATTEMPTS) {
        await sending;
        throw new NoAnswer();
      }
      await Bun.sleep(BETWEEN_ATTEMPTS_MS);
    }
  }

  /** A connection on which nothing has been said. */
  async open(): Promise<Connection> {
    try {
      return await Connection.open(this.host);
    } catch (error) {
      if (await this.onUnreachable(error)) return await Connection.open(this.host);
      throw error;
    }
  }
}

async function send(
  connection: Connection,
  request: string,
  body: AsyncIterable<Uint8Array> | undefined,
): Promise<void> {
  await connection.write(request);
  if (body === undefined) return;
  for await (const piece of gathered(body)) {
    await connection.write(`${piece.length.toString(16)}\r\n`);
    await connection.write(piece);
    await connection.write("\r\n");
  }
  await connection.write("0\r\n\r\n");
}

/** The same bytes; a failure of their source is told, unlike one of whoever takes them. */
async function* tellingFailure(
  stream: AsyncIterable<Uint8Array>,
  tell: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    tell(error);
    throw error;
  }
}
