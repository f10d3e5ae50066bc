/**
 * The progress of a pull, push or load: a stream of JSON values as lines of text. On a terminal each layer has a line,
 * which changes as it goes on.
 */
import { isTerminal, terminalSize } from "./terminal.ts";

interface Progress {
  readonly id?: string;
  readonly status?: string;
  readonly stream?: string;
  readonly error?: string;
  readonly progress?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly aux?: {
    readonly manifestPushedInsteadOfIndex?: boolean;
    readonly originalIndex?: { readonly digest: string };
    readonly selectedManifest?: { readonly digest: string };
  };
}

type Write = (text: string) => void;

/** Lines of a terminal by what they tell of, the newest at the bottom. */
class Lines {
  private readonly rows = new Map<string, number>();
  private count = 0;

  constructor(
    private readonly write: Write,
    private readonly columns: number,
  ) {}

  show(id: string, text: string): void {
    let row = this.rows.get(id);
    if (row === undefined) {
      row = this.count++;
      this.rows.set(id, row);
      this.write("\n");
    }
    const up = this.count - row;
    this.write(`\x1b[${up}A\x1b[2K\r${text.slice(0, this.columns - 1)}\x1b[${up}B\r`);
  }

  /** A line of its own, below all others, which stay as they are from now on. */
  add(text: string): void {
    this.rows.clear();
    this.count = 0;
    this.write(`${text}\n`);
  }
}

/**
 * Shows each step; without a terminal the many values that only count bytes are left out, and nothing at all without a
 * place to write to. Throws the stream's error.
 */
export async function showProgress(
  values: AsyncIterable<Progress>,
  write: Write | undefined,
): Promise<void> {
  const lines =
    write !== undefined && isTerminal(1)
      ? new Lines(write, terminalSize(1)?.columns || 80)
      : undefined;
  for await (const value of values) {
    if (value.error !== undefined) throw new Error(value.error);
    if (write === undefined) continue;
    const { id = "", status, progress, progressDetail } = value;
    if (value.aux?.manifestPushedInsteadOfIndex) {
      const { originalIndex, selectedManifest } = value.aux;
      write(
        `\nInfo -> Not all multiplatform-content is present and only the available single-platform image was pushed\n${originalIndex?.digest} -> ${selectedManifest?.digest}\n`,
      );
    } else if (value.stream !== undefined) write(value.stream);
    else if (status === undefined) continue;
    else if (lines !== undefined && id !== "" && progressDetail !== undefined)
      lines.show(id, `${id}: ${status}${progress === undefined ? "" : ` ${progress}`}`);
    else if (progressDetail?.current === undefined) {
      const text = `${id === "" ? "" : `${id}: `}${status}`;
      if (lines === undefined) write(`${text}\n`);
      else lines.add(text);
    }
  }
}
