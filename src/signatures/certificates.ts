/**
 * Certificates of keyless signatures: that an authority which is trusted has given one for signing code at a time, and whom it
 * names. What is not understood in one refuses it. Throws Errors that say what is wrong.
 */
import { X509Certificate } from "node:crypto";
import { messageOf } from "../base/errors.ts";
import { type DerItem, oidText, readDer, readOne, TAGS } from "./der.ts";

/** Whom a certificate names. */
export interface CertifiedSubject {
  readonly kind: "email" | "URI";
  readonly name: string;
  /** Who has said to the authority that it is them. */
  readonly issuer: string;
}

/** A certificate, read. */
export interface Certificate {
  readonly x509: X509Certificate;
  readonly extensions: ReadonlyMap<string, { readonly critical: boolean; readonly value: Buffer }>;
}

const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const ALTERNATIVE_NAMES = "2.5.29.17";
/** Critical extensions that are looked at. */
const UNDERSTOOD = [BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, ALTERNATIVE_NAMES];
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
const ANY_USAGE = "2.5.29.37.0";
/** Of authorities: for which names they may certify. */
const NAME_CONSTRAINTS = "2.5.29.30";
/** Fulcio's: who has vouched for the subject, as bare text, and as DER. */
const ISSUER = "1.3.6.1.4.1.57264.1.1";
const ISSUER_V2 = "1.3.6.1.4.1.57264.1.8";
const EMAIL_NAME = 0x81;
const URI_NAME = 0x86;
/** The bits of the key's usage (RFC 5280, 4.2.1.3), in its first byte. */
const DIGITAL_SIGNATURE = 0x80;
const CERTIFICATE_SIGN = 0x04;
const CHAIN_MAX = 5;
const SIZE_MAX = 64 << 10;
/** The extensions in a certificate's body. */
const EXTENSIONS = 0xa3;

function extensionsIn(der: Buffer): Certificate["extensions"] {
  const [body] = readDer(readOne(der, TAGS.sequence));
  const wrapped = readDer(body?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === EXTENSIONS);
  const found = new Map<string, { critical: boolean; value: Buffer }>();
  if (wrapped === undefined) return found;
  for (const { content } of readDer(readOne(wrapped.content, TAGS.sequence))) {
    const [id, ...rest] = readDer(content);
    const value = rest.pop();
    const [critical] = rest;
    if (id?.tag !== TAGS.objectId || value?.tag !== TAGS.octetString || rest.length > 1)
      throw new Error("it has an extension that is none");
    if (critical !== undefined && critical.tag !== TAGS.boolean)
      throw new Error("it has an extension that is none");
    const name = oidText(id.content);
    if (found.has(name)) throw new Error(`it has the extension ${name} twice`);
    found.set(name, { critical: (critical?.content[0] ?? 0) !== 0, value: value.content });
  }
  return found;
}

