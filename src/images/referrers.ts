/**
 * What refers to an image in its registry, signatures and attestations above all: found there, kept beside the image, sent on
 * with it. Who has signed them is not looked at here; they are kept as they came, so that others can.
 */
import { digestOf } from "../base/digest.ts";
import { messageOf } from "../base/errors.ts";
import type { Manifest, Repository } from "../registry/index.ts";
import { isSha256 } from "../spec/reference.ts";
import type { ContentStore } from "./content.ts";
import type { ImageDatabase } from "./database.ts";
import type { Holds } from "./holds.ts";
import { isIndexType, readIndex } from "./image-index.ts";
import type { Indexes } from "./indexes.ts";
import { OCI_INDEX } from "./layout.ts";
import type { Attestation } from "./manifest.ts";
import { type Descriptor, parseObject } from "./model.ts";
import type { TransferOptions } from "./options.ts";
import type { Report } from "./progress.ts";
import { documentOf, type ImageSource, type RemoteImage } from "./pull.ts";
import { blobFile, eachOf, OCI_MANIFEST, type PushTarget, sendBlob } from "./push.ts";
import { type KeptReferrer, reaching } from "./referrer-rows.ts";
import { statementsIn } from "./statements.ts";

/** A manifest that refers to another. */
export interface Referrer {
  /** What it refers to. */
  readonly subject: string;
  /** The tag that registries have it under; "": it names its subject itself (OCI 1.1). */
  readonly tag: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
  /** What it names. */
  readonly blobs: readonly Descriptor[];
}

/** Everything that leads to some manifests. */
export interface Referring {
  readonly subjects: readonly string[];
  readonly found: readonly Referrer[];
}

/** So many of one subject are kept; so many bytes of documents and blobs of all that leads to an image. */
const REFERRERS_MAX = 64;
const BYTES_MAX = 64 << 20;
/** So many steps from the image, and so many manifests of which it is asked what refers to them, a few at the same time. */
const DEPTH_MAX = 4;
const SUBJECTS_MAX = 64;
const AT_ONCE = 4;
/** cosign's tags for a digest. */
const ENDINGS = ["sig", "att"];
const COSIGN_TAG = /^sha256-([0-9a-f]{64})\.(sig|att)$/;

const tagFor = (subject: string, ending: string) => `${subject.replace(":", "-")}.${ending}`;

/** The digest that one of cosign's tags is about; undefined for other tags. */
export function cosignSubject(tag: string): string | undefined {
  const hex = COSIGN_TAG.exec(tag)?.[1];
  return hex && `sha256:${hex}`;
}

/** The digest that a manifest says it refers to. */
export function subjectIn(manifest: Readonly<Record<string, unknown>>): string | undefined {
  const { digest } = (manifest.subject ?? {}) as { digest?: unknown };
  return typeof digest === "string" && isSha256(digest) ? digest : undefined;
}

/** Reads a referrer's manifest. Throws Errors for what is none, or one of something else. */
export function readReferrer(
  { digest, bytes }: Pick<Manifest, "digest" | "bytes">,
  subject: string,
  tag: string,
): Referrer {
  const manifest = parseObject(bytes, `the referrer ${digest}`);
  if (isIndexType(String(manifest.mediaType)) || manifest.manifests !== undefined)
    throw new Error("it is an index");
  if (tag === "" && subjectIn(manifest) !== subject)
    throw new Error(`it does not refer to ${subject}`);
  const { parts } = readIndex({ digest, size: bytes.length }, () => bytes);
  return { subject, tag, digest, bytes, blobs: parts.flatMap(({ names }) => names) };
}

type ReferrerSource = ImageSource & Pick<Repository, "referrers">;
type Told = Pick<TransferOptions, "report" | "signal">;

/** What leads to one manifest in a registry, which may be a hostile one: so far, so many and so much of it. */
class ReferrerSearch {
  private bytes = 0;
  private asked = 0;

  constructor(
    private readonly source: ReferrerSource,
    private readonly told: Told,
  ) {}

