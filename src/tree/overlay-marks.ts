/**
 * What overlays note for themselves in extended attributes of their directories. Nobody else's archive may bring such marks,
 * and none leaves with a layer.
 */
import { inUserNamespace } from "../base/user-namespace.ts";

/** Whether an attribute is of an overlay, the kernel's or fuse-overlayfs', with the host's rights or without. */
export function isOverlayMark(attribute: string): boolean {
  return /^(trusted|user\.overlay|user\.fuseoverlayfs)\./.test(attribute);
}

/** By which a directory says that it hides what is below it. Only the host's root may write trusted attributes. */
export function opaqueMarks(): readonly [writes: string, ...reads: string[]] {
  return inUserNamespace()
    ? ["user.overlay.opaque", "user.fuseoverlayfs.opaque"]
    : ["trusted.overlay.opaque"];
}
