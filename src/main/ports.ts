/**
 * The API's ports over the daemon's parts: the joint where images' and volumes' words become the API's.
 */
import type { ImagesPort, VolumesPort } from "../api/index.ts";
import { fault } from "../base/errors.ts";
import { filterBoolean, labelHolds } from "../base/selection.ts";
import {
  chainsOf,
  copyIntoVolume,
  copyOutOfVolume,
  copyVolume,
  type EngineDeps,
  exportVolume,
  imagesOf,
  importVolume,
  statInVolume,
} from "../engine/index.ts";
import {
  checkPlatform,
  filterImages,
  historyOf,
  type ImageUsers,
  inspectOf,
  type RemovalStep,
  type RemovalWish,
  sharedSizes,
  summaryOf,
} from "../images/index.ts";
import type { Volume } from "../spec/engine-api.ts";
import { familiarName, familiarReference, parseReference } from "../spec/reference.ts";
import type { VolumeDetails } from "../volumes/index.ts";

/** Which containers, but some, use which image. */
export function imageUsers(
  { registry, images }: Pick<EngineDeps, "registry" | "images">,
  except: ReadonlySet<string> = new Set(),
): ImageUsers {
  const all = registry.all().filter(({ id }) => !except.has(id));
  let chains: ReadonlySet<string> | undefined;
  return {
    of: (id) =>
      all
        .filter(({ record }) => imagesOf(record).includes(id))
        .map((container) => ({ id: container.id, running: container.running })),
    // For whoever removes: the cache of builds is read for it, which a list does without.
    get chains() {
      chains ??= new Set([
        ...all.flatMap(({ record }) => chainsOf(record)),
        ...images.upkeep.cachedLayers(),
      ]);
      return chains;
    },
  };
}

/** Removes a name or an image, and tells of each step. */
export function removeImage(
  { images, registry, events }: Pick<EngineDeps, "images" | "registry" | "events">,
  wish: RemovalWish,
): RemovalStep[] {
  const { id } = images.resolve(wish.name);
  const ids = [id];
  for (let one = images.byId(id)?.parent; one !== undefined; one = images.byId(one)?.parent)
    ids.push(one);
  const steps = images.remove(wish, imageUsers({ registry, images }));
  for (const step of steps) {
    if (step.Untagged !== undefined) events.emit("image", "untag", id, { name: id });
    const gone = ids.find((one) => one === step.Deleted);
    if (gone !== undefined) events.emit("image", "delete", gone, { name: gone });
  }
  return steps;
}

/** Images. */
export function imagesPort(deps: EngineDeps): ImagesPort {
  const { images, driver, events } = deps;
  return {
    list(filters, { sharedSize, all: inner, until, manifests }) {
      const users = imageUsers(deps);
      const all = images.list();
      const shared = sharedSize ? sharedSizes(all, (layer) => images.layerSize(layer)) : () => -1;
      const wish = { all: inner, until };
      return filterImages(all, filters, (name) => images.resolve(name), wish).map((image) => {
        const containers = users.of(image.id).map(({ id }) => id);
        const summary = summaryOf(image, containers.length, shared(image));
        if (!manifests) return summary;
        return { ...summary, Manifests: images.manifestSummaries(image, containers) };
      });
    },
    inspect(name, platform, manifests = false) {
      const image = images.resolve(name);
      checkPlatform(name, image, platform);
      const graph = { Name: driver.name, Data: { ...driver.imagePlaces(image.chain) } };
      const attested = images.attestations(image);
      const referring = images.referrers.summaries(image.id);
      const inspect = {
        ...inspectOf(image, graph, images.lastTagged(image.id)),
        ...(attested.length === 0 ? {} : { Attestations: attested }),
        ...(referring.length === 0 ? {} : { Referrers: referring }),
      };
      if (!manifests) return inspect;
      const containers = imageUsers(deps).of(image.id);
      const ids = containers.map(({ id }) => id);
      return { ...inspect, Manifests: images.manifestSummaries(image, ids) };
    },
    history(name, platform) {
      const image = images.resolve(name);
      checkPlatform(name, image, platform);
      const layerSize = (chainId: string) => images.layerSize(chainId);
      return historyOf(image, layerSize, (id) => images.byId(id));
    },
    tag: (source, target) => {
      images.tag(source, target);
    },
    remove: (name, force, keepParents) => removeImage(deps, { name, force, keepParents }),
    load: (archive, options) => images.load(archive, options),
    async save(names, platform) {
      const { ids, bytes } = await images.save(names, platform);
      for (const id of ids) events.emit("image", "save", id, { name: id });
      return bytes;
    },
    importFrom: (address, options) => images.importFrom(address, options),
    importTar: (archive, options) => images.importTar(archive, options),
    async pull(name, options) {
      await images.pull(name, options);
      const reference = familiarReference(parseReference(name));
      events.emit("image", "pull", reference, { name: familiarName(parseReference(name)) });
    },
    async push(name, options) {
      await images.push(name, options);
      const reference = familiarReference(parseReference(name));
      events.emit("image", "push", reference, { name: familiarName(parseReference(name)) });
    },
    remoteTags: (repository, options) => images.tagsOf(repository, options),
    describeRemote: (name, options) => images.describeRemote(name, options),
    localTags: (repository) => images.tagsHere(repository),
  };
}

