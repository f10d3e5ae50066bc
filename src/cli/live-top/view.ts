/**
 * The table as a terminal shows it: as many columns and rows as fit. Pure.
 */
import { binarySize, humanSize } from "../human.ts";
import { cutText, plainText } from "../terminal-text.ts";
import type { Sorting, Usage } from "./model.ts";

const BOLD = "\x1b[1m";
const REVERSE = "\x1b[7m";
const RESET = "\x1b[0m";
const BARS = "▁▂▃▄▅▆▇█";
/** Below this the curve says nothing: an idle container's noise is no mountain. */
const LEAST_FULL_PERCENT = 25;

/** What is to be shown. */
export interface Screen {
  readonly rows: number;
  readonly columns: number;
  /** Whether the terminal takes colours and the like. */
  readonly styled: boolean;
}

/** What a person has chosen. */
export interface Choice {
  readonly sorting: Sorting;
  /** The id of the row that keys are for. */
  readonly selected: string;
  /** A word about what goes on, or a question. */
  readonly note: string;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
  readonly sorting?: Sorting;
  /** Columns with a higher number go first when there is no room. */
  readonly spare: number;
  readonly text: (usage: Usage) => string;
}

/** The last looks at a processor's use as a curve of so many letters. */
export function sparkline(history: readonly number[], width: number): string {
  const shown = history.slice(-width);
  const full = Math.max(LEAST_FULL_PERCENT, ...shown);
  const bars = shown.map((value) =>
    BARS.charAt(Math.min(BARS.length - 1, Math.floor((value / full) * BARS.length))),
  );
  return bars.join("").padStart(width);
}

const rate = (bytes: number) => `${humanSize(Math.round(bytes))}/s`;
const CURVE = 12;

const columns: readonly Column[] = [
  { title: "NAME", width: 24, sorting: "name", spare: 0, text: ({ name }) => name },
  {
    ...{ title: "CPU %", width: 8, right: true, sorting: "cpu", spare: 0 },
    text: ({ cpuPercent }) => cpuPercent.toFixed(1),
  },
  { title: "", width: CURVE, spare: 4, text: ({ cpuHistory }) => sparkline(cpuHistory, CURVE) },
  {
    ...{ title: "MEM", width: 10, right: true, sorting: "memory", spare: 1 },
    text: ({ memory }) => binarySize(memory),
  },
  {
    ...{ title: "MEM %", width: 6, right: true, spare: 6 },
    text: ({ memory, memoryLimit }) =>
      memoryLimit === 0 ? "-" : ((memory / memoryLimit) * 100).toFixed(1),
  },
  {
    ...{ title: "NET IN", width: 10, right: true, sorting: "network", spare: 2 },
    text: ({ received }) => rate(received),
  },
  { title: "NET OUT", width: 10, right: true, spare: 2, text: ({ sent }) => rate(sent) },
  {
    ...{ title: "READ", width: 10, right: true, sorting: "block", spare: 3 },
    text: ({ readRate }) => rate(readRate),
  },
  { title: "WRITE", width: 10, right: true, spare: 3, text: ({ writeRate }) => rate(writeRate) },
  { title: "PIDS", width: 5, right: true, spare: 5, text: ({ pids }) => String(pids) },
  { title: "IMAGE", width: 20, spare: 7, text: ({ image }) => image },
];

/** The columns that fit, the dispensable ones left out first. */
function fitting(width: number): readonly Column[] {
  let shown = columns;
  const needs = (list: readonly Column[]) =>
    list.reduce((sum, column) => sum + column.width + 1, -1);
  while (shown.length > 1 && needs(shown) > width) {
    const most = Math.max(...shown.map(({ spare }) => spare));
    const last = shown.findLastIndex(({ spare }) => spare === most);
    shown = shown.toSpliced(last, 1);
  }
  return shown;
}

function cell(text: string, { width, right }: Column): string {
  const cut = cutText(plainText(text), width);
  const gap = " ".repeat(Math.max(0, width - Bun.stringWidth(cut)));
  return right ? gap + cut : cut + gap;
}

/** Lines from the top of the screen to its bottom. */
export function drawTable(usages: readonly Usage[], choice: Choice, screen: Screen): string[] {
  const width = Math.max(1, screen.columns - 1);
  const style = (code: string, text: string) => (screen.styled ? `${code}${text}${RESET}` : text);
  const shown = fitting(width);
  const titles = shown.map((column) => {
    const mark = column.sorting === choice.sorting ? `${column.title}*` : column.title;
    return cell(mark, column);
  });
  const used = usages.reduce((sum, { memory }) => sum + memory, 0);
  const busy = usages.reduce((sum, { cpuPercent }) => sum + cpuPercent, 0);
  const head = `${usages.length} running, CPU ${busy.toFixed(1)} %, memory ${binarySize(used)}`;
  const keys =
    choice.note ||
    "c CPU  m memory  n network  b block  a name  ↑↓ select  s stop  l logs  e shell  q quit";
  const room = Math.max(0, screen.rows - 3);
  const at = Math.max(
    0,
    usages.findIndex(({ id }) => id === choice.selected),
  );
  // The selected row is always among those that are shown.
  const first = Math.max(0, Math.min(at - room + 1, usages.length - room));
  const rows = usages.slice(first, first + room).map((usage) => {
    const line = cutText(shown.map((column) => cell(column.text(usage), column)).join(" "), width);
    if (usage.id !== choice.selected) return line;
    return screen.styled ? style(REVERSE, line) : `>${line.slice(1)}`;
  });
  const empty = Array.from({ length: room - rows.length }, () => "");
  return [
    cutText(head, width),
    style(BOLD, cutText(titles.join(" "), width)),
    ...rows,
    ...empty,
    style(choice.note === "" ? "" : REVERSE, cutText(keys, width)),
  ].slice(0, Math.max(1, screen.rows));
}
