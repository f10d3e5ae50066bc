/**
 * Answers containers' DNS questions by asking others. Never blocks, never keeps more than a bounded number of open questions,
 * of which no container can have all; what gets no answer gets SERVFAIL, and before the asker's patience ends.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { HEADER, questionEnd } from "./dns.ts";
import { parseResolvConf } from "./files.ts";

/** In milliseconds: when the asker is told of a failure, and how long one server is waited for before the next is asked, too. */
interface Patience {
  readonly all: number;
  readonly each: number;
}

/** Askers wait for 5 seconds (resolv.conf(5)). */
const PATIENCE: Patience = { all: 4500, each: 1300 };
const MAX_SERVERS = 3;
const MAX_OPEN = 1024;
const MAX_OPEN_EACH = 256;
const DNS_PORT = 53;

const FORMAT_ERROR = 1;
const SERVER_FAILURE = 2;
const REFUSED = 5;

/** The header and the question turned into an answer that has nothing but a code (RFC 1035, section 4.1.1). */
function failure(question: Uint8Array, code: number): Uint8Array {
  // A copy, which a Buffer's own slice is not.
  const answer = Uint8Array.from(question.subarray(0, questionEnd(question) ?? HEADER));
  answer[2] = ((answer[2] ?? 0) & 0x79) | 0x80;
  answer[3] = 0x80 | code;
  if (answer.length === HEADER) answer.fill(0, 4, HEADER);
  else answer.fill(0, 6, HEADER);
  return answer;
}

/** An answer that says "server failure". */
export function serverFailure(question: Uint8Array): Uint8Array {
  return failure(question, SERVER_FAILURE);
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

/**
 * Name servers as containers reach them, or their shims. Those of the host's loopback are out of reach where networks are apart
 * from the host's: `outer` stands for them, which asks them.
 */
export function reachableResolvers(
  servers: readonly string[],
  outer: string | undefined,
): string[] {
  if (outer === undefined) return [...servers];
  const reached = servers.map((server) => (/^(127\.|::1$)/.test(server) ? outer : server));
  return [...new Set(reached)];
}

const lower = (byte = 0) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
const codeOf = (message: Uint8Array) => (message[3] ?? 0) & 15;

/** Whether a message answers this question: somebody else's answer is none, nor is one to another question (RFC 5452). */
export function answers(message: Uint8Array, question: Uint8Array): boolean {
  const isResponse = message.length >= HEADER && ((message[2] ?? 0) & 0x80) !== 0;
  if (!isResponse || message[0] !== question[0] || message[1] !== question[1]) return false;
  // Who does not understand a question need not repeat it.
  if (message[4] === 0 && message[5] === 0) return codeOf(message) !== 0;
  const end = questionEnd(question);
  if (end === undefined || questionEnd(message) !== end) return false;
  for (let at = HEADER; at < end; at++)
    if (lower(message[at]) !== lower(question[at])) return false;
  return true;
}

/** Asks one server until the signal; gives undefined when it cannot be asked or says nothing. */
type Ask = (
  server: { hostname: string; port: number },
  question: Uint8Array,
  stop: AbortSignal,
) => Promise<Uint8Array | undefined>;

const overUdp: Ask = async (server, question, stop) => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const socket = await Bun.udpSocket({
    // Bun makes an IPv4 socket unless it is told otherwise, whomever it is to be connected to.
    hostname: isIP(server.hostname) === 6 ? "::" : "0.0.0.0",
    connect: server,
    socket: {
      data: (_socket, data) => {
        if (answers(data, question)) resolve(Uint8Array.from(data));
      },
      error: () => resolve(undefined),
    },
  });
  stop.addEventListener("abort", () => resolve(undefined), { once: true });
  try {
    if (stop.aborted) return undefined;
    socket.send(question);
    return await promise;
  } finally {
    socket.close();
  }
};

const overTcp: Ask = async (server, question, stop) => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  let received: Uint8Array = new Uint8Array(0);
  const framed = new Uint8Array(question.length + 2);
  framed.set([question.length >> 8, question.length & 255]);
  framed.set(question, 2);
  stop.addEventListener("abort", () => resolve(undefined), { once: true });
  const socket = await Bun.connect({
    ...server,
    socket: {
      data: (_socket, chunk) => {
        received = Buffer.concat([received, chunk]);
        const length = ((received[0] ?? 0) << 8) | (received[1] ?? 0);
        if (received.length < 2 || received.length < 2 + length) return;
        const message = received.slice(2, 2 + length);
        resolve(answers(message, question) ? message : undefined);
      },
      close: () => resolve(undefined),
      error: () => resolve(undefined),
    },
  });
  try {
    if (stop.aborted) return undefined;
    socket.write(framed);
    return await promise;
  } finally {
    socket.terminate();
  }
};

/** Forwards questions. */
export class Resolver {
  private open = 0;
  private readonly openBy = new Map<string, number>();

  constructor(
    private readonly servers: () => readonly string[] = hostResolvers,
    private readonly port = DNS_PORT,
    private readonly patience = PATIENCE,
  ) {}

  /**
   * Answers one message; gives the answer's message, which is empty for what gets none. `asker`: for whom.
   * `servers`: whom to ask instead of the host's, in their order.
   */
  async answer(
    asker: string,
    question: Uint8Array,
    tcp: boolean,
    servers: readonly string[] = this.servers(),
  ): Promise<Uint8Array> {
    const isResponse = ((question[2] ?? 0) & 0x80) !== 0;
    if (question.length < HEADER || isResponse) return new Uint8Array(0);
    if (questionEnd(question) === undefined) return failure(question, FORMAT_ERROR);
    const open = this.openBy.get(asker) ?? 0;
    if (servers.length === 0 || this.open >= MAX_OPEN || open >= MAX_OPEN_EACH)
      return serverFailure(question);
    this.open++;
    this.openBy.set(asker, open + 1);
    try {
      return await this.inquire(servers.slice(0, MAX_SERVERS), question, tcp ? overTcp : overUdp);
    } finally {
      this.open--;
      const left = (this.openBy.get(asker) ?? 1) - 1;
      if (left > 0) this.openBy.set(asker, left);
      else this.openBy.delete(asker);
    }
  }

  /**
   * Asks one after the other; who is slow may still be the first to answer. The first answer that is no failure is believed,
   * and a failure when there is nothing else.
   */
  private async inquire(
    servers: readonly string[],
    question: Uint8Array,
    ask: Ask,
  ): Promise<Uint8Array> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const stop = new AbortController();
    let worst = serverFailure(question);
    let running = 0;
    let next = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const begin = () => {
      clearTimeout(timer);
      const hostname = servers[next++];
      if (hostname === undefined) {
        if (running === 0) resolve(worst);
        return;
      }
      running++;
      timer = setTimeout(begin, this.patience.each);
      ask({ hostname, port: this.port }, question, stop.signal)
        .catch(() => undefined)
        .then((answer) => {
          running--;
          if (answer !== undefined && ![SERVER_FAILURE, REFUSED].includes(codeOf(answer)))
            resolve(answer);
          else {
            worst = answer ?? worst;
            if (!stop.signal.aborted) begin();
          }
        });
    };
    const deadline = setTimeout(() => resolve(worst), this.patience.all);
    begin();
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      clearTimeout(timer);
      stop.abort();
    }
  }
}
