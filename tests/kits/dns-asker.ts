/**
 * Asks a container's resolver, from within the container's network namespace. `askFrom` runs this file there as a program of its
 * own, for whoever enters a namespace stays in it.
 */
import { decode, encode } from "dns-packet";
import fc from "fast-check";
import { damaged } from "./fuzz.ts";

const RESOLVER = { hostname: "127.0.0.11", port: 53 };
const PATIENCE_MS = 15_000;
/** At once. */
const CONNECTING = 64;

/** What is asked of the program. */
export type Wish =
  | { readonly kind: "ask"; readonly name: string; readonly type?: string; readonly size?: number }
  | { readonly kind: "ask-tcp"; readonly name: string; readonly together: number }
  /** So many questions, so many of them open at a time on each of 4 sockets. */
  | {
      readonly kind: "flood";
      readonly names: readonly string[];
      readonly count: number;
      readonly open: number;
    }
  /** So many connections that say nothing, or not all; then a question by TCP and one by UDP. */
  | { readonly kind: "idle"; readonly name: string; readonly count: number }
  /** So many damaged questions by UDP and TCP, then a sound one. */
  | { readonly kind: "noise"; readonly name: string; readonly count: number };

/** What came back. */
export interface Answered {
  readonly code: string;
  readonly cut: boolean;
  /** As the question is repeated. */
  readonly name: string;
  readonly data: readonly string[];
  /** Questions of a flood that were answered, and the different addresses that came. */
  readonly count: number;
}

function question(id: number, name: string, type = "A", size?: number): Uint8Array {
  const opt = { type: "OPT", name: ".", udpPayloadSize: size ?? 0 };
  const questions = [{ name, type, class: "IN" }];
  const additionals = size === undefined ? [] : [opt];
  return encode({ type: "query", id, flags: 256, questions, additionals });
}

function read(message: Uint8Array, count = 1): Answered {
  const {
    rcode = "",
    flag_tc = false,
    questions = [],
    answers = [],
  } = decode(Buffer.from(message));
  const data = answers.map((one) => String(one.data));
  return { code: rcode, cut: flag_tc, name: questions[0]?.name ?? "", data, count };
}

async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Bun.sleep(PATIENCE_MS).then(() => {
    throw new Error(`no answer in ${PATIENCE_MS / 1000} s: ${what}`);
  });
  return await Promise.race([promise, late]);
}

async function byUdp(message: Uint8Array): Promise<Answered> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const socket = await Bun.udpSocket({
    connect: RESOLVER,
    socket: { data: (_socket, data) => resolve(data) },
  });
  socket.send(message);
  return read(await inTime(promise, "by UDP"));
}

/** Sends all questions in one go; gives the first answer, and how many came. */
async function byTcp(messages: readonly Uint8Array[]): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  let received = Buffer.alloc(0);
  const socket = await Bun.connect({
    ...RESOLVER,
    socket: {
      data: (_socket, chunk) => {
        received = Buffer.concat([received, chunk]);
        const found: Uint8Array[] = [];
        for (let at = 0; at + 2 <= received.length; ) {
          const end = at + 2 + received.readUInt16BE(at);
          if (end <= received.length) found.push(received.subarray(at + 2, end));
          at = end;
        }
        if (found.length === messages.length) resolve(read(found[0] as Uint8Array, found.length));
      },
      close: () => reject(new Error("the resolver has hung up")),
    },
  });
  const framed = messages.flatMap((one) => [Uint8Array.of(one.length >> 8, one.length & 255), one]);
  socket.write(Buffer.concat(framed));
  return await inTime(promise, "by TCP");
}

