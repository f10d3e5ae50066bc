/** What clients may send: frames of WebSockets, filters, bodies, keys; each is read, or refused with a Fault. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { z } from "zod";
import {
  checkAll,
  damaged,
  damagedJson,
  damagedText,
  valueOrFault,
} from "../../tests/kits/fuzz.ts";
import { DetachWatcher, parseDetachKeys } from "./detach-keys.ts";
import { filters, integer, parseJson } from "./request.ts";
import * as schemas from "./schemas.ts";
import { WebSocketReader } from "./websocket.ts";

/** A client's frame, masked. */
function frame(first: number, data: Uint8Array, mask: readonly number[]): Uint8Array {
  const size =
    data.length < 126 ? [0x80 | data.length] : [0x80 | 126, data.length >> 8, data.length & 0xff];
  const masked = data.map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Uint8Array.from([first, ...size, ...mask, ...masked]);
}

function read(bytes: Uint8Array, size: number) {
  const told = { data: [] as Uint8Array[], pings: 0, closes: [] as number[] };
  const reader = new WebSocketReader({
    data: (piece) => told.data.push(piece),
    ping: () => {
      told.pings++;
    },
    close: (code) => told.closes.push(code),
  });
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  return told;
}

test("messages come out as they went in, however they are cut and split", async () => {
  const byte = fc.integer({ min: 0, max: 255 });
  const mask = fc.tuple(byte, byte, byte, byte);
  const inputs = fc.tuple(
    fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), mask), { minLength: 1, maxLength: 6 }),
    fc.integer({ min: 1, max: 40 }),
  );
  await checkAll(inputs, ([list, size]) => {
    const frames = list.map(([data, mask], at) => {
      const last = at === list.length - 1 ? 0x80 : 0;
      return frame(last | (at === 0 ? 2 : 0), data, mask);
    });
    const told = read(Buffer.concat(frames), size);
    expect(Buffer.concat(told.data)).toEqual(Buffer.concat(list.map(([data]) => data)));
    expect(told.closes).toEqual([]);
  });
});

test("frames that are damaged end the connection once, at most, and nothing comes after that", async () => {
  const corpus = [
    Buffer.concat([
      frame(0x82, Buffer.from("hello"), [1, 2, 3, 4]),
      frame(0x89, Buffer.from("ping"), [4, 3, 2, 1]),
      frame(0x02, Buffer.from("begin"), [0, 0, 0, 0]),
      frame(0x80, Buffer.from("end"), [9, 9, 9, 9]),
      frame(0x88, Uint8Array.of(3, 232), [1, 1, 1, 1]),
    ]),
    frame(0x81, Buffer.alloc(500, "x"), [1, 2, 3, 4]),
    Uint8Array.of(0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1),
  ];
  await checkAll(fc.tuple(damaged(corpus), fc.integer({ min: 1, max: 40 })), ([bytes, size]) => {
    const told = read(bytes, size);
    expect(told.closes.length).toBeLessThanOrEqual(1);
    expect(Buffer.concat(told.data).length).toBeLessThanOrEqual(bytes.length);
  });
});

test("filters and numbers of a query", async () => {
  const texts = damagedText([
    '{"name":["a"],"label":["b=c"]}',
    '{"status":{"running":true}}',
    '{"__proto__":["x"]}',
    "17",
    "+5",
  ]);
  await checkAll(texts, async (text) => {
    const query = new URLSearchParams({ filters: text, n: text });
    for (const list of Object.values((await valueOrFault(() => filters(query))) ?? {}))
      for (const item of list) expect(item).toBeString();
    const number = await valueOrFault(() => integer(query, "n", 1));
    if (number !== undefined) expect(Number.isSafeInteger(number)).toBe(true);
  });
});

test("bodies by every schema", async () => {
  const corpus = [
    { Image: "a", Cmd: ["x"], Env: ["A=b"], Labels: { a: "b" }, ExposedPorts: { "80/tcp": {} } },
    { Name: "n", Driver: "bridge", IPAM: { Config: [{ Subnet: "10.0.0.0/24" }] }, Options: {} },
    {
      Image: "a",
      HostConfig: {
        Binds: ["/a:/b"],
        Memory: 5,
        PortBindings: { "80/tcp": [{ HostPort: "80" }] },
        Mounts: [{ Type: "bind", Source: "/a", Target: "/b" }],
        Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
      },
      NetworkingConfig: { EndpointsConfig: { n: { Aliases: ["x"], IPAMConfig: {} } } },
    },
    { Container: "c", EndpointConfig: { DriverOpts: { a: "b" }, GwPriority: 1 }, Force: true },
    { AttachStdin: true, Cmd: ["a"], ConsoleSize: [1, 2], Env: [], User: "0" },
  ];
  await checkAll(damagedJson(corpus), async (value) => {
    const bytes = Buffer.from(JSON.stringify(value) ?? "");
    for (const schema of Object.values<z.ZodType>(schemas))
      await valueOrFault(() => parseJson(bytes, schema));
  });
});

test("detach keys: nothing is lost of what was no sequence", async () => {
  const inputs = fc.tuple(
    damagedText(["ctrl-p,ctrl-q", "a,b,c", "ctrl-@", "ctrl-a,a,ctrl-a"]),
    fc.uint8Array({ maxLength: 60 }),
  );
  await checkAll(inputs, async ([text, typed]) => {
    const keys = await valueOrFault(() => parseDetachKeys(text));
    if (keys === undefined) return;
    const { pass, detached } = new DetachWatcher(keys).feed(typed);
    if (!detached) expect(Buffer.from(typed).subarray(0, pass.length)).toEqual(Buffer.from(pass));
  });
});
