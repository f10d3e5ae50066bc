/**
 * Decompression that only the host's own programs do: bzip2 and xz. They get bytes and give bytes, are looked for where the
 * host keeps its programs and nowhere else, and hear of nothing in the environment. In a daemon they are confined: what they
 * work on comes from anybody.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { ByteStream } from "./compression.ts";
import { confined } from "./confinement.ts";
import { fault } from "./errors.ts";

/** A compression that is left to the host. */
export type HostCompression = "bzip2" | "xz";

const PLACES = "/usr/bin:/bin:/usr/local/bin";
/** What a hostile archive can make xz use at most; its own largest preset needs 65 MiB. */
const XZ_MEMORY = "256MiB";
const flags: Readonly<Record<HostCompression, readonly string[]>> = {
  bzip2: ["-d", "-c"],
  xz: ["-d", "-c", `--memlimit-decompress=${XZ_MEMORY}`],
};
const COMPLAINT_MAX = 500;

function programFor(name: HostCompression): string {
  const found = Bun.which(name, { PATH: PLACES });
  if (found !== null) return found;
  throw fault(
    "unsupported",
    "compression-program",
    `the archive is compressed with ${name}, and this host has no program ${name}: install it, or pass the archive through ${name} -d first`,
  );
}

/** Gives the plain bytes. Throws a Fault when the program is missing, or does not like what it gets. */
export function decompressByHost(name: HostCompression, source: ByteStream): ByteStream {
  return run(programFor(name), name, source);
}

async function* run(program: string, name: HostCompression, source: ByteStream): ByteStream {
  const [first, ...args] = confined([program, ...flags[name]]);
  const child = spawn(first, args, { env: {}, cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
  const { promise: ended, resolve: end } = Promise.withResolvers<number | null>();
  child.on("exit", (code) => end(code));
  child.on("error", () => end(null));
  let complaint = "";
  child.stderr.on("data", (bytes: Buffer) => {
    complaint = (complaint + bytes.toString("utf8")).slice(0, COMPLAINT_MAX);
  });
  // Its end is told by its status; that it takes no more is no news then.
  child.stdin.on("error", () => {});
  let failure: unknown;
  const fed = feed(child.stdin, source, ended).catch((error: unknown) => {
    failure = error;
    child.kill("SIGKILL");
  });
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const status = await ended;
    await fed;
    if (failure !== undefined) throw failure;
    if (status !== 0)
      throw fault(
        "invalid",
        "compressed-stream",
        `the ${name} stream is damaged or cut short: ${complaint.trim() || `${name} has died`}`,
      );
  } finally {
    child.kill("SIGKILL");
    child.stdout.destroy();
  }
}

/** Gives a program all its input, at its pace, until it ends. */
async function feed(
  input: NodeJS.WritableStream,
  source: ByteStream,
  ended: Promise<unknown>,
): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for await (const chunk of source) {
    if (over) return;
    if (!input.write(chunk)) await Promise.race([once(input, "drain").catch(() => {}), ended]);
  }
  input.end();
}
