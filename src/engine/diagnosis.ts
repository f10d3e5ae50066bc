/**
 * Why a program that is there cannot be run: what the kernel tells of by one errno ("no such file", "exec format error") has
 * several causes, and each its own remedy.
 */
import { closeSync, readSync } from "node:fs";
import type { ContainerView } from "../storage/index.ts";

const HEAD = 4096;
const PT_INTERP = 3;
/** ELF's e_machine, by Docker's names of architectures. */
const machines: Readonly<Record<number, string>> = {
  3: "386",
  21: "ppc64le",
  22: "s390x",
  40: "arm",
  62: "amd64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};
const ownMachine: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

async function headOf(view: ContainerView, path: string): Promise<Buffer | undefined> {
  const found = await view.find(path, true);
  if (found === undefined) return undefined;
  try {
    if (found.place?.info.isFile() !== true) return undefined;
    const fd = found.place.open();
    try {
      const buffer = Buffer.alloc(HEAD);
      return buffer.subarray(0, readSync(fd, buffer, 0, HEAD, 0));
    } finally {
      closeSync(fd);
    }
  } finally {
    found.close();
  }
}

/** The program that an ELF file asks for as its loader; undefined for a static one. */
function loaderOf(head: Buffer): string | undefined {
  const wide = head[4] === 2;
  const [at, size, count] = wide
    ? [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)]
    : [head.readUInt32LE(28), head.readUInt16LE(42), head.readUInt16LE(44)];
  for (let i = 0; i < count; i++) {
    const entry = at + i * size;
    if (entry + size > head.length) return undefined;
    if (head.readUInt32LE(entry) !== PT_INTERP) continue;
    const [offset, length] = wide
      ? [Number(head.readBigUInt64LE(entry + 8)), Number(head.readBigUInt64LE(entry + 32))]
      : [head.readUInt32LE(entry + 4), head.readUInt32LE(entry + 16)];
    return head.toString("latin1", offset, offset + length).replace(/\0.*$/s, "");
  }
  return undefined;
}

async function aboutScript(view: ContainerView, head: Buffer): Promise<string | undefined> {
  const line = head.toString("latin1", 2).split("\n", 1)[0] ?? "";
  const interpreter = line.trim().split(/[ \t]/, 1)[0] ?? "";
  if (line.endsWith("\r"))
    return `its first line "#!${line.trim()}" ends in a carriage return (Windows line ends): convert the file, with dos2unix for example`;
  const found = await view.find(interpreter, true);
  found?.close();
  return found === undefined ? `its interpreter ${interpreter} is not in the container` : undefined;
}

async function aboutElf(view: ContainerView, head: Buffer): Promise<string | undefined> {
  const machine = head[5] === 1 ? head.readUInt16LE(18) : head.readUInt16BE(18);
  const own = ownMachine[process.arch];
  if (machine !== own && !(machine === 3 && own === 62))
    return `it is built for ${machines[machine] ?? `machine ${machine}`}, and this host is ${machines[own ?? 0] ?? process.arch}`;
  const loader = loaderOf(head);
  if (loader === undefined) return undefined;
  const found = await view.find(loader, true);
  found?.close();
  return found === undefined
    ? `its loader ${loader} is not in the container: link it statically, or use an image with the C library that it was built for`
    : undefined;
}

/** Says why the file at a path of a container cannot be run; undefined when nothing is wrong with it that can be seen. */
export async function diagnose(view: ContainerView, path: string): Promise<string | undefined> {
  const head = await headOf(view, path).catch(() => undefined);
  if (head === undefined) return undefined;
  if (head.length === 0) return "the file is empty";
  if (head.toString("latin1", 0, 2) === "#!") return aboutScript(view, head);
  if (head.readUInt32BE(0) === 0x7f454c46 && head.length >= 64) return aboutElf(view, head);
  return "it is neither a program nor a script that begins with #!";
}

/** A reason that stands in parentheses behind what Docker says. */
export async function withDiagnosis(
  view: ContainerView,
  program: string,
  path: string,
  errno: number,
): Promise<string> {
  if (errno === 13 && program.includes("/"))
    return " (the file is there and is not executable: chmod +x it)";
  const places = program.includes("/")
    ? [program]
    : path.split(":").map((one) => `${one}/${program}`);
  for (const place of places) {
    const reason = await diagnose(view, place).catch(() => undefined);
    if (reason !== undefined) return ` (${place} is there, but ${reason})`;
  }
  return "";
}
