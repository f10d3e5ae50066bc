/**
 * What is embedded in the executable: the C programs, unpacked by content so that an upgrade never overwrites what runs,
 * and the built-in image.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import helper from "../../dist/parts/berth-helper" with { type: "file" };
import shim from "../../dist/parts/berth-shim" with { type: "file" };
import busybox from "../../dist/parts/busybox.tar" with { type: "file" };
import { writeFileAtomic } from "../base/atomic-file.ts";

function unpack(embedded: string, name: string, directory: string): string {
  const content = readFileSync(embedded);
  const digest = new Bun.CryptoHasher("sha256").update(content).digest("hex").slice(0, 16);
  const target = `${directory}/${name}-${digest}`;
  if (!existsSync(target)) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileAtomic(target, content, { mode: 0o700 });
    chmodSync(target, 0o700);
  }
  return target;
}

/** Puts the C programs into a directory and gives their paths. */
export function unpackPrograms(directory: string): {
  readonly helper: string;
  readonly shim: string;
} {
  return {
    helper: unpack(helper, "berth-helper", directory),
    shim: unpack(shim, "berth-shim", directory),
  };
}

/** The built-in image's archive. */
export function openBuiltinImage(): AsyncIterable<Uint8Array> {
  return Bun.file(busybox).stream() as unknown as AsyncIterable<Uint8Array>;
}
