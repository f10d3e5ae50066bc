/** Bytes between threads, with both ends here. */
import { expect, test } from "bun:test";
import { messageOf } from "./errors.ts";
import { Inflow, Outflow } from "./piece-flow.ts";

const MIB = 1 << 20;

function pair() {
  const out: Outflow = new Outflow((piece) => into.push(piece));
  const into: Inflow = new Inflow((bytes) => out.taken(bytes));
  return { out, into };
}

test("a sender waits for whoever does not take, and everything comes in its order", async () => {
  const { out, into } = pair();
  let sent = 0;
  const sending = (async () => {
    for (; sent < 20; sent++) await out.write(new Uint8Array(MIB).fill(sent));
    into.end();
  })();
  await Bun.sleep(1);
  expect(sent).toBe(4);
  const got: number[] = [];
  for await (const piece of into.pieces()) got.push(piece[0] ?? -1);
  await sending;
  expect(got).toEqual(Array.from({ length: 20 }, (_, index) => index));
});

test("whoever gives up is heard at the other end, once what had come has been taken", async () => {
  const { out, into } = pair();
  await out.write(new Uint8Array(3));
  into.end(new Error("the sender has gone"));
  const got: number[] = [];
  const reading = (async () => {
    for await (const piece of into.pieces()) got.push(piece.length);
  })();
  expect([await reading.then(() => "", messageOf), got]).toEqual(["the sender has gone", [3]]);
  const waiting = out.write(new Uint8Array(5 * MIB));
  out.end(new Error("nobody wants it"));
  expect(await waiting.then(() => "", messageOf)).toBe("nobody wants it");
  expect(await out.write(new Uint8Array(1)).then(() => "", messageOf)).toBe("nobody wants it");
});
