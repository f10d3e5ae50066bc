/**
 * Whether a command said what the tutorial shows: what differs from run to run (ids, times, sizes, processes, hardware
 * addresses) is made the same on both sides, by rules that hold for every line of every chapter.
 */

/** What differs, and what stands for it. The order matters: longer things come first. */
const rules: readonly (readonly [RegExp, string])[] = [
  // Ids: of images, containers, networks, layers; interfaces and namespaces.
  [/\b[0-9a-f]{64}\b/g, "<id>"],
  [/\b[0-9a-f]{12}\b/g, "<id>"],
  [/\bveth[0-9a-z]{4,}\b/g, "<veth>"],
  [/\b(mnt|net|uts|ipc|pid|user|cgroup|time):\[\d+\]/g, "$1:[<inode>]"],
  [/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "<mac>"],
  [/@if\d+/g, "@if<n>"],
  [/"Pid": \d+/g, '"Pid": <pid>'],
  [/\/proc\/\d+/g, "/proc/<pid>"],
  // Ids of the host that a container's root may be, as ps cuts them short.
  [/(?<=^|\s)(1[89]|2[01])\d{5,8}\+?(?=\s)/g, "<host-id>"],
  // Moments and spans of time.
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d:?\d\d)( UTC)?)?/g, "<time>"],
  [/\b[A-Z][a-z]{2} [ \d]\d (\d\d:\d\d(:\d\d)?( \d{4})?)/g, "<time>"],
  [/\b\d{4}-\d\d-\d\d\b/g, "<time>"],
  [
    /\b(Less than a second|About an? (minute|hour)|\d+ (second|minute|hour|day|week|month|year)s?)\b/g,
    "<span>",
  ],
  [/\b\d+(\.\d+)? ?(ms|s)\b/g, "<span>"],
  // The machine.
  [/\blinux\/(amd64|arm64)\b/g, "linux/<machine>"],
  // Sizes and shares.
  [/\b\d+(\.\d+)? ?([kMGT]i?)?B\b/g, "<size>"],
  [/\b\d+(\.\d+)?%/g, "<share>"],
  // Ports that the kernel chooses.
  [/:(3[2-9]|[45]\d|6[0-5])\d{3}\b/g, ":<port>"],
];

/** Columns whose cells are different in every run. */
const changing = new Set(["NS", "PID", "PPID", "C", "STIME", "TIME", "RSS", "VSZ"]);

/** What all runs have in common of an answer's lines. */
export function normalised(lines: readonly string[]): string[] {
  let columns: readonly string[] = [];
  return lines.map((line) => {
    if (line === "...") return line;
    const words = line.trim().split(/\s+/);
    if (words.length > 1 && words.every((word) => /^[A-Z%]+$/.test(word))) columns = words;
    else if (columns.some((name) => changing.has(name)))
      for (const [at, name] of columns.entries())
        if (changing.has(name) && words[at] !== undefined) words[at] = `<${name}>`;
    let text = words.join(" ");
    for (const [pattern, instead] of rules) text = text.replace(pattern, instead);
    return text;
  });
}

/**
 * For each line of `expected` the line of `actual` that stands for it ("..." has none), or undefined where the two do not
 * agree. Lines that "..." stands for are as few as possible.
 */
export function aligned(
  expected: readonly string[],
  actual: readonly string[],
): (number | undefined)[] | undefined {
  const wanted = normalised(expected);
  const got = normalised(actual);
  const search = (at: number, from: number): (number | undefined)[] | undefined => {
    if (at === wanted.length) return from === got.length ? [] : undefined;
    if (wanted[at] === "...") {
      for (let next = from; next <= got.length; next++) {
        const rest = search(at + 1, next);
        if (rest !== undefined) return [undefined, ...rest];
      }
      return undefined;
    }
    if (from === got.length || wanted[at] !== got[from]) return undefined;
    const rest = search(at + 1, from + 1);
    return rest && [from, ...rest];
  };
  return search(0, 0);
}

/** The answer as the document shows it: what came, shortened where the old text is shortened. */
export function shortened(expected: readonly string[], actual: readonly string[]): string[] {
  const places = aligned(expected, actual);
  if (places !== undefined)
    return places.map((place) => (place === undefined ? "..." : (actual[place] ?? "")));
  const first = expected.indexOf("...");
  if (first === -1) return [...actual];
  // What is before the first gap and behind the last one has its place; between them, lines that begin with the same word.
  const tail = expected.length - 1 - expected.lastIndexOf("...");
  const head = actual.slice(0, first);
  const end = Math.max(head.length, actual.length - tail);
  const middle: string[] = [];
  let from = head.length;
  for (const line of expected.slice(first, expected.length - tail)) {
    if (line === "...") {
      middle.push(line);
      continue;
    }
    const word = firstWord(line);
    const found = actual.findIndex((other, at) => at >= from && firstWord(other) === word);
    if (found === -1 || found >= end) continue;
    middle.push(actual[found] ?? "");
    from = found + 1;
  }
  const shown = [...head, ...middle, ...actual.slice(end)];
  return shown.filter((line, at) => line !== "..." || shown[at - 1] !== "...");
}

const firstWord = (line: string) => normalised([line])[0]?.split(" ")[0];
