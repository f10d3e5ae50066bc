/**
 * fuse-overlayfs: layers as overlay2 has them, merged by a program instead of the kernel. For hosts whose kernel, or whose
 * rules for users without rights, have no overlay.
 */
import { existsSync } from "node:fs";
import type { ContainerLayer, RootMount } from "./driver.ts";
import { OverlayDriver } from "./overlay.ts";

/** The program; undefined when it is not installed. */
export function fuseOverlayProgram(): string | undefined {
  return Bun.which("fuse-overlayfs") ?? undefined;
}

/** Why the driver does not work; undefined when it does. */
export function fuseOverlayMissing(directory: string): string | undefined {
  if (fuseOverlayProgram() === undefined) return "fuse-overlayfs is not installed";
  if (!existsSync("/dev/fuse")) return "the host has no /dev/fuse";
  return /[,:\\]/.test(directory)
    ? "fuse-overlayfs takes no paths with commas, colons or backslashes"
    : undefined;
}

/** Layers as differences, merged by a program. */
export class FuseOverlayDriver extends OverlayDriver {
  override readonly name = "fuse-overlayfs";

  override mountOf(container: ContainerLayer): RootMount {
    const { lowerdirs, upperdir, workdir } = this.parts(container);
    const program = fuseOverlayProgram() ?? "fuse-overlayfs";
    return { kind: "fuse-overlay", program, lowerdirs, upperdir, workdir };
  }
}
