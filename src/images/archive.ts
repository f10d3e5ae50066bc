/**
 * Image archives: what `docker save` and OCI layouts hold. Members are spooled with their digests while the stream
 * passes, so that the order of an unseekable archive does not matter and memory stays bounded.
 */
import { readFileSync, rmSync } from "node:fs";
import type { ArrivingFile } from "../base/arriving-file.ts";
import { type ByteStream, compressionOf, decompress, readAhead } from "../base/compression.ts";
import { fault } from "../base/errors.ts";
import { looksLikeTar, TAR_BLOCK, type TarEntry, TarReader } from "../base/tar.ts";
import { type Platform, platformFits, platformText } from "../spec/platform.ts";
import type { ContentStore, Ingested } from "./content.ts";
import { entriesOf, isIndexType, readIndex } from "./image-index.ts";
import type { EarlyLayer } from "./layers.ts";
import { blobName } from "./layout.ts";
import {
  artifactDocument,
  artifactType,
  type Descriptor,
  DOCUMENT_MAX,
  type ImageDocument,
  MADE_MANIFEST,
  parseDescriptor,
  parseDocument,
  parseObject,
} from "./model.ts";
import { reaching } from "./referrer-rows.ts";
import {
  cosignSubject,
  type Referrer,
  type Referring,
  readReferrer,
  subjectIn,
} from "./referrers.ts";
import { hostPlatform } from "./views.ts";

/** A member of an archive. */
export interface Member extends Ingested {
  /** What has been begun with it in case it is a layer. */
  readonly early: EarlyLayer | undefined;
}

/** One image found in an archive. */
export interface ArchivedImage {
  readonly names: readonly string[];
  readonly configBytes: Uint8Array;
  readonly document: ImageDocument;
  /** Files of the layers, as they came. */
  readonly layers: readonly Member[];
  readonly manifestBytes?: Uint8Array | undefined;
  /** The index that it was chosen from, with what the archive has of that. */
  readonly index?: ArchivedIndex;
  readonly referrers?: ArchivedReferrers;
}

/** What refers to an image in an archive, with the files of manifests and of what they name. */
export interface ArchivedReferrers extends Referring {
  readonly files: readonly Member[];
}

/** Of an index in an archive: itself, and manifests with what they name, as far as that is in the archive. */
export interface ArchivedIndex {
  readonly digest: string;
  /** The index first. */
  readonly documents: readonly Member[];
  readonly blobs: readonly Member[];
}

const MEMBERS_MAX = 10_000;
const MANIFESTS = new Set([
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
]);

function bad(message: string): Error {
  return fault("invalid", "image-archive", message);
}

/** Members by their cleaned name. */
class Members {
  private readonly files = new Map<string, Member>();
  private readonly all: Member[] = [];
  private readonly links = new Map<string, string>();

  static clean(name: string): string {
    const out: string[] = [];
    for (const part of name.split("/")) {
      if (part === "" || part === ".") continue;
      if (part === "..") out.pop();
      else out.push(part);
    }
    return out.join("/");
  }

  /** Of two with one name the later counts. */
  add(name: string, file: Member): void {
    this.files.set(Members.clean(name), file);
    this.all.push(file);
  }

  link(name: string, target: string): void {
    this.links.set(Members.clean(name), Members.clean(target));
  }

  get count(): number {
    return this.all.length + this.links.size;
  }

  find(name: string): Member | undefined {
    let key = Members.clean(name);
    for (let i = 0; i < 5; i++) {
      const file = this.files.get(key);
      if (file !== undefined) return file;
      const target = this.links.get(key);
      if (target === undefined) return undefined;
      key = target;
    }
    return undefined;
  }

  get(name: string): Member {
    const file = this.find(name);
    if (file === undefined) throw bad(`the archive has no member ${JSON.stringify(name)}`);
    return file;
  }

  bytes(name: string): Uint8Array {
    const file = this.get(name);
    if (file.size > DOCUMENT_MAX)
      throw bad(`archive member ${JSON.stringify(name)} is larger than ${DOCUMENT_MAX} bytes`);
    return readFileSync(file.path);
  }

