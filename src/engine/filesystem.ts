/**
 * A container's file system as others see it: what it has changed, all of it as an archive, and an image made of it.
 */
import type { ByteStream } from "../base/compression.ts";
import type { ContainerConfig, FilesystemChange, ImageConfig } from "../spec/engine-api.ts";
import { attributesOf } from "./attributes.ts";
import type { Container } from "./container.ts";
import { checkNotRestarting } from "./control.ts";
import type { EngineDeps } from "./deps.ts";
import { holdStill } from "./held-still.ts";
import { layerOf } from "./places.ts";

const kinds = { modified: 0, added: 1, deleted: 2 } as const;

/** What the container has changed beside its image. */
export async function changesIn(
  deps: EngineDeps,
  container: Container,
): Promise<FilesystemChange[]> {
  const found: FilesystemChange[] = [];
  for await (const { path, kind } of deps.driver.changes(layerOf(container.record)))
    found.push({ Path: `/${path}`, Kind: kinds[kind] });
  return found;
}

/** The container's whole file system as a tar archive, without what is mounted in it. */
export async function* exportContainer(deps: EngineDeps, container: Container): ByteStream {
  yield* deps.driver.packTree(layerOf(container.record));
  deps.events.emit("container", "export", container.id, attributesOf(container.record));
}

/** How to make an image of a container. */
export interface CommitRequest {
  /** What the new image's configuration says instead of the container's. */
  readonly config: ContainerConfig;
  readonly reference?: string | undefined;
  readonly author: string;
  readonly comment: string;
  readonly changes: readonly string[];
  /** Stop its processes while its files are read. */
  readonly pause: boolean;
}

/** What of a container's configuration an image keeps. */
function imageConfigOf(config: ContainerConfig): ImageConfig {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels } = config;
  const { StopSignal, Healthcheck, Shell, OnBuild } = config;
  const all = {
    ...{ User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels },
    ...{ StopSignal, Healthcheck, Shell, OnBuild },
  };
  const isEmpty = (value: unknown) =>
    value === undefined ||
    value === null ||
    value === "" ||
    (typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(all).filter(([, value]) => !isEmpty(value)));
}

/** Makes an image of a container's file system and configuration; gives its id. */
export async function commitContainer(
  deps: EngineDeps,
  container: Container,
  request: CommitRequest,
): Promise<string> {
  checkNotRestarting(container);
  const { record } = container;
  const parent = deps.images.resolve(record.image);
  const given = Object.entries(request.config).filter(([, value]) => value !== undefined);
  const config = imageConfigOf({ ...record.config, ...Object.fromEntries(given) });
  const freeze = request.pause && record.state.status === "running";
  const letGo = await holdStill(deps, freeze ? [container] : []);
  if (freeze) deps.events.emit("container", "pause", record.id, attributesOf(record));
  try {
    const id = await deps.images.commit(
      parent,
      deps.driver.packChanges(layerOf(container.record)),
      {
        config,
        createdBy: (record.config.Cmd ?? []).join(" "),
        reference: request.reference,
        author: request.author || undefined,
        comment: request.comment || undefined,
        changes: request.changes,
      },
    );
    const more = { comment: request.comment, imageID: id, imageRef: request.reference ?? "" };
    deps.events.emit("container", "commit", record.id, attributesOf(record, more));
    return id;
  } finally {
    if (freeze) deps.events.emit("container", "unpause", record.id, attributesOf(record));
    letGo();
  }
}
