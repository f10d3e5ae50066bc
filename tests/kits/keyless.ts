/**
 * Keyless signatures as sigstore's services and cosign make them: an authority (Fulcio), a transparency log (Rekor 1), and a signer with
 * a certificate for a moment. Certificates are made by openssl.
 */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { BUNDLE, type Entry, envelopeOf, SIMPLE, type Signer } from "./signing.ts";

const sha256 = (...parts: readonly (Uint8Array | string)[]) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** What a certificate says. */
export interface CertificateWish {
  /** As openssl has it: "email:a@example.com", "URI:https://…". */
  readonly names: string;
  readonly issuer?: string;
  /** More lines for openssl's extensions, or other ones than Fulcio's. */
  readonly usage?: readonly string[];
  readonly more?: readonly string[];
  readonly curve?: string;
}

/** Somebody with a certificate. */
export interface CertifiedSigner extends Signer {
  readonly certificate: X509Certificate;
}

/** The issuer of the tests' identities. */
export const ISSUER = "https://accounts.example.com";
const FOR_SIGNING = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=codeSigning"];

/** An authority with one between it and those it certifies. */
export class TestAuthority {
  private made = 0;

  constructor(readonly directory: string) {
    this.openssl(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"],
      ...["-days", "2", "-subj", "/O=example/CN=root", "-keyout", "root.key", "-out", "root.pem"],
    );
    this.certify("between", "root", "P-384", [
      "basicConstraints=critical,CA:TRUE,pathlen:0",
      "keyUsage=critical,keyCertSign,cRLSign",
      "extendedKeyUsage=codeSigning",
    ]);
  }

  private openssl(...args: string[]): void {
    const done = Bun.spawnSync(["openssl", ...args], { cwd: this.directory, stderr: "pipe" });
    if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  }

  /** Makes NAME.key and NAME.pem, by another. */
  certify(name: string, by: string, curve: string, extensions: readonly string[]): void {
    const subject = name.startsWith("leaf") ? "/" : `/O=example/CN=${name}`;
    this.openssl(
      ...["req", "-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`, "-nodes"],
      ...["-subj", subject, "-keyout", `${name}.key`, "-out", `${name}.csr`],
    );
    writeFileSync(`${this.directory}/${name}.ext`, `${extensions.join("\n")}\n`);
    this.openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", `${by}.pem`, "-CAkey", `${by}.key`],
      ...["-CAcreateserial", "-days", "1", "-extfile", `${name}.ext`, "-out", `${name}.pem`],
    );
  }

  /** PEM. */
  pem(name: string): string {
    return readFileSync(`${this.directory}/${name}.pem`, "utf8");
  }

  /** Gives somebody a certificate, by the authority between or another. */
  issue(
    { names, issuer = ISSUER, usage = FOR_SIGNING, more = [], curve = "P-256" }: CertificateWish,
    by = "between",
  ): CertifiedSigner {
    const name = `leaf${++this.made}`;
    const issuers = [
      `1.3.6.1.4.1.57264.1.1=DER:${Buffer.from(issuer).toString("hex")}`,
      `1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:${issuer}`,
    ];
    const extensions = [...usage, `subjectAltName=critical,${names}`];
    this.certify(name, by, curve, [...extensions, ...(issuer === "" ? [] : issuers), ...more]);
    const privatePem = readFileSync(`${this.directory}/${name}.key`, "utf8");
    const certificate = new X509Certificate(this.pem(name));
    return {
      certificate,
      privatePem,
      pem: String(certificate.publicKey.export({ type: "spki", format: "pem" })),
      sign: (bytes) => sign("sha256", Buffer.from(bytes), privatePem).toString("base64"),
    };
  }
}

/** What a log gives for an entry, as it is in a bundle. */
export interface LogReceipt {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly kindVersion: { readonly kind: string; readonly version: string };
  readonly integratedTime: string;
  readonly inclusionPromise: { readonly signedEntryTimestamp: string };
  readonly inclusionProof: {
    readonly logIndex: string;
    readonly rootHash: string;
    readonly treeSize: string;
    readonly hashes: readonly string[];
    readonly checkpoint: { readonly envelope: string };
  };
  readonly canonicalizedBody: string;
}

