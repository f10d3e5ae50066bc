/**
 * TLS for the daemon's TCP addresses, by dockerd's flags.
 */
import { readFileSync } from "node:fs";
import type { ServerTls } from "../api/index.ts";
import { fault, messageOf } from "../base/errors.ts";

/** What dockerd's flags say of TLS; paths. */
export interface TlsFlags {
  readonly on: boolean;
  /** Clients must have a certificate of the authority. */
  readonly verify: boolean;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

function pem(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw fault(
      "invalid",
      "daemon-option",
      `could not read the ${what} for TLS: ${messageOf(error)}`,
    );
  }
}

/** Reads the files; undefined without TLS. Throws Faults "invalid". */
export function serverTls(
  flags: TlsFlags,
  env: Readonly<Record<string, string | undefined>>,
): ServerTls | undefined {
  if (!flags.on && !flags.verify) return undefined;
  const directory = env.DOCKER_CERT_PATH || `${env.HOME || "/root"}/.docker`;
  const place = (given: string | undefined, name: string) => given || `${directory}/${name}.pem`;
  return {
    cert: pem(place(flags.cert, "cert"), "certificate"),
    key: pem(place(flags.key, "key"), "key"),
    clients: flags.verify ? pem(place(flags.ca, "ca"), "authority's certificate") : undefined,
  };
}
