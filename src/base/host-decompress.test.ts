/** Archives that the host's own programs decompress. */
import { expect, test } from "bun:test";
import { decompress } from "./compression.ts";

const plain = new Uint8Array(3_000_000).map((_, at) => (at * at) % 251);

async function* pieces(bytes: Uint8Array, size = 70_000) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const compressed = (program: string) =>
  new Uint8Array(Bun.spawnSync([program, "-c"], { stdin: plain }).stdout);

for (const program of ["bzip2", "xz"]) {
  test(`${program}: what went in comes out, and what is cut or damaged is refused`, async () => {
    const bytes = compressed(program);
    expect((await all(await decompress(pieces(bytes)))).equals(Buffer.from(plain))).toBe(true);
    const cut = pieces(bytes.subarray(0, bytes.length - 20));
    await expect(all(await decompress(cut))).rejects.toThrow(
      new RegExp(`the ${program} stream is damaged or cut short: .*${program}`),
    );
    const damaged = bytes.slice();
    damaged.fill(0xaa, 100, 200);
    await expect(all(await decompress(pieces(damaged)))).rejects.toThrow("is damaged");
  });

  test(`${program}: a source that fails is told of as it failed; who stops early leaves nothing running`, async () => {
    const bytes = compressed(program);
    const failing = (async function* () {
      yield* pieces(bytes.subarray(0, 1000));
      throw new Error("the client has gone");
    })();
    await expect(all(await decompress(failing))).rejects.toThrow("the client has gone");
    for await (const chunk of await decompress(pieces(bytes))) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });
}
