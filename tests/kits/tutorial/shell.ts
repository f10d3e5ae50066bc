/**
 * One bash for a chapter, so that variables and directories last from command to command. What it and its commands write
 * to stdout and to stderr comes in one stream, as on a terminal.
 */
import { writeFileSync } from "node:fs";
import { containerPrompt } from "./document.ts";

/** A command that stands still longer has failed. */
const PATIENCE_MS = 90_000;
const escapes = /\x1b\[[0-9;?]*[A-Za-z]/g;
const controlKeys = /^(\^[A-Z])+$/;
/** How long a prompt stands still that is not drawn anew: a shell does that when it learns the terminal's size. */
const STILL_MS = 200;

/** What a terminal shows of it: a line that begins anew takes the place of what was there. */
function shownOf(written: string): string {
  const lines = written.replace(escapes, "").split(/\r*\n/);
  return lines.map((line) => line.slice(line.lastIndexOf("\r") + 1)).join("\n");
}

/** A shell that is told one command after the other. */
export class ChapterShell {
  private written = "";
  private readonly child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  private readonly ended: Promise<void>;

  /** `file`: where the command stands that is carried out. */
  constructor(
    private readonly file: string,
    cwd: string,
    env: Readonly<Record<string, string>>,
  ) {
    this.child = Bun.spawn(["bash", "--norc", "--noprofile"], {
      cwd,
      env,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.ended = this.listen();
    this.send("exec 2>&1\n");
  }

  private async listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stdout)
      this.written += decoder.decode(chunk, { stream: true });
  }

  private send(text: string): void {
    this.child.stdin.write(text);
    this.child.stdin.flush();
  }

  /** Waits until what has been written so far satisfies the condition. */
  private async until(condition: (shown: string) => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!condition(this.written)) {
      if (Date.now() > deadline) throw new Error(`${what} did not come, but: ${this.written}`);
      await Bun.sleep(2);
    }
  }

  /** Waits for a container's prompt behind a place, and until nothing more comes. */
  private async prompt(from: number, what: string): Promise<void> {
    let before = -1;
    while (before !== this.written.length) {
      before = this.written.length;
      await this.until((written) => /(^|\n)\/\S* # $/.test(shownOf(written.slice(from))), what);
      await Bun.sleep(STILL_MS);
    }
  }

  /** Carries out a command, types what is to be typed at the prompts of its container; gives the lines that came. */
  async run(command: string, typed: readonly string[]): Promise<string[]> {
    this.written = "";
    writeFileSync(this.file, `${command}\n`);
    const end = `\x1e${crypto.randomUUID()}`;
    if (typed.length === 0) this.send(`. ${this.file} </dev/null`);
    else this.send(`script -qefc ${quoted(`stty rows 30 cols 100; ${command}`)} /dev/null`);
    this.send(`; berth_status=$?; printf '%s' '${end}'; (exit $berth_status)\n`);
    let from = 0;
    for (const line of typed) {
      await this.prompt(from, `the prompt for "${line}"`);
      from = this.written.length;
      const control = controlKeys.test(line);
      const keys = line.replace(/\^([A-Z])/g, (_, key: string) =>
        String.fromCharCode(key.charCodeAt(0) - 64),
      );
      this.send(control ? keys : `${line}\n`);
    }
    await this.until((shown) => shown.includes(end), `the end of "${command}"`);
    const lines = shownOf(this.written.replace(end, "")).split("\n");
    if (lines.at(-1) === "") lines.pop();
    return withKeys(lines, typed);
  }

  /** Ends it, with what it has started in the background. */
  async close(): Promise<void> {
    this.send("\nkill $(jobs -p) 2>/dev/null; wait; exit\n");
    this.child.stdin.end();
    await this.child.exited;
    await this.ended;
  }
}

/** The lines with the control keys that end a visit: a terminal does not show them, only what is said of them. */
function withKeys(lines: readonly string[], typed: readonly string[]): string[] {
  const keys = typed.at(-1);
  const at = lines.findLastIndex((line) => containerPrompt.test(line));
  return lines.flatMap((line, index) => {
    if (keys === undefined || !controlKeys.test(keys) || index !== at) return line.trimEnd();
    const [, prompt = "", said = ""] = containerPrompt.exec(line) ?? [];
    return said === "" ? `${prompt}${keys}` : [`${prompt}${keys}`, said];
  });
}

/** A word for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
