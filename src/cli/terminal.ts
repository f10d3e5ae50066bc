/**
 * The terminal on a descriptor: whether there is one, its size, raw mode. Through libc by bun:ffi, loaded only
 * when the descriptor is a terminal, because node's tty module costs 18 ms of start-up.
 */

const TCGETS = 0x5401n;
const TCSETSW = 0x5403n;
const TIOCGWINSZ = 0x5413n;

type Ioctl = (fd: number, request: bigint, argument: Uint8Array) => number;
let loaded: Ioctl | undefined;

function ioctl(): Ioctl {
  if (loaded) return loaded;
  const { dlopen } = require("bun:ffi") as typeof import("bun:ffi");
  const library = dlopen("libc.so.6", {
    ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  });
  loaded = (fd, request, argument) => library.symbols.ioctl(fd, request, argument);
  return loaded;
}

/** What node:tty asks itself, without the 12 ms that it takes to load. */
interface TtyBinding {
  isTTY(fd: number): boolean;
}
const bindings = process as unknown as { binding(name: "tty_wrap"): TtyBinding };

/** True when the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return bindings.binding("tty_wrap").isTTY(fd);
}

/** True when the descriptor is a terminal on which the cursor can be moved. */
export function isScreen(fd: number): boolean {
  return !["", "dumb"].includes(process.env.TERM ?? "") && isTerminal(fd);
}

/** True when what is written there may have colours (https://no-color.org, --no-color). */
export function hasColours(fd: number): boolean {
  return !process.env.NO_COLOR && isScreen(fd);
}

/** Rows and columns of the terminal, or undefined when there is none. */
export function terminalSize(fd: number): { rows: number; columns: number } | undefined {
  const size = new Uint16Array(4);
  if (!isTerminal(fd) || ioctl()(fd, TIOCGWINSZ, new Uint8Array(size.buffer)) !== 0)
    return undefined;
  return { rows: size[0] ?? 0, columns: size[1] ?? 0 };
}

/** The size of the terminal on stdout, or else on stdin, as the API has it: rows, columns. */
export function consoleSize(): number[] | undefined {
  const size = terminalSize(1) ?? terminalSize(0);
  return size && [size.rows, size.columns];
}

/** Signals that end a program which says nothing of them, and their numbers. */
const ENDING = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;
/** What a shell adds to a signal's number for the status of whom it ended. */
const BY_SIGNAL = 128;

/**
 * Puts the terminal in raw mode (as cfmakeraw(3)), returns what restores it. It is restored at exit too,
 * however the program ends short of SIGKILL. With `polled`, a read gives what there is and does not wait.
 */
export function rawMode(fd: number, polled = false): () => void {
  const before = new Uint8Array(64);
  if (ioctl()(fd, TCGETS, before) !== 0) throw new Error("the input device is not a TTY");
  const raw = before.slice();
  const words = new Uint32Array(raw.buffer);
  words[0] = (words[0] ?? 0) & ~0o2753; // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
  words[1] = (words[1] ?? 0) & ~0o1; // OPOST
  words[2] = ((words[2] ?? 0) & ~0o460) | 0o60; // CSIZE PARENB, then CS8
  words[3] = (words[3] ?? 0) & ~0o100113; // ECHO ECHONL ICANON ISIG IEXTEN
  raw[17 + 6] = polled ? 0 : 1; // VMIN
  raw[17 + 5] = 0; // VTIME
  const endings = Object.entries(ENDING).map(([signal, number]) => {
    // An exit runs what is to be done at the end; a signal's own effect would not.
    const end = () => process.exit(BY_SIGNAL + number);
    process.on(signal, end);
    return () => void process.off(signal, end);
  });
  ioctl()(fd, TCSETSW, raw);
  const restore = () => {
    for (const forget of endings) forget();
    process.off("exit", restore);
    ioctl()(fd, TCSETSW, before);
  };
  process.on("exit", restore);
  return restore;
}
