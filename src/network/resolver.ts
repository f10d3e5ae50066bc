/**
 * Answers containers' DNS questions by asking the host's resolvers. Never blocks, never keeps more than a bounded number of
 * open questions; what gets no answer gets SERVFAIL.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parseResolvConf } from "./files.ts";

const TIMEOUT_MS = 5000;
const OPEN_MAX = 256;
const HEADER = 12;

/** The header of a question turned into an answer that says "server failure" (RFC 1035, section 4.1.1). */
export function serverFailure(question: Uint8Array): Uint8Array {
  const answer = question.slice();
  answer[2] = ((answer[2] ?? 0) & 0x79) | 0x80;
  answer[3] = 0x82;
  answer.fill(0, 6, HEADER);
  // Without the additional records that the question may have had.
  let end = HEADER;
  while (end < answer.length && (answer[end] ?? 0) !== 0) end += (answer[end] ?? 0) + 1;
  return answer.slice(0, Math.min(end + 5, answer.length));
}

/** The host's resolvers, as /etc/resolv.conf has them now. */
export function hostResolvers(): string[] {
  try {
    return parseResolvConf(readFileSync("/etc/resolv.conf", "utf8")).nameservers.filter(
      (address) => isIP(address) !== 0,
    );
  } catch {
    return [];
  }
}

async function overUdp(server: string, question: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const socket = await Bun.udpSocket({
    connect: { hostname: server, port: 53 },
    socket: {
      data: (_socket, data) => {
        // Somebody else's answer is no answer (RFC 5452).
        if (data[0] === question[0] && data[1] === question[1]) resolve(data);
      },
      error: () => resolve(serverFailure(question)),
    },
  });
  const timer = setTimeout(() => resolve(serverFailure(question)), TIMEOUT_MS);
  try {
    socket.send(question);
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

async function overTcp(server: string, question: Uint8Array): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  let received: Uint8Array = new Uint8Array(0);
  const framed = new Uint8Array(question.length + 2);
  framed.set([question.length >> 8, question.length & 255]);
  framed.set(question, 2);
  const timer = setTimeout(() => resolve(serverFailure(question)), TIMEOUT_MS);
  const socket = await Bun.connect({
    hostname: server,
    port: 53,
    socket: {
      data: (_socket, chunk) => {
        received = Buffer.concat([received, chunk]);
        const length = ((received[0] ?? 0) << 8) | (received[1] ?? 0);
        if (received.length >= 2 + length) resolve(received.slice(2, 2 + length));
      },
      close: () => resolve(serverFailure(question)),
      error: () => resolve(serverFailure(question)),
    },
  });
  try {
    socket.write(framed);
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.end();
  }
}

/** Forwards questions. */
export class Resolver {
  private open = 0;

  constructor(private readonly servers: () => readonly string[] = hostResolvers) {}

  /** Answers one message; gives the answer's message. `servers`: whom to ask instead of the host's. */
  async answer(
    question: Uint8Array,
    tcp: boolean,
    servers: readonly string[] = this.servers(),
  ): Promise<Uint8Array> {
    if (question.length < HEADER) return new Uint8Array(0);
    if (servers.length === 0 || this.open >= OPEN_MAX) return serverFailure(question);
    this.open++;
    try {
      const ask = tcp ? overTcp : overUdp;
      // The first that answers anything but a failure is believed.
      for (const server of servers.slice(0, 3)) {
        const answer = await ask(server, question).catch(() => serverFailure(question));
        if (((answer[3] ?? 2) & 15) !== 2) return answer;
      }
      return serverFailure(question);
    } finally {
      this.open--;
    }
  }
}
