/**
 * A kernel for tests that need no rights: what would need them is not done.
 */
import type { StorageKernel } from "../../src/storage/index.ts";

/** Does nothing, successfully. */
export const idleKernel: StorageKernel = {
  pid: process.pid,
  mknod: async () => {},
  setXattr: async () => {},
  xattrs: async () => new Map<string, Uint8Array>(),
  mountDetached: async () => 0,
  close: async () => {},
  makeSubvolume: async () => {},
  deleteSubvolume: async () => {},
  limitSubvolume: async () => {},
};
