/** What berth uses of dns-packet, which brings no types. */
declare module "dns-packet" {
  interface DnsQuestion {
    readonly name: string;
    readonly type: string;
    readonly class: string;
  }
  interface DnsAnswer {
    readonly name: string;
    readonly type: string;
    readonly ttl?: number;
    readonly class?: string;
    readonly data?: unknown;
    readonly udpPayloadSize?: number;
  }
  interface DnsPacket {
    readonly id?: number;
    readonly type?: "query" | "response";
    readonly flags?: number;
    readonly flag_tc?: boolean;
    readonly rcode?: string;
    readonly opcode?: string;
    readonly questions?: readonly DnsQuestion[];
    readonly answers?: readonly DnsAnswer[];
    readonly additionals?: readonly DnsAnswer[];
  }
  /** A record's data with its length before it. Throws for what is none. */
  interface DataCodec {
    encode(data: string): Uint8Array;
  }
  export const a: DataCodec;
  export const aaaa: DataCodec;
  export const ptr: DataCodec;
  /** Throws for what is no message. */
  export function decode(message: Uint8Array): DnsPacket;
  export function encode(packet: DnsPacket): Uint8Array;
}