  /** What is nearer comes first. */
  async leadingTo(root: string): Promise<Referrer[]> {
    const found: Referrer[] = [];
    const seen = new Set([root]);
    let level = [root];
    for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth++) {
      const next: Referrer[][] = [];
      await eachOf(level.entries(), AT_ONCE, async ([at, subject]) => {
        next[at] = await this.of(subject);
      });
      found.push(...next.flat());
      const fresh = next.flat().flatMap(({ digest }) => (seen.has(digest) ? [] : digest));
      this.asked += level.length;
      level = [...new Set(fresh)].slice(0, Math.max(SUBJECTS_MAX - this.asked, 0));
      for (const digest of level) seen.add(digest);
      const left = new Set(fresh).size - level.length;
      if (left > 0) this.tell(`What refers to ${left} referrers is left out: there are too many`);
    }
    if (level.length > 0)
      this.tell(
        `What refers to ${level.length} referrers is left out: it is too far from the image`,
      );
    return found;
  }

  private tell(status: string): void {
    this.told.report({ status });
  }

  /** What refers to one manifest. */
  private async of(subject: string): Promise<Referrer[]> {
    const found: Referrer[] = [];
    const take = async (reference: string, tag: string) => {
      const one = await this.take(reference, subject, tag);
      if (one !== undefined) found.push(one);
    };
    for (const ending of ENDINGS) await take(tagFor(subject, ending), tagFor(subject, ending));
    const listed = await this.source.referrers(subject, this.told.signal);
    for (const { digest } of listed.slice(0, REFERRERS_MAX)) await take(digest, "");
    const left = listed.length - REFERRERS_MAX;
    if (left > 0) this.tell(`${left} referrers are left out: there are too many`);
    return found;
  }

  private async take(
    reference: string,
    subject: string,
    tag: string,
  ): Promise<Referrer | undefined> {
    const manifest = await documentOf(this.source, reference, this.told.signal);
    if (manifest === undefined) return undefined;
    try {
      const referrer = readReferrer(manifest, subject, tag);
      const size = referrer.blobs.reduce((sum, blob) => sum + blob.size, manifest.bytes.length);
      if (this.bytes + size > BYTES_MAX)
        throw new Error(`it would be more than ${BYTES_MAX} bytes with it`);
      this.bytes += size;
      return referrer;
    } catch (error) {
      this.tell(`Referrer ${manifest.digest} is left out: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/**
 * What a registry has that refers to an image, or to the index that it was chosen from, and what refers to that, where that is
 * wanted: asked for, or the image had to be signed, so that whoever gets it from here can check that again. What is left out is
 * told of. Rejects when the registry cannot be asked.
 */
export async function remoteReferrers(
  source: ReferrerSource,
  image: Pick<RemoteImage, "digest" | "manifestBytes" | "signed">,
  { report, signal, referrers }: Told & Pick<TransferOptions, "referrers">,
): Promise<Referring | undefined> {
  if (!referrers && !image.signed) return undefined;
  const subjects = [...new Set([image.digest, digestOf(image.manifestBytes)])];
  const found: Referrer[] = [];
  for (const subject of subjects)
    found.push(...(await new ReferrerSearch(source, { report, signal }).leadingTo(subject)));
  return { subjects, found };
}

/** A referrer that is here, as inspect shows it. */
export interface ReferrerSummary {
  readonly Digest: string;
  readonly MediaType: string;
  readonly ArtifactType: string;
  readonly Size: number;
  readonly Subject: string;
  readonly Tag?: string;
}

/** Where referrers are kept. */
interface Parts {
  readonly content: ContentStore;
  readonly data: ImageDatabase;
  readonly holds: Holds;
  readonly indexes: Pick<Indexes, "read">;
}

/** The referrers of one image store. */
export class Referrers {
  constructor(private readonly parts: Parts) {}

  /** Records what refers to an image; manifests and blobs must be here. */
  keep(image: string, referring: Referring | undefined): void {
    if (referring === undefined) return;
    const rows = referring.found.map(({ subject, digest, tag, blobs }) => ({
      ...{ image, subject, digest, tag },
      blobs: blobs.map((blob) => blob.digest),
    }));
    this.parts.data.referrers.put(image, referring.subjects, rows);
  }

  /** Those of an image that are here. */
  of(image: string): Referrer[] {
    return this.parts.data.referrers.of(image).map((row) => this.read(row));
  }

  private read({ subject, tag, digest }: KeptReferrer): Referrer {
    return readReferrer({ digest, bytes: this.parts.content.read(digest) }, subject, tag);
  }

  summaries(image: string): ReferrerSummary[] {
    return this.of(image).map(({ digest, bytes, subject, tag }) => ({
      Digest: digest,
      ...typesOf(bytes),
      Size: bytes.length,
      Subject: subject,
      ...(tag === "" ? {} : { Tag: tag }),
    }));
  }

  /** What they state of an image. Of each other they may state something, too, which is not of the image. */
  attestations(image: string): Attestation[] {
    const { content } = this.parts;
    const all = this.of(image);
    const own = new Set(all.map(({ digest }) => digest));
    return all
      .filter(({ subject }) => !own.has(subject))
      .flatMap((referrer) => statementsIn(referrer, (digest) => content.read(digest)));
  }

  /** Sends those of an image that lead to what a registry has been sent, a manifest alone or an index with its parts. */
  async push(target: PushTarget, image: string, digest: string, report: Report): Promise<void> {
    const parts =
      this.parts.indexes.read(digest)?.parts.map(({ descriptor }) => descriptor.digest) ?? [];
    const sent = new Set([digest, ...parts]);
    const own = reaching(this.of(image), sent);
    const digests = own.flatMap(({ digest, blobs }) => [digest, ...blobs.map((one) => one.digest)]);
    await this.parts.holds.during(digests, async () => {
      for (const referrer of own) {
        for (const { digest } of referrer.blobs)
          await sendBlob(target, blobFile(target.content, digest), () => {});
        await sendReferrer(target, referrer);
        report({
          status: `Referrer: ${referrer.digest} (${typesOf(referrer.bytes).ArtifactType})`,
        });
      }
    });
  }
}

/** What a referrer's manifest says that it is. */
export function typesOf(bytes: Uint8Array): {
  readonly MediaType: string;
  readonly ArtifactType: string;
} {
  const { mediaType, artifactType, config } = parseObject(bytes, "a referrer");
  const ofConfig = (config as { mediaType?: unknown } | undefined)?.mediaType;
  return {
    MediaType: typeof mediaType === "string" ? mediaType : OCI_MANIFEST,
    ArtifactType: String(artifactType ?? ofConfig ?? ""),
  };
}

async function sendReferrer(target: PushTarget, referrer: Referrer): Promise<void> {
  const { repository, signal } = target;
  const { digest, bytes, tag } = referrer;
  const { MediaType: mediaType } = typesOf(bytes);
  const isListed = await repository.putManifest(
    tag || digest,
    { digest, mediaType, bytes },
    signal,
  );
  if (tag === "" && !isListed) await listByTag(target, referrer);
}

/** Puts a referrer into the index under the tag that stands in for a registry's list. */
async function listByTag(
  { repository, signal }: PushTarget,
  { subject, digest, bytes }: Referrer,
): Promise<void> {
  const tag = subject.replace(":", "-");
  const before = await documentOf(repository, tag, signal);
  const list = before && parseObject(before.bytes, `the referrers of ${subject}`).manifests;
  const others = (Array.isArray(list) ? list : []) as { digest?: unknown }[];
  if (others.some((one) => one.digest === digest)) return;
  const { MediaType: mediaType, ArtifactType: artifactType } = typesOf(bytes);
  const own = { mediaType, digest, size: bytes.length, artifactType };
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, own] };
  const document = new TextEncoder().encode(JSON.stringify(index));
  const named = { digest: "", mediaType: OCI_INDEX, bytes: document };
  await repository.putManifest(tag, named, signal);
}
