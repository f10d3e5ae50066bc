/**
 * What referrers state of an image (pure): in-toto statements, in sigstore bundles, in DSSE envelopes or as they are. For showing
 * alone: nobody has looked at signatures.
 */
import type { Attestation } from "./manifest.ts";
import { type Descriptor, parseObject } from "./model.ts";

const IN_TOTO = "application/vnd.in-toto+json";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle/;
/** What cosign's signatures in bundles say: nothing of the image. */
const SIGNATURE = "https://sigstore.dev/cosign/sign/v1";

type Json = Readonly<Record<string, unknown>>;
const objectIn = (value: unknown): Json =>
  typeof value === "object" && value !== null ? (value as Json) : {};

/** The statement in a document of a media type; undefined: there is none. */
function statementIn(mediaType: string, bytes: Uint8Array): Json | undefined {
  const document = parseObject(bytes, "an attestation");
  if (mediaType === IN_TOTO) return document;
  const envelope = BUNDLE.test(mediaType) ? objectIn(document.dsseEnvelope) : document;
  const { payload, payloadType } = envelope;
  if (payloadType !== IN_TOTO || typeof payload !== "string") return undefined;
  return parseObject(Buffer.from(payload, "base64"), "an attestation");
}

/** The type of what a document states of a digest; undefined: nothing. */
function predicateIn(mediaType: string, bytes: Uint8Array, about: string): string | undefined {
  let statement: Json | undefined;
  try {
    statement = statementIn(mediaType, bytes);
  } catch {
    // It comes from whoever may write to the repository: what cannot be read says nothing.
    return undefined;
  }
  const { predicateType, subject } = statement ?? {};
  const isAbout = (one: unknown) =>
    `sha256:${String(objectIn(objectIn(one).digest).sha256)}` === about;
  if (!Array.isArray(subject) || !subject.some(isAbout)) return undefined;
  return typeof predicateType === "string" && predicateType !== SIGNATURE
    ? predicateType
    : undefined;
}

/** What a referrer states of its subject; `read` gives a blob's bytes. */
export function statementsIn(
  referrer: {
    readonly subject: string;
    readonly digest: string;
    readonly blobs: readonly Descriptor[];
  },
  read: (digest: string) => Uint8Array,
): Attestation[] {
  return referrer.blobs.flatMap(({ mediaType = "", digest, size }) => {
    const isKnown = mediaType === IN_TOTO || mediaType === ENVELOPE || BUNDLE.test(mediaType);
    const type = isKnown ? predicateIn(mediaType, read(digest), referrer.subject) : undefined;
    if (type === undefined) return [];
    const own = { PredicateType: type, MediaType: mediaType, Digest: digest, Size: size };
    return [{ ...own, Manifest: referrer.digest, Subject: referrer.subject }];
  });
}
