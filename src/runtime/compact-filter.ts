/**
 * Makes a seccomp filter (classic BPF over struct seccomp_data, seccomp(2)) shorter without changing what it says: libseccomp
 * compares the numbers of system calls one by one, though neighbours mostly have one answer. Here they become ranges, found
 * by a search; what looks at arguments is taken over as it is. The kernel compiles the filter at each start and each exec,
 * which costs by its length. Pure.
 */

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP = 0x05; // BPF_JMP | BPF_JA
const EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const GREATER = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const AT_LEAST = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const ANY_BIT = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const known: ReadonlySet<number> = new Set([
  LOAD,
  AND,
  JUMP,
  EQUAL,
  GREATER,
  AT_LEAST,
  ANY_BIT,
  RETURN,
]);
/** Offsets in struct seccomp_data. */
const [NUMBER, ARCHITECTURE] = [0, 4];
const SIZE = 8;
const HIGHEST = 0xffffffff;
/** The farthest that a conditional jump goes. */
const FAR = 255;
/** Filters that need more steps than this to be understood stay as they are. */
const PATIENCE = 200_000;

/** A filter that is not understood; it stays as it is. */
class NotUnderstood extends Error {}

/** Numbers from `from` to the next range's, and the instruction that decides about them: a return, or a look at arguments. */
interface Range {
  readonly from: number;
  readonly to: number;
  readonly at: number;
}

function parse(filter: Uint8Array): Instruction[] {
  const view = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  return Array.from({ length: filter.length / SIZE }, (_, index) => ({
    code: view.getUint16(index * SIZE, true),
    jt: view.getUint8(index * SIZE + 2),
    jf: view.getUint8(index * SIZE + 3),
    k: view.getUint32(index * SIZE + 4, true),
  }));
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * SIZE);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    view.setUint16(index * SIZE, code, true);
    view.setUint8(index * SIZE + 2, jt);
    view.setUint8(index * SIZE + 3, jf);
    view.setUint32(index * SIZE + 4, k, true);
  }
  return bytes;
}

/** The parts of a range for which a comparison holds, and for which it does not. */
function split({ code, k }: Instruction, from: number, to: number) {
  const parts: { from: number; to: number; holds: boolean }[] = [];
  const add = (low: number, high: number, holds: boolean) => {
    const part = { from: Math.max(low, from), to: Math.min(high, to), holds };
    if (part.from <= part.to) parts.push(part);
  };
  if (code === EQUAL) {
    add(0, k - 1, false);
    add(k, k, true);
    add(k + 1, HIGHEST, false);
  } else if (code === GREATER || code === AT_LEAST) {
    const first = code === GREATER ? k + 1 : k;
    add(0, first - 1, false);
    add(first, HIGHEST, true);
  } else throw new NotUnderstood();
  return parts;
}

/** Follows a filter for whole ranges of one field at once. */
class Walker {
  private steps = 0;

  constructor(
    private readonly program: readonly Instruction[],
    private readonly field: number,
  ) {}

  /** Where a filter goes that has the field loaded, in the order of its values. Ends at returns and at loads of others. */
  ranges(at: number, from = 0, to = HIGHEST): Range[] {
    let pc = at;
    for (;;) {
      if (++this.steps > PATIENCE) throw new NotUnderstood();
      const instruction = this.program[pc];
      if (instruction === undefined) throw new NotUnderstood();
      const { code, jt, jf, k } = instruction;
      const again = code === LOAD && k === this.field;
      if (code === RETURN || (code === LOAD && !again)) return [{ from, to, at: pc }];
      if (code === JUMP || again) {
        pc += again ? 1 : 1 + k;
        continue;
      }
      const parts = split(instruction, from, to);
      const [only] = parts;
      if (parts.length > 1 || only === undefined) {
        const next = pc + 1;
        return parts.flatMap((part) =>
          this.ranges(next + (part.holds ? jt : jf), part.from, part.to),
        );
      }
      pc += 1 + (only.holds ? jt : jf);
    }
  }
}

/**
 * Writes a program from its end to its beginning: BPF only jumps forwards, so every target has its place before it is needed.
 * A label is the number of instructions from there to the end.
 */
class Backwards {
  private readonly written: Instruction[] = [];
  private readonly returns = new Map<number, number>();
  private readonly copied = new Map<number, number>();

  constructor(private readonly source: readonly Instruction[]) {}

  /** The program in its own order. */
  get program(): Instruction[] {
    return this.written.toReversed();
  }

