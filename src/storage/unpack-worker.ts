/**
 * A thread that unpacks layers: reads archives, decompresses, takes digests and writes files, several archives in turns
 * while they arrive. What needs the helper it asks the daemon for.
 */
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { ArrivingReader } from "../base/arriving-file.ts";
import { type ByteStream, decompress } from "../base/compression.ts";
import { TarReader } from "../base/tar.ts";
import { receiveError, sendError } from "../base/thread-errors.ts";
import { extractLayer, type Privileged } from "../tree/index.ts";
import type { FromWorker, ToWorker } from "./unpack-job.ts";

const CHUNK = 256 << 10;
/** The daemon hears of so many bytes at once. */
const TELL_EVERY = 64 << 20;
const port = parentPort;
const readers = new Map<number, ArrivingReader>();
const calls = new Map<number, PromiseWithResolvers<void>>();
let lastCall = 0;

function say(message: FromWorker): void {
  port?.postMessage(message);
}

function ask(message: (call: number) => FromWorker): Promise<void> {
  const call = ++lastCall;
  const answer = Promise.withResolvers<void>();
  calls.set(call, answer);
  say(message(call));
  return answer.promise;
}

const kernel: Privileged = {
  mknod: (...all) => ask((call) => ({ kind: "mknod", call, arguments: all })),
  setXattr: (...all) => ask((call) => ({ kind: "setXattr", call, arguments: all })),
  xattrs: () => Promise.reject(new Error("unpacking reads no attributes")),
};

/** Tells of what passes, and takes its digest if one is wanted. */
async function* watched(source: ByteStream, hash: Bun.CryptoHasher | undefined): ByteStream {
  let untold = 0;
  for await (const piece of source) {
    hash?.update(piece);
    untold += piece.length;
    if (untold >= TELL_EVERY) {
      say({ kind: "written" });
      untold = 0;
    }
    yield piece;
  }
}

type Begin = Extract<ToWorker, { kind: "begin" }>;

async function unpack(begin: Begin, reader: ArrivingReader): Promise<FromWorker> {
  const { job, directory, whiteouts, digested } = begin;
  let known = digested;
  const stream = await decompress(reader.pieces(), () => {
    known = false;
  });
  const hash = known ? undefined : new Bun.CryptoHasher("sha256");
  const tar = new TarReader(watched(stream, hash));
  const size = await extractLayer(tar, directory, kernel, whiteouts);
  await tar.drain();
  const diffId = hash && `sha256:${hash.digest("hex")}`;
  return { kind: "done", job, diffId, size };
}

function begin(message: Begin): void {
  const { job, archive } = message;
  const read = (into: Uint8Array, at: number) => readSync(archive, into, 0, into.length, at);
  const reader = new ArrivingReader(read, CHUNK);
  readers.set(job, reader);
  unpack(message, reader)
    .catch((error): FromWorker => ({ kind: "failed", job, error: sendError(error) }))
    .then((end) => {
      readers.delete(job);
      // The descriptor is about to be closed.
      reader.arrived({ size: 0, whole: true });
      say(end);
    });
}

function answer({ call, error }: Extract<ToWorker, { kind: "answer" }>): void {
  const waiting = calls.get(call);
  calls.delete(call);
  if (error === undefined) waiting?.resolve();
  else waiting?.reject(receiveError(error));
}

port?.on("message", (message: ToWorker) => {
  if (message.kind === "begin") begin(message);
  else if (message.kind === "answer") answer(message);
  else {
    const { job, error, ...arrival } = message;
    const failed = error === undefined ? {} : { error: receiveError(error) };
    readers.get(job)?.arrived({ ...arrival, ...failed });
  }
});