  /** A blob of an OCI layout, its content checked against its name. */
  blob(descriptor: Descriptor): Member {
    const name = blobName(descriptor.digest);
    const file = this.get(name);
    if (file.digest !== descriptor.digest)
      throw bad(
        `archive member ${JSON.stringify(name)} has the digest ${file.digest}: it is damaged`,
      );
    return file;
  }

  blobBytes(descriptor: Descriptor): Uint8Array {
    const file = this.blob(descriptor);
    if (file.size > DOCUMENT_MAX)
      throw bad(`blob ${descriptor.digest} is larger than ${DOCUMENT_MAX} bytes`);
    return readFileSync(file.path);
  }

  /** Deletes all files, and what has been begun with them and is not wanted. */
  async clear(): Promise<void> {
    for (const { early, path } of this.all) {
      await early?.end();
      rmSync(path, { force: true });
    }
  }
}

/** What may be done with a member while it is on its way. */
export type Begin = (file: ArrivingFile) => EarlyLayer | undefined;

/** Spools a member. One that may be a layer (which one, the archive tells only later) is begun with at once. */
async function spoolMember(
  entry: TarEntry,
  data: ByteStream,
  content: ContentStore,
  begin: Begin,
): Promise<Member> {
  const { head, whole } = await readAhead(data, Math.min(entry.size, TAR_BLOCK));
  const named = /^(?:\.\/)?blobs\/sha256\/([0-9a-f]{64})$/.exec(entry.path)?.[1];
  const known = named !== undefined && content.has(`sha256:${named}`);
  const maybe = !known && (looksLikeTar(head) || compressionOf(head) !== undefined);
  let early: EarlyLayer | undefined;
  try {
    const file = await content.ingest(whole, (arriving) => {
      if (maybe) early = begin(arriving);
    });
    return { ...file, early };
  } catch (error) {
    await early?.end();
    throw error;
  }
}

async function spool(source: ByteStream, content: ContentStore, begin: Begin): Promise<Members> {
  const members = new Members();
  const reader = new TarReader(await decompress(source));
  try {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      if (members.count > MEMBERS_MAX)
        throw bad(`the archive has more than ${MEMBERS_MAX} members`);
      if (entry.type === "file")
        members.add(entry.path, await spoolMember(entry, reader.data(), content, begin));
      else if (entry.type === "symlink")
        members.link(entry.path, `${entry.path}/../${entry.linkPath}`);
      else if (entry.type === "hardlink") members.link(entry.path, entry.linkPath);
    }
    await reader.drain();
  } catch (error) {
    await members.clear();
    throw error;
  }
  return members;
}

/** The manifest for the wanted platform in an index, following nested ones. */
function pickManifest(
  members: Members,
  descriptor: Descriptor,
  wanted: Platform,
  depth = 0,
): Descriptor | undefined {
  if (depth > 4) throw bad("indexes are nested too deeply");
  if (descriptor.mediaType === undefined || MANIFESTS.has(descriptor.mediaType)) return descriptor;
  if (!isIndexType(descriptor.mediaType)) return undefined;
  const list = entriesOf(parseObject(members.blobBytes(descriptor), "an image index"));
  const here = list.filter(
    ({ platform }) =>
      platform === undefined || platformFits(wanted, { os: "", architecture: "", ...platform }),
  );
  for (const candidate of here) {
    if (members.find(blobName(candidate.digest)) === undefined) continue;
    const picked = pickManifest(members, candidate, wanted, depth + 1);
    if (picked !== undefined) return picked;
  }
  return undefined;
}

