/**
 * Sending a blob: in one piece, and from where it broke off when the connection does not hold (distribution-spec,
 * "Pushing a blob in chunks").
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Fault, fault } from "../base/errors.ts";
import { type Patience, Watch } from "./body.ts";
import { parseUploadRange } from "./headers.ts";
import { dropBody, type Session } from "./session.ts";
import { ledTo } from "./targets.ts";

const CHUNK = 1 << 20;
const BREAKS_MAX = 5;
/** What a later try may do better: nobody there, a registry in trouble, too many requests. */
const passing = new Set(["registry-unreachable", "registry-answer", "registry-busy"]);
/** A registry may need a while to store what has come, before it says so. */
const STORING = 10;

/** How a blob is sent. */
export interface SendOptions {
  readonly digest: string;
  /** Told how many bytes have gone. */
  readonly count: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

async function* fileFrom(fd: number, from: number, size: number, count: (at: number) => void) {
  for (let at = from; at < size; ) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - at));
    const length = readSync(fd, chunk, 0, chunk.length, at);
    if (length === 0) throw new Error("the blob is shorter than it was");
    at += length;
    yield chunk.subarray(0, length);
    count(at);
  }
}

/** A blob on its way. */
export class BlobUpload {
  constructor(
    private readonly session: Session,
    private url: string,
    private readonly patience: Patience,
    private readonly refusal: (response: Response) => Promise<Error>,
  ) {}

  /** Sends a file whose digest is known. Rejects with a Fault, and when the signal says so. */
  async send(path: string, options: SendOptions): Promise<void> {
    const fd = openSync(path, "r");
    try {
      const { size } = fstatSync(fd);
      let at = 0;
      for (let breaks = 0; at < size; ) {
        try {
          at = await this.piece(fd, at, size, options);
        } catch (error) {
          if (options.signal?.aborted || !(error instanceof Fault)) throw error;
          if (!passing.has(error.code) || ++breaks >= BREAKS_MAX) throw error;
          await Bun.sleep(this.patience.firstWait * 2 ** breaks);
          at = await this.arrived(size, options);
        }
      }
      await this.finish(options);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives it up before anything is sent. Registries that do not know how to forget uploads throw them away in time. */
  async cancel(signal?: AbortSignal): Promise<void> {
    dropBody(await this.session.request({ method: "DELETE", target: this.url, signal }));
  }

  private async piece(
    fd: number,
    from: number,
    size: number,
    { count, signal }: SendOptions,
  ): Promise<number> {
    const watch = new Watch({ silence: this.patience.silence * STORING });
    const sent = (at: number) => {
      watch.saw(CHUNK);
      count(at);
    };
    try {
      const response = await this.session.request({
        method: "PATCH",
        target: this.url,
        once: true,
        headers: {
          "Content-Type": "application/octet-stream",
          "Content-Range": `${from}-${size - 1}`,
          "Content-Length": String(size - from),
        },
        body: () => fileFrom(fd, from, size, sent),
        signal: AbortSignal.any([watch.signal, ...(signal ? [signal] : [])]),
      });
      if (response.status !== 202) throw await this.refusal(response);
      this.goOnAt(response);
      return size;
    } finally {
      watch.end();
    }
  }

  private goOnAt(response: Response): void {
    dropBody(response);
    const location = response.headers.get("location");
    if (location !== null) this.url = ledTo(location, new URL(this.url)).href;
  }

  /** How many bytes the registry has. */
  private async arrived(size: number, { signal }: SendOptions): Promise<number> {
    const response = await this.session.request({ target: this.url, signal });
    if (response.status !== 204) throw await this.refusal(response);
    this.goOnAt(response);
    const at = parseUploadRange(response.headers.get("range")) ?? 0;
    if (at <= size) return at;
    throw fault(
      "failed",
      "registry-content",
      `the registry says that it has ${at} bytes of a blob of ${size}`,
    );
  }

  private async finish({ digest, signal }: SendOptions): Promise<void> {
    const url = new URL(this.url);
    url.searchParams.set("digest", digest);
    const response = await this.session.request({ method: "PUT", target: url.href, signal });
    if (response.status !== 201) throw await this.refusal(response);
    dropBody(response);
  }
}
