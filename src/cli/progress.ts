/**
 * The progress of a pull, push or load: a stream of JSON values as lines of text. On a terminal each layer has a line,
 * which changes as it goes on (`progress-bars.ts`).
 */
import { draw } from "./output.ts";
import { ProgressBars } from "./progress-bars.ts";
import { isScreen, terminalSize } from "./terminal.ts";

interface Progress {
  readonly id?: string;
  readonly status?: string;
  readonly stream?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly aux?: {
    readonly manifestPushedInsteadOfIndex?: boolean;
    readonly originalIndex?: { readonly digest: string };
    readonly selectedManifest?: { readonly digest: string };
  };
}

type Write = (text: string) => void;

function pushedInstead({ originalIndex, selectedManifest }: NonNullable<Progress["aux"]>): string {
  return `\nInfo -> Not all multiplatform-content is present and only the available single-platform image was pushed\n${originalIndex?.digest} -> ${selectedManifest?.digest}\n`;
}

/**
 * Shows each step; without a terminal the many values that only count bytes are left out, and nothing at all without a
 * place to write to (`fd` is where that leads). Throws the stream's error.
 */
export async function showProgress(
  values: AsyncIterable<Progress>,
  write: Write | undefined,
  fd: 1 | 2 = 1,
): Promise<void> {
  const bars =
    write !== undefined && isScreen(fd)
      ? new ProgressBars(
          (text) => draw(text, fd),
          () => terminalSize(fd) ?? { rows: 24, columns: 80 },
        )
      : undefined;
  const say = (text: string): void => {
    bars?.finish();
    write?.(text);
  };
  try {
    for await (const value of values) {
      if (value.error !== undefined) throw new Error(value.error);
      if (write === undefined) continue;
      const { id = "", status, progressDetail } = value;
      if (value.aux?.manifestPushedInsteadOfIndex) say(pushedInstead(value.aux));
      else if (value.stream !== undefined) say(value.stream);
      else if (status === undefined) continue;
      else if (bars !== undefined && id !== "" && progressDetail !== undefined) {
        const { current, total } = progressDetail;
        bars.show(id, status, current === undefined ? undefined : { current, total });
      } else if (progressDetail?.current === undefined)
        say(`${id === "" ? "" : `${id}: `}${status}\n`);
    }
  } finally {
    bars?.finish();
  }
}