function fromManifest(
  members: Members,
  descriptor: Descriptor,
  names: readonly string[],
): ArchivedImage {
  const manifestBytes = members.blobBytes(descriptor);
  const manifest = parseObject(manifestBytes, "an image manifest");
  // What is both could mean one image to us and another to somebody else (CVE-2021-41190).
  if (manifest.manifests !== undefined) throw bad("a manifest that is also an index is refused");
  const artifact = artifactType(manifest);
  if (artifact !== undefined) {
    const document = artifactDocument(artifact);
    return { names, configBytes: manifestBytes, document, layers: [], manifestBytes };
  }
  const config = parseDescriptor(manifest.config, "an image manifest");
  const layers = (Array.isArray(manifest.layers) ? manifest.layers : []).map((item) =>
    parseDescriptor(item, "an image manifest"),
  );
  const configBytes = members.blobBytes(config);
  const document = parseDocument(configBytes);
  return {
    names,
    configBytes,
    document,
    layers: layers.map((layer) => members.blob(layer)),
    manifestBytes,
  };
}

/** What an archive has of an index. */
function indexIn(members: Members, top: Descriptor): ArchivedIndex {
  const here = (one: Descriptor) => {
    if (members.find(blobName(one.digest)) === undefined) return undefined;
    const file = members.blob(one);
    if (file.size !== one.size)
      throw bad(`blob ${one.digest} has ${file.size} bytes, not ${one.size}`);
    return file;
  };
  const { indexes, parts } = readIndex(top, (one) =>
    here(one) === undefined ? undefined : members.blobBytes(one),
  );
  const found = parts.filter(({ bytes }) => bytes !== undefined);
  const documents = [...indexes, ...found].map(({ descriptor }) => members.blob(descriptor));
  const blobs = found.flatMap(({ names }) => names).flatMap((one) => here(one) ?? []);
  return { digest: top.digest, documents, blobs };
}

function nameOf(descriptor: Descriptor): string[] {
  const { annotations = {} } = descriptor;
  const full = annotations["io.containerd.image.name"];
  const short = annotations["org.opencontainers.image.ref.name"];
  if (full !== undefined) return [full];
  // The annotation may be a whole name or, as the specification has it, a tag alone, which names nothing.
  return short !== undefined && /[/:]/.test(short) ? [short] : [];
}

/** The referrers in index.json, by their digests: manifests that say of themselves, or by a tag of cosign's, that they refer to others. */
function referrersIn(members: Members, listed: readonly Descriptor[]): Map<string, Referrer> {
  const digests = new Set(listed.map(({ digest }) => digest));
  const found = listed.flatMap((descriptor) => {
    const tag = descriptor.annotations?.["org.opencontainers.image.ref.name"] ?? "";
    const isManifest = MANIFESTS.has(descriptor.mediaType ?? "");
    if (!isManifest || members.find(blobName(descriptor.digest)) === undefined) return [];
    const bytes = members.blobBytes(descriptor);
    const byTag = cosignSubject(tag);
    const subject = byTag ?? subjectIn(parseObject(bytes, "an image manifest"));
    // Of what is elsewhere it is an artifact of its own.
    if (subject === undefined || !digests.has(subject)) return [];
    return [readReferrer({ digest: descriptor.digest, bytes }, subject, byTag ? tag : "")];
  });
  return new Map(found.map((one) => [one.digest, one]));
}

/** Those that lead to an image, or to the index that it stands for; undefined: there are none. */
function referrersOf(
  members: Members,
  all: ReadonlyMap<string, Referrer>,
  subjects: readonly string[],
): ArchivedReferrers | undefined {
  const found = reaching([...all.values()], subjects);
  if (found.length === 0) return undefined;
  const named = found.flatMap(({ digest, bytes, blobs }) => [
    { digest, size: bytes.length },
    ...blobs,
  ]);
  return { subjects, found, files: named.map((one) => members.blob(one)) };
}

