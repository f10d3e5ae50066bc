/** What a server may send to a client: chunks and frames come out as they went in however they are cut, or are an Error. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damaged } from "../../tests/kits/fuzz.ts";
import { ChunkedDecoder, Demultiplexer } from "./index.ts";

const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 8 });

/** Cuts bytes at multiples of a size. */
function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
}

function orError(work: () => void): void {
  try {
    work();
  } catch (error) {
    expect((error as Error).constructor).toBe(Error);
  }
}

test("chunks come out as they went in", async () => {
  await checkAll(fc.tuple(pieces, fc.integer({ min: 1, max: 9 })), ([list, size]) => {
    const framed = list.flatMap((piece) => [
      Buffer.from(`${piece.length.toString(16)};x=y\r\n`),
      piece,
      Buffer.from("\r\n"),
    ]);
    const decoder = new ChunkedDecoder();
    const out = cut(Buffer.concat([...framed, Buffer.from("0\r\nT: x\r\n\r\n")]), size) //
      .flatMap((part) => decoder.push(part));
    expect(Buffer.concat(out)).toEqual(Buffer.concat(list));
    expect(decoder.done).toBe(true);
  });
});

test("damaged chunks are no more than what came, or an Error", async () => {
  const bodies = damaged([
    "5\r\nhello\r\n0\r\n\r\n",
    "a;b=c\r\n0123456789\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
  ]);
  await checkAll(fc.tuple(bodies, fc.integer({ min: 1, max: 9 })), ([bytes, size]) => {
    orError(() => {
      const decoder = new ChunkedDecoder();
      const out = cut(bytes, size).flatMap((part) => decoder.push(part));
      expect(Buffer.concat(out).length).toBeLessThanOrEqual(bytes.length);
    });
  });
});

test("frames of output come out as they went in, however they are cut", async () => {
  const frames = fc.array(
    fc.tuple(fc.constantFrom(0, 1, 2, 3), fc.uint8Array({ minLength: 1, maxLength: 40 })),
    { maxLength: 8 },
  );
  await checkAll(fc.tuple(frames, fc.integer({ min: 1, max: 9 })), ([list, size]) => {
    const bytes = Buffer.concat(
      list.map(([stream, data]) =>
        Buffer.concat([Uint8Array.of(stream, 0, 0, 0, 0, 0, 0, data.length), data]),
      ),
    );
    const got: Uint8Array[][] = [[], [], [], []];
    const demultiplexer = new Demultiplexer((stream, data) => got[stream]?.push(data.slice()));
    for (const part of cut(bytes, size)) demultiplexer.push(part);
    for (const stream of [0, 1, 2, 3])
      expect(Buffer.concat(got[stream] ?? [])).toEqual(
        Buffer.concat(list.filter(([one]) => one === stream).map(([, data]) => data)),
      );
  });
});

test("damaged frames are an Error or some bytes", async () => {
  const streams = damaged([
    Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 2, 65, 66, 2, 0, 0, 0, 0, 0, 0, 1, 67),
  ]);
  await checkAll(streams, (bytes) => {
    let length = 0;
    orError(() =>
      new Demultiplexer((_stream, data) => {
        length += data.length;
      }).push(bytes),
    );
    expect(length).toBeLessThanOrEqual(bytes.length);
  });
});
