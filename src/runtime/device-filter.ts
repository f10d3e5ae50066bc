/**
 * Device rules for control groups of version 2: the rules as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE
 * (bpf(2), linux/bpf.h). Pure.
 */
import type { OciDeviceRule } from "../spec/oci-runtime.ts";

/** An instruction: opcode, registers, jump offset, constant. */
interface Instruction {
  readonly op: number;
  readonly dst?: number;
  readonly src?: number;
  readonly offset?: number;
  readonly value?: number;
}

const LOAD_WORD = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_32 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const MOVE_32_REGISTER = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const AND_32 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT_32 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_IF_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_UNLESS_EQUAL = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_UNLESS_EQUAL_REGISTER = 0x5d; // BPF_JMP | BPF_JNE | BPF_X
const EXIT = 0x95; // BPF_JMP | BPF_EXIT

/** Registers: r1 is the context that the kernel gives (struct bpf_cgroup_dev_ctx). */
const [RESULT, CONTEXT, TYPE, ACCESS, MAJOR, MINOR, SCRATCH] = [0, 1, 2, 3, 4, 5, 6];
/** BPF_DEVCG_DEV_* and BPF_DEVCG_ACC_*. */
const types = { b: 1, c: 2 } as const;
const accesses: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const ALL = 7;

function accessMask(text: string): number {
  return [...text].reduce((mask, letter) => mask | (accesses[letter] ?? 0), 0);
}

/** The tests of a rule, each jumping past the verdict when it fails; the offsets are filled in by `block`. */
function testsOf(rule: OciDeviceRule): Instruction[] {
  const tests: Instruction[] = [];
  const mask = accessMask(rule.access);
  if (rule.type !== "a")
    tests.push({ op: JUMP_UNLESS_EQUAL, dst: TYPE, value: types[rule.type], offset: -1 });
  if (mask !== ALL || !rule.allow) {
    tests.push({ op: MOVE_32_REGISTER, dst: SCRATCH, src: ACCESS });
    tests.push({ op: AND_32, dst: SCRATCH, value: mask });
    // An allowance holds for requests that it covers, a denial for those that it touches: as version 1 has it.
    tests.push(
      rule.allow
        ? { op: JUMP_UNLESS_EQUAL_REGISTER, dst: SCRATCH, src: ACCESS, offset: -1 }
        : { op: JUMP_IF_EQUAL, dst: SCRATCH, value: 0, offset: -1 },
    );
  }
  if (rule.major !== undefined)
    tests.push({ op: JUMP_UNLESS_EQUAL, dst: MAJOR, value: rule.major, offset: -1 });
  if (rule.minor !== undefined)
    tests.push({ op: JUMP_UNLESS_EQUAL, dst: MINOR, value: rule.minor, offset: -1 });
  return tests;
}

function verdict(allowed: boolean): Instruction[] {
  return [{ op: MOVE_32, dst: RESULT, value: allowed ? 1 : 0 }, { op: EXIT }];
}

function block(rule: OciDeviceRule): Instruction[] {
  const all = [...testsOf(rule), ...verdict(rule.allow)];
  return all.map((one, index) =>
    one.offset === -1 ? { ...one, offset: all.length - index - 1 } : one,
  );
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  for (const [index, { op, dst = 0, src = 0, offset = 0, value = 0 }] of program.entries()) {
    bytes.setUint8(index * 8, op);
    bytes.setUint8(index * 8 + 1, dst | (src << 4));
    bytes.setInt16(index * 8 + 2, offset, true);
    bytes.setInt32(index * 8 + 4, value, true);
  }
  return new Uint8Array(bytes.buffer);
}

/** True for a rule that every access of every device meets. */
function isTotal(rule: OciDeviceRule): boolean {
  return rule.type === "a" && accessMask(rule.access) === ALL;
}

/**
 * The program for a list of rules, of which the last that applies decides, and which deny without one. Undefined when every
 * access is allowed, so that no program is needed.
 */
export function deviceFilter(rules: readonly OciDeviceRule[]): Uint8Array | undefined {
  // What stands before a rule that always applies never decides, and the verifier refuses code that is never reached.
  const from = rules.findLastIndex(isTotal);
  const deciding = rules.slice(from + 1).toReversed();
  const fallback = rules[from]?.allow ?? false;
  if (fallback && deciding.every((rule) => rule.allow)) return undefined;
  return encode([
    { op: LOAD_WORD, dst: TYPE, src: CONTEXT, offset: 0 },
    { op: MOVE_32_REGISTER, dst: ACCESS, src: TYPE },
    { op: AND_32, dst: TYPE, value: 0xffff },
    { op: SHIFT_RIGHT_32, dst: ACCESS, value: 16 },
    { op: LOAD_WORD, dst: MAJOR, src: CONTEXT, offset: 4 },
    { op: LOAD_WORD, dst: MINOR, src: CONTEXT, offset: 8 },
    ...deciding.flatMap(block),
    ...verdict(fallback),
  ]);
}
