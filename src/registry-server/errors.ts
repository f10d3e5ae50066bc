/**
 * What a registry refuses, in the standard's form: {"errors": [{code, message, detail}]} (distribution-spec, "Error Codes").
 */

/** Every code that this registry gives, with its HTTP status and the words that clients know. */
const codes = {
  BLOB_UNKNOWN: [404, "blob unknown to registry"],
  BLOB_UPLOAD_INVALID: [400, "blob upload invalid"],
  BLOB_UPLOAD_UNKNOWN: [404, "blob upload unknown to registry"],
  DENIED: [403, "requested access to the resource is denied"],
  DIGEST_INVALID: [400, "provided digest did not match uploaded content"],
  MANIFEST_BLOB_UNKNOWN: [404, "blob unknown to registry"],
  MANIFEST_INVALID: [400, "manifest invalid"],
  MANIFEST_UNKNOWN: [404, "manifest unknown"],
  NAME_INVALID: [400, "invalid repository name"],
  NAME_UNKNOWN: [404, "repository name not known to registry"],
  PAGINATION_NUMBER_INVALID: [400, "invalid number of results requested"],
  RANGE_INVALID: [416, "invalid content range"],
  SIZE_INVALID: [400, "provided length did not match content length"],
  TAG_INVALID: [400, "manifest tag did not match URI"],
  TOOMANYREQUESTS: [429, "too many requests"],
  UNAUTHORIZED: [401, "authentication required"],
  UNAVAILABLE: [503, "service unavailable"],
  UNKNOWN: [500, "unknown error"],
  UNSUPPORTED: [405, "The operation is unsupported."],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

/** A code of the standard. */
export type ErrorCode = keyof typeof codes;

/** What may be said beyond the code. */
interface Particulars {
  readonly message?: string;
  readonly detail?: unknown;
  /** Another status than the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal that the client is told of. Whatever else is thrown is a bug, and is answered with UNKNOWN. */
export class RegistryError extends Error {
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly code: ErrorCode,
    { message, detail, status, headers }: Particulars = {},
  ) {
    super(message ?? codes[code][1]);
    this.status = status ?? codes[code][0];
    this.detail = detail ?? null;
    this.headers = headers ?? {};
  }

  /** The answer's body. */
  get body(): string {
    const { code, message, detail } = this;
    return `${JSON.stringify({ errors: [{ code, message, detail }] })}\n`;
  }
}