function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] ?? Buffer.alloc(0);
  const left = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  return sha256(Buffer.of(1), rootOf(leaves.slice(0, left)), rootOf(leaves.slice(left)));
}

/** What is beside a leaf's way to the root (RFC 6962, 2.1.1). */
function pathOf(leaves: readonly Buffer[], at: number): Buffer[] {
  if (leaves.length === 1) return [];
  const left = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  return at < left
    ? [...pathOf(leaves.slice(0, left), at), rootOf(leaves.slice(left))]
    : [...pathOf(leaves.slice(left), at - left), rootOf(leaves.slice(0, left))];
}

/** A log with a tree of its own. */
export class TestLog {
  private readonly pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =
    generateKeyPairSync("ec", { namedCurve: "P-256" });
  private readonly leaves: Buffer[] = [];

  /** `before`, `after`: so many entries of others are around each of ours. */
  constructor(
    private readonly before = 5,
    private readonly after = 3,
  ) {}

  get pem(): string {
    return String(this.pair.publicKey.export({ type: "spki", format: "pem" }));
  }

  get id(): Buffer {
    return sha256(this.pair.publicKey.export({ type: "spki", format: "der" }));
  }

  private sign(bytes: Uint8Array | string): Buffer {
    return sign("sha256", Buffer.from(bytes), this.pair.privateKey);
  }

  private others(count: number): void {
    for (let at = 0; at < count; at++)
      this.leaves.push(sha256("other", String(this.leaves.length)));
  }

  /** Takes a document in. `time`: in seconds since 1970. */
  enter(
    document: { readonly kind: string; readonly apiVersion: string },
    time: number,
  ): LogReceipt {
    this.others(this.before);
    const body = Buffer.from(JSON.stringify(document));
    const index = this.leaves.push(sha256(Buffer.of(0), body)) - 1;
    this.others(this.after);
    const root = rootOf(this.leaves).toString("base64");
    const head = `log.example.com - 1\n${this.leaves.length}\n${root}\n`;
    const note = Buffer.concat([this.id.subarray(0, 4), this.sign(head)]).toString("base64");
    // The index over all of a log's trees is another than that in its tree.
    const logIndex = index + 1000;
    const promised = JSON.stringify({
      ...{ body: body.toString("base64"), integratedTime: time },
      ...{ logID: this.id.toString("hex"), logIndex },
    });
    return {
      logIndex: String(logIndex),
      logId: { keyId: this.id.toString("base64") },
      kindVersion: { kind: document.kind, version: document.apiVersion },
      integratedTime: String(time),
      inclusionPromise: { signedEntryTimestamp: this.sign(promised).toString("base64") },
      inclusionProof: {
        logIndex: String(index),
        rootHash: root,
        treeSize: String(this.leaves.length),
        hashes: pathOf(this.leaves, index).map((hash) => hash.toString("base64")),
        checkpoint: { envelope: `${head}\n\u2014 log.example.com ${note}\n` },
      },
      canonicalizedBody: body.toString("base64"),
    };
  }
}

const pemOf = ({ certificate }: CertifiedSigner) =>
  Buffer.from(certificate.toString()).toString("base64");
const hashOf = (bytes: Uint8Array | string) => ({
  algorithm: "sha256",
  value: sha256(bytes).toString("hex"),
});

/** What a log writes down of a signature on some bytes. */
export function hashedRecord(
  signer: CertifiedSigner,
  bytes: Uint8Array | string,
  signature: string,
) {
  return {
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: hashOf(bytes) },
      signature: { content: signature, publicKey: { content: pemOf(signer) } },
    },
  };
}