/** Reads a certificate: DER, or one block of PEM. */
export function readCertificate(bytes: Uint8Array | string): Certificate {
  if (bytes.length > SIZE_MAX) throw new Error(`a certificate is larger than ${SIZE_MAX} bytes`);
  try {
    const x509 = new X509Certificate(bytes);
    return { x509, extensions: extensionsIn(Buffer.from(x509.raw)) };
  } catch (error) {
    throw new Error(`a certificate cannot be read: ${messageOf(error)}`);
  }
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Reads the certificates in a PEM file, of which there must be one at least and not more than a chain has. */
export function readCertificates(pem: string): Certificate[] {
  const blocks = pem.match(PEM_BLOCK) ?? [];
  if (blocks.length === 0) throw new Error("it has no PEM block CERTIFICATE");
  if (blocks.length > 2 * CHAIN_MAX) throw new Error("it has too many certificates");
  return blocks.map(readCertificate);
}

/** The bits of what a key is for; undefined: it does not say. */
function usageOf({ extensions }: Certificate): number | undefined {
  const value = extensions.get(KEY_USAGE)?.value;
  return value && (readOne(value, TAGS.bitString)[1] ?? 0);
}

/** What a certificate is for; undefined: it does not say. */
function purposesOf({ extensions }: Certificate): string[] | undefined {
  const value = extensions.get(EXTENDED_KEY_USAGE)?.value;
  if (value === undefined) return undefined;
  const items = readDer(readOne(value, TAGS.sequence));
  return items.flatMap(({ tag, content }) => (tag === TAGS.objectId ? [oidText(content)] : []));
}

const signsCode = (leaf: Certificate) => purposesOf(leaf)?.includes(CODE_SIGNING) ?? false;

/** Whether an authority may certify for signing code: one for servers alone may not, nor one that is kept to some names. */
function certifiesCode(authority: Certificate): boolean {
  const purposes = purposesOf(authority) ?? [ANY_USAGE];
  return (
    (purposes.includes(CODE_SIGNING) || purposes.includes(ANY_USAGE)) &&
    !authority.extensions.has(NAME_CONSTRAINTS)
  );
}

function constraintsOf({ extensions }: Certificate): DerItem[] {
  const value = extensions.get(BASIC_CONSTRAINTS)?.value;
  return value === undefined ? [] : readDer(readOne(value, TAGS.sequence));
}

/** Whether a certificate says that it is an authority's. */
export function isAuthority(certificate: Certificate): boolean {
  return constraintsOf(certificate).some(
    ({ tag, content }) => tag === TAGS.boolean && content[0] !== 0,
  );
}

/** How many authorities may be between one and what it certifies; undefined: it says nothing of that. */
function pathLength(certificate: Certificate): number | undefined {
  const length = constraintsOf(certificate).find(({ tag }) => tag === TAGS.integer)?.content;
  return length?.readUIntBE(0, Math.min(length.length, 4));
}

/** Whether a certificate was good at a time, in seconds since 1970. */
function isGoodAt({ x509 }: Certificate, time: number): boolean {
  return time * 1000 >= x509.validFromDate.getTime() && time * 1000 <= x509.validToDate.getTime();
}

/** The first critical extension that is not looked at. */
function notUnderstood({ extensions }: Certificate): string | undefined {
  for (const [name, { critical }] of extensions)
    if (critical && !UNDERSTOOD.includes(name)) return name;
  return undefined;
}

/** Whether one certificate is by another, which may give some; `between`: authorities between that and the leaf. */
function isIssuedBy(one: Certificate, by: Certificate, time: number, between: number): boolean {
  return (
    isAuthority(by) &&
    one.x509.checkIssued(by.x509) &&
    one.x509.verify(by.x509.publicKey) &&
    isGoodAt(by, time) &&
    notUnderstood(by) === undefined &&
    certifiesCode(by) &&
    ((usageOf(by) ?? CERTIFICATE_SIGN) & CERTIFICATE_SIGN) !== 0 &&
    (pathLength(by) ?? between) >= between
  );
}

/**
 * Throws unless a certificate is for signing code, was good at a time (in seconds since 1970), and leads to one of the trusted
 * ones. `offered`: others that may be on the way, which anybody may have sent.
 */
export function checkChain(
  leaf: Certificate,
  offered: readonly Certificate[],
  trusted: readonly Certificate[],
  time: number,
): void {
  if (!isGoodAt(leaf, time))
    throw new Error(
      `its certificate was not good at ${new Date(time * 1000).toISOString()}, when the log took the signature in`,
    );
  const unknown = notUnderstood(leaf);
  if (unknown !== undefined)
    throw new Error(
      `its certificate has the critical extension ${unknown}, which is not understood`,
    );
  if (isAuthority(leaf)) throw new Error("its certificate is that of an authority");
  if (((usageOf(leaf) ?? 0) & DIGITAL_SIGNATURE) === 0 || !signsCode(leaf))
    throw new Error("its certificate is not for signing code");
  let at = leaf;
  for (let between = 0; between < CHAIN_MAX; between++) {
    const issuer = (one: Certificate) => isIssuedBy(at, one, time, between);
    if (trusted.some(issuer)) return;
    const next = offered.find(issuer);
    if (next === undefined) break;
    at = next;
  }
  throw new Error(
    "its certificate is not by an authority that is trusted for this image and was good then",
  );
}

function issuerOf({ extensions }: Certificate): string {
  const first = extensions.get(ISSUER)?.value.toString("utf8");
  const wrapped = extensions.get(ISSUER_V2)?.value;
  const second = wrapped && readOne(wrapped, TAGS.utf8String).toString("utf8");
  const found = second ?? first;
  if (found === undefined)
    throw new Error("its certificate does not say who vouches for its owner");
  if (first !== undefined && first !== found)
    throw new Error("its certificate names two that vouch for its owner");
  return found;
}

/** Whom a certificate names: one address or URI, and who vouches for that. */
export function subjectOf(certificate: Certificate): CertifiedSubject {
  const value = certificate.extensions.get(ALTERNATIVE_NAMES)?.value;
  const names = value === undefined ? [] : readDer(readOne(value, TAGS.sequence));
  const [only, other] = names;
  const isKnown = only?.tag === EMAIL_NAME || only?.tag === URI_NAME;
  if (only === undefined || other !== undefined || !isKnown)
    throw new Error("its certificate does not name one mail address or URI");
  const kind = only.tag === EMAIL_NAME ? "email" : "URI";
  return { kind, name: only.content.toString("latin1"), issuer: issuerOf(certificate) };
}
