/**
 * What `--docker` says of a context: an address and files for TLS, in docker's words.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf } from "../base/errors.ts";
import { parseHost } from "../client/index.ts";
import type { TlsFiles } from "./contexts.ts";

/** An endpoint's settings and its files. */
export interface Endpoint {
  readonly settings: { readonly Host?: string; readonly SkipTLSVerify: boolean };
  readonly tls: TlsFiles;
}

const keys = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

/** The pairs of uses of `--docker`, each KEY=VALUE[,KEY=VALUE…]. */
export function endpointPairs(values: readonly string[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const value of values)
    for (const part of value.split(",")) {
      const equals = part.indexOf("=");
      pairs.set(part.slice(0, equals).trim(), part.slice(equals + 1));
    }
  return pairs;
}

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    throw new Error(
      `unable to create docker endpoint config: open ${path}: no such file or directory`,
    );
  }
}

function isCertificate(bytes: Uint8Array): boolean {
  try {
    return new X509Certificate(bytes).raw.length > 0;
  } catch {
    return false;
  }
}

/** Throws for files that no connection could be made with. */
function checkTls(tls: TlsFiles): void {
  const bad = (why: string) =>
    new Error(
      `unable to create docker endpoint config: invalid docker endpoint options: failed to retrieve context tls info: ${why}`,
    );
  const [ca, cert, key] = [tls.get("ca.pem"), tls.get("cert.pem"), tls.get("key.pem")];
  if (ca !== undefined && !isCertificate(ca)) throw bad("ca.pem seems invalid");
  if (cert === undefined || key === undefined) return;
  let fits = false;
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(Buffer.from(key)));
  } catch {
    throw bad("cert.pem or key.pem seems invalid");
  }
  if (!fits) throw bad("tls: private key does not match public key");
}

function flagValue(text: string): boolean {
  if (/^(1|t|T|TRUE|true|True|)$/.test(text)) return text !== "";
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new Error(
    `unable to create docker endpoint config: skip-tls-verify: parsing ${JSON.stringify(text)}: invalid syntax`,
  );
}

/** The endpoint that the pairs describe, but for `from`. Throws in docker's words. */
export function endpointOf(pairs: ReadonlyMap<string, string>): Endpoint {
  for (const key of pairs.keys())
    if (!keys.includes(key))
      throw new Error(`unable to create docker endpoint config: unrecognized config key: ${key}`);
  const host = pairs.get("host") ?? "";
  const tls = new Map(
    ["ca", "cert", "key"].flatMap((name): [string, Uint8Array][] => {
      const path = pairs.get(name);
      return path ? [[`${name}.pem`, read(path)]] : [];
    }),
  );
  const skip = flagValue(pairs.get("skip-tls-verify") ?? "");
  checkTls(tls);
  const bad = (why: string) =>
    new Error(
      `unable to create docker endpoint config: unable to apply docker endpoint options: ${why}`,
    );
  // Unlike the flag -H, a context says what kind of address it has.
  if (host !== "" && !host.includes("://")) throw bad(`unable to parse docker host \`${host}\``);
  try {
    if (host !== "") parseHost(host, true);
  } catch (error) {
    throw bad(messageOf(error));
  }
  return { settings: { ...(host === "" ? {} : { Host: host }), SkipTLSVerify: skip }, tls };
}
