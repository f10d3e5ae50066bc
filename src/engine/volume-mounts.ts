/**
 * A container's volumes while they are used: mounted by their drivers, and let go of afterwards.
 */
import type { Container } from "./container.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import type { EngineDeps } from "./deps.ts";

/** Has a container's volumes mounted for somebody; gives its mounts with where they are now. */
async function mountedFor(
  deps: EngineDeps,
  { mounts }: ContainerRecord,
  user: string,
): Promise<MountRecord[]> {
  const done: MountRecord[] = [];
  for (const mount of mounts)
    done.push(
      mount.volume === undefined
        ? mount
        : { ...mount, source: await deps.volumeDrivers.use(mount.volume, user) },
    );
  return done;
}

/** Mounts what a container that starts needs; its end lets go of it (releaseVolumes). */
export async function mountVolumes(deps: EngineDeps, record: ContainerRecord): Promise<void> {
  record.mounts = await mountedFor(deps, record, record.id);
}

/** Lets go of what a container's run had mounted. Fine when that was nothing. */
export function releaseVolumes(deps: EngineDeps, { id }: ContainerRecord): Promise<void> {
  return deps.volumeDrivers.letGo(id);
}

/** Has the volumes of a container mounted while something is done with its files from outside, whether it runs or not. */
export async function holdVolumes(
  deps: EngineDeps,
  { record }: Container,
): Promise<() => Promise<void>> {
  const user = `copy-${crypto.randomUUID()}`;
  try {
    record.mounts = await mountedFor(deps, record, user);
  } catch (error) {
    await deps.volumeDrivers.letGo(user);
    throw error;
  }
  return () => deps.volumeDrivers.letGo(user);
}
