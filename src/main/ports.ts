/**
 * The API's ports over the daemon's parts: the joint where images' and volumes' words become the API's.
 */
import type { ImagesPort, NetworksPort, VolumesPort } from "../api/index.ts";
import { fault } from "../base/errors.ts";
import { labelHolds } from "../base/selection.ts";
import { BRIDGE_ID, type ContainerRegistry, type EngineDeps } from "../engine/index.ts";
import { filterImages, historyOf, type ImageUsers, inspectOf, summaryOf } from "../images/index.ts";
import type { Network, Volume } from "../spec/engine-api.ts";
import type { VolumeRecord } from "../volumes/index.ts";

/** Which containers use which image. */
export function imageUsers(registry: ContainerRegistry): ImageUsers {
  const all = registry.all();
  return {
    of: (id) =>
      all
        .filter(({ record }) => record.image === id)
        .map((container) => ({ id: container.id, running: container.running })),
    chains: new Set(all.flatMap(({ record }) => record.chain)),
  };
}

/** Images. */
export function imagesPort({ images, driver, registry }: EngineDeps): ImagesPort {
  return {
    list(filters) {
      const users = imageUsers(registry);
      return filterImages(images.list(), filters, (name) => images.resolve(name)).map((image) =>
        summaryOf(image, users.of(image.id).length),
      );
    },
    inspect(name) {
      const image = images.resolve(name);
      return inspectOf(image, driver.name, images.lastTagged(image.id));
    },
    history: (name) => historyOf(images.resolve(name)),
    tag: (source, target) => {
      images.tag(source, target);
    },
    remove: (name, force) => images.remove(name, force, imageUsers(registry)),
    load: (archive) => images.load(archive),
    importTar: (archive, options) => images.importTar(archive, options),
    pull: (name) => images.pull(name),
  };
}

/** A volume as the API shows it. */
export function volumeOf(record: VolumeRecord): Volume {
  return {
    Name: record.name,
    Driver: "local",
    Mountpoint: record.mountpoint,
    CreatedAt: new Date(record.created).toISOString(),
    Labels: { ...record.labels },
    Options: { ...record.options },
    Scope: "local",
  };
}

/** Volumes. */
export function volumesPort({ volumes }: EngineDeps): VolumesPort {
  return {
    list(filters) {
      const tests: Readonly<Record<string, (volume: VolumeRecord, value: string) => boolean>> = {
        name: (volume, value) => volume.name.includes(value),
        driver: (_volume, value) => value === "local",
        dangling: (volume, value) =>
          /^(true|1)$/i.test(value) === (volumes.users(volume.name).length === 0),
        label: (volume, value) => labelHolds(volume.labels, value),
      };
      for (const key of Object.keys(filters))
        if (tests[key] === undefined) throw fault("invalid", "filter", `invalid filter '${key}'`);
      return volumes
        .list()
        .filter((volume) =>
          Object.entries(filters).every(([key, values]) =>
            key === "label"
              ? values.every((value) => tests[key]?.(volume, value))
              : values.some((value) => tests[key]?.(volume, value)),
          ),
        )
        .map(volumeOf);
    },
    get: (name) => volumeOf(volumes.get(name)),
    create: (input) => volumeOf(volumes.create(input)),
    remove: (name, force) => volumes.remove(name, force),
  };
}

/** Networks: the default bridge and the two that are none. */
export function networksPort(
  { bridge, registry }: EngineDeps,
  bridgeName: string,
  created: string,
): NetworksPort {
  const plain = (name: string, driver: string): Network => ({
    Name: name,
    Id: new Bun.CryptoHasher("sha256").update(`berth ${name}`).digest("hex"),
    Created: created,
    Scope: "local",
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    Containers: {},
    Options: {},
    Labels: {},
  });
  return {
    list: () => [
      {
        ...plain("bridge", "bridge"),
        Id: BRIDGE_ID,
        IPAM: { Driver: "default", Config: [{ Subnet: bridge.cidr, Gateway: bridge.gateway }] },
        Containers: Object.fromEntries(
          registry.all().flatMap(({ record }) => {
            const { endpoint } = record;
            if (endpoint === undefined) return [];
            return [
              [
                record.id,
                {
                  Name: record.name,
                  EndpointID: endpoint.endpointId,
                  MacAddress: endpoint.mac,
                  IPv4Address: `${endpoint.address}/${endpoint.prefix}`,
                  IPv6Address: "",
                },
              ],
            ];
          }),
        ),
        Options: {
          "com.docker.network.bridge.default_bridge": "true",
          "com.docker.network.bridge.name": bridgeName,
        },
      },
      plain("host", "host"),
      plain("none", "null"),
    ],
  };
}
