/**
 * The progress of a pull, push or load: a stream of JSON values as lines of text.
 */
interface Progress {
  readonly id?: string;
  readonly status?: string;
  readonly stream?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

/** Writes each step; the many values that only count bytes are left out. Throws the stream's error. */
export async function showProgress(
  values: AsyncIterable<Progress>,
  write: (text: string) => void,
): Promise<void> {
  for await (const value of values) {
    if (value.error !== undefined) throw new Error(value.error);
    if (value.stream !== undefined) write(value.stream);
    else if (value.status !== undefined && value.progressDetail?.current === undefined)
      write(`${value.id ? `${value.id}: ` : ""}${value.status}\n`);
  }
}
