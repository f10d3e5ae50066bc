/**
 * What a build fetches over HTTP by itself, for ADD and as contexts. Everything is bounded, and lands in a directory that the
 * build takes away.
 */
import { closeSync, openSync, readSync, rmSync, utimesSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { fault, messageOf } from "../base/errors.ts";

/** A file that was fetched. */
export interface FetchedFile {
  readonly path: string;
  /** As ADD calls it: the last part of its address. */
  readonly name: string;
}

const IDLE_MS = 60_000;

/** Whether an address is one of files over HTTP. */
export function isHttp(source: string): boolean {
  return /^https?:\/\//i.test(source);
}

/** A Fault "failed": what could not be fetched, and why. */
export function failedToFetch(what: string, why: string, cause?: unknown): Error {
  return fault("failed", "build-fetch", `failed to fetch ${what}: ${why}`, cause);
}

/** An address without the password that may be in it. */
export function shown(address: string): string {
  return address.replace(/\/\/[^/@]*@/, "//");
}

/** Fetches a file into a directory. Rejects with a Fault "failed", and with the signal's reason. */
export async function fetchFile(
  address: string,
  directory: string,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const name = posix.basename(new URL(address).pathname);
  if (name === "" || name === "/" || name === "." || name === "..")
    throw fault("invalid", "build-fetch", `cannot determine filename for source ${shown(address)}`);
  const path = `${directory}/${name}`;
  const idle = new AbortController();
  const tooSlow = () => idle.abort(new Error("nothing has come for a minute"));
  let timer = setTimeout(tooSlow, IDLE_MS);
  const fd = openSync(path, "wx", 0o600);
  try {
    const response = await fetch(address, { signal: AbortSignal.any([signal, idle.signal]) });
    if (!response.ok || response.body === null)
      throw failedToFetch(shown(address), `invalid response status ${response.status}`);
    let size = 0;
    for await (const chunk of response.body) {
      clearTimeout(timer);
      timer = setTimeout(tooSlow, IDLE_MS);
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      size += chunk.length;
    }
    const said = response.headers.get("content-length");
    const coded = response.headers.has("content-encoding");
    if (said !== null && !coded && Number(said) !== size)
      throw failedToFetch(shown(address), `${size} bytes came of ${said}`);
    const modified = Date.parse(response.headers.get("last-modified") ?? "") || 0;
    utimesSync(path, modified / 1000, modified / 1000);
    return { path, name };
  } catch (error) {
    rmSync(path, { force: true });
    signal.throwIfAborted();
    if (error instanceof Error && "kind" in error) throw error;
    throw failedToFetch(shown(address), messageOf(error), error);
  } finally {
    clearTimeout(timer);
    closeSync(fd);
  }
}

/** Throws a Fault "invalid" when a file is not what --checksum says. */
export function checkChecksum({ path, name }: FetchedFile, checksum: string): void {
  const [, wanted = ""] = /^sha256:([0-9a-f]{64})$/.exec(checksum) ?? [];
  if (wanted === "")
    throw fault(
      "invalid",
      "build-checksum",
      `invalid checksum ${checksum}: it is sha256 and 64 hexadecimal digits`,
    );
  const hash = new Bun.CryptoHasher("sha256");
  const fd = openSync(path, "r");
  const chunk = new Uint8Array(1 << 20);
  for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk))
    hash.update(chunk.subarray(0, length));
  closeSync(fd);
  const found = hash.digest("hex");
  if (found !== wanted)
    throw fault(
      "invalid",
      "build-checksum",
      `digest mismatch of ${name}: sha256:${found}, expected: sha256:${wanted}`,
    );
}
