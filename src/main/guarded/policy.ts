/**
 * What a daemon that runs as an ordinary user may have of the host: a file of root's, which the guard is told before the daemon
 * is there. Pure, but for reading it.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { fault, messageOf } from "../../base/errors.ts";
import { parseAddress } from "../../network/index.ts";

/** Where the policy is unless --guard-policy names another file. */
export const DEFAULT_GUARD_POLICY = "/etc/berth/guard.json";

/** A network of addresses, with the length of its prefix. */
export interface AddressRange {
  readonly address: string;
  readonly prefix: number;
}

/** What is allowed. */
export interface GuardPolicy {
  /** Directories that containers may have, and whether only to read. */
  readonly binds: readonly { readonly path: string; readonly readOnly: boolean }[];
  /** Ports of the host that may be published, as pairs of a first and a last one. */
  readonly ports: readonly (readonly [number, number])[];
  /** Of these addresses of the host. */
  readonly addresses: readonly AddressRange[];
  /** Device nodes that containers may have. */
  readonly devices: readonly string[];
  /** Containers may be in the daemon's own user namespace, with all the rights that it has. */
  readonly privileged: boolean;
  /** The first id on the host of what the daemon owns as 1, 2, … 65535; undefined: the usual one. */
  readonly owners: number | undefined;
  /** Where refusals are noted; undefined: beside the data root. */
  readonly log: string | undefined;
}

const absolute = z
  .string()
  .regex(/^\/(?!.*(^|\/)\.\.?(\/|$)).*$/, "must be an absolute path without . or ..");

const document = z
  .strictObject({
    binds: z.array(
      z.union([absolute, z.strictObject({ path: absolute, readonly: z.boolean().default(false) })]),
    ),
    ports: z.array(z.string().regex(/^\d{1,5}(-\d{1,5})?$/, "must be a port, or FIRST-LAST")),
    addresses: z.array(z.string()),
    devices: z.array(absolute),
    privileged: z.boolean(),
    owners: z.int().min(65536).max(0x7fff0000),
    log: absolute,
  })
  .partial();

function invalid(file: string, message: string): Error {
  return fault("invalid", "guard-policy", `${file}: ${message}`);
}

function rangeOf(text: string, file: string): AddressRange {
  const [address = "", length] = text.split("/");
  const parsed = parseAddress(address);
  const bits = parsed?.family === 6 ? 128 : 32;
  const prefix = length === undefined ? bits : Number(length);
  if (parsed === undefined || !(Number.isInteger(prefix) && prefix >= 0 && prefix <= bits))
    throw invalid(file, `${JSON.stringify(text)} is neither an address nor a network`);
  return { address, prefix };
}

/** The policy in a text. Throws a Fault "invalid" that says what is wrong in it. */
export function parseGuardPolicy(text: string, file: string): GuardPolicy {
  let read: z.infer<typeof document>;
  try {
    read = document.parse(JSON.parse(text));
  } catch (error) {
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    throw invalid(file, issue ? `${issue.path.join(".")}: ${issue.message}` : messageOf(error));
  }
  const ports = (read.ports ?? ["1-65535"]).map((range): readonly [number, number] => {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (first < 1 || last > 65535 || first > last) throw invalid(file, `no ports: ${range}`);
    return [first, last];
  });
  return {
    binds: (read.binds ?? []).map((bind) =>
      typeof bind === "string"
        ? { path: trimmed(bind), readOnly: false }
        : { path: trimmed(bind.path), readOnly: bind.readonly },
    ),
    ports,
    addresses: (read.addresses ?? ["0.0.0.0/0", "::/0"]).map((one) => rangeOf(one, file)),
    devices: read.devices ?? [],
    privileged: read.privileged ?? false,
    owners: read.owners,
    log: read.log,
  };
}

const trimmed = (path: string): string => path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");

/** Whether a path is a directory, or below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Throws a Fault "invalid" for a bind that holds the daemon's own directories, or lies in one. */
export function checkBinds(policy: GuardPolicy, roots: readonly string[], file: string): void {
  for (const { path } of policy.binds)
    for (const root of roots)
      if (isWithin(root, path) || isWithin(path, root))
        throw invalid(file, `binds: ${path} has to do with the daemon's own ${root}`);
}

/**
 * Reads the policy; without a file of the usual name nothing is allowed that need not be. Throws Faults "invalid", also for a
 * file that others than root may change.
 */
export function readGuardPolicy(given: string | undefined): GuardPolicy {
  const file = given ?? DEFAULT_GUARD_POLICY;
  if (given === undefined && !existsSync(file)) return parseGuardPolicy("{}", file);
  let text: string;
  try {
    const { uid, mode } = statSync(file);
    if (uid !== 0 || (mode & 0o022) !== 0)
      throw new Error("it must belong to root, and nobody else may write it");
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw invalid(file, messageOf(error));
  }
  return parseGuardPolicy(text, file);
}