/** A volume as the API shows it. */
export function volumeOf(record: VolumeDetails): Volume {
  return {
    ...(record.created === 0 ? {} : { CreatedAt: new Date(record.created).toISOString() }),
    Driver: record.driver,
    Labels: { ...record.labels },
    Mountpoint: record.mountpoint,
    Name: record.name,
    Options: { ...record.options },
    Scope: record.scope,
    ...(record.status ? { Status: record.status as NonNullable<Volume["Status"]> } : {}),
  };
}

/** Volumes. */
export function volumesPort(deps: EngineDeps): VolumesPort {
  const { volumes, volumeDrivers: drivers } = deps;
  return {
    async list(filters) {
      const tests: Readonly<Record<string, (volume: VolumeDetails, value: string) => boolean>> = {
        name: (volume, value) => volume.name.includes(value),
        driver: (volume, value) => value === volume.driver,
        dangling: (volume, value) =>
          filterBoolean("dangling", value) === (volumes.users(volume.name).length === 0),
        label: (volume, value) => labelHolds(volume.labels, value),
      };
      for (const key of Object.keys(filters))
        if (tests[key] === undefined) throw fault("invalid", "filter", `invalid filter '${key}'`);
      for (const value of filters.dangling ?? []) filterBoolean("dangling", value);
      return (await drivers.list())
        .filter((volume) =>
          Object.entries(filters).every(([key, values]) =>
            key === "label"
              ? values.every((value) => tests[key]?.(volume, value))
              : values.some((value) => tests[key]?.(volume, value)),
          ),
        )
        .map(volumeOf);
    },
    get: async (name) => volumeOf(await drivers.get(name)),
    async create(input) {
      const isNew = input.name === undefined || volumes.find(input.name) === undefined;
      const { name } = await drivers.create(input);
      return { volume: volumeOf(await drivers.get(name)), isNew };
    },
    async remove(name, force) {
      const driver = volumes.find(name)?.driver ?? "local";
      await drivers.remove(name, force);
      return driver;
    },
    files: {
      statPath: (name, path) => statInVolume(deps, name, path),
      copyOut: (name, path, signal) => copyOutOfVolume(deps, name, path, signal),
      copyIn: (name, how, archive) => copyIntoVolume(deps, name, how, archive),
    },
    export: (name, signal) => exportVolume(deps, name, signal),
    async import(name, archive, labels) {
      const { isNew } = await importVolume(deps, name, archive, labels);
      return { volume: volumeOf(await drivers.get(name)), isNew };
    },
    copy: async (from, wish) => volumeOf(await drivers.get(await copyVolume(deps, from, wish))),
  };
}
