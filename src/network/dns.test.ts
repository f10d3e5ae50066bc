/** Name questions and answers on paper. */
import { expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import fc from "fast-check";
import { answerTo, questionIn, reverseAddress } from "./dns.ts";

const ask = (name: string, type = "A", more: object = {}) =>
  encode({ type: "query", id: 7, flags: 256, questions: [{ name, type, class: "IN" }], ...more });

test("a question is read, whatever case its name has, and its answer is the asker's", () => {
  const question = questionIn(ask("Web.Example"));
  expect(question).toMatchObject({ id: 7, name: "web.example", type: "A", room: 512 });
  if (question === undefined) return;
  const answer = decode(answerTo(question, ["10.0.0.1", "10.0.0.2"], false));
  expect(answer.questions?.[0]?.name).toBe("Web.Example");
  expect(answer.answers?.map(({ data }) => data)).toEqual(["10.0.0.1", "10.0.0.2"]);
});

test("what does not fit into a datagram is cut, and whole by TCP", () => {
  const question = questionIn(ask("many"));
  if (question === undefined) throw new Error("no question");
  const all = Array.from({ length: 200 }, (_, i) => `10.0.0.${i}`);
  const short = answerTo(question, all, false);
  expect(short.length).toBeLessThanOrEqual(512);
  expect((short[2] ?? 0) & 2).toBe(2);
  const whole = decode(answerTo(question, all, true));
  expect(whole.answers?.length).toBe(200);
});

test("answers, other types and rubbish are left to others", () => {
  expect(questionIn(ask("web", "MX"))).toBeUndefined();
  expect(questionIn(encode({ type: "response", id: 1, questions: [] }))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const question = questionIn(bytes);
      if (question !== undefined) answerTo(question, ["10.0.0.1"], false);
    }),
    { numRuns: 2000 },
  );
  // A whole question with any bytes changed.
  fc.assert(
    fc.property(fc.nat(30), fc.nat(255), (at, value) => {
      const message = Uint8Array.from(ask("name.of.a.container"));
      message[at % message.length] = value;
      const question = questionIn(message);
      if (question !== undefined) answerTo(question, [], false);
    }),
    { numRuns: 2000 },
  );
});

test("reverse names are addresses", () => {
  expect(reverseAddress("3.0.18.172.in-addr.arpa")).toEqual({ family: 4, value: 0xac120003n });
  expect(reverseAddress("300.0.18.172.in-addr.arpa")).toBeUndefined();
  const six = `1.${"0.".repeat(27)}0.0.d.f.ip6.arpa`;
  expect(reverseAddress(six)).toEqual({ family: 6, value: (0xfd00n << 112n) | 1n });
});
