import { expect, test } from "bun:test";
import type { BuildLine } from "../spec/build-events.ts";
import { BuildAnswer } from "./build-answer.ts";

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

const answer = Buffer.concat([
  Buffer.from('{"time":1}\r\n\r\n{"output":{"at":0,"bytes":5}}\r\n'),
  Buffer.from([0x7b, 0x0a, 0x0d, 0, 0xff]),
  Buffer.from('{"time":2}\r\n{"output":{"at":0,"bytes":2}}\r\nab{"output":{"at":0,"bytes":0}}\r\n'),
  Buffer.from('{"time":3}'),
]);

test("however an answer is cut, lines and bytes are told apart", async () => {
  for (const size of [1, 2, 3, 7, 1000]) {
    const reader = new BuildAnswer(cut(answer, size));
    expect(await reader.line()).toEqual({ time: 1 });
    const others: BuildLine[] = [];
    const bytes: number[] = [];
    const first = (await reader.line()) ?? {};
    for await (const piece of reader.output(first, (line) => others.push(line)))
      bytes.push(...piece);
    expect(bytes).toEqual([0x7b, 0x0a, 0x0d, 0, 0xff, 0x61, 0x62]);
    expect(others).toEqual([{ time: 2 }]);
    expect([await reader.line(), await reader.line()]).toEqual([{ time: 3 }, undefined]);
  }
});

test("an output that has no end fails, and so does one with an error in it", async () => {
  const drain = async (bytes: Uint8Array, other: (line: BuildLine) => void) => {
    const reader = new BuildAnswer(cut(bytes, 10));
    await reader.line();
    for await (const _ of reader.output((await reader.line()) ?? {}, other));
  };
  const failed = (work: Promise<void>) =>
    work.then(
      () => "fine",
      (error) => error.message,
    );
  expect(await failed(drain(answer.subarray(0, 50), () => {}))).toBe("unexpected EOF");
  const refused = drain(answer, () => {
    throw new Error("refused");
  });
  expect(await failed(refused)).toBe("refused");
});
