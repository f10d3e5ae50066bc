/**
 * The kernel's handlers of programs for other processors (binfmt_misc), as /proc/sys/fs/binfmt_misc shows them. Pure.
 */

interface Elf {
  readonly machine: number;
  readonly bits: 32 | 64;
  readonly big?: true;
}

/** What programs begin with, by the processor's name in images (elf.h). */
const programs: Readonly<Record<string, Elf>> = {
  "386": { machine: 3, bits: 32 },
  amd64: { machine: 62, bits: 64 },
  arm: { machine: 40, bits: 32 },
  arm64: { machine: 183, bits: 64 },
  loong64: { machine: 258, bits: 64 },
  mips: { machine: 8, bits: 32, big: true },
  mips64: { machine: 8, bits: 64, big: true },
  mips64le: { machine: 8, bits: 64 },
  mipsle: { machine: 8, bits: 32 },
  ppc64: { machine: 21, bits: 64, big: true },
  ppc64le: { machine: 21, bits: 64 },
  riscv64: { machine: 243, bits: 64 },
  s390x: { machine: 22, bits: 64, big: true },
};

/** The first bytes of a program that stands by itself (ET_EXEC). */
function programHead({ machine, bits, big }: Elf): Uint8Array {
  const head = Buffer.alloc(20);
  head.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, big ? 2 : 1, 1]);
  if (big) {
    head.writeUInt16BE(2, 16);
    head.writeUInt16BE(machine, 18);
  } else {
    head.writeUInt16LE(2, 16);
    head.writeUInt16LE(machine, 18);
  }
  return head;
}

/** A handler by its file's text. */
interface Handler {
  readonly isEnabled: boolean;
  readonly flags: string;
  readonly offset: number;
  readonly magic: Uint8Array;
  readonly mask: Uint8Array | undefined;
}

/** Reads a handler's file; undefined for one that goes by a file's name. */
function parseHandler(text: string): Handler | undefined {
  const lines = text.split("\n");
  const value = (name: string) =>
    lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
  const magic = value("magic");
  if (magic === undefined || magic === "") return undefined;
  const mask = value("mask");
  return {
    isEnabled: lines[0] === "enabled",
    flags: value("flags:") ?? "",
    offset: Number(value("offset") ?? 0),
    magic: Buffer.from(magic, "hex"),
    mask: mask === undefined ? undefined : Buffer.from(mask, "hex"),
  };
}

function takes({ offset, magic, mask }: Handler, head: Uint8Array): boolean {
  if (offset + magic.length > head.length) return false;
  return magic.every((byte, at) => {
    const bits = mask?.[at] ?? 0xff;
    return ((head[offset + at] ?? 0) & bits) === (byte & bits);
  });
}

/** What handlers do with programs for a processor. */
export type Emulation =
  | "runs"
  /** Only where the interpreter is in the container's own file system: it was not opened when it was registered. */
  | "without-flag-F"
  | "nothing";

/** What some handlers, each as its file's text, do with programs for a processor. */
export function emulationOf(architecture: string, handlers: readonly string[]): Emulation {
  const elf = programs[architecture];
  if (elf === undefined) return "nothing";
  const head = programHead(elf);
  const able = handlers.flatMap((text) => {
    const handler = parseHandler(text);
    return handler?.isEnabled && takes(handler, head) ? [handler] : [];
  });
  if (able.some(({ flags }) => flags.includes("F"))) return "runs";
  return able.length > 0 ? "without-flag-F" : "nothing";
}