  private add(instruction: Instruction): number {
    this.written.push(instruction);
    return this.written.length;
  }

  /** A label from where the next instruction can jump to a target. `room`: how many more come before it. */
  private near(target: number, room: number): number {
    if (this.written.length + room - target <= FAR) return target;
    return this.add({ code: JUMP, jt: 0, jf: 0, k: this.written.length - target });
  }

  branch(code: number, k: number, holds: number, fails: number): number {
    const yes = this.near(holds, 1);
    const no = this.near(fails, 0);
    const here = this.written.length;
    return this.add({ code, jt: here - yes, jf: here - no, k });
  }

  /** A load, or what is done to what was loaded. */
  before(next: number, code: number, k: number): number {
    if (next !== this.written.length)
      this.add({ code: JUMP, jt: 0, jf: 0, k: this.written.length - next });
    return this.add({ code, jt: 0, jf: 0, k });
  }

  /** What the source does from an instruction on. */
  copy(at: number): number {
    const instruction = this.source[at];
    if (instruction === undefined) throw new NotUnderstood();
    const { code, jt, jf, k } = instruction;
    if (code === RETURN) return this.give(k);
    const done = this.copied.get(at);
    if (done !== undefined) return done;
    const label = this.copyNew(at, { code, jt, jf, k });
    this.copied.set(at, label);
    return label;
  }

  private copyNew(at: number, { code, jt, jf, k }: Instruction): number {
    if (code === JUMP) return this.copy(at + 1 + k);
    if (code === LOAD || code === AND) return this.before(this.copy(at + 1), code, k);
    const holds = this.copy(at + 1 + jt);
    return this.branch(code, k, holds, this.copy(at + 1 + jf));
  }

  /** A return with a value; a near one, if there is one. */
  private give(value: number): number {
    const other = this.returns.get(value);
    if (other !== undefined && this.written.length - other < FAR - 1) return other;
    const label = this.add({ code: RETURN, jt: 0, jf: 0, k: value });
    this.returns.set(value, label);
    return label;
  }

  /** A search for a range. */
  search(ranges: readonly Range[]): number {
    const middle = ranges.length >> 1;
    const split = ranges[middle];
    if (split === undefined) throw new NotUnderstood();
    if (middle === 0) return this.copy(split.at);
    const right = this.search(ranges.slice(middle));
    return this.branch(AT_LEAST, split.from, right, this.search(ranges.slice(0, middle)));
  }
}

/** Ranges whose decisions are the same become one. */
function merged(program: readonly Instruction[], ranges: readonly Range[]): Range[] {
  const all: Range[] = [];
  const decision = ({ at }: Range) =>
    program[at]?.code === RETURN ? `return ${program[at]?.k}` : at;
  for (const range of ranges) {
    const last = all.at(-1);
    if (last !== undefined && decision(last) === decision(range))
      all.splice(-1, 1, { ...last, to: range.to });
    else all.push(range);
  }
  return all;
}

function compacted(program: readonly Instruction[]): Instruction[] {
  if (!program.every(({ code }) => known.has(code))) throw new NotUnderstood();
  const [first] = program;
  if (first?.code !== LOAD || first.k !== ARCHITECTURE) throw new NotUnderstood();
  const out = new Backwards(program);
  const architectures = merged(program, new Walker(program, ARCHITECTURE).ranges(1));
  const labels = architectures.map((range) => {
    const target = program[range.at];
    if (target?.code !== LOAD) return out.copy(range.at);
    if (target.k !== NUMBER) throw new NotUnderstood();
    const ranges = merged(program, new Walker(program, NUMBER).ranges(range.at + 1));
    return out.before(out.search(ranges), LOAD, NUMBER);
  });
  // One architecture after the other: there are two or three.
  let next = labels.at(-1) ?? 0;
  for (let index = architectures.length - 2; index >= 0; index--)
    next = out.branch(GREATER, architectures[index]?.to ?? 0, next, labels[index] ?? 0);
  out.before(next, LOAD, ARCHITECTURE);
  return out.program;
}

/** The same filter, shorter if it can be. What is not understood is given back as it is. */
export function compactFilter(filter: Uint8Array): Uint8Array {
  try {
    const program = parse(filter);
    const short = compacted(program);
    return short.length < program.length ? encode(short) : filter;
  } catch (error) {
    if (error instanceof NotUnderstood) return filter;
    throw error;
  }
}
