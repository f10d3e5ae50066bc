/**
 * erofs: each layer is one file, a read-only image, and the kernel's overlay merges them. Nothing of a layer is unpacked:
 * bringing one in is one sequential write, and taking it away is one unlink.
 *
 * Images are mounted from their files, in mounts that no namespace has. The helper holds them, so that all containers share
 * one, and with it the pages that are in memory; they go with the helper. What a container has mounted of them is the
 * overlay's own and lasts as long as the container.
 */
import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { StorageKernel } from "./driver.ts";
import { ErofsWriter } from "./erofs-image.ts";
import { writeErofsLayer } from "./erofs-layer.ts";
import type { LayerArchive } from "./layer-archive.ts";
import { OverlayDriver } from "./overlay.ts";

/** Mounts an image where no namespace sees it; gives the handle. */
function mountImage(kernel: StorageKernel, path: string): Promise<number> {
  return kernel.mountDetached("erofs", [`source=${path}`, "ro"]);
}

/** Layers as images. */
export class ErofsDriver extends OverlayDriver {
  override readonly name = "erofs";
  /** Mounts of layers, by their chain ids. */
  private readonly mounts = new Map<string, number>();

  /** Mounts the layers that are there. One that cannot be mounted is damaged: it is not there. */
  async open(): Promise<void> {
    await Promise.all(
      this.layers().map((chainId) =>
        this.mount(chainId).catch((error) =>
          log.error("mount a layer; its image must be pulled again", {
            layer: chainId,
            error: messageOf(error),
          }),
        ),
      ),
    );
  }

  private async mount(chainId: string): Promise<void> {
    if (this.mounts.has(chainId)) return;
    const handle = await mountImage(this.kernel, this.layer(chainId));
    if (this.mounts.has(chainId)) await this.kernel.close(handle);
    else this.mounts.set(chainId, handle);
  }

  protected override fill(
    path: string,
    _parent: string | undefined,
    archive: LayerArchive,
  ): Promise<number> {
    return writeErofsLayer(archive.reader(), path);
  }

  protected override appeared(chainId: string): Promise<void> {
    return this.mount(chainId);
  }

  override hasLayer(chainId: string): boolean {
    return this.mounts.has(chainId);
  }

  override removeLayer(chainId: string): void {
    const handle = this.mounts.get(chainId);
    this.mounts.delete(chainId);
    super.removeLayer(chainId);
    // Containers that run have mounts of their own.
    if (handle !== undefined)
      void this.kernel
        .close(handle)
        .catch((error) => log.debug("close a layer", { error: messageOf(error) }));
  }

  override layerDirectories(chain: readonly string[]): string[] {
    return chain
      .map((chainId) => {
        const handle = this.mounts.get(chainId);
        return handle === undefined
          ? this.layer(chainId)
          : `/proc/${this.kernel.pid}/fd/${handle}/.`;
      })
      .reverse();
  }
}

/** Tries the whole of it: an image is written, mounted, and an overlay made on it. Rejects with what does not work. */
export async function tryErofs(kernel: StorageKernel, scratch: string): Promise<void> {
  const handles: number[] = [];
  const image = `${scratch}/image`;
  for (const name of ["upper", "work"]) mkdirSync(`${scratch}/${name}`, { recursive: true });
  const fd = openSync(image, "w", 0o600);
  try {
    const about = { mode: 0o040755, uid: 0, gid: 0, mtime: 0, xattrs: new Map() };
    new ErofsWriter(fd).finish(about, () => []);
    const lower = await mountImage(kernel, image);
    handles.push(lower);
    const params = [
      `lowerdir+=/proc/${kernel.pid}/fd/${lower}/.`,
      `upperdir=${scratch}/upper`,
      `workdir=${scratch}/work`,
    ];
    handles.push(await kernel.mountDetached("overlay", params));
  } finally {
    closeSync(fd);
    await Promise.all(handles.map((handle) => kernel.close(handle)));
    rmSync(scratch, { recursive: true, force: true });
  }
}
