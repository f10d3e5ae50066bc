/**
 * The server's side of a WebSocket (RFC 6455) as attach needs it: a stream of bytes in binary frames. Frames are handed on
 * piece by piece as they come, so that none is too long.
 */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { fault } from "../base/errors.ts";
import { Demultiplexer } from "../client/index.ts";
import { type Hijacked, SocketInput } from "./hijack.ts";

/** RFC 6455, section 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const CONTROL_MAX = 125;
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;

/** One unmasked frame, final. */
export function webSocketFrame(opcode: number, data: Uint8Array): Uint8Array {
  const { length } = data;
  const extra = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const out = new Uint8Array(2 + extra + length);
  const view = new DataView(out.buffer);
  out[0] = 0x80 | opcode;
  out[1] = extra === 0 ? length : extra === 2 ? 126 : 127;
  if (extra === 2) view.setUint16(2, length);
  if (extra === 8) view.setBigUint64(2, BigInt(length));
  out.set(data, 2 + extra);
  return out;
}

/** What a reader tells. */
export interface WebSocketEvents {
  data(piece: Uint8Array): void;
  ping(payload: Uint8Array): void;
  /** The client has closed, or broken the protocol: `code` is what to answer. */
  close(code: number): void;
}

/** Takes a client's frames apart, wherever they are cut. */
export class WebSocketReader {
  private readonly head: number[] = [];
  private mask: number[] = [];
  private opcode = 0;
  private left = 0;
  private position = 0;
  private control: number[] = [];
  private inFrame = false;
  private inMessage = false;
  private ended = false;

  constructor(private readonly events: WebSocketEvents) {}

  /** Takes what has come. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.ended; ) {
      if (this.inFrame) {
        const piece = bytes.subarray(at, at + this.left);
        at += piece.length;
        this.payload(piece);
        continue;
      }
      this.head.push(bytes[at++] ?? 0);
      this.readHead();
    }
  }

  private fail(): void {
    this.ended = true;
    this.events.close(PROTOCOL_ERROR);
  }

  private readHead(): void {
    const [first = 0, second = 0] = this.head;
    if (this.head.length < 2) return;
    const short = second & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    const opcode = first & 0x0f;
    const known = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode);
    const isControl = opcode >= CLOSE;
    // Clients mask (5.1); nobody has agreed to an extension (5.2); control frames are short and whole (5.5).
    if ((second & 0x80) === 0 || (first & 0x70) !== 0 || !known) return this.fail();
    if (isControl && (short > CONTROL_MAX || (first & 0x80) === 0)) return this.fail();
    if (this.head.length < 2 + extra + 4) return;
    if (!isControl) {
      // A message begins with its kind and goes on with continuations (5.4).
      if ((opcode === CONTINUATION) !== this.inMessage) return this.fail();
      this.inMessage = (first & 0x80) === 0;
    }
    const size = this.head.slice(2, 2 + extra).reduce((sum, byte) => sum * 256 + byte, 0);
    this.left = extra === 0 ? short : size;
    this.mask = this.head.splice(0).slice(2 + extra);
    this.opcode = opcode;
    this.position = 0;
    this.inFrame = true;
    if (this.left === 0) this.payload(new Uint8Array(0));
  }

  private payload(piece: Uint8Array): void {
    const plain = piece.map((byte, i) => byte ^ (this.mask[(this.position + i) % 4] ?? 0));
    this.position += piece.length;
    this.left -= piece.length;
    this.inFrame = this.left > 0;
    if (this.opcode < CLOSE) {
      if (plain.length > 0) this.events.data(plain);
      return;
    }
    this.control.push(...plain);
    if (this.inFrame) return;
    const payload = Uint8Array.from(this.control.splice(0));
    if (this.opcode === PING) this.events.ping(payload);
    if (this.opcode !== CLOSE) return;
    this.ended = true;
    this.events.close(NORMAL);
  }
}

function closeFrame(code: number): Uint8Array {
  return webSocketFrame(CLOSE, Uint8Array.of(code >> 8, code & 0xff));
}

/** The refusal of a request that is no WebSocket's handshake. */
export function noWebSocket(): Error {
  return fault(
    "invalid",
    "no-websocket",
    "this request is for a WebSocket client: it needs Upgrade: websocket, Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key",
  );
}

/** The answer to a handshake's key (section 4.2.2). Throws a Fault "invalid" when the request is no handshake. */
export function webSocketAcceptance(headers: IncomingHttpHeaders): string {
  const { upgrade, "sec-websocket-key": key, "sec-websocket-version": version } = headers;
  if (upgrade?.toLowerCase() !== "websocket" || key === undefined || version !== "13")
    throw noWebSocket();
  return createHash("sha1").update(`${key}${GUID}`).digest("base64");
}

/** Answers a WebSocket's handshake. Output comes as binary frames without Docker's framing, both streams as one. */
export function hijackWebSocket(
  socket: Duplex,
  head: Uint8Array,
  accept: string,
  tty: boolean,
): Hijacked {
  const input = new SocketInput(socket, head);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let hasRoom = true;
  const send = (bytes: Uint8Array) => {
    hasRoom = socket.write(webSocketFrame(BINARY, bytes));
  };
  const frames = new Demultiplexer((_stream, bytes) => send(bytes));
  return {
    write(chunk) {
      if (tty) send(chunk);
      else frames.push(chunk);
      return hasRoom;
    },
    end: () => socket.end(closeFrame(NORMAL)),
    onDrain: (callback) => socket.on("drain", callback),
    onInput: ({ data, gone }) => {
      const reader = new WebSocketReader({
        data,
        ping: (payload) => socket.write(webSocketFrame(PONG, payload)),
        close(code) {
          socket.end(closeFrame(code));
          gone();
        },
      });
      input.deliver({ data: (bytes) => reader.push(bytes), end: gone, gone });
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}
