/** Name questions and answers on paper. */
import { expect, test } from "bun:test";
import { decode as decodeBuffer, encode } from "dns-packet";
import fc from "fast-check";
import { checkAll, damaged } from "../../tests/kits/fuzz.ts";
import { answerTo, questionIn, RecordType, recordData, reverseAddress } from "./dns.ts";

const decode = (message: Uint8Array) => decodeBuffer(Buffer.from(message));
const ask = (name: string, type = "A", more: object = {}) =>
  Uint8Array.from(
    encode({ type: "query", id: 7, flags: 256, questions: [{ name, type, class: "IN" }], ...more }),
  );
const withSize = (size: number, options: object[] = []) => ({
  additionals: [{ type: "OPT", name: ".", udpPayloadSize: size, flags: 0, options }],
});
const addresses = (count: number) =>
  Array.from({ length: count }, (_, i) => recordData(RecordType.A, `10.0.0.${i}`));

function asked(message: Uint8Array) {
  const question = questionIn(message);
  if (question === undefined) throw new Error("no question");
  return question;
}

test("a question is read, whatever case its name has, and its answer is the asker's", () => {
  const question = asked(ask("Web.Example"));
  expect(question).toMatchObject({ id: 7, name: "web.example", type: RecordType.A, room: 512 });
  const answer = decode(answerTo(question, addresses(2), false));
  expect(answer.questions?.[0]?.name).toBe("Web.Example");
  expect(answer.answers?.map(({ name, data }) => [name, data])).toEqual([
    ["Web.Example", "10.0.0.0"],
    ["Web.Example", "10.0.0.1"],
  ]);
  expect(answer.additionals).toEqual([]);
});

test("each record comes first in its turn", () => {
  const question = asked(ask("pair"));
  const firsts = [0, 1, 2, 3].map(
    (first) => decode(answerTo(question, addresses(3), false, first)).answers?.[0]?.data,
  );
  expect(firsts).toEqual(["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.0"]);
});

test("records of every type are what a stub resolver reads", () => {
  for (const [type, text] of [
    ["A", "10.1.2.3"],
    ["AAAA", "fd00::12"],
    ["PTR", "web.front"],
  ] as const) {
    const data = recordData(RecordType[type], text);
    const answer = decode(answerTo(asked(ask("name", type)), [data], false));
    expect(answer.answers).toMatchObject([{ name: "name", type, ttl: 5, data: text }]);
  }
  expect(decode(answerTo(asked(ask("name", "SRV")), [], false))).toMatchObject({
    rcode: "NOERROR",
    answers: [],
  });
});

test("what does not fit into a datagram is cut, and whole by TCP", () => {
  const question = asked(ask("many"));
  const short = answerTo(question, addresses(200), false);
  expect(short.length).toBeLessThanOrEqual(512);
  expect(decode(short)).toMatchObject({ flag_tc: true });
  expect(decode(short).answers?.length).toBe(30);
  const whole = decode(answerTo(question, addresses(200), true));
  expect(whole).toMatchObject({ flag_tc: false });
  expect(whole.answers?.length).toBe(200);
});

test("who says how much it takes gets as much, and is told that this was understood", () => {
  const question = asked(ask("many", "A", withSize(1232)));
  expect(question.room).toBe(1232);
  const message = answerTo(question, addresses(200), false);
  expect(message.length).toBeLessThanOrEqual(1232);
  expect(message.length).toBeGreaterThan(1100);
  expect(decode(message).additionals).toMatchObject([{ type: "OPT" }]);
  // Too little and too much are not believed; options do not matter.
  expect(asked(ask("a", "A", withSize(1))).room).toBe(512);
  expect(asked(ask("a", "A", withSize(65000))).room).toBe(4096);
  expect(asked(ask("a", "A", withSize(1400, [{ code: 10, data: Buffer.alloc(8, 1) }]))).room).toBe(
    1400,
  );
});

test("answers, several questions at once and rubbish are left to others", () => {
  const response = encode({ type: "response", id: 1, questions: [] });
  expect(questionIn(response)).toBeUndefined();
  const two = ["a", "b"].map((name) => ({ name, type: "A", class: "IN" }));
  expect(questionIn(encode({ type: "query", id: 1, questions: two }))).toBeUndefined();
  // A name that points to itself, one with a dot in a label, one without an end.
  for (const name of [
    [0xc0, 12],
    [3, 0x61, 0x2e, 0x62, 0],
    [63, 1],
  ])
    expect(
      questionIn(Uint8Array.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 1, 0, 1])),
    ).toBeUndefined();
});

test("a question is what dns-packet says it is, whatever has happened to it", async () => {
  const names = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}(\.[a-zA-Z0-9_-]{1,63}){0,3}$/);
  await checkAll(fc.tuple(names, fc.constantFrom("A", "AAAA", "PTR", "MX")), ([name, type]) => {
    const message = ask(name, type, withSize(900));
    const [read, known] = [asked(message), decode(message)];
    expect(read.name).toBe(known.questions?.[0]?.name.toLowerCase() ?? "");
    expect(read.room).toBe(900);
  });
  const seeds = [
    ask("name.of.a.container"),
    ask("many", "AAAA", withSize(1232, [{ code: 10, data: Buffer.alloc(8, 1) }])),
    ask("1.0.0.10.in-addr.arpa", "PTR"),
    encode({ type: "response", id: 1, questions: [], answers: [] }),
  ];
  await checkAll(damaged(seeds), (message) => {
    const question = questionIn(message);
    if (question === undefined) return;
    for (const tcp of [false, true]) {
      const answer = answerTo(question, addresses(50), tcp);
      expect(answer.length).toBeLessThanOrEqual(tcp ? 65535 : question.room);
      expect(answer.subarray(12, 12 + question.section.length)).toEqual(question.section);
    }
  });
});

test("reverse names are addresses", () => {
  expect(reverseAddress("3.0.18.172.in-addr.arpa")).toEqual({ family: 4, value: 0xac120003n });
  expect(reverseAddress("300.0.18.172.in-addr.arpa")).toBeUndefined();
  const six = `1.${"0.".repeat(27)}0.0.d.f.ip6.arpa`;
  expect(reverseAddress(six)).toEqual({ family: 6, value: (0xfd00n << 112n) | 1n });
});
