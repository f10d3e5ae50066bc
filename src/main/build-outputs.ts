/**
 * What was built, on its way to where it is wanted: into the store, to registries, to the client.
 */
import type { BuildOptions, BuildResult } from "../api/index.ts";
import type { ByteStream } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { gathered } from "../base/gather.ts";
import { tarEnd, tarHeader } from "../base/tar-writer.ts";
import { type BuiltImage, epochOf, squashHistory } from "../builder/index.ts";
import {
  type Composed,
  type HistoryEntry,
  hostPlatform,
  type ImageStore,
  type Parcel,
} from "../images/index.ts";
import type { BuildOutput, Packing } from "../spec/build-output.ts";
import { platformRank, platformText } from "../spec/platform.ts";
import { parseReference } from "../spec/reference.ts";
import { packChanges, packPlaces, type SnapshotDriver } from "../storage/index.ts";
import type { Privileged } from "../tree/index.ts";

type ImageOutput = Extract<BuildOutput, { kind: "image" }>;

/** What outputs are made with. */
interface OutputDeps {
  readonly images: ImageStore;
  readonly driver: SnapshotDriver;
  readonly kernel: Privileged;
}

/** Throws a Fault "invalid" for outputs that a build of so many platforms cannot have. */
export function checkOutputs({ outputs, platforms }: Pick<BuildOptions, "outputs" | "platforms">) {
  const docker = outputs.some((one) => one.kind === "archive" && one.form === "docker");
  if (docker && platforms.length > 1)
    throw fault(
      "invalid",
      "build-output",
      "docker exporter does not currently support exporting manifest lists: use type=oci for several platforms",
    );
}

/** The document of an image, as the store takes it. */
export function documentOf({
  config,
  author,
  created,
  history,
  platform,
  more,
}: Omit<BuiltImage, "base">) {
  return {
    ...more,
    ...(author === undefined ? {} : { author }),
    created,
    os: platform.os,
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config,
    history,
  };
}

function wholeName(name: string): string {
  const { domain, path, tag = "latest" } = parseReference(name);
  return `${domain}/${path}:${tag}`;
}

/** The outputs of one build. */
export class BuildOutputs {
  private id: string | undefined;
  private tags: string[] = [];
  private metadata: Record<string, unknown> = {};

  constructor(
    private readonly deps: OutputDeps,
    private readonly options: BuildOptions,
  ) {}

  /** Brings what was built to where it is wanted: what the client gets comes last. */
  async deliver(built: readonly BuiltImage[]): Promise<BuildResult> {
    const { outputs, squash } = this.options;
    const work = async (images: readonly BuiltImage[]) => {
      for (const output of outputs)
        if (output.kind === "image") await this.image(output, this.composed(images));
      for (const [at, output] of outputs.entries()) {
        this.options.signal.throwIfAborted();
        if (output.kind === "archive") await this.archive(at, output, this.composed(images));
        if (output.kind === "files")
          await this.options.deliver(at, gathered(this.files(images, output.split)));
      }
    };
    await this.during(built, () => (squash ? this.squashed(built, work) : work(built)));
    return { id: this.id, tags: this.tags, metadata: this.metadata };
  }

  /** Keeps all that was built from being deleted. */
  private during<T>([first, ...rest]: readonly BuiltImage[], work: () => Promise<T>): Promise<T> {
    if (first === undefined) return work();
    const { composer } = this.deps.images;
    return composer.during(first.snapshot, () => this.during(rest, work));
  }

  private composed(images: readonly BuiltImage[]): Composed[] {
    const { composer } = this.deps.images;
    return images.map((image) => composer.compose(documentOf(image), image.snapshot));
  }

  /** Does something with the images whose new layers are one. */
  private async squashed(
    images: readonly BuiltImage[],
    work: (images: readonly BuiltImage[]) => Promise<void>,
    done: readonly BuiltImage[] = [],
  ): Promise<void> {
    const [image, ...rest] = images;
    if (image === undefined) return work(done);
    const { kernel, driver, images: store } = this.deps;
    const { base } = image;
    const { id } = store.composer.compose(documentOf(image), image.snapshot);
    const changes = driver.differences(image.snapshot.chain, base.snapshot.chain);
    const layer = packChanges(kernel, changes);
    await store.composer.addLayer(base.snapshot, layer, async (snapshot) => {
      const epoch = epochOf(this.options.args);
      const created = new Date(epoch === undefined ? Date.now() : epoch * 1000).toISOString();
      const isEmpty = snapshot.chain.length === base.snapshot.chain.length;
      const history: HistoryEntry[] = squashHistory(image, { id, created, isEmpty });
      await this.squashed(rest, work, [
        ...done,
        { ...image, created, snapshot, history, more: undefined },
      ]);
    });
  }

