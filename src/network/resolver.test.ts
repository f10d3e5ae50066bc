/** Forwarding to servers that are slow, silent, wrong or hostile. */
import { afterEach, expect, test } from "bun:test";
import { decode as decodeBuffer, encode } from "dns-packet";
import { checkAll, damaged } from "../../tests/kits/fuzz.ts";
import { answers, Resolver, reachableResolvers } from "./resolver.ts";

const PORT = 10_053;
const decode = (message: Uint8Array) => decodeBuffer(Buffer.from(message));
const ask = (name = "far.example") =>
  encode({ type: "query", id: 99, flags: 256, questions: [{ name, type: "A", class: "IN" }] });
const reply = (question: Uint8Array, address: string, more: object = {}) => {
  const { id = 0, questions = [] } = decode(question);
  const answer = { name: "far.example", type: "A", class: "IN", ttl: 9, data: address };
  return encode({ type: "response", id, questions, answers: [answer], ...more });
};
/** An answer with a code and nothing else. */
const code = (question: Uint8Array, number: number) =>
  Uint8Array.from(reply(question, "10.0.0.9", { answers: [], flags: number }));

const sockets: { close(): void }[] = [];
afterEach(() => {
  for (const one of sockets.splice(0)) one.close();
});

/** A server on an address of its own; tells how often it was asked. */
async function server(hostname: string, answer: (question: Uint8Array) => Uint8Array[]) {
  const seen = { count: 0 };
  const socket = await Bun.udpSocket({
    hostname,
    port: PORT,
    socket: {
      data(own, data, port, from) {
        seen.count++;
        for (const message of answer(data)) own.send(message, port, from);
      },
    },
  });
  sockets.push(socket);
  return seen;
}

const resolver = new Resolver(() => [], PORT);
const answerOf = async (servers: string[], question = ask()) =>
  decode(await resolver.answer("asker", question, false, servers));

test("the first server that does not fail is believed, and the next is not asked", async () => {
  const first = await server("127.0.0.2", (question) => [code(question, 2)]);
  const second = await server("127.0.0.3", (question) => [code(question, 5)]);
  await server("127.0.0.4", (question) => [reply(question, "10.0.0.4")]);
  const last = await server("127.0.0.5", (question) => [reply(question, "10.0.0.5")]);
  const servers = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
  expect((await answerOf(servers)).answers?.[0]?.data).toBe("10.0.0.4");
  expect([first.count, second.count, last.count]).toEqual([1, 1, 0]);
});

test("that a name is not there is an answer; a failure is one when nobody knows better", async () => {
  await server("127.0.0.2", (question) => [code(question, 3)]);
  const other = await server("127.0.0.3", (question) => [code(question, 5)]);
  expect(await answerOf(["127.0.0.2", "127.0.0.3"])).toMatchObject({ rcode: "NXDOMAIN" });
  expect(other.count).toBe(0);
  expect(await answerOf(["127.0.0.3"])).toMatchObject({ rcode: "REFUSED", id: 99 });
  expect(await answerOf([])).toMatchObject({ rcode: "SERVFAIL", id: 99 });
  // Nobody listens there: the kernel says so.
  expect(await answerOf(["127.0.0.9"])).toMatchObject({ rcode: "SERVFAIL" });
});

test("a server that says nothing is not waited for to the end, nor one that lies", async () => {
  await server("127.0.0.2", () => []);
  await server("127.0.0.3", (question) => {
    const otherId = Uint8Array.from(reply(question, "10.6.6.6"));
    otherId[0] = (otherId[0] ?? 0) ^ 0xff;
    return [
      otherId,
      Uint8Array.from(reply(ask("evil.example"), "10.6.6.6")),
      question.slice(),
      question.slice(0, 5),
    ];
  });
  await server("127.0.0.4", (question) => [reply(question, "10.0.0.4")]);
  const { answers: got } = await answerOf(["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
  expect(got?.[0]?.data).toBe("10.0.0.4");
});

test("upstream over IPv6, and with the name's case changed by the asker", async () => {
  await server("::1", (question) => [reply(question, "10.0.0.6")]);
  const question = ask("FaR.eXample");
  const answer = decode(await resolver.answer("asker", question, false, ["::1"]));
  expect(answer).toMatchObject({ id: 99, questions: [{ name: "FaR.eXample" }] });
  expect(answer.answers?.[0]?.data).toBe("10.0.0.6");
});

test("by TCP in pieces, and from one that cuts it off", async () => {
  const listen = (hostname: string, pieces: (message: Uint8Array) => Uint8Array[]) => {
    const listener = Bun.listen({
      hostname,
      port: PORT,
      socket: {
        async data(socket, chunk) {
          const message = reply(chunk.subarray(2), "10.0.0.7");
          const framed = Buffer.concat([Uint8Array.of(0, message.length), message]);
          for (const piece of pieces(framed)) {
            socket.write(piece);
            socket.flush();
            await Bun.sleep(1);
          }
          socket.end();
        },
      },
    });
    sockets.push({ close: () => listener.stop(true) });
  };
  listen("127.0.0.2", (all) => [all.subarray(0, 20)]);
  listen("127.0.0.3", (all) => [all.subarray(0, 1), all.subarray(1, 9), all.subarray(9)]);
  const answer = await resolver.answer("asker", ask(), true, ["127.0.0.2", "127.0.0.3"]);
  expect(decode(answer).answers?.[0]?.data).toBe("10.0.0.7");
});

test("one asker's open questions do not take the places of others", async () => {
  const silent = await server("127.0.0.2", () => []);
  await server("127.0.0.3", (question) => [reply(question, "10.0.0.4")]);
  const resolver = new Resolver(() => [], PORT, { all: 500, each: 500 });
  const open = Array.from({ length: 300 }, () =>
    resolver.answer("greedy", ask(), false, ["127.0.0.2"]),
  );
  const refused = await Promise.all(open.slice(256));
  expect(new Set(refused.map((message) => decode(message).rcode))).toEqual(new Set(["SERVFAIL"]));
  expect((await answerOf(["127.0.0.3"])).answers?.[0]?.data).toBe("10.0.0.4");
  await Promise.all(open);
  expect(silent.count).toBeLessThanOrEqual(256);
  // Their places are free again.
  const again = await resolver.answer("greedy", ask(), false, ["127.0.0.3"]);
  expect(decode(again).answers?.[0]?.data).toBe("10.0.0.4");
});

test("whatever a container sends is answered, or nothing is, and a response never is", async () => {
  const seeds = [ask(), reply(ask(), "10.0.0.1"), new Uint8Array(12)];
  await checkAll(damaged(seeds), async (message) => {
    const answer = await resolver.answer("asker", message, false, []);
    const isResponse = message.length >= 12 && ((message[2] ?? 0) & 0x80) !== 0;
    expect(answer.length === 0).toBe(message.length < 12 || isResponse);
    if (answer.length > 0) expect(answer.subarray(0, 2)).toEqual(message.subarray(0, 2));
  });
  await checkAll(damaged(seeds), (message) => {
    if (answers(message, ask())) expect((message[2] ?? 0) & 0x80).toBe(0x80);
  });
});

test("name servers of the host's loopback are asked through somebody else, where only the host reaches them", () => {
  const servers = ["127.0.0.53", "192.0.2.1", "127.0.0.1", "::1"];
  expect(reachableResolvers(servers, undefined)).toEqual(servers);
  expect(reachableResolvers(servers, "169.254.1.1")).toEqual(["169.254.1.1", "192.0.2.1"]);
});
