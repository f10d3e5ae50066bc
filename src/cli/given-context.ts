/**
 * What a build is given as its context: a directory, an address, or standard input.
 */
import type { ByteStream } from "../base/compression.ts";
import { tarEnd } from "../base/tar-writer.ts";
import { fileEntries, localContext } from "./build-context.ts";
import { REMOTE } from "./named-contexts.ts";
import { inputFrom } from "./streams.ts";

async function isArchive(head: Uint8Array): Promise<boolean> {
  const text = Buffer.from(head.subarray(257, 262)).toString("latin1");
  // Only who sends an archive by standard input needs it.
  const { compressionOf } = await import("../base/compression.ts");
  return text === "ustar" || compressionOf(head) !== undefined;
}

/** Standard input: an archive, or a Dockerfile without a context. */
async function fromStdin(): Promise<{ stream: ByteStream; dockerfile: string }> {
  const pieces = inputFrom("-")[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 512) {
    const next = await pieces.next();
    if (next.done) break;
    head.push(next.value);
    length += next.value.length;
  }
  async function* whole(): ByteStream {
    yield* head;
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
  }
  if (await isArchive(Buffer.concat(head))) return { stream: whole(), dockerfile: "" };
  const text: Uint8Array[] = [];
  for await (const piece of whole()) text.push(piece);
  return { stream: onlyDockerfile(Buffer.concat(text)), dockerfile: "Dockerfile" };
}

async function* onlyDockerfile(content: Uint8Array): ByteStream {
  yield* fileEntries({ path: "Dockerfile", content });
  yield tarEnd();
}

/** Finds the context that a build is asked for: a directory, an address, or what comes by standard input. */
export async function contextOf(where: string, file: string) {
  if (where === "-") {
    if (file === "-")
      throw new Error("invalid argument: can't use stdin for both build context and dockerfile");
    const { stream, dockerfile } = await fromStdin();
    return { stream, dockerfile: file || dockerfile };
  }
  if (REMOTE.test(where)) return { stream: undefined, dockerfile: file, remote: where };
  if (file !== "-") {
    const context = localContext(where, file);
    return { stream: context.archive(), dockerfile: context.dockerfile, context };
  }
  const text: Uint8Array[] = [];
  for await (const piece of inputFrom("-")) text.push(piece);
  const context = localContext(where, "");
  const path = `.dockerfile.${crypto.randomUUID().slice(0, 20)}`;
  return { stream: joined(context.archive(), path, Buffer.concat(text)), dockerfile: path };
}

async function* joined(archive: ByteStream, path: string, content: Uint8Array): ByteStream {
  yield* fileEntries({ path, content });
  yield* archive;
}
