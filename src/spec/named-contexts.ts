/**
 * Named contexts of a build (--build-context): how they are written in a request.
 */
import { fault } from "../base/errors.ts";
import { familiarName, parseReference } from "./reference.ts";

/** A context that the daemon keeps, and the state of it that was compared with. */
export interface KeptState {
  readonly key: string;
  readonly generation: string;
  /** Nothing has changed since: no archive follows. */
  readonly unchanged: boolean;
}

/** One named context. Those that are sent follow the build's own context in the body, in this order. */
export type NamedContextSource = { readonly name: string } & (
  | { readonly kind: "image"; readonly reference: string }
  /** A repository, or a file over HTTP, which the daemon fetches. */
  | { readonly kind: "remote"; readonly address: string }
  /** A directory as an archive, or, with `kept`, what has changed of it. */
  | {
      readonly kind: "directory";
      readonly kept?: KeptState;
    }
  /** An image as an archive. */
  | { readonly kind: "layout" }
);

/** Whether a context's files come with the request. */
export function isSent({ kind }: NamedContextSource): boolean {
  return kind === "directory" || kind === "layout";
}

/** The form of a name in which contexts are compared: "docker.io/library/alpine:latest" is "alpine". Throws a Fault "invalid". */
export function contextName(text: string): string {
  const reference = parseReference(text);
  const { tag, digest } = reference;
  const own = tag === undefined || tag === "latest" ? "" : `:${tag}`;
  return `${familiarName(reference)}${own}${digest === undefined ? "" : `@${digest}`}`;
}

const isText = (value: unknown): value is string => typeof value === "string";

function sourceOf(value: unknown): NamedContextSource | undefined {
  if (value === null || typeof value !== "object") return undefined;
  const { name: text, kind, reference, address, kept } = value as Record<string, unknown>;
  if (!isText(text)) return undefined;
  const name = contextName(text);
  if (kind === "image" && isText(reference)) return { name, kind, reference };
  if (kind === "remote" && isText(address)) return { name, kind, address };
  if (kind === "layout") return { name, kind };
  if (kind !== "directory") return undefined;
  if (kept === undefined) return { name, kind };
  const { key, generation, unchanged } = (kept ?? {}) as Record<string, unknown>;
  if (!isText(key) || !isText(generation)) return undefined;
  return { name, kind, kept: { key, generation, unchanged: unchanged === true } };
}

/** Reads a list of named contexts. Throws a Fault "invalid". */
export function parseNamedContexts(text: string): NamedContextSource[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const found = Array.isArray(value) ? value.map(sourceOf) : [undefined];
  const known = found.filter((one) => one !== undefined);
  if (known.length !== found.length)
    throw fault("invalid", "build-option", `invalid named contexts: ${text.slice(0, 200)}`);
  return known;
}
