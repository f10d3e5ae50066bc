/**
 * Name questions taken apart, and answers put together. Pure.
 */
import { decode, encode } from "dns-packet";
import { type Family, parseAddress } from "./addresses.ts";

/** One question, as far as berth may know the answer. */
export interface NameQuestion {
  readonly id: number;
  /** In lower case, without the dot at its end. */
  readonly name: string;
  /** As the asker has written it: some compare. */
  readonly written: string;
  readonly type: "A" | "AAAA" | "PTR";
  /** Recursion is desired. */
  readonly recursion: boolean;
  /** How long an answer by UDP may be. */
  readonly room: number;
}

const QUERY_BITS = 0x7800;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const TRUNCATED = 0x0200;
const RESPONSE_BIT = 0x8000;
/** Without a word about it (RFC 1035), and the most that is believed. */
const PLAIN_ROOM = 512;
const MOST_ROOM = 4096;
/** Seconds: containers come and go. */
const TTL = 5;

/** A question that berth may answer by itself; undefined for every other message, which others may understand. */
export function questionIn(message: Uint8Array): NameQuestion | undefined {
  try {
    const { id = 0, flags = 0, questions = [], additionals = [] } = decode(message);
    const [question, ...more] = questions;
    const isQuery = message.length > 2 && ((message[2] ?? 0) & (RESPONSE_BIT >> 8)) === 0;
    if (question === undefined || more.length > 0 || !isQuery || (flags & QUERY_BITS) !== 0)
      return undefined;
    const { type, name } = question;
    if (question.class !== "IN" || (type !== "A" && type !== "AAAA" && type !== "PTR"))
      return undefined;
    const size = additionals.find((one) => one.type === "OPT")?.udpPayloadSize ?? PLAIN_ROOM;
    return {
      id,
      name: name.toLowerCase().replace(/\.$/, ""),
      written: name,
      type,
      recursion: (flags & RECURSION_DESIRED) !== 0,
      room: Math.min(Math.max(size, PLAIN_ROOM), MOST_ROOM),
    };
  } catch {
    return undefined;
  }
}

/** An answer with these addresses or names, which may be none. What does not fit into a datagram is left for TCP to ask for. */
export function answerTo(
  question: NameQuestion,
  data: readonly string[],
  tcp: boolean,
): Uint8Array {
  const make = (count: number) =>
    encode({
      type: "response",
      id: question.id,
      flags:
        RECURSION_AVAILABLE |
        (question.recursion ? RECURSION_DESIRED : 0) |
        (count < data.length ? TRUNCATED : 0),
      questions: [{ name: question.written, type: question.type, class: "IN" }],
      answers: data.slice(0, count).map((one) => ({
        ...{ name: question.written, type: question.type, class: "IN", ttl: TTL },
        data: one,
      })),
    });
  let count = data.length;
  let message = make(count);
  while (!tcp && message.length > question.room && count > 0) {
    count = Math.floor((count * question.room) / message.length);
    message = make(count);
  }
  return message;
}

/** The address that a reverse question asks about; undefined for what is none. */
export function reverseAddress(name: string): { family: Family; value: bigint } | undefined {
  const four = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name);
  if (four !== null)
    return parseAddress((four[1] ?? "").split(".").filter(Boolean).reverse().join("."));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (six === null) return undefined;
  const digits = (six[1] ?? "").split(".").filter(Boolean).reverse().join("");
  return { family: 6, value: BigInt(`0x${digits}`) };
}
