/**
 * `berth top` without a container: all that run, live, with keys to sort, to stop, and to open logs and a shell.
 */
import { readSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import type { ApiClient } from "../../client/index.ts";
import type { ContainerStatsResponse, ContainerSummary } from "../../spec/engine-api.ts";
import type { Context } from "../command.ts";
import { draw, err } from "../output.ts";
import { targetArguments } from "../target.ts";
import { hasColours, isTerminal, rawMode, terminalSize } from "../terminal.ts";
import { type Sorting, sorted, type Usage, Watch } from "./model.ts";
import { drawTable } from "./view.ts";

const LOOK_MS = 1000;
const KEYS_MS = 40;
/** So many containers are asked at once. */
const AT_ONCE = 16;
/** A stop's note stays for so long. */
const NOTE_MS = 4000;
const [ENTER_SCREEN, LEAVE_SCREEN] = ["\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"];

const sortKeys: Readonly<Record<string, Sorting>> = {
  c: "cpu",
  m: "memory",
  n: "network",
  b: "block",
  a: "name",
};
const [UP, DOWN, INTERRUPT] = ["\x1b[A", "\x1b[B", "\x03"];

async function look(client: ApiClient, watch: Watch): Promise<Usage[]> {
  const running = await client.json<ContainerSummary[]>("GET", "/containers/json");
  const stats = new Map<string, ContainerStatsResponse>();
  const queue = running.flatMap(({ Id }) => (Id ? [Id] : []));
  const ask = async () => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      const query = { stream: false, "one-shot": true };
      const path = `/containers/${id}/stats`;
      // One that has gone meanwhile is not there the next time.
      const found = await client
        .json<ContainerStatsResponse>("GET", path, { query })
        .catch(() => undefined);
      if (found !== undefined) stats.set(id, found);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  return watch.look(running, (id) => stats.get(id), performance.now());
}

/** One person at one terminal. */
class Session {
  private usages: readonly Usage[] = [];
  private sorting: Sorting = "cpu";
  private selected = "";
  private note = "";
  private noteUntil = 0;
  private asking: Usage | undefined;
  /** What is on the screen. */
  private drawn = "";
  private restore = () => {};
  private readonly watch = new Watch();

  constructor(private readonly context: Context) {}

  async run(): Promise<number> {
    this.enter();
    try {
      for (let next = 0; ; ) {
        if (performance.now() >= next) {
          next = performance.now() + LOOK_MS;
          this.usages = await look(this.context.client, this.watch);
        }
        for (const key of this.keys()) if (!(await this.press(key))) return 0;
        this.draw();
        await Bun.sleep(KEYS_MS);
      }
    } finally {
      this.leave();
    }
  }

  private enter(): void {
    const restore = rawMode(0, true);
    draw(ENTER_SCREEN);
    this.drawn = "";
    const leave = () => draw(LEAVE_SCREEN);
    process.on("exit", leave);
    this.restore = () => {
      process.off("exit", leave);
      leave();
      restore();
    };
  }

  private leave(): void {
    this.restore();
    this.restore = () => {};
  }

  /** What has been typed; nothing waits for it, so that a program that is called has the terminal for itself. */
  private keys(): string[] {
    const bytes = new Uint8Array(64);
    const text = new TextDecoder().decode(bytes.subarray(0, readSync(0, bytes)));
    return text.match(/\x1b\[[A-D]|[\s\S]/g) ?? [];
  }

  private get table(): Usage[] {
    const list = sorted(this.usages, this.sorting);
    if (!list.some(({ id }) => id === this.selected)) this.selected = list[0]?.id ?? "";
    return list;
  }

  private draw(): void {
    const size = terminalSize(1) ?? { rows: 24, columns: 80 };
    if (this.asking === undefined && performance.now() > this.noteUntil) this.note = "";
    const { sorting, selected, note } = this;
    const styled = hasColours(1);
    const lines = drawTable(this.table, { sorting, selected, note }, { ...size, styled });
    const text = `\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`;
    if (text !== this.drawn) draw(text);
    this.drawn = text;
  }

  private say(note: string): void {
    this.note = note;
    this.noteUntil = performance.now() + NOTE_MS;
  }

  /** False: it is over. */
  private async press(key: string): Promise<boolean> {
    const about = this.asking;
    this.asking = undefined;
    if (about !== undefined) {
      if (key === "y") this.stop(about);
      else this.note = "";
      return key !== INTERRUPT;
    }
    const sorting = sortKeys[key];
    if (sorting !== undefined) this.sorting = sorting;
    else if (key === UP || key === "k") this.move(-1);
    else if (key === DOWN || key === "j") this.move(1);
    else if (key === "q" || key === INTERRUPT) return false;
    else await this.act(key);
    return true;
  }

  private move(by: number): void {
    const list = this.table;
    const at = list.findIndex(({ id }) => id === this.selected) + by;
    this.selected = list[Math.max(0, Math.min(at, list.length - 1))]?.id ?? "";
  }

  private async act(key: string): Promise<void> {
    const usage = this.table.find(({ id }) => id === this.selected);
    if (usage === undefined) return;
    if (key === "s") {
      this.asking = usage;
      this.note = `Stop ${usage.name}? (y/n)`;
    } else if (key === "l") await this.hand("logs", "--follow", "--tail", "100", usage.id);
    else if (key === "e") await this.hand("exec", "-it", usage.id, "sh");
  }

  private stop({ id, name }: Usage): void {
    this.say(`stopping ${name} …`);
    this.context.client.request("POST", `/containers/${id}/stop`).then(
      () => this.say(`${name} has stopped`),
      (error) => this.say(messageOf(error)),
    );
  }

  /** Hands the terminal to another command of berth's until that ends. */
  private async hand(...args: string[]): Promise<void> {
    this.leave();
    // Ctrl-C is for the command.
    const ignore = () => {};
    process.on("SIGINT", ignore);
    const argv = [process.execPath, ...targetArguments(this.context.target), ...args];
    const child = Bun.spawn(argv, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
    const status = await child.exited;
    process.off("SIGINT", ignore);
    this.enter();
    if (status !== 0 && child.signalCode === null)
      this.say(`${args[0]} ended with status ${status}`);
  }
}

/** Shows the live table. Gives the exit status. */
export async function liveTop(context: Context): Promise<number> {
  if (!isTerminal(0) || !isTerminal(1)) {
    err("berth top without a container needs a terminal; for a script: berth stats --no-stream\n");
    return 1;
  }
  return new Session(context).run();
}