async function flood({ names, count, open }: Extract<Wish, { kind: "flood" }>): Promise<Answered> {
  const seen = new Set<string>();
  let answered = 0;
  const one = async (share: number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let sent = 0;
    let back = 0;
    const send = () => {
      const name = names[sent % names.length] ?? "";
      socket.send(question(sent++ & 0xffff, name));
    };
    const socket = await Bun.udpSocket({
      connect: RESOLVER,
      socket: {
        data(_socket, data) {
          back++;
          answered++;
          if (back % 7 === 0) for (const text of read(data).data) seen.add(text);
          if (sent < share) send();
          else if (back === share) resolve();
        },
      },
    });
    for (let i = 0; i < Math.min(open, share); i++) send();
    await promise;
  };
  // What is missing at the end is lost: nothing is asked again.
  const all = Promise.all([0, 1, 2, 3].map(() => one(count / 4)));
  await Promise.race([all, Bun.sleep(PATIENCE_MS * 2)]);
  return { code: "", cut: false, name: "", data: [...seen], count: answered };
}

/** Opens a connection for each of these beginnings, writes it, and lets it be. */
async function connections(beginnings: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < beginnings.length; at += CONNECTING)
    await Promise.all(
      beginnings.slice(at, at + CONNECTING).map((bytes) =>
        Bun.connect({
          ...RESOLVER,
          socket: { open: (socket) => void socket.write(bytes), data: () => {}, close: () => {} },
        }).catch(() => {}),
      ),
    );
}

async function idle({ name, count }: Extract<Wish, { kind: "idle" }>): Promise<Answered> {
  // Half a length, a length without a message, half a message, nothing.
  const parts = [Uint8Array.of(0), Uint8Array.of(0, 40), Buffer.alloc(20, 1), Buffer.alloc(0)];
  await connections(Array.from({ length: count }, (_, i) => parts[i % 4] ?? Buffer.alloc(0)));
  await byTcp([question(1, name)]);
  return await byUdp(question(2, name));
}

async function noise({ name, count }: Extract<Wish, { kind: "noise" }>): Promise<Answered> {
  const seeds = [
    question(1, name),
    question(2, `x.${name}`, "AAAA", 4096),
    question(3, "1.0.0.10.in-addr.arpa", "PTR"),
    encode({ type: "response", id: 4, questions: [] }),
    // Names that point to themselves and to each other.
    Buffer.from("000501000001000000000000c00c00010001", "hex"),
    Buffer.from("0006010000010000000000000161c00ec00c00010001", "hex"),
    Buffer.alloc(60_000, 0x3f),
  ];
  const socket = await Bun.udpSocket({ connect: RESOLVER, socket: { data: () => {} } });
  const messages = fc.sample(damaged(seeds), { numRuns: count, seed: 11 });
  for (const message of messages) socket.send(message);
  const framed = messages
    .filter((message) => message.length % 7 === 0)
    .map((one) => Buffer.concat([Uint8Array.of(one.length >> 8, one.length & 255), one]));
  await connections(framed);
  // As any stub resolver does: what was lost among the noise is asked again.
  for (let tries = 0; ; tries++) {
    const answer = byUdp(question(7, name));
    const done = await Promise.race([answer, Bun.sleep(1000)]);
    if (done) return done;
    if (tries === 10) return await answer;
  }
}

async function fulfil(wish: Wish): Promise<Answered> {
  switch (wish.kind) {
    case "ask":
      return await byUdp(question(1, wish.name, wish.type, wish.size));
    case "ask-tcp":
      return await byTcp(Array.from({ length: wish.together }, (_, id) => question(id, wish.name)));
    case "flood":
      return await flood(wish);
    case "idle":
      return await idle(wish);
    case "noise":
      return await noise(wish);
  }
}

/** Asks from within the network namespace of a process. */
export async function askFrom(pid: number | string, wish: Wish): Promise<Answered> {
  const child = Bun.spawn(
    [
      "nsenter",
      `--net=/proc/${pid}/ns/net`,
      process.execPath,
      import.meta.path,
      JSON.stringify(wish),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${JSON.stringify(wish)}: ${err}`);
  return JSON.parse(out) as Answered;
}

if (import.meta.main) {
  console.log(JSON.stringify(await fulfil(JSON.parse(process.argv[2] ?? "") as Wish)));
  process.exit(0);
}