/** What a log writes down of an envelope. */
export function envelopeRecord(signer: CertifiedSigner, envelope: string) {
  const { payload, signatures } = JSON.parse(envelope) as {
    payload: string;
    signatures: { sig: string }[];
  };
  return {
    apiVersion: "0.0.1",
    kind: "dsse",
    spec: {
      envelopeHash: hashOf(envelope),
      payloadHash: hashOf(Buffer.from(payload, "base64")),
      signatures: signatures.map(({ sig }) => ({ signature: sig, verifier: pemOf(signer) })),
    },
  };
}

/** What of a signature can be made otherwise. */
export interface Otherwise {
  readonly time?: number;
  readonly receipt?: (receipt: LogReceipt) => object;
}

const nowish = () => Math.floor(Date.now() / 1000) + 1;
const material = (signer: CertifiedSigner, receipt: object) => ({
  certificate: { rawBytes: signer.certificate.raw.toString("base64") },
  tlogEntries: [receipt],
});

/** A bundle of a signature on a manifest's bytes. */
export function keylessMessage(
  signer: CertifiedSigner,
  log: TestLog,
  bytes: Uint8Array,
  { time = nowish(), receipt = (one) => one }: Otherwise = {},
): string {
  const signature = signer.sign(bytes);
  const entry = receipt(log.enter(hashedRecord(signer, bytes, signature), time));
  return JSON.stringify({
    mediaType: BUNDLE,
    verificationMaterial: material(signer, entry),
    messageSignature: {
      messageDigest: { algorithm: "SHA2_256", digest: sha256(bytes).toString("base64") },
      signature,
    },
  });
}

/** A bundle with an envelope. */
export function keylessEnvelope(
  signer: CertifiedSigner,
  log: TestLog,
  statement: string,
  { time = nowish(), receipt = (one) => one }: Otherwise = {},
): string {
  const envelope = envelopeOf(signer, statement);
  const entry = receipt(log.enter(envelopeRecord(signer, envelope), time));
  const dsseEnvelope = JSON.parse(envelope) as unknown;
  const verificationMaterial = material(signer, entry);
  return JSON.stringify({ mediaType: BUNDLE, verificationMaterial, dsseEnvelope });
}

/** A payload as cosign 2 puts it under its tag. */
export function keylessPayload(
  signer: CertifiedSigner,
  log: TestLog,
  payload: string,
  chain: string,
  { time = nowish() }: Otherwise = {},
): Entry {
  const signature = signer.sign(payload);
  const receipt = log.enter(hashedRecord(signer, payload, signature), time);
  const bundle = {
    SignedEntryTimestamp: receipt.inclusionPromise.signedEntryTimestamp,
    Payload: {
      body: receipt.canonicalizedBody,
      integratedTime: time,
      logIndex: Number(receipt.logIndex),
      logID: log.id.toString("hex"),
    },
  };
  return {
    bytes: payload,
    mediaType: SIMPLE,
    annotations: {
      "dev.cosignproject.cosign/signature": signature,
      "dev.sigstore.cosign/bundle": JSON.stringify(bundle),
      "dev.sigstore.cosign/certificate": signer.certificate.toString(),
      "dev.sigstore.cosign/chain": chain,
    },
  };
}

/** sigstore's trusted root of an authority and a log, for cosign --trusted-root. */
export function trustedRoot(authority: TestAuthority, log: TestLog): string {
  const raw = (name: string) => new X509Certificate(authority.pem(name)).raw.toString("base64");
  const start = "2020-01-01T00:00:00Z";
  const rawKey = log.pem.replace(/-----[^-]+-----|\s/g, "");
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [
      {
        baseUrl: "https://log.example.com",
        hashAlgorithm: "SHA2_256",
        publicKey: {
          rawBytes: rawKey,
          keyDetails: "PKIX_ECDSA_P256_SHA_256",
          validFor: { start },
        },
        logId: { keyId: log.id.toString("base64") },
      },
    ],
    certificateAuthorities: [
      {
        subject: { organization: "example", commonName: "root" },
        uri: "https://ca.example.com",
        certChain: { certificates: [{ rawBytes: raw("between") }, { rawBytes: raw("root") }] },
        validFor: { start },
      },
    ],
  });
}
