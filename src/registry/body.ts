/**
 * Bodies of answers: bounded in size and in time, whatever the registry does.
 */
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";

/** How long a registry is waited for, in milliseconds. */
export interface Patience {
  /** For the head of an answer. */
  readonly answer: number;
  /** For the whole of a document. */
  readonly document: number;
  /** For each ENOUGH bytes of a blob, in either direction. */
  readonly silence: number;
  /** After so long it is known whether one request is fast enough for a blob. */
  readonly hurry: number;
  /** Before the second try; it doubles with each. */
  readonly firstWait: number;
  /** Whoever wants us to wait longer is taken for a refusal. */
  readonly waitMax: number;
}

/** The usual patience. */
export const patient: Patience = {
  answer: 30_000,
  document: 60_000,
  silence: 30_000,
  hurry: 2000,
  firstWait: 250,
  waitMax: 60_000,
};

/** A blob that brings less within the patience for silence stands still. */
const ENOUGH = 1024;

/** No document of a registry is larger (distribution-spec, "Pushing Manifests": 4 MiB are to be taken). */
export const DOCUMENT_MAX = 4 << 20;

/** The whole of a body. Throws a Fault when it is larger than `most`, or takes too long. */
export async function documentOf(
  response: Response,
  what: string,
  most: number,
  { document }: Pick<Patience, "document">,
): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0);
  const reader = response.body.getReader();
  const late = Promise.withResolvers<never>();
  const alarm = setTimeout(
    () =>
      late.reject(
        fault(
          "failed",
          "registry-slow",
          `${what}: the registry took longer than ${document / 1000} s to send it`,
        ),
      ),
    document,
  );
  const pieces: Uint8Array[] = [];
  try {
    for (let length = 0; ; ) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) return Buffer.concat(pieces, length);
      length += value.length;
      if (length > most)
        throw fault(
          "failed",
          "registry-content",
          `${what}: the registry sends more than ${most} bytes`,
        );
      pieces.push(value);
    }
  } finally {
    clearTimeout(alarm);
    late.promise.catch(() => {});
    // What is not wanted any more is not waited for.
    reader.cancel().catch(() => {});
  }
}

/** A document that must be a JSON object; undefined when it is something else. */
export function jsonObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** Raises an alarm when too little has happened for too long. */
export class Watch {
  private alarm: ReturnType<typeof setTimeout> | undefined;
  private since = 0;
  private readonly abort = new AbortController();

  constructor(private readonly patience: Pick<Patience, "silence">) {
    this.begin();
  }

  /** Aborts when the alarm is raised. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  private begin(): void {
    clearTimeout(this.alarm);
    this.since = 0;
    const { silence } = this.patience;
    const why = `next to nothing came for ${silence / 1000} s`;
    this.alarm = setTimeout(() => this.abort.abort(new Error(why)), silence);
  }

  /** Tells of bytes that went through. */
  saw(bytes: number): void {
    this.since += bytes;
    if (this.since >= ENOUGH) this.begin();
  }

  end(): void {
    clearTimeout(this.alarm);
  }
}

/** The pieces of a body; throws when it stands still. The watch's signal must be the request's. */
export async function* watched(response: Response, watch: Watch): ByteStream {
  try {
    for await (const piece of (response.body ?? []) as ByteStream) {
      watch.saw(piece.length);
      yield piece;
    }
  } finally {
    watch.end();
  }
}