function readOci(members: Members, wanted: Platform): ArchivedImage[] {
  const index = parseObject(members.bytes("index.json"), "index.json");
  if (!Array.isArray(index.manifests)) throw bad("index.json lists no manifests");
  const listed = index.manifests.map((item) => parseDescriptor(item, "index.json"));
  const referring = referrersIn(members, listed);
  const byDigest = new Map<
    string,
    { top: Descriptor; picked: Descriptor; names: Set<string>; made: boolean }
  >();
  for (const descriptor of listed) {
    if (referring.has(descriptor.digest)) continue;
    const picked = pickManifest(members, descriptor, wanted);
    if (picked === undefined) continue;
    const entry = byDigest.get(descriptor.digest) ?? {
      ...{ top: descriptor, picked, names: new Set<string>(), made: false },
    };
    if (descriptor.annotations?.[MADE_MANIFEST] === "true") entry.made = true;
    for (const name of nameOf(descriptor)) entry.names.add(name);
    byDigest.set(descriptor.digest, entry);
  }
  if (byDigest.size === 0) throw bad(`the archive has no image for ${platformText(wanted)}`);
  return [...byDigest.values()].map(({ top, picked, names, made }) => {
    const { manifestBytes, ...own } = fromManifest(members, picked, [...names]);
    const referrers = referrersOf(members, referring, [top.digest, picked.digest]);
    const image = referrers === undefined ? own : { ...own, referrers };
    const isArtifact = image.document.artifact !== undefined;
    const index = isArtifact || isIndexType(top.mediaType) ? indexIn(members, top) : undefined;
    if (index !== undefined) return { ...image, manifestBytes, index };
    return made || manifestBytes === undefined ? image : { ...image, manifestBytes };
  });
}

function readDocker(members: Members): ArchivedImage[] {
  let list: unknown;
  try {
    list = JSON.parse(new TextDecoder().decode(members.bytes("manifest.json")));
  } catch {
    throw bad("manifest.json is not valid JSON");
  }
  if (!Array.isArray(list)) throw bad("manifest.json is not a list");
  return list.map((item: unknown) => {
    const { Config, RepoTags, Layers } = (item ?? {}) as Record<string, unknown>;
    if (
      typeof Config !== "string" ||
      !Array.isArray(Layers) ||
      !Layers.every((layer) => typeof layer === "string")
    )
      throw bad("manifest.json has an entry without Config and Layers");
    const configBytes = members.bytes(Config);
    const names = Array.isArray(RepoTags) ? RepoTags.filter((tag) => typeof tag === "string") : [];
    return {
      names,
      configBytes,
      document: parseDocument(configBytes),
      layers: Layers.map((layer: string) => members.get(layer)),
    };
  });
}

/** Throws a Fault "not-found" for an archive with an image for another platform than the one that was asked for. */
function checkPlatforms(images: readonly ArchivedImage[], wanted: Platform): void {
  for (const { document } of images)
    if (!platformFits(wanted, document))
      throw fault(
        "not-found",
        "image-platform",
        `the archive's image does not match the specified platform: wanted ${platformText(wanted)}, actual: ${platformText(document)}`,
      );
}

/** What an archive is read with. */
export interface ReadOptions {
  readonly content: ContentStore;
  readonly begin: Begin;
  /** Which of several platforms is meant; without it this host's, and an image alone may be for any. */
  readonly platform?: Platform | undefined;
}

/**
 * Reads an archive, however compressed, and hands its images to `use`; spooled files are gone afterwards. Throws a Fault
 * "invalid" that says what is wrong with the archive.
 */
export async function readArchive<T>(
  source: ByteStream,
  { content, begin, platform }: ReadOptions,
  use: (images: readonly ArchivedImage[]) => Promise<T>,
): Promise<T> {
  const members = await spool(source, content, begin);
  try {
    if (members.find("manifest.json") === undefined && members.find("index.json") === undefined)
      throw bad(
        "the archive is no image: it has neither manifest.json nor index.json (for a plain root file system, use berth import)",
      );
    const images =
      members.find("index.json") !== undefined && members.find("oci-layout") !== undefined
        ? readOci(members, platform ?? hostPlatform())
        : readDocker(members);
    if (platform !== undefined) checkPlatforms(images, platform);
    for (const image of images)
      if (image.layers.length !== image.document.rootfs.diff_ids.length)
        throw bad(
          `invalid manifest, layers length mismatch: expected ${image.document.rootfs.diff_ids.length}, got ${image.layers.length}`,
        );
    return await use(images);
  } finally {
    await members.clear();
  }
}