  private tell(text: string): void {
    this.options.report({ kind: "exporting", text });
  }

  /** Of several platforms the one that runs here, or else the first. */
  private local(images: readonly Composed[]): Composed | undefined {
    const here = hostPlatform();
    const ranked = images.map((image) => ({
      image,
      rank: platformRank(here, image.document) ?? Number.POSITIVE_INFINITY,
    }));
    return ranked.sort((a, b) => a.rank - b.rank)[0]?.image;
  }

  private async image(output: ImageOutput, images: readonly Composed[]): Promise<void> {
    const local = this.local(images);
    // An image without a name is one still.
    const names = output.byDigest ? [] : output.names;
    if (local === undefined) return;
    if (images.length === 1) {
      if (output.store) {
        this.id = await this.deps.images.composer.record(local);
        for (const name of names) this.name(local.id, name);
      }
      if (output.push) await this.packed(images, output, (parcel) => this.push(output, parcel));
      else this.note({ root: { digest: local.id }, config: local.id, names: output.names });
      return;
    }
    await this.packed(images, output, async (parcel) => {
      if (output.store) {
        await this.deps.images.exporter.keep(parcel, local, names);
        this.id = local.id;
        this.tags.push(...names);
        this.tell(`of the platforms, ${platformText(local.document)} is what the name runs here`);
      }
      if (output.push) await this.push(output, parcel);
    });
  }

  private name(id: string, name: string): void {
    this.deps.images.tag(id, name);
    this.tags.push(name);
  }

  private async push(output: ImageOutput, parcel: Parcel): Promise<void> {
    const { signal, credentials } = this.options;
    for (const name of output.names) {
      this.tell(`pushing ${wholeName(name)}`);
      const report = (step: object) => {
        const { status, id, progressDetail } = step as Record<string, unknown>;
        const counts = Object.keys((progressDetail as object | undefined) ?? {}).length > 0;
        if (!counts && typeof status === "string" && status !== "Preparing")
          this.tell(id === undefined ? status : `${id}: ${status}`);
      };
      await this.deps.images.exporter.send(parcel, name, {
        credentials: credentials(parseReference(name).domain),
        ...{ report, signal, byDigest: output.byDigest },
      });
    }
  }

  private async archive(
    at: number,
    output: Extract<BuildOutput, { kind: "archive" }>,
    images: readonly Composed[],
  ): Promise<void> {
    const { exporter } = this.deps.images;
    await this.packed(images, output, async (parcel) => {
      const bytes = exporter.archive(parcel, output.names, output.form === "docker");
      await this.options.deliver(at, gathered(bytes));
    });
  }

  /** Packs images, and notes what a name then leads to. */
  private packed(
    images: readonly Composed[],
    {
      packing,
      names,
      push = false,
    }: {
      readonly packing: Packing;
      readonly names: readonly string[];
      readonly push?: boolean;
    },
    work: (parcel: Parcel) => Promise<void>,
  ): Promise<void> {
    const destinations = push ? names : [];
    return this.deps.images.exporter.during(images, packing, destinations, async (parcel) => {
      await work(parcel);
      const [only, other] = parcel.images;
      const config = other === undefined ? only?.image.id : undefined;
      this.id ??= config ?? parcel.root.digest;
      this.note({ root: parcel.root, config, names });
    });
  }

  private note(of: {
    readonly root: { readonly digest: string };
    readonly config: string | undefined;
    readonly names: readonly string[];
  }): void {
    const { root, config, names } = of;
    this.metadata = {
      ...this.metadata,
      "containerimage.digest": root.digest,
      ...("size" in root ? { "containerimage.descriptor": root } : {}),
      ...(config === undefined ? {} : { "containerimage.config.digest": config }),
      ...(names.length === 0 ? {} : { "image.name": names.map(wholeName).join(",") }),
    };
  }

  private async *files(images: readonly BuiltImage[], split = images.length > 1): ByteStream {
    const { kernel, driver } = this.deps;
    const epoch = epochOf(this.options.args);
    for (const { platform, snapshot } of images) {
      const directory = split ? platformText(platform).replaceAll("/", "_") : "";
      if (split) yield directoryHeader(directory, epoch ?? 0);
      const all = driver.differences(snapshot.chain, []);
      const prefix = split ? `${directory}/` : "";
      yield* packPlaces(kernel, all, prefix, (entry) =>
        epoch === undefined ? entry : { ...entry, mtime: epoch },
      );
    }
    yield tarEnd();
  }
}

function directoryHeader(path: string, mtime: number): Uint8Array {
  const owner = { uid: 0, gid: 0, mode: 0o755 };
  const none = { size: 0, linkPath: "", major: 0, minor: 0, xattrs: new Map() };
  return tarHeader({ ...owner, ...none, path, mtime, type: "directory" });
}
