/**
 * tree: directory trees, walked, packed and unpacked from descriptor to descriptor, so that nobody who changes them meanwhile
 * leads anybody out of them.
 */
export { type ExtractOptions, Extractor, extractLayer, fileTime } from "./extract.ts";
export { ArchiveFiles } from "./files.ts";
export { contentDigest, DiskMeter, diskBytes, visitTree } from "./measure.ts";
export { canMirror, Mirror } from "./mirror.ts";
export { isOverlayMark } from "./overlay-marks.ts";
export { Packer, packTree } from "./pack.ts";
export { relabel } from "./relabel.ts";
export { components, type Owner, TargetTree, type TreeMount } from "./target.ts";
export {
  closeAll,
  isOpaque,
  type Merged,
  mergedIn,
  namesIn,
  namesOf,
  openMerged,
  openRoot,
  Place,
  type Privileged,
  placeIn,
  sortNames,
  type TreeEntry,
  type WalkMounts,
  walkMerged,
} from "./walk.ts";
