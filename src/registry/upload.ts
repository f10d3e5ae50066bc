/**
 * Sending a blob: in one piece, and from where it broke off when the connection does not hold (distribution-spec,
 * "Pushing a blob in chunks").
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Fault, fault, messageOf } from "../base/errors.ts";
import type { Session } from "./session.ts";

const CHUNK = 1 << 20;
const BREAKS_MAX = 5;

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
    private readonly refusal: (response: Response) => Promise<Error>,
  ) {}

  /** Sends a file whose digest is known. `count` is told how many bytes have gone. Rejects with a Fault. */
  async send(path: string, digest: string, count: (bytes: number) => void): Promise<void> {
    const fd = openSync(path, "r");
    try {
      const { size } = fstatSync(fd);
      let at = 0;
      for (let breaks = 0; at < size; ) {
        try {
          at = await this.piece(fd, at, size, count);
        } catch (error) {
          if (error instanceof Fault && error.code !== "registry-unreachable") throw error;
          if (++breaks >= BREAKS_MAX) throw error;
          at = await this.arrived();
        }
      }
      await this.finish(digest);
    } finally {
      closeSync(fd);
    }
  }

  private async piece(
    fd: number,
    from: number,
    size: number,
    count: (bytes: number) => void,
  ): Promise<number> {
    const response = await this.session.request({
      method: "PATCH",
      target: this.url,
      once: true,
      headers: {
        "Content-Type": "application/octet-stream",
        "Content-Range": `${from}-${size - 1}`,
        "Content-Length": String(size - from),
      },
      body: () => fileFrom(fd, from, size, count),
    });
    if (response.status !== 202) throw await this.refusal(response);
    await response.body?.cancel();
    this.goOnAt(response);
    return size;
  }

  private goOnAt(response: Response): void {
    const location = response.headers.get("location");
    if (location !== null) this.url = new URL(location, this.url).href;
  }

  /** How many bytes the registry has. */
  private async arrived(): Promise<number> {
    const response = await this.session.request({ target: this.url });
    if (response.status !== 204) throw await this.refusal(response);
    this.goOnAt(response);
    const last = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1];
    return last === undefined || last === "0" ? 0 : Number(last) + 1;
  }

  private async finish(digest: string): Promise<void> {
    const url = new URL(this.url);
    url.searchParams.set("digest", digest);
    const response = await this.session.request({ method: "PUT", target: url.href });
    if (response.status !== 201)
      throw response.status >= 500
        ? fault("failed", "registry-answer", messageOf(await this.refusal(response)))
        : await this.refusal(response);
    await response.body?.cancel();
  }
}
